//! Which nodes a command talks to: those named on the command line, else those of a cluster started here, else
//! the default ports.

use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::home;
use crate::cli::Global;
use crate::cluster::{self, DEFAULT_NAME, Folder, State};
use crate::error::{Failure, Result};
use crate::restate::address::Address;
use crate::restate::admin::Admin;
use crate::restate::ingress::Ingress;
use crate::restate::secret::Secret;
use crate::tls::is_loopback;

/// Has the token that a proxy before the nodes asks for.
const TOKEN_VARIABLE: &str = "CLASSIFY_INGRESS_TOKEN";
/// Ingress and admin of three nodes on default ports, in the compose file and the native runtime alike.
const DEFAULT_INGRESS: [&str; 3] =
    ["http://127.0.0.1:8080", "http://127.0.0.1:28080", "http://127.0.0.1:38080"];
const DEFAULT_ADMIN: [&str; 3] =
    ["http://127.0.0.1:9070", "http://127.0.0.1:29070", "http://127.0.0.1:39070"];

/// Name and ingress client of every node.
pub(super) fn ingress(global: &Global, cluster: &str, given: &[String]) -> Result<Vec<(String, Ingress)>> {
    let nodes = nodes(global, cluster, given, &DEFAULT_INGRESS, State::ingress_addresses)?;
    // Nodes that are named by their URLs are taken for those of `cluster`: a signature tells a stranger nothing.
    let secret = secret(global, Some(cluster))?;
    let named = nodes.into_iter().enumerate().map(|(index, node)| {
        let token = token_for("--ingress", node.url())?;
        let ingress = Ingress::with_token(node, token.as_ref()).map_err(|error| no_client(&error))?;
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
    let nodes = nodes(global, cluster, given, &DEFAULT_ADMIN, State::admin_addresses)?;
    let admin = |node: Address| {
        let token = token_for("--admin", node.url())?;
        Admin::with_token(node, token.as_ref()).map_err(|error| no_client(&error))
    };
    nodes.into_iter().map(admin).collect()
}

fn nodes(
    global: &Global,
    cluster: &str,
    given: &[String],
    default: &[&str],
    of_state: impl Fn(&State) -> Vec<Address>,
) -> Result<Vec<Address>> {
    if !given.is_empty() {
        return Ok(given.iter().map(Address::from).collect());
    }
    let folder = Folder::new(&home::folder(global)?, cluster)?;
    // A name that nobody gave to a cluster is a slip, not the cluster that happens to be on the default ports.
    let state = if cluster == DEFAULT_NAME { State::load(&folder)? } else { Some(State::require(&folder)?) };
    Ok(state
        .map_or_else(|| default.iter().map(|url| Address::from(*url)).collect(), |state| of_state(&state)))
}

fn no_client(error: &crate::restate::Error) -> Failure {
    Failure::unexpected(format!("cannot make an HTTP client: {error}"))
}

/// The token for the proxy at `url`, if there is one; the URL must be one that may be asked, and that may have it.
fn token_for(flag: &str, url: &str) -> Result<Option<HeaderValue>> {
    let no_url = |why: &str| {
        Failure::usage(format!("`{}` is no URL of a node{why}", without_login(url)))
            .hint(format!("for instance `{flag} http://127.0.0.1:8080`"))
    };
    let parsed =
        Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let parsed = parsed.ok_or_else(|| no_url(""))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(no_url(": it names a user").hint(format!(
            "a proxy that asks for a login gets `Authorization: Bearer …` from {TOKEN_VARIABLE}"
        )));
    }
    let Some(token) = std::env::var_os(TOKEN_VARIABLE).filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    if parsed.scheme() == "http" && !is_loopback(&parsed) {
        return Err(Failure::usage(format!("the token in {TOKEN_VARIABLE} would go to {url} in clear"))
            .hint("name an `https://` URL, or unset the variable"));
    }
    let mut header = HeaderValue::try_from(format!("Bearer {}", token.to_string_lossy()))
        .map_err(|_| Failure::usage(format!("the text in {TOKEN_VARIABLE} is no token")))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// A text that should be a URL, without what may be a password.
fn without_login(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
