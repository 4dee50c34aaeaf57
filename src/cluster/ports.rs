//! Which ports the nodes use, whether they are free, and what to do about those that are not.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::error::{Failure, Result};
use crate::sockets::{self, holder};

/// Beyond this number of nodes the default scheme runs out of port numbers.
const DEFAULT_SCHEME_MAX: u8 = 5;
const DEFAULT_STEP: u16 = 10_000;
/// Below the ranges from which Linux (32768 up) and macOS (49152 up) number outgoing connections: a port from there
/// may be in somebody's hands when a stopped cluster starts again, and binding port 0 gives just such a port.
const AUTO_RANGE: std::ops::Range<u16> = 10_000..32_768;
const AUTO_TRIES: u32 = 10_000;
/// How long the kernel may take to close what a dead process had open.
const LINGER: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// The ports of one node, all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePorts {
    /// Where clients call services.
    pub ingress: u16,
    /// Admin API and web UI.
    pub admin: u16,
    /// Node to node, and metrics.
    pub fabric: u16,
}

impl NodePorts {
    /// The ports with what each is for.
    pub fn named(self) -> [(&'static str, u16); 3] {
        [("ingress", self.ingress), ("admin", self.admin), ("fabric", self.fabric)]
    }
}

/// How ports are chosen for a new cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortChoice {
    /// 8080, 28080, 38080 and so on.
    Default,
    /// Free ones, kept for the cluster's life.
    Auto,
}

impl fmt::Display for PortChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Auto => "auto",
        })
    }
}

/// Ports for a new cluster of `nodes` nodes.
pub(super) fn choose(choice: PortChoice, nodes: u8) -> Result<Vec<NodePorts>> {
    match choice {
        PortChoice::Default => (1..=nodes).map(default_ports).collect(),
        PortChoice::Auto => free_ports(nodes),
    }
}

fn default_ports(node: u8) -> Result<NodePorts> {
    if node > DEFAULT_SCHEME_MAX {
        return Err(Failure::usage(format!(
            "the default ports are enough for {DEFAULT_SCHEME_MAX} nodes, not for more"
        ))
        .hint("add `--ports auto`"));
    }
    // 8080, 28080, 38080: the first node has the ports everybody knows, the others carry their number in front.
    let offset = if node == 1 { 0 } else { u16::from(node) * DEFAULT_STEP };
    Ok(NodePorts { ingress: 8080 + offset, admin: 9070 + offset, fabric: 5122 + offset })
}

/// Finds free ports, holding each until all are found so that none comes twice.
fn free_ports(nodes: u8) -> Result<Vec<NodePorts>> {
    let wanted = usize::from(nodes) * 3;
    let mut held = BTreeMap::new();
    for attempt in 0..AUTO_TRIES {
        if held.len() == wanted {
            break;
        }
        let port = random_port(attempt);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.insert(port, listener);
        }
    }
    if held.len() < wanted {
        return Err(Failure::unexpected("no free ports on 127.0.0.1"));
    }
    let ports: Vec<u16> = held.keys().copied().collect();
    Ok(ports.chunks_exact(3).map(|p| NodePorts { ingress: p[0], admin: p[1], fabric: p[2] }).collect())
}

fn random_port(attempt: u32) -> u16 {
    // The hasher is keyed by the operating system's randomness; two commands at once must not walk in step.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(attempt);
    let width = u64::from(AUTO_RANGE.end - AUTO_RANGE.start);
    let offset = u16::try_from(hasher.finish() % width).unwrap_or_default();
    AUTO_RANGE.start + offset
}

/// Whether nobody listens on `port`, or soon nobody will: a killed process is gone before its sockets are.
pub(super) async fn comes_free(port: u16) -> bool {
    let deadline = Instant::now() + LINGER;
    loop {
        if is_free(port) {
            return true;
        }
        // The dead are not found as holders; whoever is, will stay.
        if Instant::now() >= deadline || holder(port).is_some() {
            return false;
        }
        sleep(POLL).await;
    }
}

/// Whether nobody listens on `port`.
fn is_free(port: u16) -> bool {
    is_free_at((Ipv4Addr::LOCALHOST, port).into())
}

/// Whether nobody listens on this address of this machine.
pub fn is_free_at(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// The setting that keeps ports from outgoing connections.
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// What to type so that no outgoing connection gets one of `ports` again; `None` where `port` is not one of those that they get.
pub(super) fn reserve_hint(port: u16, ports: impl Iterator<Item = u16>) -> Option<String> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let reserved = std::fs::read_to_string(RESERVED).ok()?;
    let setting = reserving(&range, reserved.trim(), port, ports)?;
    Some(format!(
        "Linux gives this port to outgoing connections, too; keep it for the nodes: \
         `sudo sysctl -w net.ipv4.ip_local_reserved_ports={setting}`"
    ))
}

/// The setting with what is reserved already and those of `ports` that are in the range.
fn reserving(range: &str, reserved: &str, port: u16, ports: impl Iterator<Item = u16>) -> Option<String> {
    let mut ends = range.split_whitespace().map(str::parse::<u16>);
    let range = ends.next()?.ok()?..=ends.next()?.ok()?;
    let is_reserved = |port: u16| {
        reserved.split(',').any(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            first.parse().is_ok_and(|first: u16| first <= port)
                && last.parse().is_ok_and(|last: u16| port <= last)
        })
    };
    if !range.contains(&port) || is_reserved(port) {
        return None;
    }
    let wanted =
        ports.filter(|port| range.contains(port) && !is_reserved(*port)).map(|port| port.to_string());
    let all: Vec<String> =
        Some(reserved).filter(|text| !text.is_empty()).map(str::to_owned).into_iter().chain(wanted).collect();
    Some(all.join(","))
}

/// Who has `port`, in words: who listens there, else whose connection it is.
pub(super) fn taken_by(port: u16) -> String {
    let connection = || sockets::connection(port).map(|of| format!(" by an outgoing connection{of}"));
    holder(port).map(|holder| format!(" by {holder}")).or_else(connection).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_ports_are_the_documented_ones() {
        let ports = choose(PortChoice::Default, 5).unwrap();
        let of = |pick: fn(&NodePorts) -> u16| ports.iter().map(pick).collect::<Vec<_>>();
        assert_eq!(of(|p| p.ingress), [8080, 28080, 38080, 48080, 58080]);
        assert_eq!(of(|p| p.admin), [9070, 29070, 39070, 49070, 59070]);
        assert_eq!(of(|p| p.fabric), [5122, 25122, 35122, 45122, 55122]);
        let refused = choose(PortChoice::Default, 6).unwrap_err();
        assert_eq!(refused.hints(), ["add `--ports auto`"]);
    }

    #[test]
    fn automatic_ports_are_free_distinct_and_out_of_the_way() {
        let ports = choose(PortChoice::Auto, 9).unwrap();
        let all: std::collections::BTreeSet<u16> =
            ports.iter().flat_map(|p| p.named()).map(|(_, port)| port).collect();
        assert_eq!((ports.len(), all.len()), (9, 27));
        assert!(all.iter().all(|port| AUTO_RANGE.contains(port)));
    }

    #[test]
    fn a_taken_port_is_seen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        if cfg!(target_os = "linux") {
            assert!(holder(port).unwrap().ends_with(&format!("(pid {})", std::process::id())));
        }
        drop(listener);
        assert_eq!(holder(port), None);
    }

    #[test]
    fn what_is_reserved_stays_reserved() {
        let ports = [8080, 38080, 39070, 35122];
        let hint = |reserved, port| reserving("32768\t60999\n", reserved, port, ports.into_iter());
        assert_eq!(hint("", 38080).as_deref(), Some("38080,39070,35122"));
        assert_eq!(hint("50000-50010,39070", 38080).as_deref(), Some("50000-50010,39070,38080,35122"));
        assert_eq!(hint("", 8080), None, "no connection gets this one");
        assert_eq!(hint("38000-38100", 38080), None, "it is kept already");
        assert_eq!(reserving("junk", "", 38080, ports.into_iter()), None);
    }

    #[test]
    fn an_outgoing_connection_is_named_as_what_has_a_port() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let port = client.local_addr().unwrap().port();
        if cfg!(target_os = "linux") {
            let taken = taken_by(port);
            assert!(taken.starts_with(" by an outgoing connection of "), "{taken}");
            assert!(taken.ends_with(&format!("(pid {})", std::process::id())), "{taken}");
        }
    }
}
