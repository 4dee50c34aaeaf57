//! The world of a test: a home folder, a cluster in it, a service, and runs of the binary.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use classify::restate::secret::Secret;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

pub(crate) use crate::running::{Ran, Running, wait_for};
use crate::workplace::Workplace;

/// What a world is made of.
#[derive(Clone)]
pub(crate) struct Program {
    /// The binary.
    pub(crate) classify: PathBuf,
    /// Where a downloaded server is kept.
    pub(crate) cache: PathBuf,
    /// Name of the cluster, which lies beside any that the developer may be running.
    pub(crate) cluster: &'static str,
    /// How its nodes listen; `None` as they do for users.
    pub(crate) listen: Option<&'static str>,
    /// What every command gets in its environment.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

pub(crate) struct World {
    program: Program,
    place: Workplace,
    service: Option<Child>,
    /// The service is not the one that tests expect to find.
    special: bool,
    service_port: u16,
}

/// A process that does not outlive the test.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl World {
    pub(crate) fn start(program: Program) -> Self {
        let service_port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let world = Self { program, place: Workplace::new(), service: None, special: false, service_port };
        let mut start = vec!["cluster", "start", "--ports", "auto", "--name", world.program.cluster];
        start.extend(world.program.listen.into_iter().flat_map(|listen| ["--listen", listen]));
        world.classify(&start).expect_code(0);
        world
    }

    /// Three nodes, the service and nothing to do, whatever an earlier test left behind: what that has running would count as the
    /// next one's.
    pub(crate) fn make_whole(&mut self) {
        self.start_nodes();
        if self.special && self.service.is_some() {
            self.end_service(Signal::SIGKILL);
        }
        if self.service_pid().is_none() {
            self.start_service();
        }
        wait_for("what an earlier test submitted to end", Duration::from_mins(1), || self.is_idle());
    }

    /// Whether no batch and no call is unfinished.
    pub(crate) fn is_idle(&self) -> bool {
        let queue = self.classify(&["queue", "status", "--json"]).expect_code(0).json();
        let services = queue["services"].as_array().expect("services");
        let unfinished = ["waiting", "running", "suspended", "retrying"];
        services.iter().all(|service| unfinished.iter().all(|state| service[state] == 0))
    }

    /// The service's process, while it runs.
    pub(crate) fn service_pid(&mut self) -> Option<u32> {
        let child = self.service.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| child.id())
    }

    /// The folder with the cluster's state.
    pub(crate) fn cluster_folder(&self) -> PathBuf {
        self.path("state/cluster").join(self.program.cluster)
    }

    /// What calls to the cluster are signed with.
    pub(crate) fn secret(&self) -> Secret {
        Secret::read(&self.secret_text()).expect("64 digits")
    }

    fn secret_text(&self) -> String {
        fs::read_to_string(self.cluster_folder().join("secret")).expect("a secret").trim().to_owned()
    }

    pub(crate) fn start_nodes(&self) {
        self.classify(&["cluster", "start", "--name", self.program.cluster]).expect_code(0);
    }

    /// Starts the service with an audit log and waits until it can be called through every node.
    pub(crate) fn start_service(&mut self) {
        let service = self.spawn_service(self.service_port, "service.log", "audit.jsonl", |_| {});
        self.service = Some(service);
        self.special = false;
        self.register();
    }

    /// Puts another service in the place of the one that runs, made different by `change`.
    pub(crate) fn replace_service(&mut self, change: impl FnOnce(&mut Command)) {
        if self.service.is_some() {
            self.end_service(Signal::SIGKILL);
        }
        let service = self.spawn_service(self.service_port, "service.log", "audit.jsonl", change);
        self.service = Some(service);
        self.special = true;
        self.register();
    }

    /// Starts a service that nobody knows yet.
    pub(crate) fn spawn_service(
        &self,
        port: u16,
        log: &str,
        audit: &str,
        change: impl FnOnce(&mut Command),
    ) -> Child {
        let bind = format!("127.0.0.1:{port}");
        let log = fs::File::options().create(true).append(true).open(self.path(log)).expect("a log");
        let mut command = self.command(&["serve", "--bind", &bind, "--audit-log"]);
        command.arg(self.path(audit)).stderr(log);
        change(&mut command);
        command.spawn().expect("the service")
    }

    /// Makes what listens on the service's port known to the cluster, and waits until every node can call it.
    pub(crate) fn register(&self) {
        wait_for("the service to listen", Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", self.service_port)).is_ok()
        });
        let uri = format!("http://127.0.0.1:{}", self.service_port);
        self.classify(&["cluster", "register", &uri, "--name", self.program.cluster]).expect_code(0);
    }

    pub(crate) fn service_port(&self) -> u16 {
        self.service_port
    }

    /// Sends `signal` to the service and waits for its end; returns its exit code.
    pub(crate) fn end_service(&mut self, signal: Signal) -> Option<i32> {
        let child = self.service.as_ref().expect("a running service");
        send(child.id(), signal);
        self.wait_for_service()
    }

    /// Waits for the end of the service; returns its exit code.
    pub(crate) fn wait_for_service(&mut self) -> Option<i32> {
        assert!(self.service.is_some(), "no service was started");
        wait_for("the service to end", Duration::from_mins(1), || self.service_pid().is_none());
        let mut child = self.service.take().expect("it was there a moment ago");
        child.wait().expect("its status").code()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program.classify);
        // Settings and keys of the developer are none of the tests'.
        let theirs = |name: &str| name.starts_with("CLASSIFY_") || name.ends_with("_API_KEY");
        for (name, _) in std::env::vars().filter(|(name, _)| theirs(name)) {
            command.env_remove(name);
        }
        command
            .args(args)
            .env("CLASSIFY_HOME", self.path("state"))
            .env("CLASSIFY_CLUSTER", self.program.cluster)
            .env("CLASSIFY_CACHE", &self.program.cache)
            .env("XDG_CONFIG_HOME", self.path(""))
            // Containers have tests of their own.
            .env("CLASSIFY_RUNTIME", "native")
            .envs(self.program.environment.iter().cloned())
            .current_dir(self.path(""))
            .stdin(Stdio::null());
        // A machine with another home folder has not that of the cluster.
        if args.contains(&"--home") {
            command.env("CLASSIFY_CLUSTER_SECRET", self.secret_text());
        }
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn classify(&self, args: &[&str]) -> Ran {
        self.command(args).output().expect("the binary runs").into()
    }

    /// Starts the binary.
    pub(crate) fn begin(&self, args: &[&str]) -> Running {
        Running::begin(self.command(args), self.path("run.stderr"))
    }

    /// Admin API of the first node.
    pub(crate) fn admin_url(&self) -> String {
        let status = self.classify(&["cluster", "status", "--json", "--name", self.program.cluster]).json();
        status["nodes"][0]["admin_url"].as_str().expect("a URL").to_owned()
    }

    /// Process ids of the nodes, as `cluster status` tells them.
    pub(crate) fn node_pids(&self) -> Vec<u32> {
        let status: Value =
            self.classify(&["cluster", "status", "--json", "--name", self.program.cluster]).json();
        let nodes = status["nodes"].as_array().expect("nodes");
        nodes.iter().map(|node| u32::try_from(node["pid"].as_u64().expect("a pid")).expect("a pid")).collect()
    }
}

impl Deref for World {
    type Target = Workplace;

    fn deref(&self) -> &Workplace {
        &self.place
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Workplace {
        &mut self.place
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ended = service.kill();
            let _status = service.wait();
        }
        let cleaned = self.classify(&["cluster", "clean", "--yes", "--name", self.program.cluster]);
        // A second panic would end the process and hide the first.
        if !std::thread::panicking() {
            assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
        }
    }
}

/// One exchange with Restate's admin API, as JSON.
pub(crate) fn http(method: &str, url: &str, body: &Value) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let request = classify::tls::client()
            .build()
            .expect("a client")
            .request(method.parse().expect("a method"), url)
            .header("accept", "application/json")
            .json(body);
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success(), "{url}: {}", response.status());
        let text = response.text().await.expect("a body");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    })
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), signal).expect("a process of ours");
}
