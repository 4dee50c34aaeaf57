//! Before anything is submitted: does the cluster serve, and does the service do what the run wants?

use crate::domain::batch::RunOptions;
use crate::domain::event::Trouble;
use crate::domain::method::Method;
use crate::engine::diagnosis::{Checkup, conclude, examine};
use crate::error::{Failure, Result};
use crate::llm::key_variable;
use crate::restate::ingress::Ingress;
use crate::restate::names::ServiceInfo;
use crate::ui::Ui;

/// What a run needs of the service.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) options: &'a RunOptions,
    /// Label set in the form `name@version`.
    pub(super) taxonomy: &'a str,
}

/// Asks every node; one that serves is enough, those that were found not to by then are warned about.
pub(super) async fn check(nodes: &[(String, Ingress)], wanted: &Wanted<'_>, ui: Ui) -> Result<()> {
    let checkups = examine(nodes.iter().map(|(_, ingress)| ingress), "preflight").await;
    if let Some(trouble) = conclude(&checkups) {
        return Err(explain(&trouble, nodes, &checkups));
    }
    for ((name, _), checkup) in nodes.iter().zip(&checkups) {
        if let Some(error) = checkup.as_ref().and_then(Checkup::problem) {
            ui.warn(&format!("{name} does not serve: {error}; going on without it until it does"));
        }
    }
    checkups.iter().flatten().filter_map(Checkup::info).try_for_each(|info| fits(info, wanted))
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

fn explain(trouble: &Trouble, nodes: &[(String, Ingress)], checkups: &[Option<Checkup>]) -> Failure {
    let failure = match trouble {
        Trouble::NodesGone => Failure::unreachable("no Restate node answers")
            .hint("start a cluster with `classify cluster start`, or let this command do it: add `--up`"),
        Trouble::QuorumLost => Failure::unreachable(
            "the cluster has no quorum: nodes answer but cannot write",
        )
        .hint("see which nodes are missing: `classify cluster status`; start them: `classify cluster start`"),
        Trouble::ServiceMissing => Failure::unreachable(
            "the cluster does not know the classification service",
        )
        .hint(
            "start and register it with `classify serve --register`, or let this command do it: add `--up`",
        ),
        Trouble::ServiceSilent
        | Trouble::WorkStuck
        | Trouble::OtherService { .. }
        | Trouble::ModelPaused { .. } => {
            Failure::unreachable("the classification service does not answer the cluster")
                .hint("start it: `classify serve`; see what the cluster says: `classify queue status`")
                .hint("one runs elsewhere? `classify cluster status` shows where; `classify cluster register URL` tells the cluster")
        }
    };
    let width = nodes.iter().map(|(_, ingress)| ingress.url().len()).max().unwrap_or_default();
    let line = |((_, ingress), checkup): (&(String, Ingress), &Option<Checkup>)| {
        let error = checkup.as_ref()?.problem()?;
        Some(format!("{:<width$}  {}", ingress.url(), error.reason()))
    };
    nodes.iter().zip(checkups).filter_map(line).fold(failure, Failure::detail)
}
