//! A cluster in containers for the tests of one stage, with a service and runs of the binary.

use std::ops::{Deref, DerefMut};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::docker::{Compose, Project, docker, gateway};
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

    pub(crate) fn project(self) -> Project {
        Project(match self {
            Self::Started => "classify-ct-started",
            Self::OtherStore => "classify-ct-store",
            Self::FiveNodes => "classify-ct-five",
            Self::Plain => "classify",
        })
    }
}

/// What is to be removed when a signal ends the tests.
static STARTED: Mutex<Vec<Stage>> = Mutex::new(Vec::new());

/// Removes every cluster that was started.
pub(crate) fn remove_what_was_started() {
    // Whoever holds the lock for long is not there: it is only ever pushed to.
    for stage in STARTED.lock().expect("no panic while it was locked").iter() {
        stage.project().remove();
        snapshots::remove_other_store();
    }
}

pub(crate) struct World {
    stage: Stage,
    place: Workplace,
    service: Option<Running>,
}

impl World {
    pub(crate) fn start(stage: Stage) -> Self {
        let world = Self { stage, place: Workplace::new(), service: None };
        if stage == Stage::Plain {
            // It has the name and the ports of a cluster that somebody may be using.
            let there = stage.project().everything();
            assert!(
                there.is_empty(),
                "there is a compose project `classify` here, and this test would remove it: {there:?}"
            );
        } else {
            // Left by tests that were killed.
            stage.project().remove();
        }
        STARTED.lock().expect("no panic while it was locked").push(stage);
        match stage {
            Stage::Plain => {
                let args = [
                    "-p",
                    stage.project().0,
                    "--profile",
                    "service",
                    "--profile",
                    "lb",
                    "--profile",
                    "monitoring",
                ];
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

    pub(crate) fn project(&self) -> Project {
        self.stage.project()
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
        if let Some(mut service) = self.service.take() {
            let _ended = service.child.kill();
            let _status = service.child.wait();
        }
        self.project().remove();
        if self.stage == Stage::OtherStore {
            snapshots::remove_other_store();
        }
        let left = self.project().everything();
        assert!(left.is_empty() || std::thread::panicking(), "left behind: {left:?}");
    }
}
