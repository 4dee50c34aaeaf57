//! A cluster's compose project: what Docker has of it, found by compose's labels and by nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::engine::docker;
use crate::cluster::DEFAULT_NAME;
use crate::cluster::compose;
use crate::cluster::folder::Folder;
use crate::cluster::state::{ComposeProject, Origin, State};
use crate::error::{Failure, Result};

/// The project of somebody who runs our compose file in a folder of this name; that of the default cluster, too, before
/// projects were recorded.
pub(super) const PLAIN: &str = "classify";
const PREFIX: &str = "classify-cluster";
const NODE: &str = "restate-";
/// Name of the snapshots' store in the compose file.
pub(super) const STORE: &str = "store";
/// Name of the service in the compose file, behind a profile.
pub(super) const SERVICE: &str = "service";

/// Everything of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct Project {
    /// As compose's `-p` takes it.
    pub(super) name: String,
}

impl Project {
    /// The recorded one; without a record the name that older versions gave to it.
    pub(in crate::cluster) fn of(state: &State) -> Self {
        let older = || match state.name.as_str() {
            DEFAULT_NAME => PLAIN.to_owned(),
            name => format!("{PLAIN}-{name}"),
        };
        Self { name: state.project.as_ref().map_or_else(older, |project| project.name.clone()) }
    }

    fn filter(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    async fn ids(&self, args: &[&str]) -> Result<Vec<String>> {
        let filter = self.filter();
        let args: Vec<&str> = args.iter().copied().chain(["--quiet", "--filter", &filter]).collect();
        Ok(docker(&args).await?.lines().map(str::to_owned).collect())
    }

    /// All containers, running or not; nodes first, by number.
    pub(super) async fn containers(&self) -> Result<Vec<Container>> {
        let ids = self.ids(&["ps", "--all", "--no-trunc"]).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let args: Vec<&str> =
            ["inspect", "--type", "container"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        parse(&docker(&args).await?)
    }

    /// Names of all volumes.
    pub(super) async fn volumes(&self) -> Result<Vec<String>> {
        self.ids(&["volume", "ls"]).await
    }

    /// What is left of it, in words.
    pub(super) async fn everything(&self) -> Result<Vec<String>> {
        let mut all: Vec<String> = self
            .containers()
            .await?
            .iter()
            .map(|container| format!("container {}", container.name))
            .collect();
        all.extend(self.volumes().await?.iter().map(|volume| format!("volume {volume}")));
        Ok(all)
    }
}

/// The project of a new cluster. Compose names a project after its folder unless told otherwise, and an engine may serve
/// several home folders: the number at the end is this folder's alone.
pub(in crate::cluster) fn new_project(folder: &Folder) -> ComposeProject {
    let digest = Sha256::digest(folder.path().as_os_str().as_encoded_bytes());
    let number = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    ComposeProject { name: format!("{PREFIX}-{}-{number:08x}", folder.name()), origin: Origin::Started }
}

/// A container of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    /// Docker's name of it.
    pub(super) name: String,
    /// Its service in the compose file: `restate-1`, `store` and so on.
    pub(super) service: String,
    /// `running`, `exited`, `paused`, `restarting`, `created`, `dead`.
    pub(super) status: String,
    /// `starting`, `healthy`, `unhealthy`; `None` without a health check.
    pub(super) health: Option<String>,
    pub(super) exit_code: i64,
    pub(super) restarts: u64,
    /// Number of its first process in the engine's machine, 0 when none runs.
    pub(super) pid: u32,
    /// When it started last, as in RFC 3339.
    pub(super) started_at: String,
    /// Ports inside to those published.
    pub(super) ports: BTreeMap<u16, u16>,
    /// The folder of the compose file it was made from.
    pub(super) made_in: String,
    /// Its environment, as `NAME=value`.
    pub(super) env: Vec<String>,
}

impl Container {
    /// It has processes.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }

    /// The compose file declares it.
    pub(super) fn is_declared(&self) -> bool {
        self.is_node() || compose::SERVICES.contains(&self.service.as_str())
    }

    /// It is a node.
    pub(super) fn is_node(&self) -> bool {
        self.number().is_some()
    }

    /// It runs, and its health check is content.
    pub(super) fn is_healthy(&self) -> bool {
        self.status == "running" && self.health.as_deref().is_none_or(|health| health == "healthy")
    }

    /// A node's number.
    pub(super) fn number(&self) -> Option<u8> {
        self.service.strip_prefix(NODE)?.parse().ok()
    }

    /// `running (healthy)`, `exited (code 137)`.
    pub(super) fn state(&self) -> String {
        match (&self.health, self.status.as_str()) {
            (Some(health), "running") => format!("running ({health})"),
            (_, "exited" | "dead" | "restarting") => format!("{} (code {})", self.status, self.exit_code),
            _ => self.status.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    #[serde(default)]
    restart_count: u64,
    state: InspectedState,
    config: Config,
    host_config: HostConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    status: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    started_at: String,
    health: Option<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    labels: Option<BTreeMap<String, String>>,
    env: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    // What was asked for, and not `NetworkSettings`: a stopped container publishes nothing.
    port_bindings: Option<BTreeMap<String, Option<Vec<Binding>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_port: String,
}

/// What `docker inspect` writes about containers of a project.
fn parse(json: &str) -> Result<Vec<Container>> {
    let inspected: Vec<Inspected> = serde_json::from_str(json)
        .map_err(|error| Failure::unexpected(format!("cannot read what `docker inspect` writes: {error}")))?;
    let mut containers: Vec<Container> =
        inspected.into_iter().filter_map(Container::from_inspected).collect();
    containers.sort_by_key(|container| (container.number().unwrap_or(u8::MAX), container.service.clone()));
    Ok(containers)
}

impl Container {
    /// `None` for those of `compose run`, which are nobody's service.
    fn from_inspected(inspected: Inspected) -> Option<Self> {
        let Inspected { id, name, restart_count, state, config, host_config } = inspected;
        let mut labels = config.labels.unwrap_or_default();
        let mut label = |name: &str| labels.remove(&format!("com.docker.compose.{name}")).unwrap_or_default();
        if label("oneoff").eq_ignore_ascii_case("true") {
            return None;
        }
        let published = host_config.port_bindings.unwrap_or_default();
        let ports = published.into_iter().filter_map(|(inside, bindings)| {
            let outside = bindings?.into_iter().next()?.host_port.parse().ok()?;
            Some((inside.split('/').next()?.parse().ok()?, outside))
        });
        Some(Self {
            id,
            name: name.trim_start_matches('/').to_owned(),
            service: label("service"),
            made_in: label("project.working_dir"),
            env: config.env.unwrap_or_default(),
            status: state.status,
            health: state.health.map(|health| health.status).filter(|status| status != "none"),
            exit_code: state.exit_code,
            restarts: restart_count,
            pid: state.pid,
            started_at: state.started_at,
            ports: ports.collect(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::cluster::ports::PortChoice;

    /// As the engine (20.10) writes it, without what nobody reads.
    pub(in super::super) fn container(service: &str, status: &str, health: Option<&str>) -> Container {
        let state = json!({
            "Status": status, "Running": status == "running", "Pid": 4321, "ExitCode": 137,
            "StartedAt": "2026-11-22T20:47:11.123456789Z", "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": health.map(|status| json!({"Status": status, "FailingStreak": 0, "Log": []})),
        });
        let json = json!([{
            "Id": "abc", "Name": format!("/classify-{service}-1"), "RestartCount": 2, "State": state,
            "Config": {"Labels": {
                "com.docker.compose.project": "classify", "com.docker.compose.service": service,
                "com.docker.compose.oneoff": "False", "com.docker.compose.project.working_dir": "/home/me/repo",
            }},
            "HostConfig": {"PortBindings": {
                "5122/tcp": [{"HostIp": "127.0.0.1", "HostPort": "25122"}],
                "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "28080"}],
                "9070/tcp": [{"HostIp": "127.0.0.1", "HostPort": "29070"}],
            }},
        }]);
        parse(&json.to_string()).unwrap().remove(0)
    }

    #[test]
    fn projects_meet_neither_each_other_nor_a_folders_name() {
        let of = |home, name| new_project(&Folder::new(Path::new(home), name).unwrap());
        let project = of("/h", "x");
        let number = project.name.strip_prefix("classify-cluster-x-").unwrap();
        assert!(number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", project.name);
        assert_eq!((&project, project.origin), (&of("/h", "x"), Origin::Started), "the same the next time");
        assert_ne!(project.name, of("/other", "x").name);
        assert_ne!(project.name, of("/h", "x-x").name);
    }

    #[test]
    fn a_cluster_of_an_older_version_keeps_its_project() {
        let of = |name: &str, project: Option<ComposeProject>| {
            let folder = Folder::new(Path::new("/h"), name).unwrap();
            Project::of(&State { project, ..State::new(&folder, PortChoice::Default, Vec::new()) }).name
        };
        assert_eq!(
            [of("default", None), of("x", None), of("classify", None)],
            ["classify", "classify-x", "classify-classify"]
        );
        let recorded = ComposeProject { name: "shop".into(), origin: Origin::TakenOver };
        assert_eq!(of("default", Some(recorded)), "shop");
    }

    #[test]
    fn what_docker_inspect_writes_is_read() {
        let node = container("restate-2", "running", Some("healthy"));
        assert_eq!((node.name.as_str(), node.number(), node.restarts), ("classify-restate-2-1", Some(2), 2));
        assert_eq!(node.ports, [(5122, 25122), (8080, 28080), (9070, 29070)].into());
        assert_eq!(
            (node.is_live(), node.is_healthy(), node.state().as_str()),
            (true, true, "running (healthy)")
        );
        assert_eq!(node.made_in, "/home/me/repo");
        let store = container("store", "exited", Some("unhealthy"));
        assert_eq!(
            (store.is_node(), store.is_live(), store.state().as_str()),
            (false, false, "exited (code 137)")
        );
        assert!(container("lb", "running", None).is_healthy(), "without a check, running must do");
        assert!(!container("restate-1", "running", Some("starting")).is_healthy());
        assert!(!container("restate-1", "paused", Some("healthy")).is_healthy());
    }

    #[test]
    fn what_is_missing_is_no_error_and_junk_is() {
        let least = r#"[{"Id":"1","Name":"/x","State":{"Status":"created"},"Config":{"Labels":null},
            "HostConfig":{"PortBindings":{"9000/tcp":null}}}]"#;
        assert_eq!(parse(least).unwrap()[0].ports, BTreeMap::new());
        let one_off = r#"[{"Id":"1","Name":"/x","State":{"Status":"created"},
            "Config":{"Labels":{"com.docker.compose.oneoff":"True"}},"HostConfig":{"PortBindings":null}}]"#;
        assert_eq!(parse(one_off).unwrap(), []);
        assert!(parse("Error").is_err());
    }
}
