//! A cluster in containers for the tests of one stage, with a service and runs of the binary.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::docker::{Compose, Project, docker, gateway, projects};
use crate::running::{Ran, Running};
use crate::snapshots;
use crate::workplace::Workplace;

/// Seconds from nothing to a cluster that serves, on a machine that does other things, too.
const START_TIMEOUT: &str = "180";

/// Clusters that differ in how they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// `cluster start --runtime docker`, the service on the host.
    Started,
    /// The same with another store for snapshots.
    OtherStore,
    /// The same with five nodes.
    FiveNodes,
    /// `docker compose up`, all profiles, the service in a container.
    Plain,
}

impl Stage {
    /// The cluster's name.
    fn cluster(self) -> &'static str {
        match self {
            Self::Started => "ct-started",
            Self::OtherStore => "ct-store",
            Self::FiveNodes => "ct-five",
            Self::Plain => "default",
        }
    }

    /// Projects of this stage: of these tests, and of earlier ones that were killed.
    fn projects(self) -> Vec<Project> {
        match self {
            Self::Plain => vec![Project("classify".to_owned())],
            _ => projects(&format!("classify-cluster-{}-", self.cluster())),
        }
    }
}

/// What is to be removed when a signal ends the tests. Whoever holds it keeps everybody from starting more.
static STARTED: Mutex<Vec<(Stage, PathBuf)>> = Mutex::new(Vec::new());

fn started() -> MutexGuard<'static, Vec<(Stage, PathBuf)>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every cluster that was started, and the folder of its tests. While the result lives, no test starts another.
pub(crate) fn remove_what_was_started() -> impl Drop {
    let started = started();
    kill_children();
    for (stage, folder) in started.iter() {
        stage.projects().iter().for_each(Project::remove);
        // Most were removed when their stage was over.
        let _gone = std::fs::remove_dir_all(folder);
    }
    snapshots::remove_other_store();
    started
}

/// Ends what this process runs right now, so that nothing is started again behind its back.
fn kill_children() {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    for list in lists {
        for pid in list.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // One that ended meanwhile is nobody else's yet: its parent, this process, has not asked for its status.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

pub(crate) struct World {
    stage: Stage,
    place: Workplace,
    service: Option<Running>,
}

impl World {
    pub(crate) fn start(stage: Stage) -> Self {
        let mut started = started();
        // Before there is a world, which would remove what it finds.
        if stage == Stage::Plain {
            // It has the name and the ports of a cluster that somebody may be using.
            let there = stage.projects()[0].everything();
            assert!(
                there.is_empty(),
                "there is a compose project `classify` here, and this test would remove it: {there:?}"
            );
        } else {
            // Left by tests that were killed.
            stage.projects().iter().for_each(Project::remove);
        }
        let world = Self { stage, place: Workplace::new(), service: None };
        started.push((stage, world.path("")));
        drop(started);
        match stage {
            Stage::Plain => {
                let args =
                    ["-p", "classify", "--profile", "service", "--profile", "lb", "--profile", "monitoring"];
                // Grafana has no image where there is no registry.
                let services =
                    ["restate-1", "restate-2", "restate-3", "store", "service", "lb", "prometheus"];
                let up = Compose::V2.run(&[&args[..], &["up", "-d", "--wait"], &services[..]].concat());
                assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
            }
            Stage::FiveNodes => world.start_nodes(&["--ports", "auto", "--nodes", "5"]),
            Stage::Started | Stage::OtherStore => {
                if stage == Stage::OtherStore {
                    snapshots::start_other_store();
                }
                world.start_nodes(&["--ports", "auto"]);
            }
        }
        world
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// The project, as the record has it.
    pub(crate) fn project(&self) -> Project {
        if self.stage == Stage::Plain {
            return Project("classify".to_owned());
        }
        let record = self.path(&format!("state/cluster/{}/cluster.json", self.cluster()));
        let record: Value = serde_json::from_slice(&std::fs::read(record).expect("a record")).expect("JSON");
        Project(record["project"]["name"].as_str().expect("a name").to_owned())
    }

    /// All nodes and the service, whatever an earlier test left behind.
    pub(crate) fn make_whole(&mut self) {
        self.start_nodes(&[]);
        if self.stage == Stage::Plain {
            self.classify(&["cluster", "register", "http://service:9080"]).expect_code(0);
        } else if self.service.as_mut().is_none_or(Running::has_ended) {
            self.start_service();
        }
    }

    /// `cluster start`: starts what does not run.
    pub(crate) fn start_nodes(&self, more: &[&str]) {
        self.cluster_start(more).expect_code(0);
    }

    /// The same where it may fail.
    pub(crate) fn try_start_nodes(&self) -> Ran {
        self.cluster_start(&[])
    }

    fn cluster_start(&self, more: &[&str]) -> Ran {
        let start = ["cluster", "start", "--name", self.stage.cluster(), "--timeout", START_TIMEOUT];
        let runtime = ["--runtime", "docker"];
        self.classify(&[&start[..], &runtime, more].concat())
    }

    /// Starts the service on this machine, where the containers reach it.
    fn start_service(&mut self) {
        let bind = format!("{}:0", gateway());
        let audit = self.audit_path();
        let mut serve = self.command(&["serve", "--bind", &bind, "--register", "--audit-log"]);
        serve.arg(&audit);
        let mut service = Running::begin(serve, self.path("service.log"));
        service.wait_said("registered", Duration::from_mins(1));
        self.service = Some(service);
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        drop(started());
        let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
        command
            .args(args)
            .env("CLASSIFY_HOME", self.path("state"))
            .env("CLASSIFY_CLUSTER", self.stage.cluster())
            .current_dir(self.path(""))
            .stdin(Stdio::null());
        command.envs(snapshots::environment(self.stage));
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

    pub(crate) fn status(&self) -> Value {
        self.classify(&["cluster", "status", "--json", "--name", self.stage.cluster()]).json()
    }

    pub(crate) fn cluster(&self) -> &'static str {
        self.stage.cluster()
    }

    /// `docker VERB` for the container of a service of the compose file.
    pub(crate) fn docker(&self, verb: &str, service: &str) {
        docker(&[verb, &self.project().container(service)]);
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
        self.service = None;
        let projects = self.stage.projects();
        projects.iter().for_each(Project::remove);
        if self.stage == Stage::OtherStore {
            snapshots::remove_other_store();
        }
        let left: Vec<String> = projects.iter().flat_map(Project::everything).collect();
        assert!(left.is_empty() || std::thread::panicking(), "left behind: {left:?}");
    }
}
