//! `--up`: whatever of cluster, service and registration is missing, and nothing else.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::{cluster as cluster_command, home, target};
use crate::cli::Global;
use crate::cli::run::RunArgs;
use crate::cluster::{self, DEFAULT_SERVICE_URI, Folder, PortChoice, ServiceCommand, StartOptions, State};
use crate::domain::event::Trouble;
use crate::engine::diagnosis::{conclude, examine};
use crate::error::{Failure, Result};
use crate::restate::endpoint;
use crate::text::duration;
use crate::ui::Ui;

/// How long nodes, service and registration may each take.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Patience with one question.
const ASK: Duration = Duration::from_secs(2);

/// Makes everything a run needs be there; says what it did. Returns the command that undoes it, if it did anything.
pub(super) async fn up(global: &Global, args: &RunArgs, ui: Ui) -> Result<Option<String>> {
    let home = home::folder(global)?;
    let folder = Folder::new(&home, &args.cluster)?;
    let mut trouble = look(global, args).await?;
    if trouble.is_none() {
        return Ok(None);
    }
    if matches!(trouble, Some(Trouble::NodesGone | Trouble::QuorumLost)) {
        let options = StartOptions {
            nodes: None,
            ports: None,
            snapshots: None,
            timeout: TIMEOUT,
            server: cluster_command::source(&args.server, &home),
        };
        let started = cluster::start(&folder, &options, &cluster_command::say(ui)).await?;
        ui.note(&cluster_command::headline(&started));
        trouble = look(global, args).await?;
    }
    if trouble.is_some() {
        let uri = service(&folder, args, ui).await?;
        let registered = cluster::register(&folder, Some(&uri), TIMEOUT, &|_| {}).await?;
        ui.note(&format!("service    {}, registered on all nodes", registered.uri));
    }
    Ok(Some(folder.command("stop")))
}

async fn look(global: &Global, args: &RunArgs) -> Result<Option<Trouble>> {
    if !target::is_known(global, &args.cluster)? {
        return Ok(Some(Trouble::NodesGone));
    }
    let nodes = target::ingress(global, &args.cluster, &args.ingress)?;
    Ok(conclude(&examine(nodes.iter().map(|(_, ingress)| ingress), "up").await))
}

/// Where a service answers: one that runs already, or a new one that belongs to the cluster.
async fn service(folder: &Folder, args: &RunArgs, ui: Ui) -> Result<String> {
    let state = State::load(folder)?.ok_or_else(|| {
        Failure::usage("the nodes that answer were not started here, so no service can be added to them")
            .hint("start one with `classify serve --register`")
    })?;
    // Where the cluster knows it already, so that work that waits for it finds it.
    let uri = cluster::registered_uri(&state).await.unwrap_or_else(|| match state.ports {
        PortChoice::Default => DEFAULT_SERVICE_URI.to_owned(),
        PortChoice::Auto => format!("http://{}:0", Ipv4Addr::LOCALHOST),
    });
    if endpoint::health(&uri, ASK).await.is_ok() {
        return Ok(uri);
    }
    let port = match port_of(&uri).filter(|port| cluster::ports::is_free(*port)) {
        Some(port) => port,
        None if state.ports == PortChoice::Auto => free_port()?,
        // Let the start fail: it knows who has the port.
        None => port_of(DEFAULT_SERVICE_URI).unwrap_or_default(),
    };
    let program = std::env::current_exe()
        .map_err(|error| Failure::unexpected(format!("cannot find this program: {error}")))?;
    let command =
        ServiceCommand { program, args: serve_args(port, args.taxonomy.as_deref()), port, timeout: TIMEOUT };
    let begun = std::time::Instant::now();
    let started = cluster::start_service(folder, &command, &cluster_command::say(ui)).await?;
    tracing::debug!(uri = started.uri, took = duration(begun.elapsed()), "service started");
    Ok(started.uri)
}

fn serve_args(port: u16, taxonomy: Option<&Path>) -> Vec<String> {
    let mut args = vec!["serve".to_owned(), "--bind".to_owned(), format!("{}:{port}", Ipv4Addr::LOCALHOST)];
    if let Some(file) = taxonomy {
        args.extend(["--taxonomy".to_owned(), file.display().to_string()]);
    }
    args
}

/// The port of a URI on this machine's loopback.
fn port_of(uri: &str) -> Option<u16> {
    let url = reqwest::Url::parse(uri).ok()?;
    let local = matches!(url.host_str()?, "127.0.0.1" | "localhost");
    url.port().filter(|port| local && *port != 0)
}

fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Failure::unexpected(format!("no free port: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_of_this_machine_are_used_again() {
        assert_eq!(port_of("http://127.0.0.1:9080"), Some(9080));
        assert_eq!(port_of("http://host.docker.internal:9080"), None);
        assert_eq!(port_of("http://127.0.0.1:0"), None);
        assert_eq!(port_of("junk"), None);
    }
}
