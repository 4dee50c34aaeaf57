//! Requests to a model: when they arrived at its provider, with more work waiting than the limit lets through.

use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::arrivals::Arrivals;
use crate::balance::{balance, free_port};
use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::running::{Running, wait_for};
use crate::table::Table;
use crate::world::{Guarded, World, send};

/// Between the first request and the death of a node, and its return.
const DEAD: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(35));

/// Four limits with one service and with two, the lower three side by side; one more while a node dies and comes back.
pub(crate) fn measure(world: &mut World, seconds: u32) -> Table {
    let mut table =
        Table::new(&["limit a minute", "services", "fullest minute", "of the limit", "average over the run"]);
    let provider = Provider::start(Plan::healthy().slowed(Duration::from_millis(100)));
    for services in [1, 2] {
        let _pair = serve(world, &provider, services);
        for limits in [&[450, 900, 5_000][..], &[20_000]] {
            under_limits(world, &provider, &mut table, limits, services, seconds, false);
        }
        if services == 1 {
            under_limits(world, &provider, &mut table, &[5_000], services, seconds, true);
        }
    }
    table
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

fn serve(world: &mut World, provider: &Provider, services: usize) -> Option<Pair> {
    const LIMITS: [&str; 2] = ["--llm-concurrency", "2000"];
    if services == 1 {
        provider.serve(world, &LIMITS);
        return None;
    }
    world.end_service(Signal::SIGKILL);
    let ports = [free_port(), free_port()];
    let spawn = |port: u16| -> Child {
        world.spawn_service(port, &format!("service-{port}.log"), &format!("audit-{port}.jsonl"), |service| {
            provider.is_known_to(service);
            service.args(LIMITS);
        })
    };
    let services = ports.map(|port| Guarded(spawn(port)));
    let balancer = provider.runtime.block_on(balance(world.service_port(), ports));
    world.register();
    Some(Pair { _services: services, balancer })
}

fn under_limits(
    world: &mut World,
    provider: &Provider,
    table: &mut Table,
    limits: &[u32],
    services: usize,
    seconds: u32,
    dying: bool,
) {
    let model = |limit: u32| format!("rates-{limit}-{services}{}", if dying { "-dying" } else { "" });
    let clients: Vec<(u32, Running)> =
        limits.iter().map(|limit| (*limit, begin(world, &model(*limit), *limit, seconds))).collect();
    if dying {
        wait_for("the first call", Duration::from_mins(1), || {
            provider.stub.number_for(&model(limits[0])) > 0
        });
        let first = Instant::now();
        wait_for("its time", DEAD.1, || first.elapsed() >= DEAD.0);
        send(world.node_pids()[1], Signal::SIGKILL);
        wait_for("the other's", DEAD.1, || first.elapsed() >= DEAD.1);
        world.start_nodes();
    }
    for (limit, running) in clients {
        running.finish().expect_code(0);
        let seen = provider.seen(&model(limit));
        let origin = seen[0].at;
        let arrivals = Arrivals::new(seen.iter().map(|seen| (seen.at - origin).as_secs_f64()).collect());
        let (fullest, rpm) = (arrivals.fullest(60.0), f64::from(limit));
        let (used, average) =
            (crate::arrivals::float(fullest) / rpm * 100.0, arrivals.per_minute() / rpm * 100.0);
        table.row(
            vec![
                limit.to_string(),
                format!("{services}{}", if dying { ", a node dead for 15 s" } else { "" }),
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
fn begin(world: &mut World, model: &str, limit: u32, seconds: u32) -> Running {
    let rows = f64::from(limit) * f64::from(seconds) / 60.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
    let table = world.table(rows.round() as usize);
    let named = format!("openai/{model}");
    let rpm = limit.to_string();
    world.classify(&["limits", "set", &named, "--rpm", &rpm, "--concurrency", "2000"]).expect_code(0);
    let results = format!("{table}.jsonl");
    let args = ["--provider", "openai", "--model", model, "--mode", "max", "-o", &results, &table];
    Running::begin(world.command(&args), world.path(&format!("{table}.stderr")))
}
