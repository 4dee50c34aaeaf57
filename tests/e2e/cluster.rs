//! `classify cluster` against real nodes: the real binary, the real server, free ports.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use classify::cluster::{Folder, ServiceCommand, start_service};
use nix::sys::signal::Signal;
use restate_sdk::prelude::{Endpoint, HttpServer};
use serde_json::Value;

use crate::server::cache;
use crate::world::send;

/// A home of its own, cleaned when it goes out of scope, whatever happened.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// `classify cluster ARGS`
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
        command.arg("cluster").args(args).env("CLASSIFY_HOME", self.dir.path());
        command.env("CLASSIFY_CACHE", cache(env!("CARGO_TARGET_TMPDIR")));
        // Not the containers that the developer may be running.
        command.env("CLASSIFY_RUNTIME", "native");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// `classify cluster ARGS` with a shell script for a server.
    fn run_with_server(&self, script: &str, args: &[&str]) -> Ran {
        let server = self.dir.path().join("server.sh");
        std::fs::write(&server, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&server, std::fs::Permissions::from_mode(0o755)).unwrap();
        Ran::of(self.command(args).env("RESTATE_SERVER", server))
    }

    fn status(&self) -> (Value, i32) {
        let ran = self.run(&["status", "--json"]);
        (serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}")), ran.code)
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("cluster/default")
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.folder().join("cluster.json")).unwrap()).unwrap()
    }

    fn write_record(&self, record: &Value) {
        std::fs::write(self.folder().join("cluster.json"), record.to_string()).unwrap();
    }

    /// A zombie shows no command line.
    #[track_caller]
    fn expect_no_process(&self) {
        let left = Ran::of(Command::new("ps").args(["-eo", "args"]));
        assert!(!left.stdout.contains(self.folder().to_str().unwrap()), "{}", left.stdout);
    }

    /// A cluster that is recorded and never ran.
    fn with_failed_start(script_says: &str) -> (Self, Ran) {
        let home = Self::new();
        let script = format!(
            "[ \"$1\" = --version ] && echo restate-server 1.7.12 && exit\necho {script_says}\nexit 7"
        );
        let ran = home.run_with_server(&script, &["start", "--ports", "auto"]);
        (home, ran)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Even while a test panics: no node may be left behind. A record the test broke has no nodes.
        let _ended = self.command(&["clean", "--yes"]).output();
    }
}

#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        command.output().map(Self::from).unwrap()
    }

    #[track_caller]
    fn expect(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        for words in said {
            assert!(self.stderr.contains(words), "no `{words}` in {self:?}");
        }
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn pids(status: &Value) -> Vec<Option<u64>> {
    status["nodes"].as_array().unwrap().iter().map(|node| node["pid"].as_u64()).collect()
}

/// Of three nodes each leads some of the six partitions in the end, and the first one all of them in the beginning. Until they have moved,
/// what is asked of them may get no answer.
#[track_caller]
fn partitions_have_moved(status: &Value) {
    let leads = leads(status);
    assert!(leads.len() == 3 && !leads.contains(&0) && leads.iter().sum::<u64>() == 6, "{status}");
}

/// Partitions that each node leads.
fn leads(status: &Value) -> Vec<u64> {
    let nodes = status["nodes"].as_array().unwrap();
    nodes.iter().filter_map(|node| node["partitions_led"].as_u64()).collect()
}

fn kill_9(pid: u64) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

/// Waits for a condition, looking ten times a second.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    panic!("waited 30 s for {what}");
}

pub(crate) fn the_life_of_a_cluster() {
    let home = Home::new();
    home.run(&["start", "--ports", "auto"]).expect(0, &["3 nodes up (native, Restate 1.7", "stop"]);
    let (up, code) = home.status();
    assert_eq!((code, &up["ready"], &up["quorum"]), (0, &Value::Bool(true), &Value::Bool(true)), "{up}");
    partitions_have_moved(&up);

    home.run(&["start"]).expect(0, &["already up", "3 nodes up"]);
    assert_eq!(pids(&home.status().0), pids(&up), "a second start touches nothing");
    home.run(&["start", "--nodes", "5"]).expect(2, &["has 3 nodes", "cluster clean"]);
    home.run(&["register", "http://127.0.0.1:9"]).expect(4, &["cannot register", "Restate answered"]);

    a_dead_node_is_seen_and_started_again(&home, &up);
    let service = a_service_is_called_through_every_node(&home);
    stopping_keeps_ports_and_data(&home);
    logs_are_shown(&home);
    a_service_that_went_away_is_missed(&home, service);

    home.run(&["clean"]).expect(2, &["no terminal", "--yes"]);
    what_is_used_is_not_deleted(&home);
    home.run(&["clean", "--yes"]).expect(0, &["deleted"]);
    assert!(!home.folder().exists());
    home.expect_no_process();
    assert_eq!(home.run(&["status"]).code, 4);
    home.run(&["clean"]).expect(0, &["nothing to delete"]);
}

fn a_dead_node_is_seen_and_started_again(home: &Home, up: &Value) {
    let before = pids(up);
    // At once: a process is gone before its ports are, and that must not look like a port somebody took.
    kill_9(before[0].unwrap());
    home.run(&["start"]).expect(0, &["starting restate-1 again"]);
    let before = pids(&home.status().0);
    kill_9(before[1].unwrap());
    let (hurt, code) = home.status();
    assert_eq!(
        (code, &hurt["ready"], &hurt["nodes"][1]["alive"]),
        (4, &Value::Bool(false), &Value::Bool(false))
    );
    wait_for("the others to serve without it", || {
        let now = home.status().0;
        (now["nodes"][0]["ready"] == true && now["nodes"][2]["ready"] == true).then_some(())
    });
    assert_eq!(home.status().0["quorum"], true);
    // Patience that ends too soon, here because another node stands still, does not take away what was started.
    let other = u32::try_from(before[2].unwrap()).unwrap();
    send(other, Signal::SIGSTOP);
    home.run(&["start", "--timeout", "3"])
        .expect(4, &["starting restate-2 again", "keep running and catch up"]);
    send(other, Signal::SIGCONT);
    let started = pids(&home.status().0)[1];
    assert!(started.is_some(), "it was stopped again");
    home.run(&["start"]).expect(0, &["3 nodes up"]);
    wait_for("each node to lead", || leads(&home.status().0).iter().all(|number| *number > 0).then_some(()));
    let (now, code) = home.status();
    assert_eq!(pids(&now)[1], started);
    assert_eq!(code, 0, "{now}");
    let after = pids(&now);
    partitions_have_moved(&now);
    assert_eq!((after[0], after[2]), (before[0], before[2]), "the others were left alone");
    assert_ne!(after[1], before[1]);
}

fn stopping_keeps_ports_and_data(home: &Home) {
    let urls = |status: &Value| {
        let nodes = status["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["ingress_url"].to_string()).collect::<Vec<_>>()
    };
    let up = home.status().0;
    home.run(&["stop"]).expect(0, &["stopped restate-1, restate-2, restate-3", "data is kept"]);
    home.run(&["stop"]).expect(0, &["nothing was running"]);
    let (down, code) = home.status();
    assert_eq!((code, pids(&down)), (4, vec![None, None, None]));

    let port = home.record()["nodes"][1]["ports"]["ingress"].as_u64().unwrap();
    let in_the_way = TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    let holder = format!("(pid {})", std::process::id());
    let refused = home.run(&["start"]).expect(2, &[&format!("port {port} is taken"), "restate-2", "ingress"]);
    if cfg!(target_os = "linux") {
        assert!(refused.stderr.contains(&holder), "{refused:?}");
    }
    drop(in_the_way);
    assert_eq!(pids(&home.status().0), [None, None, None], "nothing was started");

    // Node 1 would found a second cluster if it took itself for new.
    home.run(&["start"]).expect(0, &["3 nodes up"]);
    let (again, code) = home.status();
    assert_eq!(code, 0, "{again}");
    partitions_have_moved(&again);
    assert_eq!(urls(&again), urls(&up));
    assert_eq!(again["deployments"], up["deployments"], "what was registered still is");
    assert!(again["nodes"].as_array().unwrap().iter().all(|node| node["service"]["reachable"] == true));
}

/// A node that nothing recorded recognises, here one whose words are others: its data stays.
fn what_is_used_is_not_deleted(home: &Home) {
    home.run(&["stop"]).expect(0, &["stopped"]);
    let data = home.folder().join("data/restate-1");
    let file = std::fs::File::create(data.join("LOG.of-a-node")).unwrap();
    let mut user = Command::new("sleep").arg("300").stdout(file).spawn().unwrap();
    if cfg!(target_os = "linux") {
        let holder = format!("sleep (pid {}) has {}", user.id(), data.display());
        home.run(&["clean", "--yes"])
            .expect(2, &["is still used: it is not deleted", &holder, "cluster clean"]);
        assert!(data.join("LOG.of-a-node").exists() && home.folder().join("cluster.json").exists());
    }
    user.kill().unwrap();
    user.wait().unwrap();
}

fn logs_are_shown(home: &Home) {
    let all = home.run(&["logs", "-n", "3"]).expect(0, &[]);
    for name in ["restate-1 | ", "restate-2 | ", "restate-3 | "] {
        assert_eq!(all.stdout.matches(name).count(), 3, "{all:?}");
    }
    let one = home.run(&["logs", "2", "-n", "1"]).expect(0, &[]);
    assert_eq!(one.stdout.lines().count(), 1, "{one:?}");
    home.run(&["logs", "9"]).expect(2, &["no node `9`", "restate-1"]);
}

mod stand_in {
    use std::convert::Infallible;

    use classify::restate::names::ServiceInfo;
    use restate_sdk::prelude::*;

    /// As much of the classification service as `cluster` looks at.
    pub(super) struct Classifier;

    #[expect(clippy::unused_async, reason = "handlers are, whether they wait or not")]
    #[restate_sdk::service(name = "Classifier")]
    impl Classifier {
        #[handler]
        async fn info(&self, _ctx: Context<'_>) -> Result<Json<ServiceInfo>, Infallible> {
            Ok(Json(ServiceInfo {
                version: "9.9.9".into(),
                taxonomy: "test@1".into(),
                taxonomy_digest: "d".into(),
                providers: vec!["rules".into()],
                secret: None,
            }))
        }
    }
}

/// The service runs until the runtime is dropped.
fn a_service_is_called_through_every_node(home: &Home) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let endpoint = Endpoint::builder().bind(stand_in::Classifier).build();
    runtime.spawn(HttpServer::new(endpoint).serve(listener));
    home.run(&["register", &uri]).expect(0, &["restate-1, restate-2, restate-3", "9.9.9", "test@1"]);
    let (up, code) = home.status();
    assert_eq!(code, 0, "{up}");
    for node in up["nodes"].as_array().unwrap() {
        assert_eq!(
            (&node["service"]["reachable"], &node["service"]["taxonomy"]),
            (&true.into(), &"test@1".into())
        );
    }
    assert_eq!(up["deployments"][0]["services"], serde_json::json!(["Classifier"]));
    runtime
}

fn a_service_that_went_away_is_missed(home: &Home, service: tokio::runtime::Runtime) {
    drop(service);
    let (without, code) = home.status();
    assert_eq!((code, &without["quorum"], &without["ready"]), (4, &true.into(), &false.into()), "{without}");
    let said = ["already up", "warning: the service is registered", "classify serve"];
    home.run(&["start"]).expect(0, &said);
}

pub(crate) fn two_starts_at_once_make_one_cluster() {
    let home = Home::new();
    let args = ["start", "--nodes", "1", "--ports", "auto"];
    let ran = std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| home.run(&args)));
        both.map(|one| one.join().unwrap())
    });
    assert!(ran.iter().all(|one| one.code == 0), "{ran:?}");
    let starts = |one: &Ran| one.stderr.contains("starting restate-1");
    assert_eq!(ran.iter().filter(|one| starts(one)).count(), 1, "{ran:?}");
    // A node whose record was lost is found by its command line, not started twice.
    let pid = pids(&home.status().0)[0];
    let mut record = home.record();
    record["nodes"][0]["process"] = Value::Null;
    home.write_record(&record);
    let again = home.run(&["start"]).expect(0, &["1 node up"]);
    assert!(!starts(&again), "{again:?}");
    assert_eq!(pids(&home.status().0)[0], pid);
}

pub(crate) fn a_node_that_dies_is_reported_with_its_last_words() {
    let (home, ran) = Home::with_failed_start("cannot open the frobnicator");
    ran.expect(4, &["died while starting (exit status: 7)", "cannot open the frobnicator", "cluster logs"]);
    assert_eq!(pids(&home.status().0), [None, None, None]);
    let failed = home.run_with_server("exit 1", &["start", "--nodes", "1", "--ports", "auto"]);
    failed.expect(2, &["is no restate-server"]);
    home.run(&["clean"]).expect(2, &["--yes"]);
    home.run(&["clean", "--yes"]).expect(0, &["deleted"]);
}

pub(crate) fn a_start_that_fails_stops_what_it_started() {
    let home = Home::new();
    // Node 2 dies, the others stay.
    let script = "[ \"$1\" = --version ] && echo restate-server 1.7.12 && exit\n\
                  case \"$*\" in *restate-2) exit 3;; esac\nsleep 300";
    let ran = home.run_with_server(script, &["start", "--ports", "auto"]);
    ran.expect(4, &["restate-2 died", "it said nothing", "stopping restate-1, restate-3"]);
    assert_eq!(pids(&home.status().0), [None, None, None]);
    home.expect_no_process();
}

pub(crate) fn a_server_of_another_version_is_refused() {
    let home = Home::new();
    let ran = home.run_with_server("echo restate-server 1.6.2", &["start", "--ports", "auto"]);
    ran.expect(2, &["Restate 1.6.2", "needs 1.7.x", "RESTATE_SERVER"]);
    assert!(!home.folder().exists(), "nothing is left");
}

pub(crate) fn without_server_and_npm_there_is_one_clear_error() {
    let home = Home::new();
    let cache = home.dir.path().join("cache");
    let ran = Ran::of(
        home.command(&["start", "--ports", "auto"])
            .env("PATH", "")
            .env_remove("RESTATE_SERVER")
            .env("CLASSIFY_CACHE", &cache),
    );
    let ran = ran.expect(2, &["no npm", "install Node.js", "RESTATE_SERVER", "PATH"]);
    assert_eq!(ran.stderr.matches("error:").count(), 1, "{ran:?}");
}

pub(crate) fn a_reused_process_number_is_not_signalled() {
    let (home, _) = Home::with_failed_start("no");
    let mut record = home.record();
    // This very process: had it been signalled, nobody would read the result.
    let ours = serde_json::json!({ "pid": std::process::id(), "started": 1 });
    record["nodes"][0]["process"] = ours.clone();
    record["service"] = serde_json::json!({ "uri": "http://127.0.0.1:9080", "args": [], "process": ours });
    home.write_record(&record);
    home.run(&["stop"]).expect(0, &["nothing was running"]);
    home.write_record(&record);
    home.run(&["clean", "--yes"]).expect(0, &["deleted"]);
}

pub(crate) fn snapshots_go_where_they_are_wanted_and_keys_only_to_the_nodes() {
    let home = Home::new();
    let refused = ["start", "--ports", "auto", "--snapshots", "file:///tmp/x"];
    home.run(&refused).expect(2, &["cannot be kept at `file:///tmp/x`", "s3://BUCKET/PREFIX"]);
    home.run(&["start", "--runtime", "docker", "--snapshots", "s3://b/x"])
        .expect(2, &["--runtime native", ".env"]);
    assert!(!home.folder().exists(), "nothing is left");

    // A server that only says which keys it was given.
    let script = "[ \"$1\" = --version ] && echo restate-server 1.7.12 && exit\n\
                  echo \"$AWS_ACCESS_KEY_ID $AWS_REGION $RESTATE_WORKER__SNAPSHOTS\"\nexit 7";
    let server = home.run_with_server(script, &["start", "--ports", "auto"]);
    assert!(!server.stderr.contains("key-of-a-test"), "{server:?}");
    let store = ["--snapshots", "s3://bucket/x", "--snapshots-endpoint", "http://127.0.0.1:1"];
    let mut command = home.command(&[&["start", "--ports", "auto"][..], &store].concat());
    command.env("RESTATE_SERVER", home.dir.path().join("server.sh")).env_remove("AWS_REGION");
    command.env("AWS_ACCESS_KEY_ID", "key-of-a-test").env("AWS_SECRET_ACCESS_KEY", "secret-of-a-test");
    Ran::of(&mut command).expect(4, &["key-of-a-test us-east-1 {", "destination=\"s3://bucket/x\""]);
    assert!(!home.record().to_string().contains("of-a-test"), "keys are not recorded");
    let snapshots = &home.status().0["snapshots"];
    assert_eq!(snapshots["destination"], "s3://bucket/x");
    assert_eq!(snapshots["problem"], "no node runs");
}

pub(crate) fn a_folder_that_is_no_cluster_is_not_deleted() {
    let home = Home::new();
    std::fs::create_dir_all(home.folder()).unwrap();
    std::fs::write(home.folder().join("thesis.txt"), "years").unwrap();
    home.run(&["clean", "--yes"]).expect(2, &["not deleted"]);
    assert!(home.folder().join("thesis.txt").exists());
    home.run(&["start", "--name", "../x"]).expect(2, &["cannot name a cluster"]);
}

pub(crate) fn without_docker_containers_are_refused_and_nothing_is_left() {
    let home = Home::new();
    let ran = Ran::of(home.command(&["start", "--runtime", "docker", "--ports", "auto"]).env("PATH", ""));
    ran.expect(2, &["there is no `docker` on PATH", "--runtime native"]);
    assert!(!home.folder().exists());
}

pub(crate) async fn a_service_that_dies_is_reported_with_its_last_words() {
    let (home, _) = Home::with_failed_start("no");
    let folder = Folder::new(home.dir.path(), "default").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = ServiceCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), "echo no taxonomy; exit 2".into()],
        address: ([127, 0, 0, 1], port).into(),
        timeout: Duration::from_secs(10),
    };
    let failure = start_service(&folder, &command, &|_| {}).await.unwrap_err();
    assert!(failure.message().contains("died"), "{failure:?}");
    assert!(failure.details().iter().any(|line| line.contains("no taxonomy")), "{failure:?}");
    assert!(home.record()["service"].is_null());

    // One that lives and never answers is ended again.
    command.args = vec!["-c".into(), "echo deaf; sleep 300; true".into()];
    command.timeout = Duration::from_secs(1);
    let failure = start_service(&folder, &command, &|_| {}).await.unwrap_err();
    assert!(failure.message().contains("does not answer"), "{failure:?}");
    assert!(home.record()["service"].is_null());
}

/// A process that has the words of a node for a command line, and does nothing.
struct Pretender {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Pretender {
    /// One of the program `program`, run by nobody in particular or by us.
    fn new(home: &Home, program: &str, by_nobody: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (gate, copy) = (folder.path().join("gate"), folder.path().join(program));
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::copy("/bin/true", &copy).unwrap();
        // A library that never comes: the program waits for it before it looks at its words.
        nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        let mut command = if by_nobody { Command::new("setpriv") } else { Command::new("env") };
        if by_nobody {
            command.args(["--reuid=65534", "--clear-groups", "env"]);
        }
        let config = home.folder().join("restate.toml");
        command.arg(format!("LD_PRELOAD={}", gate.display())).arg(copy).args(["--no-logo", "--config-file"]);
        command.arg(config).args(["--node-name", "restate-1"]).stdin(Stdio::null());
        let mut pretender = Self { child: command.spawn().unwrap(), _folder: folder };
        let line = PathBuf::from(format!("/proc/{}/cmdline", pretender.child.id()));
        wait_for("the pretender's words", || {
            assert!(pretender.runs(), "it has ended");
            let said = std::fs::read_to_string(&line).unwrap_or_default();
            (said.split('\0').nth(1) == Some("--no-logo")).then_some(())
        });
        pretender
    }

    fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

pub(crate) fn who_only_says_the_words_of_a_node_is_no_node() {
    let (home, _) = Home::with_failed_start("I am the server");
    assert!(home.record()["nodes"].is_array());
    let root = nix::unistd::geteuid().is_root();
    let other_user = root.then(|| Pretender::new(&home, "restate-server", true));
    let other_program = Pretender::new(&home, "some-editor", false);
    for mut pretender in other_user.into_iter().chain([other_program]) {
        // Neither start takes it for a node, of which it would have two only to start,
        let script = "[ \"$1\" = --version ] && echo restate-server 1.7.12 && exit\nexit 7";
        let started = home.run_with_server(script, &["start", "--ports", "auto"]);
        assert!(started.stderr.contains("starting restate-1, restate-2, restate-3"), "{started:?}");
        // nor does stop.
        let stopped = home.run(&["stop"]).expect(0, &[]);
        assert!(!stopped.stderr.contains("restate-1") && pretender.runs(), "{stopped:?}");
    }
    // What has the words, the user and the program is a node that nobody lived to record.
    let mut node = Pretender::new(&home, "restate-server", false);
    home.run(&["stop"]).expect(0, &["stopped restate-1"]);
    assert!(!node.runs());
}
