//! What Docker tells about a cluster's containers right now.

use jiff::Timestamp;
use serde::Serialize;

use super::project::{Container, Project, STORE};
use crate::cluster::state::State;

/// A container beside the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerStatus {
    /// Docker's name of it.
    pub container: String,
    /// Docker's word for its state, with its health: `running (healthy)`.
    pub state: String,
    /// It runs, and its health check is content.
    pub ready: bool,
}

/// A node's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) struct Seen {
    /// Docker's name of it; `None` when there is none.
    pub(in crate::cluster) container: Option<String>,
    pub(in crate::cluster) state: String,
    pub(in crate::cluster) is_running: bool,
    /// Resident memory of its server, where its processes are this machine's.
    pub(in crate::cluster) memory_bytes: Option<u64>,
    pub(in crate::cluster) uptime_s: Option<u64>,
}

/// Looks at the containers of all nodes, in their order, and at the store's. An engine that does not answer is the
/// state of each of them.
pub(in crate::cluster) async fn look(state: &State) -> (Vec<Seen>, Option<ContainerStatus>) {
    match Project::of(state).containers().await {
        Ok(containers) => {
            let find = |name: &str| containers.iter().find(|container| container.service == name);
            let nodes = state.nodes.iter().map(|node| seen(find(&node.name))).collect();
            let store = find(STORE).map(|store| ContainerStatus {
                container: store.name.clone(),
                state: store.state(),
                ready: store.is_healthy(),
            });
            (nodes, store)
        }
        Err(failure) => {
            let reason = failure.details().last().map_or_else(|| failure.message().to_owned(), Clone::clone);
            let unknown = Seen { state: reason, ..seen(None) };
            (vec![unknown; state.nodes.len()], None)
        }
    }
}

fn seen(container: Option<&Container>) -> Seen {
    let Some(container) = container else {
        let state = "no container".to_owned();
        return Seen { container: None, state, is_running: false, memory_bytes: None, uptime_s: None };
    };
    let is_running = container.status == "running";
    Seen {
        container: Some(container.name.clone()),
        state: container.state(),
        is_running,
        memory_bytes: is_running.then(|| memory(container)).flatten(),
        uptime_s: is_running.then(|| age(&container.started_at, Timestamp::now())).flatten(),
    }
}

/// Read from the process table: `docker stats` takes two seconds for the same.
fn memory(container: &Container) -> Option<u64> {
    let process = std::path::Path::new("/proc").join(container.pid.to_string());
    // With an engine in a virtual machine the number is another process here.
    let groups = std::fs::read_to_string(process.join("cgroup")).ok()?;
    if !groups.contains(&container.id) {
        return None;
    }
    resident(&std::fs::read_to_string(process.join("status")).ok()?)
}

/// Bytes, out of a text in the format of `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn age(started_at: &str, now: Timestamp) -> Option<u64> {
    let started: Timestamp = started_at.parse().ok()?;
    u64::try_from(now.as_second() - started.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::project::tests::container;
    use super::*;

    #[test]
    fn docker_times_and_the_process_table_are_read() {
        let now = "2026-11-22T20:48:11Z".parse().unwrap();
        assert_eq!(age("2026-11-22T20:47:11.123456789Z", now), Some(60));
        assert_eq!(age("", now), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1024 kB\nThreads:\t3\n"), Some(1024 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    fn only_running_containers_have_an_age() {
        let dead = seen(Some(&container("restate-1", "exited", Some("unhealthy"))));
        assert_eq!((dead.is_running, dead.uptime_s, dead.state.as_str()), (false, None, "exited (code 137)"));
        assert_eq!(dead.container.as_deref(), Some("classify-restate-1-1"));
        assert!(seen(Some(&container("restate-1", "running", None))).is_running);
        assert_eq!(seen(None).state, "no container");
    }
}
