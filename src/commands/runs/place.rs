//! Which run is meant, where it is, and how it stands.

use super::super::target;
use super::states::State;
use crate::cli::Global;
use crate::cli::runs::PlaceArgs;
use crate::domain::detached::Progress;
use crate::domain::stats::RunStats;
use crate::engine::attach;
use crate::error::Result;
use crate::ledger::{self, Past, RunFolder, Runs, Spec, Target};
use crate::restate::admin::Admin;
use crate::restate::ingress::Ingress;

/// A run, and how to reach it.
pub(super) struct Place {
    pub(super) id: String,
    /// Name and ingress of each node.
    pub(super) nodes: Vec<(String, Ingress)>,
    /// Admin APIs of the nodes, where they are known.
    pub(super) admins: Vec<Admin>,
    /// Where it is now.
    pub(super) target: Target,
    /// In the ledger of this machine.
    pub(super) folder: Option<RunFolder>,
}

/// The run `id`: one of the ledger, or one of another machine where `elsewhere` says that this may be.
pub(super) fn find(
    global: &Global,
    runs: &Runs,
    id: &str,
    args: &PlaceArgs,
    elsewhere: bool,
) -> Result<Place> {
    let folder = match runs.find(id) {
        Ok(folder) => Some(folder),
        Err(_) if elsewhere && ledger::is_id(id) => None,
        Err(failure) => return Err(failure),
    };
    let spec = folder.as_ref().map(|folder| &folder.spec);
    let recorded = spec.map(|spec| (spec.target.cluster.as_str(), spec.target.ingress.as_slice()));
    let (cluster, ingress) = args.target(recorded);
    super::about(&cluster, spec);
    let nodes = target::ingress(global, &cluster, &ingress)?;
    // Of nodes that are named one by one nobody knows where their admin API is.
    let admins = if ingress.is_empty() { target::admin(global, &cluster, &[])? } else { Vec::new() };
    let id = spec.map_or_else(|| id.to_owned(), |spec| spec.run_id.clone());
    Ok(Place { id, nodes, admins, target: Target { cluster, ingress }, folder })
}

impl Place {
    /// The ingress of each node.
    pub(super) fn ingress(&self) -> Vec<Ingress> {
        self.nodes.iter().map(|(_, node)| node.clone()).collect()
    }

    /// The run in the ledger, if it is there.
    pub(super) fn spec(&self) -> Option<&Spec> {
        self.folder.as_ref().map(|folder| &folder.spec)
    }

    /// How the run stands as far as the ledger can say; nothing where it is not in it.
    pub(super) fn listed(&self) -> Result<Option<State>> {
        self.folder.as_ref().map(listed).transpose()
    }

    /// How the run stands, and where it is if the cluster has it. The cluster is asked where the ledger cannot say.
    ///
    /// # Errors
    /// When the cluster has to be asked and nobody answers, or a run of another machine is not known.
    pub(super) async fn stands(&self) -> Result<(State, Option<Progress>)> {
        match self.listed()? {
            Some(state) if !state.is_of_cluster() => Ok((state, None)),
            listed => {
                let progress = attach::find(&self.ingress(), &self.id).await?;
                match (&progress, &self.folder) {
                    // The client died when the cluster had everything, and before it could write that down.
                    (Some(_), Some(folder)) if listed == Some(State::NotHandedOver) => {
                        folder.handed_over()?;
                    }
                    (None, None) => return Err(attach::unknown(&self.id)),
                    _ => {}
                }
                let state = progress.as_ref().map_or(State::NotHandedOver, State::in_cluster);
                Ok((state, progress))
            }
        }
    }
}

/// How a run of the ledger stands, as far as the ledger can say.
pub(super) fn listed(folder: &RunFolder) -> Result<State> {
    let past = folder.look(&mut RunStats::new(folder.spec.indicators(), Vec::new()))?;
    Ok(state(folder, &past))
}

/// As [`listed`], of what was read already.
pub(super) fn state(folder: &RunFolder, past: &Past) -> State {
    State::listed(folder.holder(), past, folder.spec.options.detached)
}
