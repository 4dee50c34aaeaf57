//! The end of a start, whatever runs the nodes: the cluster is recorded as one that served, and its service is called.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::docker;
use super::folder::Folder;
use super::ready::{self, Clients, PROBE_TIMEOUT};
use super::results::{Outcome, Started};
use super::state::State;
use crate::error::Result;

const POLL: Duration = Duration::from_millis(100);
/// How long calls may still fail after the nodes came up: partitions change hands once more when all are there.
const SERVICE_WAIT: Duration = Duration::from_secs(10);

pub(super) async fn finish(
    folder: &Folder,
    mut state: State,
    clients: &[Clients],
    outcome: Outcome,
    version: String,
    begun: Instant,
) -> Result<Started> {
    state.provisioned = true;
    state.save(folder)?;
    let service_problem = service_problem(&state, clients).await;
    let elapsed = begun.elapsed();
    Ok(Started { outcome, state, version, elapsed, service_problem })
}

/// Why the service cannot be called through some node, if it is registered at all.
async fn service_problem(state: &State, clients: &[Clients]) -> Option<String> {
    let deployments = match clients.first()?.admin.deployments(PROBE_TIMEOUT).await {
        Ok(deployments) => deployments,
        Err(error) => return Some(error.to_string()),
    };
    let deployment = ready::classifier(&deployments)?;
    let place = match docker::service_place(state).await {
        Ok(place) => place,
        Err(failure) => return Some(failure.to_string()),
    };
    let deadline = Instant::now() + SERVICE_WAIT;
    loop {
        if let Err(nobody_there) = ready::knock(deployment, &place).await {
            return Some(nobody_there);
        }
        let answers = ready::call_service(clients, deployment, &place).await;
        let problem = answers.into_iter().find_map(std::result::Result::err)?;
        if Instant::now() >= deadline {
            return Some(problem);
        }
        sleep(POLL).await;
    }
}
