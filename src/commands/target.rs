//! Which nodes a command talks to: those named on the command line, else those of a cluster started here, else
//! the default ports.

use std::sync::Arc;

use super::home;
use crate::cli::Global;
use crate::cluster::{self, DEFAULT_NAME, Folder, State};
use crate::error::{Failure, Result};
use crate::restate::admin::Admin;
use crate::restate::ingress::Ingress;
use crate::restate::secret::Secret;

/// Ingress and admin of three nodes on default ports, in the compose file and the native runtime alike.
const DEFAULT_INGRESS: [&str; 3] =
    ["http://127.0.0.1:8080", "http://127.0.0.1:28080", "http://127.0.0.1:38080"];
const DEFAULT_ADMIN: [&str; 3] =
    ["http://127.0.0.1:9070", "http://127.0.0.1:29070", "http://127.0.0.1:39070"];

/// Name and ingress client of every node.
pub(super) fn ingress(global: &Global, cluster: &str, given: &[String]) -> Result<Vec<(String, Ingress)>> {
    let urls = urls(global, cluster, given, &DEFAULT_INGRESS, State::ingress_urls)?;
    // Nodes that are named by their URLs are taken for those of `cluster`: a signature tells a stranger nothing.
    let secret = secret(global, Some(cluster))?;
    let named = urls.iter().enumerate().map(|(index, url)| {
        let ingress = Ingress::new(check("--ingress", url)?).map_err(|error| no_client(&error))?;
        Ok((format!("restate-{}", index + 1), ingress.with_secret(secret.clone())))
    });
    named.collect()
}

/// What calls to `cluster` are signed with; without one, what the environment says.
pub(super) fn secret(global: &Global, cluster: Option<&str>) -> Result<Option<Arc<Secret>>> {
    let folder = cluster.map(|cluster| Folder::new(&home::folder(global)?, cluster)).transpose()?;
    cluster::secret(folder.as_ref())
}

/// What the nodes of `cluster` sign their requests with.
pub(super) fn identity_key(global: &Global, cluster: &str) -> Result<Option<String>> {
    cluster::identity_key(&Folder::new(&home::folder(global)?, cluster)?)
}

/// Whether the cluster's nodes are known: started here, or the default ones.
pub(super) fn is_known(global: &Global, cluster: &str) -> Result<bool> {
    Ok(cluster == DEFAULT_NAME || State::load(&Folder::new(&home::folder(global)?, cluster)?)?.is_some())
}

/// Admin client of every node.
pub(super) fn admin(global: &Global, cluster: &str, given: &[String]) -> Result<Vec<Admin>> {
    let urls = urls(global, cluster, given, &DEFAULT_ADMIN, State::admin_urls)?;
    urls.iter().map(|url| Admin::new(check("--admin", url)?).map_err(|error| no_client(&error))).collect()
}

fn urls(
    global: &Global,
    cluster: &str,
    given: &[String],
    default: &[&str],
    of_state: impl Fn(&State) -> Vec<String>,
) -> Result<Vec<String>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let folder = Folder::new(&home::folder(global)?, cluster)?;
    // A name that nobody gave to a cluster is a slip, not the cluster that happens to be on the default ports.
    let state = if cluster == DEFAULT_NAME { State::load(&folder)? } else { Some(State::require(&folder)?) };
    Ok(state.map_or_else(|| default.iter().map(|url| (*url).to_owned()).collect(), |state| of_state(&state)))
}

fn no_client(error: &crate::restate::Error) -> Failure {
    Failure::unexpected(format!("cannot make an HTTP client: {error}"))
}

fn check<'a>(flag: &str, url: &'a str) -> Result<&'a str> {
    let usable = reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "http" && url.has_host());
    if usable {
        return Ok(url);
    }
    Err(Failure::usage(format!("`{url}` is no URL of a node"))
        .hint(format!("for instance `{flag} http://127.0.0.1:8080`")))
}
