//! What containers said, and what comes after.

use std::convert::Infallible;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::engine::call;
use super::project::Project;
use crate::cluster::environment::{self, Needs};
use crate::cluster::state::State;
use crate::error::{Failure, Result};

/// A long log is read from its beginning for its end.
const TAIL: Duration = Duration::from_mins(1);
/// How long until a container that ended is looked at again.
const PAUSE: Duration = Duration::from_secs(1);
/// Both streams in the order in which they were written.
const SCRIPT: &str = "exec docker logs \"$@\" 2>&1";

/// A container with the name to show for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerLog {
    /// `restate-1`, `store` and so on.
    pub name: String,
    /// Docker's name of it, which stays when it is made anew.
    container: String,
}

/// The containers meant by `which`: a node's name or number, another service's name, or all of them. Empty when
/// there is none of that name.
///
/// # Errors
/// When Docker does not answer.
pub async fn logs(state: &State, which: Option<&str>) -> Result<Vec<ContainerLog>> {
    let containers = Project::of(state).containers().await?;
    let is_meant = |service: &str| {
        which.is_none_or(|which| which == service || service.strip_prefix("restate-") == Some(which))
    };
    let meant = containers.into_iter().filter(|container| is_meant(&container.service));
    Ok(meant.map(|container| ContainerLog { name: container.service, container: container.name }).collect())
}

impl ContainerLog {
    /// The last `count` lines.
    ///
    /// # Errors
    /// When Docker does not tell them.
    pub async fn tail(&self, count: usize) -> Result<Vec<String>> {
        let count = count.to_string();
        let said = call("sh", &["-c", SCRIPT, "sh", "--tail", &count, &self.container], TAIL).await?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// Sends the last `count` lines and all that follow, each with the name, over stops and starts of the container.
    ///
    /// # Errors
    /// When Docker does not tell them (any more).
    pub async fn follow(&self, count: usize, send: Sender<(String, String)>) -> Result<Infallible> {
        let failed = |what: &str| Failure::unexpected(format!("`docker logs {}`: {what}", self.container));
        let mut from = ["--tail".to_owned(), count.to_string()];
        loop {
            let mut child = environment::command("sh", Needs::Docker)
                .args(["-c", SCRIPT, "sh", "--follow"])
                .args(&from)
                .arg(&self.container)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                // Ctrl-C is for us.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| failed(&error.to_string()))?;
            let mut last = None;
            if let Some(stdout) = child.stdout.take() {
                let mut lines = BufReader::new(stdout).split(b'\n');
                while let Some(line) =
                    lines.next_segment().await.map_err(|error| failed(&error.to_string()))?
                {
                    let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    last = Some(line.clone());
                    if send.send((self.name.clone(), line)).await.is_err() {
                        return Err(failed("nobody reads it"));
                    }
                }
            }
            let status = child.wait().await.map_err(|error| failed(&error.to_string()))?;
            if !status.success() {
                return Err(failed(&last.unwrap_or_else(|| status.to_string())));
            }
            from = ["--since".to_owned(), Timestamp::now().to_string()];
            sleep(PAUSE).await;
        }
    }
}
