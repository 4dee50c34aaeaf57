//! The classification service as part of a cluster: started in the background like a node, stopped with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::folder::Folder;
use super::lock;
use super::process::{self, Launch, Target};
use super::state::{Service, State};
use super::step::{Progress, Step};
use super::stop::service_target;
use super::{logs, ports, ready};
use crate::error::{Failure, Result};
use crate::restate::admin::Admin;
use crate::restate::endpoint;

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);
/// How long a service that failed to start may take to end.
const UNDO_WAIT: Duration = Duration::from_secs(5);

/// How to run the service.
#[derive(Debug, Clone)]
pub struct ServiceCommand {
    /// The program: this one.
    pub program: PathBuf,
    /// Its arguments. They must make it listen on `address`.
    pub args: Vec<String>,
    /// Where it will listen.
    pub address: SocketAddr,
    /// How long it may take until it answers.
    pub timeout: Duration,
}

/// A service that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedService {
    /// Where it listens.
    pub uri: String,
    /// It ran already, with the same arguments.
    pub already_up: bool,
}

/// Starts the service in the background, as part of the cluster, and waits until it answers. It inherits the whole
/// environment: that is where providers' keys are.
///
/// # Errors
/// When the cluster does not exist, another service of the cluster runs, the port is taken, or it does not answer.
pub async fn start_service(
    folder: &Folder,
    command: &ServiceCommand,
    progress: Progress<'_>,
) -> Result<StartedService> {
    State::require(folder)?;
    let _lock = lock::take(&folder.lock_file(), command.timeout, progress).await?;
    let mut state = State::require(folder)?;
    let uri = format!("http://{}", command.address);
    let deadline = Instant::now() + command.timeout;
    if let Some(running) = state.service.as_ref().filter(|_| is_running(&state)) {
        if running.args != command.args {
            return Err(Failure::usage("the cluster's service already runs, with other settings")
                .detail(format!("it was started as `classify {}`", running.args.join(" ")))
                .hint(format!("stop it with the cluster: `{}`", folder.command("stop"))));
        }
        wait_healthy(folder, &uri, None, deadline).await?;
        return Ok(StartedService { uri, already_up: true });
    }
    if !ports::is_free_at(command.address) {
        let port = command.address.port();
        let holder = ports::taken_by(port);
        let message = format!("port {port} is taken{holder}; the service needs it");
        return Err(Failure::usage(message).hint("stop that process, or give the service another port"));
    }
    progress(&Step::StartingService { uri: uri.clone() });
    let log = folder.log(logs::SERVICE);
    let launch = Launch {
        program: &command.program,
        args: &command.args,
        env: std::env::vars_os().collect(),
        // Relative paths among the arguments mean what they mean to the user.
        dir: &std::env::current_dir().unwrap_or_else(|_| folder.path().to_owned()),
        log: &log,
    };
    let (mut child, process) = process::spawn(launch).map_err(|error| {
        Failure::unreachable(format!("the service does not start: {}: {error}", command.program.display()))
    })?;
    state.service = Some(Service { uri: uri.clone(), args: command.args.clone(), process });
    state.save(folder)?;
    if let Err(failure) = wait_healthy(folder, &uri, Some(&mut child), deadline).await {
        let target = Target { name: logs::SERVICE.into(), id: process, args: command.args.clone() };
        process::terminate(&[target], Instant::now() + UNDO_WAIT, progress).await?;
        let _status = child.try_wait();
        state.service = None;
        state.save(folder)?;
        return Err(failure);
    }
    Ok(StartedService { uri, already_up: false })
}

/// Whether the service that was started as part of the cluster still runs.
pub(super) fn is_running(state: &State) -> bool {
    state.service.as_ref().is_some_and(|service| process::vitals(service.process, &service.args).is_some())
}

/// Where the service is registered, as far as a node can be asked.
pub async fn registered_uri(state: &State) -> Option<String> {
    for address in state.admin_addresses() {
        let Ok(admin) = Admin::new(address) else { continue };
        if let Ok(deployments) = admin.deployments(PROBE_TIMEOUT).await {
            let uri = ready::classifier(&deployments)?.uri.as_deref()?;
            return Some(uri.trim_end_matches('/').to_owned());
        }
    }
    None
}

/// Ends the service that was started as part of the cluster; the nodes run on. Whether there was one.
///
/// # Errors
/// When it cannot be ended.
pub async fn stop_service(folder: &Folder, timeout: Duration, progress: Progress<'_>) -> Result<bool> {
    State::require(folder)?;
    let _lock = lock::take(&folder.lock_file(), timeout, progress).await?;
    let mut state = State::require(folder)?;
    let running = service_target(folder, &state);
    process::terminate(&running, Instant::now() + timeout, progress).await?;
    state.service = None;
    state.save(folder)?;
    Ok(!running.is_empty())
}

async fn wait_healthy(
    folder: &Folder,
    uri: &str,
    mut child: Option<&mut Child>,
    deadline: Instant,
) -> Result<()> {
    loop {
        if let Some(child) = &mut child
            && let Ok(Some(status)) = child.try_wait()
        {
            return Err(logs::quote(
                folder,
                logs::SERVICE,
                Failure::unreachable(format!("the service died while starting ({status})")),
            ));
        }
        let error = match endpoint::health(uri, PROBE_TIMEOUT).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() + POLL >= deadline {
            let failure = Failure::unreachable("the service does not answer").detail(error.to_string());
            return Err(logs::quote(folder, logs::SERVICE, failure));
        }
        sleep(POLL).await;
    }
}
