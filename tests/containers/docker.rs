//! Docker's own commands, and what they tell of one compose project.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Label of every container, network and volume of a compose project.
const PROJECT: &str = "com.docker.compose.project";

fn output(program: &str, args: &[impl AsRef<OsStr>]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// stdout of `docker ARGS`, without the last line's end.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = output("docker", args);
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
}

/// Both streams of `docker ARGS`; `None` if it failed.
pub(crate) fn try_docker(args: &[&str]) -> Option<String> {
    let output = output("docker", args);
    let both = [output.stdout, output.stderr].concat();
    output.status.success().then(|| String::from_utf8_lossy(&both).into_owned())
}

/// The address of this machine, as containers know it.
pub(crate) fn gateway() -> &'static str {
    static GATEWAY: OnceLock<String> = OnceLock::new();
    GATEWAY.get_or_init(|| {
        let run = ["run", "--rm", "--add-host", "host.docker.internal:host-gateway", "debian:trixie-slim"];
        let entry = docker(&[&run[..], &["getent", "ahostsv4", "host.docker.internal"]].concat());
        entry.split_whitespace().next().expect("an address").to_owned()
    })
}

/// A compose project, found by its label only.
#[derive(Clone)]
pub(crate) struct Project(pub(crate) String);

/// Every project that has containers, networks or volumes here and a name that begins so.
pub(crate) fn projects(prefix: &str) -> Vec<Project> {
    let format = format!("{{{{.Label \"{PROJECT}\"}}}}");
    let lists: [&[&str]; 3] = [&["ps", "--all"], &["network", "ls"], &["volume", "ls"]];
    let names = lists.iter().flat_map(|list| {
        let said = docker(&[list, &["--format", format.as_str()][..]].concat());
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let names: BTreeSet<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.into_iter().map(Project).collect()
}

impl Project {
    fn ids(&self, list: &[&str], more: &[&str]) -> Vec<String> {
        let filter = format!("label={PROJECT}={}", self.0);
        let args = [list, &["--quiet", "--filter", &filter], more].concat();
        docker(&args).lines().map(str::to_owned).collect()
    }

    /// Everything of it, running or not.
    pub(crate) fn everything(&self) -> Vec<String> {
        let lists: [&[&str]; 3] = [&["ps", "--all"], &["network", "ls"], &["volume", "ls"]];
        lists.iter().flat_map(|list| self.ids(list, &[])).collect()
    }

    /// Id of a service's container, running or not.
    pub(crate) fn container(&self, service: &str) -> String {
        let label = format!("label=com.docker.compose.service={service}");
        let ids = self.ids(&["ps", "--all"], &["--filter", &label]);
        assert_eq!(ids.len(), 1, "containers of {service} in {}", self.0);
        ids.into_iter().next().expect("one")
    }

    /// What a service's container wrote, both streams.
    pub(crate) fn logs(&self, service: &str) -> String {
        try_docker(&["logs", &self.container(service)]).expect("its log")
    }

    /// Removes containers, networks and volumes. Says nothing: it is the last resort, after a failure or a signal.
    pub(crate) fn remove(&self) {
        let steps: [(&[&str], &[&str]); 3] = [
            (&["ps", "--all"], &["rm", "--force", "--volumes"]),
            (&["network", "ls"], &["network", "rm"]),
            (&["volume", "ls"], &["volume", "rm", "--force"]),
        ];
        for (list, remove) in steps {
            let ids = self.ids(list, &[]);
            if !ids.is_empty() {
                let args: Vec<&str> = remove.iter().copied().chain(ids.iter().map(String::as_str)).collect();
                let _tried = try_docker(&args);
            }
        }
    }
}

/// What a container is and since when: changes when anybody touches it.
pub(crate) fn identity(container: &str) -> String {
    docker(&["inspect", "--format", "{{.Id}} {{.State.Status}} {{.State.StartedAt}}", container])
}

/// `docker compose` or `docker-compose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compose {
    V2,
    V1,
}

impl Compose {
    /// Runs it on this repository's compose file.
    pub(crate) fn run(self, args: &[&str]) -> Output {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.cluster.yml");
        self.run_file(file, args)
    }

    /// Runs it on `file`.
    pub(crate) fn run_file(self, file: &str, args: &[&str]) -> Output {
        match self {
            Self::V2 => output("docker", &[&["compose", "-f", file], args].concat()),
            Self::V1 => output("docker-compose", &[&["-f", file], args].concat()),
        }
    }
}
