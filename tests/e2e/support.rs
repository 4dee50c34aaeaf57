//! The world of a test: a home folder, a cluster in it, a service, and runs of the binary.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Name of the cluster, which lies beside any that the developer may be running.
const CLUSTER: &str = "e2e";

pub(crate) struct World {
    home: tempfile::TempDir,
    service: Option<Child>,
    /// The service is not the one that tests expect to find.
    special: bool,
    service_port: u16,
    rows_made: usize,
}

/// A finished run of the binary.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running one.
pub(crate) struct Running {
    /// Until it is waited for.
    child: Option<Child>,
    stderr: PathBuf,
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
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let service_port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let world = Self { home, service: None, special: false, service_port, rows_made: 0 };
        world.classify(&["cluster", "start", "--ports", "auto", "--name", CLUSTER]).expect_code(0);
        world
    }

    /// Three nodes and the service, whatever an earlier test left behind.
    pub(crate) fn make_whole(&mut self) {
        self.start_nodes();
        if self.special && self.service.is_some() {
            self.end_service(Signal::SIGKILL);
        }
        if self.service.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
            self.start_service();
        }
    }

    pub(crate) fn start_nodes(&self) {
        self.classify(&["cluster", "start", "--name", CLUSTER]).expect_code(0);
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
        let uri = format!("http://127.0.0.1:{}", self.service_port);
        wait_for("the service to be registered", Duration::from_mins(1), || {
            self.classify(&["cluster", "register", &uri, "--name", CLUSTER]).code == Some(0)
        });
    }

    pub(crate) fn service_port(&self) -> u16 {
        self.service_port
    }

    /// Sends `signal` to the service and waits for its end; returns its exit code.
    pub(crate) fn end_service(&mut self, signal: Signal) -> Option<i32> {
        let mut child = self.service.take().expect("a running service");
        send(child.id(), signal);
        child.wait().expect("its status").code()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("restate-cache");
        // Settings and keys of the developer are none of the tests'.
        let theirs = |name: &str| name.starts_with("CLASSIFY_") || name.ends_with("_API_KEY");
        for (name, _) in std::env::vars().filter(|(name, _)| theirs(name)) {
            command.env_remove(name);
        }
        command
            .args(args)
            .env("CLASSIFY_HOME", self.path("state"))
            .env("CLASSIFY_CLUSTER", CLUSTER)
            .env("CLASSIFY_CACHE", cache)
            .env("XDG_CONFIG_HOME", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn classify(&self, args: &[&str]) -> Ran {
        self.command(args).output().expect("the binary runs").into()
    }

    /// Starts the binary.
    pub(crate) fn begin(&self, args: &[&str]) -> Running {
        let stderr = self.path("run.stderr");
        let log = fs::File::create(&stderr).expect("a log");
        let child = self.command(args).stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        Running { child: Some(child), stderr }
    }

    /// Writes a CSV of `count` indicators nobody has seen before; returns its name.
    pub(crate) fn table(&mut self, count: usize) -> String {
        let first = self.rows_made;
        self.rows_made += count;
        let rows = (first..self.rows_made)
            .map(|row| format!("ID{row},\"Exports of goods, series {row}\",USD Million,Monthly\n"));
        let name = format!("table-{first}.csv");
        fs::write(self.path(&name), String::from("id,name,units,periodicity\n") + &rows.collect::<String>())
            .expect("a table");
        name
    }

    /// The rows of a JSON Lines file.
    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect()
    }

    /// Checks that the results at `name` have each of `count` rows once, and nothing else.
    pub(crate) fn expect_each_once(&self, table: &str, results: &str) {
        let asked = fs::read_to_string(self.path(table)).expect("the table");
        let mut asked: Vec<&str> = asked.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        let rows = self.rows(results);
        let mut got: Vec<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
        asked.sort_unstable();
        got.sort_unstable();
        assert_eq!(asked.len(), got.len(), "rows in {results}");
        assert_eq!(asked, got, "ids in {results}");
    }

    /// Classifications really executed so far, by the service's own record: id and time.
    pub(crate) fn executed(&self) -> Vec<(String, jiff::Timestamp)> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        // A line that is being written has no end yet.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).expect("an audit line");
                let at = entry["at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
                (entry["id"].as_str().expect("an id").to_owned(), at)
            })
            .collect()
    }

    /// How many classifications were executed more than once since `before`.
    pub(crate) fn repeated_since(&self, before: usize) -> usize {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for (id, _) in self.executed().into_iter().skip(before) {
            *times.entry(id).or_default() += 1;
        }
        times.values().map(|count| count - 1).sum()
    }

    /// Waits until `count` more classifications than `before` were executed.
    pub(crate) fn wait_executed(&self, before: usize, count: usize) {
        wait_for(&format!("{count} classifications"), Duration::from_mins(1), || {
            self.executed().len() >= before + count
        });
    }

    /// Admin API of the first node.
    pub(crate) fn admin_url(&self) -> String {
        let status = self.classify(&["cluster", "status", "--json", "--name", CLUSTER]).json();
        status["nodes"][0]["admin_url"].as_str().expect("a URL").to_owned()
    }

    /// Process ids of the nodes, as `cluster status` tells them.
    pub(crate) fn node_pids(&self) -> Vec<u32> {
        let status: Value = self.classify(&["cluster", "status", "--json", "--name", CLUSTER]).json();
        let nodes = status["nodes"].as_array().expect("nodes");
        nodes.iter().map(|node| u32::try_from(node["pid"].as_u64().expect("a pid")).expect("a pid")).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ended = service.kill();
            let _status = service.wait();
        }
        let cleaned = self.classify(&["cluster", "clean", "--yes", "--name", CLUSTER]);
        assert_eq!(cleaned.code, Some(0), "{}", cleaned.stderr);
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// stdout as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

impl Running {
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until stderr has `text`; fails at once if the run ends without it.
    pub(crate) fn wait_said(&mut self, text: &str, patience: Duration) {
        wait_for(&format!("`{text}` on stderr"), patience, || {
            let said = self.said().contains(text);
            let ended = self.has_ended();
            assert!(said || !ended, "ended without saying `{text}`: {}", self.said());
            said
        });
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.as_mut().expect("a run").try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.child.as_ref().expect("a run").id(), signal);
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Ran {
        let said = self.stderr.clone();
        let child = self.child.take().expect("a run");
        let output = child.wait_with_output().expect("its output");
        let mut ran = Ran::from(output);
        ran.stderr = fs::read_to_string(said).unwrap_or_default();
        ran
    }
}

impl Drop for Running {
    /// A test that failed in mid-run leaves nothing behind.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _status = child.wait();
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

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), signal).expect("a process of ours");
}

/// Waits for a condition; fails when it does not come true in time.
pub(crate) fn wait_for(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
