//! Calls of `docker` and of compose: which of them this machine has, how long each may take, what a failed one said.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::cluster::compose;
use crate::cluster::environment::{self, Needs};
use crate::cluster::step::{Progress, Step};
use crate::error::{Failure, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// An engine on this machine answers in milliseconds; one that creates containers at the same time takes longer.
pub(super) const ASK: Duration = Duration::from_secs(15);
/// An engine that does not answer this quickly is taken for absent.
pub(super) const DETECT: Duration = Duration::from_secs(5);
/// A few hundred megabytes over a slow line.
const PULL: Duration = Duration::from_mins(15);
const LINES_SHOWN: usize = 8;

/// The command that reads compose files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum Compose {
    /// `docker compose`, a plugin.
    V2,
    /// `docker-compose`, a program of its own.
    V1,
}

impl Compose {
    /// Program and first argument.
    fn command(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::V2 => ("docker", Some("compose")),
            Self::V1 => ("docker-compose", None),
        }
    }

    /// Asks it for its version, for which it reads no file and needs no variable that one names.
    async fn version(self) -> Result<String> {
        let (program, first) = self.command();
        let args: Vec<&str> = first.into_iter().chain(["version", "--short"]).collect();
        call(program, &args, DETECT).await
    }

    /// Runs it with these arguments and, above the environment, these settings.
    pub(super) async fn run(
        self,
        args: &[&str],
        settings: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<String> {
        let (program, first) = self.command();
        let args: Vec<&str> = first.into_iter().chain(args.iter().copied()).collect();
        call_with(program, Needs::Compose, &args, settings, timeout).await
    }
}

/// Finds out whether there is an engine that answers, and compose with it.
pub(in crate::cluster) async fn detect() -> Result<Compose> {
    let (engine, v2, here) = tokio::join!(
        call("docker", &["version", "--format", "{{json .Server.Version}}"], DETECT),
        Compose::V2.version(),
        is_here(),
    );
    let hint = "`--runtime native` runs the same nodes as processes, without Docker";
    here.map_err(|failure| failure.hint(hint))?;
    engine.map_err(|failure| failure.hint("is the Docker Engine running, and may you use it?").hint(hint))?;
    if v2.is_ok() {
        return Ok(Compose::V2);
    }
    match Compose::V1.version().await {
        Ok(_) => Ok(Compose::V1),
        Err(_) => Err(Failure::usage("there is a Docker Engine, and no compose")
            .detail("neither `docker compose version` nor `docker-compose version` works")
            .hint("install Docker's compose plugin (package docker-compose-plugin or docker-compose-v2)")
            .hint(hint)),
    }
}

/// Refuses an engine on another machine: it publishes ports there, and mounts files of its own disk.
pub(super) async fn is_here() -> Result<()> {
    let args = ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"];
    // What has no contexts has no engine elsewhere but by DOCKER_HOST, and says by itself what is wrong with that.
    let Ok(endpoint) = call("docker", &args, DETECT).await else { return Ok(()) };
    let endpoint = endpoint.trim();
    if is_local(endpoint) {
        return Ok(());
    }
    Err(Failure::usage(format!("docker's engine is on another machine: {}", crate::text::printable(endpoint)))
        .detail("its ports are published there, and the files that nodes read would have to be there")
        .hint("use the engine of this machine: unset DOCKER_HOST and DOCKER_CONTEXT, or `docker context use default`"))
}

fn is_local(endpoint: &str) -> bool {
    match endpoint.split_once("://") {
        Some(("tcp" | "http" | "https", address)) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            host == "localhost" || host == "[::1]" || host.starts_with("127.")
        }
        Some(("ssh", _)) => false,
        // Sockets, pipes, and what is not known.
        _ => true,
    }
}

/// Makes the images be there that every cluster needs.
pub(in crate::cluster) async fn have_images(progress: Progress<'_>) -> Result<()> {
    for image in compose::images() {
        if docker(&["image", "inspect", "--format", "{{json .Id}}", image]).await.is_ok() {
            continue;
        }
        progress(&Step::Pulling { image: image.to_owned() });
        call("docker", &["pull", "--quiet", image], PULL).await.map_err(|failure| {
            let failure = failure.hint("is its registry reachable?");
            failure.hint("`--runtime native` runs the same nodes as processes, without images")
        })?;
    }
    Ok(())
}

/// Calls `docker` with these arguments; what it wrote to standard output.
pub(super) async fn docker(args: &[&str]) -> Result<String> {
    call("docker", args, ASK).await
}

/// Calls a program; what it wrote to standard output.
pub(super) async fn call(program: &str, args: &[&str], timeout: Duration) -> Result<String> {
    call_with(program, Needs::Docker, args, &[], timeout).await
}

async fn call_with(
    program: &str,
    needs: Needs,
    args: &[&str],
    settings: &[(&str, &str)],
    timeout: Duration,
) -> Result<String> {
    let line = format!("`{program} {}`", args.join(" "));
    let mut command = environment::command(program, needs);
    // Ctrl-C is for us: who is waiting here decides what comes of it.
    command.args(args).envs(settings.iter().copied()).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::usage(format!("there is no `{program}` on PATH")),
        _ => Failure::unexpected(format!("cannot run {line}: {error}")),
    })?;
    let mut group = Group(child.id());
    let output = match tokio::time::timeout(timeout, child.wait_with_output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(Failure::unexpected(format!("cannot run {line}: {error}"))),
        Err(_) => {
            let seconds = timeout.as_secs();
            return Err(Failure::unreachable(format!("{line} did not end within {seconds} s")));
        }
    };
    group.0 = None;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(last_words(Failure::unreachable(format!("{line} failed ({})", output.status)), &said))
}

/// A call that is given up takes along what it started: compose is a child of `docker`, and would go on.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            let _gone = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}

fn last_words(failure: Failure, said: &str) -> Failure {
    let lines: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(LINES_SHOWN))
        .fold(failure, |failure, line| failure.detail(*line))
}

/// A path as an argument.
pub(super) fn as_argument(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Failure::usage(format!("{}: the path is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::process::find;
    use crate::cluster::process::tests::sleeping;

    #[tokio::test]
    async fn a_failed_call_names_the_command_and_its_last_words() {
        let failed =
            call("sh", &["-c", "echo a; echo first >&2; echo last >&2; exit 3"], ASK).await.unwrap_err();
        assert!(failed.message().starts_with("`sh -c echo a;"), "{failed}");
        assert!(failed.message().ends_with("failed (exit status: 3)"), "{failed}");
        assert_eq!(failed.details(), ["first", "last"]);
        let absent = call("no-such-program", &[], ASK).await.unwrap_err();
        assert_eq!(absent.message(), "there is no `no-such-program` on PATH");
    }

    #[test]
    fn an_engine_on_another_machine_is_none_of_ours() {
        let here = [
            "unix:///var/run/docker.sock",
            "npipe:////./pipe/docker_engine",
            "tcp://127.0.0.1:2375",
            "tcp://[::1]:2375",
            "",
        ];
        assert!(here.iter().all(|endpoint| is_local(endpoint)));
        let elsewhere =
            ["ssh://me@build-host", "tcp://10.0.0.7:2376", "tcp://build-host:2376", "https://build-host"];
        assert!(!elsewhere.iter().any(|endpoint| is_local(endpoint)));
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_given_up() {
        let late = call("sh", &["-c", "sleep 61.375 & wait"], Duration::from_millis(500)).await.unwrap_err();
        assert!(late.message().ends_with("did not end within 0 s"), "{late}");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while find(&["61.375".to_owned()], &sleeping(std::path::Path::new("/"))).is_some() {
            assert!(tokio::time::Instant::now() < deadline, "what it started goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
