//! Which nodes a command talks to: those named on the command line, else those of a cluster started here, else
//! the default ports.

use crate::cli::run::Target;
use crate::error::{Failure, Result};
use crate::restate::admin::Admin;
use crate::restate::ingress::Ingress;

/// Default ports of ingress and admin of the three nodes, in the compose file and the native runtime alike.
const DEFAULT_INGRESS: [&str; 3] =
    ["http://127.0.0.1:8080", "http://127.0.0.1:28080", "http://127.0.0.1:38080"];
const DEFAULT_ADMIN: [&str; 3] =
    ["http://127.0.0.1:9070", "http://127.0.0.1:29070", "http://127.0.0.1:39070"];

/// Name and ingress client of every node.
pub(super) fn ingress(target: &Target) -> Result<Vec<(String, Ingress)>> {
    let urls = if target.ingress.is_empty() {
        DEFAULT_INGRESS.map(str::to_owned).to_vec()
    } else {
        target.ingress.clone()
    };
    urls.iter()
        .enumerate()
        .map(|(index, url)| {
            Ok((
                format!("restate-{}", index + 1),
                Ingress::new(check("--ingress", url)?).map_err(unexpected)?,
            ))
        })
        .collect()
}

/// Admin client of every node.
pub(super) fn admin(_global: &crate::cli::Global, target: &Target) -> Result<Vec<Admin>> {
    let urls = if target.admin.is_empty() {
        DEFAULT_ADMIN.map(str::to_owned).to_vec()
    } else {
        target.admin.clone()
    };
    urls.iter().map(|url| Admin::new(check("--admin", url)?).map_err(unexpected)).collect()
}

fn unexpected(error: crate::restate::Error) -> Failure {
    Failure::unexpected(format!("cannot make an HTTP client: {error}"))
}

fn check<'a>(flag: &str, url: &'a str) -> Result<&'a str> {
    let parsed = reqwest::Url::parse(url).ok().filter(|url| url.scheme() == "http" && url.has_host());
    if parsed.is_some() {
        Ok(url)
    } else {
        Err(Failure::usage(format!("`{url}` is no URL of a node"))
            .hint(format!("for instance `{flag} http://127.0.0.1:8080`")))
    }
}
