//! Before anything is submitted: does the cluster serve, and does the service do what the run wants?

use crate::domain::batch::RunOptions;
use crate::domain::method::Method;
use crate::engine::diagnosis::{Checkup, conclude, examine, explain};
use crate::error::{Failure, Result};
use crate::llm::key_variable;
use crate::restate::ingress::Ingress;
use crate::restate::names::ServiceInfo;
use crate::restate::secret::{REMEDY, Secret};
use crate::ui::Ui;

/// What a run needs of the service.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) options: &'a RunOptions,
    /// Label set in the form `name@version`.
    pub(super) taxonomy: &'a str,
    /// Whether the command has `--up`.
    pub(super) can_start: bool,
}

/// Asks every node; one that serves is enough, those that were found not to by then are warned about.
pub(super) async fn check(nodes: &[(String, Ingress)], wanted: &Wanted<'_>, ui: Ui) -> Result<()> {
    let checkups = examine(nodes.iter().map(|(_, ingress)| ingress), "preflight").await;
    if let Some(trouble) = conclude(&checkups) {
        let nodes: Vec<Ingress> = nodes.iter().map(|(_, node)| node.clone()).collect();
        return Err(explain(&trouble, &nodes, &checkups, wanted.can_start));
    }
    for ((name, _), checkup) in nodes.iter().zip(&checkups) {
        if let Some(error) = checkup.as_ref().and_then(Checkup::problem) {
            ui.warn(&format!("{name} does not serve: {error}; going on without it until it does"));
        }
    }
    let ours = nodes.first().and_then(|(_, node)| node.secret()).map(Secret::name);
    checkups.iter().flatten().filter_map(Checkup::info).try_for_each(|info| {
        knows_secret(info, ours.as_deref())?;
        fits(info, wanted)
    })
}

/// A service that expects signed calls would refuse every batch of a client that cannot sign them.
fn knows_secret(info: &ServiceInfo, ours: Option<&str>) -> Result<()> {
    let Some(theirs) = info.secret.as_deref() else { return Ok(()) };
    let has = match ours {
        Some(ours) if ours == theirs => return Ok(()),
        Some(_) => "another one",
        None => "none",
    };
    Err(Failure::usage(format!(
        "the service expects calls signed with its cluster's secret, and this client has {has}"
    ))
    .hint(REMEDY))
}

fn fits(info: &ServiceInfo, wanted: &Wanted<'_>) -> Result<()> {
    if info.taxonomy_digest != wanted.options.taxonomy {
        let (theirs, ours) = (&info.taxonomy, wanted.taxonomy);
        let message = if theirs == ours {
            format!("the service classifies by another content of {ours} than this run expects")
        } else {
            format!("the service classifies by {theirs}, this run expects {ours}")
        };
        return Err(Failure::usage(message).hint(
            "give `run` and `serve` the same `--taxonomy FILE` (or none) and the same version of classify",
        ));
    }
    let Method { provider, model, .. } = &wanted.options.method;
    // With `hybrid` the model's provider has to be there, too.
    let needed = model.as_deref().and_then(|model| model.split_once('/')).map(|(provider, _)| provider);
    for name in [Some(provider.as_str()), needed].into_iter().flatten() {
        if !info.providers.iter().any(|known| known == name) {
            let failure = Failure::usage(format!("the service has no provider `{name}`"))
                .detail(format!("it has: {}", info.providers.join(", ")));
            return Err(match name.parse().map(key_variable) {
                Ok(variable) => failure
                    .hint(format!("export {variable}=… where `classify serve` runs, and start it again")),
                Err(_) => failure,
            });
        }
    }
    Ok(())
}
