//! `classify cluster …`: asks, calls `crate::cluster`, and says what came of it.

mod logs;
mod render;
mod restore;
mod status;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{block_on, home, question};
use crate::cli::Global;
use crate::cli::cluster::{
    AdoptArgs, CleanArgs, ClusterArgs, ClusterCommand, RegisterArgs, Runtime, ServerArgs, StartArgs,
    StopArgs, Target,
};
use crate::cluster::results::{Outcome, Stopped};
use crate::cluster::stop::{check_cleanable, check_ours, not_ours};
use crate::cluster::{
    self, DEFAULT_NAME, DEFAULT_SERVICE_PORT, Folder, Foreign, Snapshots, Source, StartOptions, Started,
    State, Step,
};
use crate::error::{ExitStatus, Failure, Result};
use crate::text;
use crate::ui::{Ui, context};

pub(super) fn run(global: &Global, args: ClusterArgs, ui: Ui) -> Result<ExitStatus> {
    let home = home::folder(global)?;
    let folder = |target: &Target| find(&home, target, ui);
    match args.command {
        ClusterCommand::Start(args) => start(&folder(&args.target)?, &home, &args, ui),
        // What ends or deletes looks for nothing that is not recorded.
        ClusterCommand::Stop(args) => stop(&folder_of(&home, &args.target.name)?, &args, ui),
        ClusterCommand::Clean(args) => clean(&folder_of(&home, &args.target.name)?, &args, ui),
        ClusterCommand::Adopt(args) => adopt(&folder_of(&home, &args.name)?, &args, ui),
        ClusterCommand::Status(args) => status::run(&folder(&args.target)?, &args, ui),
        ClusterCommand::Logs(args) => logs::run(&folder(&args.target)?, &args, ui),
        ClusterCommand::Register(args) => register(&folder(&args.target)?, &args, ui),
        ClusterCommand::Restore(args) => restore::run(&folder(&args.target)?, &args, ui),
        ClusterCommand::Render(args) => render::run(&args, ui),
    }
}

fn folder_of(home: &Path, name: &str) -> Result<Folder> {
    context::set(name, None);
    Folder::new(home, name)
}

/// The folder of the cluster that is meant. One that plain `docker compose` started gets a record first.
fn find(home: &Path, target: &Target, ui: Ui) -> Result<Folder> {
    let folder = folder_of(home, &target.name)?;
    if target.runtime != Runtime::Native && block_on(cluster::adopt(&folder))? {
        ui.note(&adopted(&folder));
    }
    Ok(folder)
}

pub(super) fn adopted(folder: &Folder) -> String {
    format!(
        "cluster    found in containers, used as cluster `{}`; it stays whose it is: `stop` and `clean` leave it alone",
        folder.name()
    )
}

fn start(folder: &Folder, home: &Path, args: &StartArgs, ui: Ui) -> Result<ExitStatus> {
    let endpoint = args.snapshots_endpoint.as_deref();
    let snapshots = args.snapshots.as_deref().map(|destination| Snapshots::new(destination, endpoint));
    let options = StartOptions {
        runtime: args.target.runtime.into(),
        nodes: args.nodes,
        ports: args.ports.map(Into::into),
        listen: args.listen.map(Into::into),
        snapshots: snapshots.transpose()?,
        timeout: seconds(args.timeout),
        server: source(&args.server, home),
    };
    let started = interruptible(
        cluster::start(folder, &options, &say(ui)),
        // Its nodes are recorded; the next command finds them.
        format!("interrupted; nodes that were started go on: `{}`", folder.command("stop")),
    )?;
    let serve = serve_command(&started.state)?;
    for line in describe(folder, &started, &serve) {
        ui.note(&line);
    }
    if let Some(problem) = &started.service_problem {
        ui.warn(&format!("the service is registered and does not answer: {problem}"));
        ui.note(&format!("hint: start it with `{serve}`"));
    }
    Ok(ExitStatus::Success)
}

/// Where the server may come from.
pub(super) fn source(args: &ServerArgs, home: &Path) -> Source {
    Source {
        explicit: args.restate_server.clone().filter(|path| !path.as_os_str().is_empty()),
        path: std::env::var_os("PATH").unwrap_or_default(),
        cache: args.cache.clone().unwrap_or_else(|| home.join("cache")),
    }
}

/// What starts a service that the nodes can reach.
fn serve_command(state: &State) -> Result<String> {
    let mut command = "classify serve".to_owned();
    if state.name != DEFAULT_NAME {
        command.push_str(" --cluster ");
        command.push_str(&state.name);
    }
    if state.runtime == cluster::Runtime::Docker {
        let listen = block_on(cluster::service_place(state))?.listen;
        command.push_str(" --bind ");
        command.push_str(&SocketAddr::new(listen, DEFAULT_SERVICE_PORT).to_string());
    }
    Ok(command)
}

/// What a person wants to know of a cluster that is up.
fn describe(folder: &Folder, started: &Started, serve: &str) -> Vec<String> {
    let admin = started.state.nodes.first().map(cluster::state::Node::admin_url).unwrap_or_default();
    let mut lines = vec![headline(started), format!("admin      {admin}   web UI {admin}/ui/")];
    lines.extend(started.state.snapshots.as_ref().map(|kept| format!("snapshots  {}", kept.destination)));
    lines.push(format!("next       {serve} --register    {}", folder.command("stop")));
    lines
}

/// The cluster in one line.
pub(super) fn headline(started: &Started) -> String {
    let state = &started.state;
    let urls = state.nodes.iter().enumerate().map(|(index, node)| match index {
        0 => node.ingress_url(),
        _ => format!(":{}", node.ports.ingress),
    });
    let urls = urls.collect::<Vec<_>>().join(" ");
    let done = match &started.outcome {
        Outcome::AlreadyUp => "already up, nothing to do".to_owned(),
        Outcome::BecameReady | Outcome::Started => text::duration(started.elapsed),
        Outcome::Repaired(nodes) => {
            format!("{} started again, {}", nodes.join(", "), text::duration(started.elapsed))
        }
    };
    let nodes = text::count(u64::try_from(state.nodes.len()).unwrap_or_default(), "node");
    let version = text::printable(&started.version);
    format!("cluster    {nodes} up ({}, Restate {version})   {urls}   {done}", state.runtime)
}

fn stop(folder: &Folder, args: &StopArgs, ui: Ui) -> Result<ExitStatus> {
    let mut stopped = block_on(cluster::stop(folder, seconds(args.timeout), &say(ui)))?;
    stopped.left.extend(found(folder, args.target.runtime).map(|foreign| foreign.to_string()));
    ui.note(&ended(folder, &stopped));
    for left in &stopped.left {
        ui.note(&text::printable(&format!(
            "cluster `{}`: left running, for it was not started from here: {left}",
            folder.name()
        )));
    }
    Ok(ExitStatus::Success)
}

fn ended(folder: &Folder, stopped: &Stopped) -> String {
    let name = folder.name();
    if stopped.ended.is_empty() {
        return format!("cluster `{name}`: nothing was running");
    }
    let killed = match stopped.killed.as_slice() {
        [] => String::new(),
        killed => format!("; {} had to be killed", killed.join(", ")),
    };
    format!("cluster `{name}`: stopped {}{killed}; the data is kept", stopped.ended.join(", "))
}

fn clean(folder: &Folder, args: &CleanArgs, ui: Ui) -> Result<ExitStatus> {
    let nothing = format!("there is no cluster `{}`, nothing to delete", folder.name());
    // Before the question: what cannot be deleted needs no asking.
    if !check_cleanable(folder)? {
        if let Some(foreign) = found(folder, args.target.runtime) {
            return Err(not_ours(folder, &foreign));
        }
        ui.note(&nothing);
        return Ok(ExitStatus::Success);
    }
    if let Some(state) = State::load(folder)? {
        block_on(check_ours(folder, &state))?;
    }
    if !args.yes && !confirmed(folder)? {
        ui.note("nothing was deleted");
        return Ok(ExitStatus::Success);
    }
    match block_on(cluster::clean(folder, seconds(args.timeout), &say(ui)))? {
        Some(stopped) => {
            let name = folder.name();
            ui.note(&format!("cluster `{name}`: deleted {}", folder.path().display()));
            for left in stopped.left {
                ui.note(&text::printable(&format!(
                    "cluster `{name}`: left as it is, for no cluster has it: {left}"
                )));
            }
        }
        None => ui.note(&nothing),
    }
    Ok(ExitStatus::Success)
}

/// Containers that [`cluster::adopt`] would record, and that are somebody else's.
fn found(folder: &Folder, runtime: Runtime) -> Option<Foreign> {
    (runtime != Runtime::Native)
        .then(|| block_on(async { Ok::<_, Failure>(cluster::found(folder).await) }).ok())
        .flatten()
        .flatten()
}

fn adopt(folder: &Folder, args: &AdoptArgs, ui: Ui) -> Result<ExitStatus> {
    let state = block_on(cluster::take_over(folder, &args.project))?;
    let nodes = text::count(u64::try_from(state.nodes.len()).unwrap_or_default(), "node");
    ui.note(&format!(
        "cluster `{}`: compose project `{}` with {nodes} is taken over; `{}` and `{}` act on it",
        folder.name(),
        args.project,
        folder.command("stop"),
        folder.command("clean")
    ));
    Ok(ExitStatus::Success)
}

fn confirmed(folder: &Folder) -> Result<bool> {
    let in_containers = State::load(folder)?.is_some_and(|state| state.runtime == cluster::Runtime::Docker);
    let lost = format!(
        "Delete {}{} with everything the cluster `{}` knows (queued work, workflow state, results not fetched yet)?",
        folder.path().display(),
        if in_containers { ", the cluster's containers and their volumes (snapshots, too)" } else { "" },
        folder.name()
    );
    if !question::can_be_asked() {
        return Err(Failure::usage(format!(
            "not deleting {}: there is no terminal to ask on",
            folder.path().display()
        ))
        .hint(format!("to delete it without a question: `{} --yes`", folder.command("clean"))));
    }
    question::confirmed(&lost)
}

fn register(folder: &Folder, args: &RegisterArgs, ui: Ui) -> Result<ExitStatus> {
    let uri = args.uri.as_deref();
    let registered = block_on(cluster::register(folder, uri, seconds(args.timeout), &say(ui)))?;
    ui.note(&format!(
        "service    {}, callable through {} (classify {}, taxonomy {})",
        registered.uri,
        registered.nodes.join(", "),
        text::printable(&registered.info.version),
        text::printable(&registered.info.taxonomy)
    ));
    Ok(ExitStatus::Success)
}

/// Runs `work` until it ends or the user does.
fn interruptible<T>(work: impl Future<Output = Result<T>>, message: String) -> Result<T> {
    block_on(async {
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(ExitStatus::Interrupted, message)),
        }
    })
}

pub(super) fn say(ui: Ui) -> impl Fn(&Step) + Send + Sync {
    move |step| ui.note(&text::printable(&format!("cluster    {step}")))
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}
