//! Requests to a model: when they arrived at its provider, with more work waiting than the limit lets through.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::arrivals::{Arrivals, float};
use crate::balance::{balance, free_port};
use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::running::{Running, wait_for};
use crate::table::Table;
use crate::world::{Guarded, World, send};

/// Between the first request and the death of a node, and its return.
const DEAD: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(35));

/// Requests a minute.
const LIMITS: [u32; 4] = [450, 900, 5_000, 20_000];

/// Four limits at once, with one service and with two; and one of them while a node dies and comes back.
pub(crate) fn measure(world: &mut World, seconds: u32) -> Table {
    let mut table =
        Table::new(&["limit a minute", "services", "fullest minute", "of the limit", "average over the run"]);
    let provider = Provider::start(Plan::healthy().slowed(Duration::from_millis(100)));
    let mut scene = Scene { world, provider: &provider, seconds };
    for services in [1, 2] {
        let _pair = scene.serve(services);
        scene.under_limits(&mut table, &LIMITS, &services.to_string(), |_, _| {});
    }
    let _none = scene.serve(1);
    scene.under_limits(&mut table, &[5_000], "1, a node dead for 15 s", |scene, model| {
        wait_for("the first call", Duration::from_mins(1), || scene.provider.stub.number_for(model) > 0);
        let first = Instant::now();
        wait_for("its time", DEAD.1, || first.elapsed() >= DEAD.0);
        send(scene.world.node_pids()[1], Signal::SIGKILL);
        wait_for("the other's", DEAD.1, || first.elapsed() >= DEAD.1);
        scene.world.start_nodes();
    });
    table
}

/// Where runs take place, and how long they are.
struct Scene<'a> {
    world: &'a mut World,
    provider: &'a Provider,
    seconds: u32,
}

/// Two services behind a balancer, in the place of the one.
struct Pair {
    _services: [Guarded; 2],
    balancer: tokio::task::JoinHandle<()>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.balancer.abort();
    }
}

impl Scene<'_> {
    /// Puts so many services in the place of those there are.
    fn serve(&mut self, services: usize) -> Option<Pair> {
        const OPTIONS: [&str; 2] = ["--llm-concurrency", "2000"];
        if services == 1 {
            self.provider.serve(self.world, &OPTIONS);
            return None;
        }
        self.world.end_service(Signal::SIGKILL);
        let ports = [free_port(), free_port()];
        let services = ports.map(|port| {
            let (log, audit) = (format!("service-{port}.log"), format!("audit-{port}.jsonl"));
            Guarded(self.world.spawn_service(port, &log, &audit, |service| {
                self.provider.is_known_to(service);
                service.args(OPTIONS);
            }))
        });
        let balancer = self.provider.runtime.block_on(balance(self.world.service_port(), ports));
        self.world.register();
        Some(Pair { _services: services, balancer })
    }

    /// A run under each of the limits, all at once; `meanwhile` is told the first one's model.
    fn under_limits(
        &mut self,
        table: &mut Table,
        limits: &[u32],
        services: &str,
        meanwhile: impl FnOnce(&mut Self, &str),
    ) {
        let model = |limit: u32| format!("rates-{limit}-{}", services.replace([' ', ','], "-"));
        let clients: Vec<(u32, Running)> =
            limits.iter().map(|limit| (*limit, self.begin(&model(*limit), *limit))).collect();
        meanwhile(self, &model(limits[0]));
        for (limit, running) in clients {
            running.finish().expect_code(0);
            let seen = self.provider.seen(&model(limit));
            let origin = seen.first().expect("calls").at;
            let arrivals = Arrivals::new(seen.iter().map(|seen| (seen.at - origin).as_secs_f64()).collect());
            let (fullest, rpm) = (arrivals.fullest(60.0), f64::from(limit));
            let (used, average) = (float(fullest) / rpm * 100.0, arrivals.per_minute() / rpm * 100.0);
            table.row(
                vec![
                    limit.to_string(),
                    services.to_owned(),
                    fullest.to_string(),
                    format!("{used:.2} %"),
                    format!("{average:.2} %"),
                ],
                &[
                    (fullest <= limit as usize, "more than the limit in a minute"),
                    (used >= 99.0, "less than 99 % of the limit in the fullest minute"),
                ],
            );
        }
    }

    /// Starts a run that has so many seconds' worth of requests, under a limit that is set before the first.
    fn begin(&mut self, model: &str, limit: u32) -> Running {
        let rows = f64::from(limit) * f64::from(self.seconds) / 60.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
        let table = self.world.table(rows.round() as usize);
        let (named, rpm) = (format!("openai/{model}"), limit.to_string());
        let limits = ["limits", "set", &named, "--rpm", &rpm, "--concurrency", "2000"];
        self.world.classify(&limits).expect_code(0);
        let results = format!("{table}.jsonl");
        let args = ["--provider", "openai", "--model", model, "--mode", "max", "-o", &results, &table];
        Running::begin(self.world.command(&args), self.world.path(&format!("{table}.stderr")))
    }
}
