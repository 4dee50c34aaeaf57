//! `--up`: whatever of cluster, service and registration is missing, and nothing else.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::{cluster as cluster_command, home, target};
use crate::cli::Global;
use crate::cli::cluster::Runtime;
use crate::cli::run::RunArgs;
use crate::cluster::{self, DEFAULT_SERVICE_PORT, Folder, PortChoice, ServiceCommand, StartOptions, State};
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
    if args.runtime != Runtime::Native && cluster::adopt(&folder).await? {
        ui.note(&cluster_command::adopted(&folder));
    }
    let mut trouble = look(global, args).await?;
    if trouble.is_none() {
        return Ok(None);
    }
    if matches!(trouble, Some(Trouble::NodesGone | Trouble::QuorumLost)) {
        let options = StartOptions {
            runtime: args.runtime.into(),
            nodes: None,
            ports: None,
            listen: None,
            snapshots: None,
            timeout: TIMEOUT,
            server: cluster_command::source(&args.server, &home),
        };
        let started = cluster::start(&folder, &options, &cluster_command::say(ui)).await?;
        ui.note(&cluster_command::headline(&started));
        trouble = look(global, args).await?;
    }
    if trouble.is_some() {
        let uri = service(&folder, &home, global, args, ui).await?;
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

/// Where a service answers, as the nodes call it: one that runs already, or a new one that belongs to the cluster.
async fn service(folder: &Folder, home: &Path, global: &Global, args: &RunArgs, ui: Ui) -> Result<String> {
    let state = State::load(folder)?.ok_or_else(|| {
        Failure::usage("the nodes that answer were not started here, so no service can be added to them")
            .hint("start one with `classify serve --register`")
    })?;
    let place = cluster::service_place(&state).await?;
    // Where the cluster knows it already, so that work that waits for it finds it.
    let uri = cluster::registered_uri(&state).await.unwrap_or_else(|| {
        let port = if state.ports == PortChoice::Default { DEFAULT_SERVICE_PORT } else { 0 };
        format!("http://{}:{port}", place.host)
    });
    let seen_here = place.as_seen_here(&uri);
    if endpoint::health(&seen_here, ASK).await.is_ok() {
        return Ok(uri);
    }
    let address = match address_of(&seen_here, place.listen).filter(|at| cluster::ports::is_free_at(*at)) {
        Some(address) => address,
        None if state.ports == PortChoice::Auto => free_address(place.listen)?,
        // Let the start fail: it knows who has the port.
        None => SocketAddr::new(place.listen, DEFAULT_SERVICE_PORT),
    };
    let program = std::env::current_exe()
        .map_err(|error| Failure::unexpected(format!("cannot find this program: {error}")))?;
    let command =
        ServiceCommand { program, args: serve_args(address, home, global, args), address, timeout: TIMEOUT };
    let begun = std::time::Instant::now();
    let started = cluster::start_service(folder, &command, &cluster_command::say(ui)).await?;
    tracing::debug!(uri = started.uri, took = duration(begun.elapsed()), "service started");
    cluster::uri_for_nodes(folder, address).await
}

/// How the service is started: with the run's own settings, and for this cluster, which keeps the models' limits.
fn serve_args(address: SocketAddr, home: &Path, global: &Global, args: &RunArgs) -> Vec<String> {
    let mut words = vec!["serve".to_owned(), "--bind".to_owned(), address.to_string()];
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    add("--cluster", args.cluster.clone());
    add("--home", home.display().to_string());
    for (flag, file) in
        [("--config", &global.config), ("--taxonomy", &args.taxonomy), ("--prices", &args.prices)]
    {
        if let Some(file) = file {
            add(flag, file.display().to_string());
        }
    }
    words
}

/// The address of a URI, if it is the one of this machine where a service listens.
fn address_of(uri: &str, listen: IpAddr) -> Option<SocketAddr> {
    let url = reqwest::Url::parse(uri).ok()?;
    let host = url.host_str()?;
    let local = host == listen.to_string() || (listen.is_loopback() && host == "localhost");
    url.port().filter(|port| local && *port != 0).map(|port| SocketAddr::new(listen, port))
}

fn free_address(listen: IpAddr) -> Result<SocketAddr> {
    TcpListener::bind((listen, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::unexpected(format!("no free port: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_where_a_service_would_listen_are_used_again() {
        let port = |uri, listen: &str| address_of(uri, listen.parse().unwrap()).map(|found| found.port());
        assert_eq!(port("http://127.0.0.1:9080", "127.0.0.1"), Some(9080));
        assert_eq!(port("http://localhost:9080/", "127.0.0.1"), Some(9080));
        assert_eq!(port("http://172.17.0.1:9080", "172.17.0.1"), Some(9080));
        assert_eq!(port("http://127.0.0.1:9080", "172.17.0.1"), None);
        assert_eq!(port("http://service:9080", "127.0.0.1"), None);
        assert_eq!(port("http://127.0.0.1:0", "127.0.0.1"), None);
        assert_eq!(port("junk", "127.0.0.1"), None);
    }
}
