//! How nodes in containers reach a service on this machine, and where such a service must listen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use super::engine::docker;
use super::project::{Project, SERVICE};
use crate::cluster::DEFAULT_SERVICE_PORT;
use crate::cluster::state::{Runtime, State};
use crate::error::{Failure, Result};

/// This machine, as a node's container calls it.
const HOST: &str = "host.docker.internal";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where a service on this machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlace {
    /// The address to listen on: reachable for the nodes, and for as few others as possible.
    pub listen: IpAddr,
    /// The same machine, as the nodes call it.
    pub host: String,
}

impl ServicePlace {
    fn loopback() -> Self {
        Self { listen: LOOPBACK, host: LOOPBACK.to_string() }
    }

    /// Where a service the nodes know by `uri` listens, as seen from here.
    pub fn as_seen_here(&self, uri: &str) -> String {
        uri.replace(&self.host, &self.listen.to_string())
    }

    /// What nodes must be told of a service that listens on `address`.
    fn uri(&self, address: SocketAddr) -> Result<String> {
        let port = address.port();
        if self.host != HOST {
            return Ok(format!("http://{address}"));
        }
        if address.ip().is_loopback() && !self.listen.is_loopback() {
            return Err(Failure::usage(format!(
                "the nodes run in containers, and cannot reach a service on {address}"
            ))
            .hint(format!(
                "listen where they can, and nobody beyond this machine: `--bind {}:{port}`",
                self.listen
            )));
        }
        if address.ip().is_unspecified() || address.ip() == self.listen {
            return Ok(format!("http://{HOST}:{port}"));
        }
        Ok(format!("http://{address}"))
    }
}

/// Where a service for this cluster has to listen.
///
/// # Errors
/// When Docker does not answer.
pub async fn service_place(state: &State) -> Result<ServicePlace> {
    if state.runtime == Runtime::Native {
        return Ok(ServicePlace::loopback());
    }
    let containers = Project::of(state).containers().await?;
    let running = containers.iter().find(|container| container.is_node() && container.status == "running");
    let hosts = match running {
        Some(node) => docker(&["exec", &node.id, "cat", "/etc/hosts"]).await?,
        None => String::new(),
    };
    // With an engine in a virtual machine, the address is none of ours, and what listens on loopback is reached.
    let ours = host_address(&hosts).filter(|address| TcpListener::bind((*address, 0)).is_ok());
    Ok(ServicePlace { listen: ours.unwrap_or(LOOPBACK), host: HOST.to_owned() })
}

/// What the nodes must be told of a service that listens on `address` of this machine.
pub(in crate::cluster) async fn uri_for_nodes(state: &State, address: SocketAddr) -> Result<String> {
    service_place(state).await?.uri(address)
}

/// Where a service is when nobody says where: its own container, else this machine.
pub(in crate::cluster) async fn default_uri(state: &State) -> Result<String> {
    let containers = Project::of(state).containers().await?;
    let contained = containers.iter().any(|container| container.service == SERVICE && container.is_live());
    let host = if contained { SERVICE } else { HOST };
    Ok(format!("http://{host}:{DEFAULT_SERVICE_PORT}"))
}

/// The address of this machine, out of a container's `/etc/hosts`.
fn host_address(hosts: &str) -> Option<IpAddr> {
    let line = hosts.lines().find(|line| line.split_whitespace().skip(1).any(|name| name == HOST))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_what_the_container_says() {
        let hosts = "127.0.0.1\tlocalhost\n172.17.0.1\thost.docker.internal\n172.18.0.3\trestate-1\n";
        assert_eq!(host_address(hosts), Some("172.17.0.1".parse().unwrap()));
        assert_eq!(host_address("127.0.0.1 localhost\n"), None);
    }

    #[test]
    fn loopback_is_not_registered_where_it_means_the_container() {
        let place = |listen: &str| ServicePlace { listen: listen.parse().unwrap(), host: HOST.into() };
        let uri = |place: &ServicePlace, address: &str| place.uri(address.parse().unwrap());
        let linux = place("172.17.0.1");
        for reached in ["172.17.0.1:99", "0.0.0.0:99", "[::]:99"] {
            assert_eq!(uri(&linux, reached).unwrap(), "http://host.docker.internal:99", "{reached}");
        }
        assert_eq!(uri(&linux, "10.1.2.3:99").unwrap(), "http://10.1.2.3:99");
        let refused = uri(&linux, "127.0.0.1:99").unwrap_err();
        assert!(refused.hints()[0].contains("`--bind 172.17.0.1:99`"), "{refused:?}");
        assert_eq!(uri(&place("127.0.0.1"), "127.0.0.1:99").unwrap(), "http://host.docker.internal:99");
        assert_eq!(uri(&ServicePlace::loopback(), "127.0.0.1:99").unwrap(), "http://127.0.0.1:99");
        assert_eq!(linux.as_seen_here("http://host.docker.internal:99"), "http://172.17.0.1:99");
    }
}
