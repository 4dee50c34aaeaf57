//! Notices that a run stands still, and says why.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::clock::Clock;
use super::diagnosis::{Checkup, conclude, examine};
use super::pool::Pool;
use super::pulse::Pulse;
use crate::domain::batch::RunOptions;
use crate::domain::event::{RunEvent, Trouble};
use crate::restate::ingress::Ingress;
use crate::restate::names::ServiceInfo;

/// A standstill this long is looked into. With the 6 s an examination may take, the user knows within 11 s.
pub(super) const SUSPICIOUS: Duration = Duration::from_secs(4);
/// A standstill this long is told even where nothing seems wrong, when it is next looked into.
const STUCK: Duration = Duration::from_secs(15);
/// How often we look.
const INTERVAL: Duration = Duration::from_millis(500);
/// Patience with a node that is asked about a model.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Watches until it is dropped; tells when the reason for a standstill changes.
pub(super) async fn watch(
    pool: Arc<Pool>,
    pulse: Arc<Pulse>,
    options: RunOptions,
    events: mpsc::Sender<RunEvent>,
    clock: Clock,
) {
    let mut known = None;
    let nodes: Vec<Ingress> = pool.nodes().iter().map(|node| node.ingress.clone()).collect();
    // A slow model is no trouble, and asking all nodes is no trifle: where all was well, the next look waits as long as the first.
    let mut look_again = Duration::ZERO;
    for round in 0_u64.. {
        sleep(INTERVAL).await;
        let standstill = pulse.standstill(clock.elapsed()).unwrap_or_default();
        if standstill >= SUSPICIOUS && clock.elapsed() < look_again {
            continue;
        }
        let trouble = if standstill >= SUSPICIOUS {
            let Found { serves, trouble } =
                look(&nodes, Some(&options), standstill, &format!("watchdog-{round}")).await;
            if serves {
                look_again = clock.elapsed() + SUSPICIOUS;
            }
            trouble
        } else {
            None
        };
        if trouble != known {
            known.clone_from(&trouble);
            if events.send(RunEvent::Trouble(trouble)).await.is_err() {
                return;
            }
        }
    }
}

/// Tells each time `node` comes back.
pub(super) async fn announce_returns(pool: Arc<Pool>, node: usize, events: mpsc::Sender<RunEvent>) {
    loop {
        pool.wait_for_return(node).await;
        if events.send(RunEvent::NodeUp { node }).await.is_err() {
            return;
        }
    }
}

/// What was found where nothing moves.
#[derive(Debug)]
pub(super) struct Found {
    /// A node is well and reaches a service.
    pub(super) serves: bool,
    /// What is in the way, if anything is.
    pub(super) trouble: Option<Trouble>,
}

/// Looks for what is in the way of a run with these `options`, as far as they are known, that has stood still for so long.
pub(super) async fn look(
    nodes: &[Ingress],
    options: Option<&RunOptions>,
    standstill: Duration,
    probe: &str,
) -> Found {
    let checkups = examine(nodes, probe).await;
    let concluded = conclude(&checkups);
    let serves = concluded.is_none();
    let trouble = match (concluded, options) {
        (None, Some(options)) => match other_service(&checkups, options) {
            None => paused(nodes, options).await,
            other => other,
        },
        (concluded, _) => concluded,
    };
    Found { serves, trouble: trouble.or_else(|| (standstill >= STUCK).then_some(Trouble::WorkStuck)) }
}

/// Whether the service that answers is another one than the run needs: what it is asked waits for the right one.
fn other_service(checkups: &[Option<Checkup>], options: &RunOptions) -> Option<Trouble> {
    let ServiceInfo { taxonomy, taxonomy_digest, providers, .. } =
        checkups.iter().flatten().find_map(Checkup::info)?;
    let provider = &options.method.provider;
    let why = if *taxonomy_digest != options.taxonomy {
        format!(
            "another service was registered, which classifies by {taxonomy}, and not by the run's label set"
        )
    } else if providers.contains(provider) {
        return None;
    } else {
        format!("another service was registered, which has no provider `{provider}`")
    };
    Some(Trouble::OtherService { why })
}

/// Whether the provider wants no requests for the run's model.
async fn paused(nodes: &[Ingress], options: &RunOptions) -> Option<Trouble> {
    let model = options.method.model.clone()?;
    for node in nodes {
        if let Ok(limits) = node.model_limits(&model, TIMEOUT).await {
            let left = limits.usage?.shut_for_ms;
            return (left > 0).then(|| Trouble::ModelPaused { model, minutes: left.div_ceil(60_000) });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::method::Method;

    #[test]
    fn another_service_than_the_run_needs_is_told_apart() {
        let options = RunOptions {
            method: Method::rules(),
            taxonomy: "ours".into(),
            reads: None,
            nonce: None,
            detached: false,
        };
        let told = |digest: &str, providers: &[&str]| {
            let info = ServiceInfo {
                version: String::new(),
                taxonomy: "tickets@1".into(),
                taxonomy_digest: digest.into(),
                providers: providers.iter().map(|name| (*name).to_owned()).collect(),
                secret: None,
            };
            match other_service(&[None, Some(Checkup::Serves(info))], &options) {
                Some(Trouble::OtherService { why }) => why,
                other => format!("{other:?}"),
            }
        };
        assert!(told("theirs", &["rules"]).contains("tickets@1"));
        assert!(told("ours", &["openai"]).contains("no provider `rules`"));
        assert_eq!(told("ours", &["rules"]), "None");
    }
}
