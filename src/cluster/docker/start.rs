//! Brings the containers of a cluster up, whatever state they are in, and waits until the nodes serve.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::dotenv::{checked_env_file, setting};
use super::engine::{ASK, Compose, as_argument, call, docker};
use super::owner::was_made_by;
use super::project::{Container, Project, STORE};
use super::stop::down;
use crate::cluster::compose::{self, Layout};
use crate::cluster::finish::finish;
use crate::cluster::folder::Folder;
use crate::cluster::keys;
use crate::cluster::leaders;
use crate::cluster::logs;
use crate::cluster::ports;
use crate::cluster::ready::{self, Clients, NotReady};
use crate::cluster::results::{Outcome, RUNS_ON, Started};
use crate::cluster::state::State;
use crate::cluster::step::{Progress, Step};
use crate::cluster::vacancy;
use crate::disk::private;
use crate::error::{Failure, Result};
use crate::restate::secret::SECRET_VARIABLE;

const LOG_LINES_SHOWN: &str = "15";
const POLL: Duration = Duration::from_millis(500);
/// A container may fail once while its neighbours come up; this often means that it cannot run.
const RESTARTS_MAX: u64 = 3;
/// Seconds that containers of a failed start may take to end.
const UNDO_WAIT: &str = "10";

/// Starts what does not run, and waits until all is healthy and every node serves.
pub(in crate::cluster) async fn start(
    folder: &Folder,
    timeout: Duration,
    state: State,
    compose: Compose,
    begun: Instant,
    progress: Progress<'_>,
) -> Result<Started> {
    let project = Project::of(&state);
    let before = project.containers().await?;
    refuse_strangers(folder, &state, &project, &before)?;
    let clients = Clients::of_all(&state)?;
    let services = state.nodes.iter().map(|node| node.name.as_str()).chain([STORE]);
    let dead: Vec<String> = services.filter(|name| !is_live(&before, name)).map(str::to_owned).collect();
    let mut attempt = Attempt {
        folder,
        compose,
        env_file: checked_env_file()?,
        project,
        clients,
        timeout,
        deadline: begun + timeout,
        progress,
        is_new: false,
        told: None,
    };
    attempt.unpause(&before).await?;

    if dead.is_empty() {
        if let Ok(version) = ready::wait_until_ready(&attempt.clients, Instant::now()).await {
            return finish(folder, state, &attempt.clients, Outcome::AlreadyUp, version, begun).await;
        }
        let version = attempt.wait().await?;
        return finish(folder, state, &attempt.clients, Outcome::BecameReady, version, begun).await;
    }

    check_ports(&state, &dead).await?;
    private::create_folders(folder.path())
        .map_err(|error| Failure::unexpected(format!("{}: {error}", folder.path().display())))?;
    compose::write_set(&folder.compose(), &Layout::of(&state), true)?;
    state.save(folder)?;

    let all_dead = state.nodes.iter().all(|node| dead.contains(&node.name));
    let outcome = if all_dead { Outcome::Started } else { Outcome::Repaired(dead.clone()) };
    progress(&if all_dead { Step::Starting(dead.clone()) } else { Step::Repairing(dead.clone()) });
    // Settings take effect when all nodes are down. A container that was made from another file, and one beside running
    // ones, is started as it is.
    let as_they_are = !all_dead || !before.iter().all(|container| was_made_by(folder, container));
    let volumes = attempt.project.volumes().await?;
    attempt.is_new = !state.provisioned && before.is_empty() && volumes.is_empty();
    if attempt.is_new {
        keys::found(folder)?;
    }
    let provision = may_provision(state.provisioned, &volumes);
    // The time for a download is not the nodes' fault.
    attempt.deadline = Instant::now() + timeout;
    match attempt.bring_up(as_they_are, provision).await {
        Ok(version) => finish(folder, state, &attempt.clients, outcome, version, begun).await,
        // A node with data is catching up. Stopped now, it would start over next time.
        Err(failure) if !attempt.is_new && Instant::now() >= attempt.deadline => Err(failure.hint(RUNS_ON)),
        Err(failure) => {
            attempt.undo(&dead).await?;
            Err(failure)
        }
    }
}

fn is_live(containers: &[Container], service: &str) -> bool {
    containers.iter().any(|container| container.service == service && container.is_live())
}

/// A project's name is the engine's, and two home folders may use the same.
fn refuse_strangers(folder: &Folder, state: &State, project: &Project, found: &[Container]) -> Result<()> {
    let stranger = found.iter().find(|container| !was_made_by(folder, container));
    match stranger {
        Some(stranger) if !state.provisioned => Err(Failure::usage(format!(
            "Docker has containers of the project `{}` already, and cluster `{}` is not recorded here",
            project.name,
            folder.name()
        ))
        .detail(format!("{} was made in {}", stranger.name, stranger.made_in))
        .hint("start this cluster under another name: `--name OTHER --ports auto`")),
        _ => Ok(()),
    }
}

async fn check_ports(state: &State, dead: &[String]) -> Result<()> {
    for node in state.nodes.iter().filter(|node| dead.contains(&node.name)) {
        for (purpose, port) in node.ports.named() {
            if !ports::comes_free(port).await {
                return Err(vacancy::taken(state, &node.name, purpose, port));
            }
        }
    }
    // What cannot be read as a port is compose's to judge.
    let set = || setting("STORE_PORT").map_or(Some(compose::DEFAULT_STORE_PORT), |port| port.parse().ok());
    let Some(store) = state.store_port.or_else(set) else { return Ok(()) };
    if dead.iter().any(|name| name == STORE) && !ports::comes_free(store).await {
        let failure = vacancy::taken(state, STORE, "snapshots", store);
        return Err(if state.store_port.is_none() {
            failure.hint("or give the store another port: STORE_PORT in the environment or in ./.env")
        } else {
            failure
        });
    }
    Ok(())
}

/// One try to bring the cluster up.
struct Attempt<'a> {
    folder: &'a Folder,
    compose: Compose,
    /// Settings of compose in a file.
    env_file: Option<PathBuf>,
    project: Project,
    clients: Vec<Clients>,
    timeout: Duration,
    deadline: Instant,
    progress: Progress<'a>,
    /// Nothing was there before, so a failure leaves nothing.
    is_new: bool,
    /// What was said last of the containers' health.
    told: Option<Step>,
}

impl Attempt<'_> {
    async fn unpause(&self, containers: &[Container]) -> Result<()> {
        for paused in containers.iter().filter(|container| container.status == "paused") {
            docker(&["unpause", &paused.id]).await?;
        }
        Ok(())
    }

    async fn bring_up(&mut self, as_they_are: bool, provision: bool) -> Result<String> {
        let file = self.folder.compose().join(compose::FILE);
        let project = self.project.name.clone();
        let mut args = vec!["-p", &project, "-f", as_argument(&file)?];
        // Without one of ours compose reads `.env` in the current folder itself.
        let env_file = self.env_file.clone().unwrap_or_else(|| "/dev/null".into());
        args.extend(["--env-file", as_argument(&env_file)?]);
        args.extend(["up", "-d"]);
        if as_they_are {
            args.push("--no-recreate");
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        // One in the environment is compose's to find.
        let secret = keys::text(self.folder)?.filter(|_| std::env::var_os(SECRET_VARIABLE).is_none());
        let mut settings: Vec<(&str, &str)> = Vec::new();
        if !provision {
            settings.push(("AUTO_PROVISION", "false"));
        }
        if let Some(secret) = &secret {
            settings.push((SECRET_VARIABLE, secret));
        }
        let up = self.compose.run(&args, &settings, left);
        tokio::select! {
            up = up => match up {
                Ok(_) => {}
                Err(_) if Instant::now() >= self.deadline => {
                    let seconds = self.timeout.as_secs();
                    let failure = Failure::unreachable(format!("the containers are not up after {seconds} s"));
                    return Err(self.explain(with_patience(failure), None).await);
                }
                Err(failure) => return Err(self.explain(failure, None).await),
            },
            never = self.tell_of_health() => match never {},
        }
        self.wait().await
    }

    /// Waits until every container is healthy and every node serves; the server's version.
    async fn wait(&mut self) -> Result<String> {
        (self.progress)(&Step::WaitingUntilReady);
        let (clients, deadline) = (self.clients.clone(), self.deadline);
        let serving = async { Ok::<_, Failure>(leaders::wait_until_settled(&clients, deadline).await) };
        match tokio::try_join!(serving, self.watch())?.0 {
            Ok(version) => Ok(version),
            Err(nodes) => Err(self.not_ready(&nodes).await),
        }
    }

    /// Waits until all are healthy, or one has failed.
    async fn watch(&mut self) -> Result<()> {
        loop {
            let containers = self.containers().await?;
            self.tell(&containers);
            if let Some(failed) = containers.iter().find(|container| has_failed(container)) {
                let failure = Failure::unreachable(format!("{} failed while starting", failed.service));
                return Err(self.explain(failure, Some(&failed.service)).await);
            }
            let Some(waiting) = containers.iter().find(|container| !container.is_healthy()) else {
                return Ok(());
            };
            if Instant::now() >= self.deadline {
                let seconds = self.timeout.as_secs();
                let failure =
                    Failure::unreachable(format!("{} is not healthy after {seconds} s", waiting.service));
                return Err(self.explain(with_patience(failure), Some(&waiting.service)).await);
            }
            sleep(POLL).await;
        }
    }

    /// Nodes and store. Profiles have their own pace.
    async fn containers(&self) -> Result<Vec<Container>> {
        let mut containers = self.project.containers().await?;
        containers.retain(|container| container.is_node() || container.service == STORE);
        // While compose makes one anew, there are two.
        containers.dedup_by(|one, other| one.service == other.service);
        Ok(containers)
    }

    async fn tell_of_health(&mut self) -> Infallible {
        loop {
            if let Ok(containers) = self.containers().await {
                self.tell(&containers);
            }
            sleep(POLL).await;
        }
    }

    /// Tells how many containers are healthy, when that changes.
    fn tell(&mut self, containers: &[Container]) {
        let healthy = |name: &str| containers.iter().any(|c| c.service == name && c.is_healthy());
        let expected = self.clients.iter().map(|node| node.name.as_str()).chain([STORE]);
        let waiting: Vec<String> = expected.filter(|name| !healthy(name)).map(str::to_owned).collect();
        let of = self.clients.len() + 1;
        let step = Step::Healthy { healthy: of - waiting.len(), of, waiting };
        if self.told.as_ref() != Some(&step) {
            (self.progress)(&step);
            self.told = Some(step);
        }
    }

    async fn not_ready(&self, nodes: &[NotReady]) -> Failure {
        let seconds = self.timeout.as_secs();
        let failure = Failure::unreachable(format!("the cluster does not serve after {seconds} s"));
        let failure =
            nodes.iter().fold(failure, |f, node| f.detail(format!("{}: {}", node.node, node.error)));
        self.explain(with_patience(failure), nodes.first().map(|node| node.node.as_str())).await
    }

    /// Adds the state and the last lines of the container that is to blame: `service`, or the first that is not well.
    async fn explain(&self, failure: Failure, service: Option<&str>) -> Failure {
        let Ok(containers) = self.project.containers().await else { return failure };
        let to_blame = |container: &&Container| match service {
            Some(service) => container.service == service,
            None => has_failed(container) || (container.is_live() && !container.is_healthy()),
        };
        let Some(container) = containers.iter().find(to_blame) else { return failure };
        let Container { service, name, .. } = container;
        let restarted = match container.restarts {
            0 => String::new(),
            times => format!(", restarted {}", crate::text::count(times, "time")),
        };
        let state = container.state();
        let failure = failure.detail(format!("{service} (container {name}): {state}{restarted}"));
        let lines = tail(&container.id).await;
        let hints = logs::hints(self.folder, service, &lines);
        let failure = if lines.is_empty() {
            failure.detail("it said nothing")
        } else {
            let failure = failure.detail(format!("last lines of {name}:"));
            lines.into_iter().fold(failure, |failure, line| failure.detail(format!("  {line}")))
        };
        let failure = hints.into_iter().fold(failure, Failure::hint);
        // Those of a cluster that never was are removed.
        if self.is_new {
            return failure;
        }
        failure.hint(format!("the whole log: `{}`", self.folder.command(&format!("logs {service}"))))
    }

    /// Stops what this attempt started; of a cluster that nobody ever saw serve, nothing is left.
    async fn undo(&self, started: &[String]) -> Result<()> {
        (self.progress)(&Step::Stopping(started.to_vec()));
        if self.is_new {
            return down(self.compose, &self.project, &self.folder.compose().join(compose::FILE)).await;
        }
        let containers = self.project.containers().await?;
        let ours = containers.iter().filter(|container| started.contains(&container.service));
        let ids: Vec<&str> = ours.map(|container| container.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let args: Vec<&str> = ["stop", "-t", UNDO_WAIT].into_iter().chain(ids).collect();
        call("docker", &args, ASK * 4).await.map(|_| ())
    }
}

/// Whether node 1 may found the cluster. Once it served, only where no node has data any more: a node 1 that lost its
/// volume must join the others again.
fn may_provision(provisioned: bool, volumes: &[String]) -> bool {
    !provisioned || !volumes.iter().any(|volume| volume.contains("_restate-"))
}

fn with_patience(failure: Failure) -> Failure {
    failure.hint("a busy machine may need more time: `--timeout SECS`")
}

fn has_failed(container: &Container) -> bool {
    matches!(container.status.as_str(), "exited" | "dead") || container.restarts >= RESTARTS_MAX
}

/// What a container said last, on both of its streams.
async fn tail(id: &str) -> Vec<String> {
    let script = "exec docker logs --tail \"$1\" \"$2\" 2>&1";
    let said = call("sh", &["-c", script, "sh", LOG_LINES_SHOWN, id], ASK).await.unwrap_or_default();
    said.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::project::tests::container;
    use super::*;

    #[test]
    fn node_1_founds_a_cluster_only_where_there_is_none() {
        let volumes =
            |names: &[&str]| names.iter().map(|name| format!("classify_{name}")).collect::<Vec<_>>();
        assert!(may_provision(false, &[]), "first start");
        assert!(may_provision(false, &volumes(&["restate-1", "store"])), "first start cut short");
        assert!(may_provision(true, &volumes(&["store"])), "all data removed by hand");
        assert!(!may_provision(true, &volumes(&["restate-1", "restate-2"])), "ordinary restart");
        assert!(!may_provision(true, &volumes(&["restate-2"])), "node 1 lost its data");
    }

    #[test]
    fn a_container_that_ends_or_ends_again_and_again_has_failed() {
        let restarting = |restarts| Container { restarts, ..container("restate-1", "restarting", None) };
        assert!(has_failed(&container("restate-1", "exited", None)));
        assert!(has_failed(&restarting(RESTARTS_MAX)));
        assert!(!has_failed(&restarting(1)));
        assert!(!has_failed(&Container { restarts: 0, ..container("restate-1", "created", None) }));
    }

    #[test]
    fn containers_of_another_folder_are_not_taken_over() {
        let folder = Folder::new(Path::new("/h"), "x").unwrap();
        let mut state = State::new(&folder, ports::PortChoice::Default, Vec::new());
        let project = Project::of(&state);
        let ours = folder.compose().to_str().unwrap().to_owned();
        let mut found = [container("restate-1", "running", None)];
        let refused = refuse_strangers(&folder, &state, &project, &found).unwrap_err();
        assert!(refused.details()[0].contains("was made in /home/me/repo"), "{refused:?}");
        state.provisioned = true;
        assert!(refuse_strangers(&folder, &state, &project, &found).is_ok(), "those were recorded");
        state.provisioned = false;
        found[0].made_in = ours;
        assert!(refuse_strangers(&folder, &state, &project, &found).is_ok());
    }
}
