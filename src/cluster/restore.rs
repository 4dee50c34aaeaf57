//! Lets a node that lost its data back into its cluster, which must run and keep snapshots.
//!
//! The node begins anew when nothing counts on its copies any more. The order of the steps is what keeps records: `docs/restore.md` says
//! what each is for. All of them can be made again, so a restore that was cut short is done by another one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::docker;
use super::folder::Folder;
use super::lock;
use super::restatectl::{Restatectl, Unanswered};
use super::state::{Origin, Runtime, State};
use super::step::{Progress, Step};
use crate::error::{Failure, Result};
use crate::text;

/// For a question, and for a step that changes something: snapshots of all partitions go to a store.
const ASK: Duration = Duration::from_secs(15);
const CHANGE: Duration = Duration::from_mins(3);
/// How long another command on the cluster is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Some logs drop what is in snapshots with the second one only.
const ROUNDS: usize = 10;
/// How long after snapshots it is looked whether logs have dropped what is in them, and how often.
const SETTLE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(500);
const LINES_SHOWN: usize = 8;

/// What the cluster notes of a node that lost its data, and of one that may begin.
const LOST: &str = "data-loss";
const PROVISIONING: &str = "provisioning";

/// A node that lost its data, and the way to ask the others.
#[derive(Debug)]
pub struct Lost {
    /// Its name.
    pub node: String,
    /// It may begin anew by what the cluster notes already: an earlier restore was cut short.
    pub is_begun: bool,
    number: usize,
    /// The last of the partitions, which are counted from 0.
    last_partition: u64,
    others: Others,
}

/// The nodes that are left.
#[derive(Debug)]
struct Others {
    restatectl: Restatectl,
    urls: Vec<String>,
}

/// What the cluster notes of a node as a keeper of logs.
#[derive(Debug, PartialEq, Eq)]
struct Storage {
    state: String,
    /// Logs that count on it.
    logs: u64,
}

impl Lost {
    /// Finds out whether `which`, a node's name or number, lost its data. Changes nothing.
    ///
    /// # Errors
    /// When it did not, the others cannot be asked, or there is no way back.
    pub async fn find(folder: &Folder, which: &str) -> Result<Self> {
        let state = State::require(folder)?;
        let (number, node) = number(&state, which)?;
        let others = Others::of(folder, &state, &node).await?;
        let again = folder.command("status");
        let untouched =
            |failure: Failure| failure.hint(format!("nothing was changed; how the nodes are: `{again}`"));
        let storage = others.storage(number).await.map_err(untouched)?;
        let Some(storage) = storage else {
            return Err(Failure::usage(format!("the cluster `{}` knows no {node}", folder.name()))
                .hint(format!("start it: `{}`", folder.command("start"))));
        };
        if ![LOST, PROVISIONING].contains(&storage.state.as_str()) {
            let state = text::printable(&storage.state);
            return Err(Failure::usage(format!("{node} has storage state {state}, not {LOST}"))
                .detail(
                    "nothing was changed: a node notes that it lost its data when it is started without them",
                )
                .hint(format!("if it did, start it once: `{}`", folder.command("start"))));
        }
        let last_partition = others.last_partition().await.map_err(untouched)?;
        Ok(Self { node, is_begun: storage.state == PROVISIONING, number, last_partition, others })
    }

    /// Lets the node begin anew. It has to be started afterwards.
    ///
    /// # Errors
    /// When a step fails; the node then waits for another try.
    pub async fn restore(&self, folder: &Folder, progress: Progress<'_>) -> Result<()> {
        let _lock = lock::take(&folder.lock_file(), LOCK_WAIT, progress).await?;
        let again = folder.command(&format!("restore {}", self.node));
        self.steps(progress).await.map_err(|failure| {
            failure.hint(format!("{} is not let in yet, and can wait: try again with `{again}`", self.node))
        })
    }

    async fn steps(&self, progress: Progress<'_>) -> Result<()> {
        let (others, number) = (&self.others, self.number.to_string());
        if !self.is_begun {
            // Closes the segments that count on the node. The new ones are on the others.
            let all = format!("0-{}", self.last_partition);
            let segments = ["logs", "reconfigure", "--log-id", &all, "--yes"];
            others.change("give the logs new segments", &segments).await?;
            progress(&Step::NewSegments { node: self.node.clone() });
            self.drop_segments(progress).await?;
            // Safe now, which `restatectl` cannot know. Before, the node would say of records it lost that they never were.
            let begin = ["nodes", "set-storage-state", "--nodes", &number, "--storage-state", PROVISIONING];
            others.change("let the node begin anew", &[&begin[..], &["--force", "--yes"]].concat()).await?;
        }
        // Its place among the metadata servers was its old storage's; it joins again by itself.
        let leave = ["metadata-server", "remove-node", &number, "--yes"];
        others.change("take the node's old place among the metadata servers away", &leave).await
    }

    /// Until what the closed segments hold is in snapshots, and no log counts on the node any more.
    async fn drop_segments(&self, progress: Progress<'_>) -> Result<()> {
        let mut left = self.left().await?;
        for _ in 0..ROUNDS {
            progress(&Step::Snapshots { node: self.node.clone(), left });
            if left == 0 {
                return Ok(());
            }
            let snapshots = ["snapshots", "create", "--trim-log", "--yes"];
            self.others.change("make snapshots of the partitions", &snapshots).await?;
            let deadline = Instant::now() + SETTLE;
            loop {
                left = self.left().await?;
                if left == 0 || Instant::now() >= deadline {
                    break;
                }
                sleep(POLL).await;
            }
        }
        if left == 0 {
            return Ok(());
        }
        let logs = text::count(left, "log");
        Err(Failure::unreachable(format!("{logs} still count on {} after {ROUNDS} snapshots", self.node)))
    }

    /// Logs that count on the node, which must still be one without data.
    async fn left(&self) -> Result<u64> {
        match self.others.storage(self.number).await? {
            Some(storage) if storage.state == LOST => Ok(storage.logs),
            now => {
                let now = now.map_or_else(|| "none".to_owned(), |storage| text::printable(&storage.state));
                let message = format!("{} has storage state {now} meanwhile, not {LOST}", self.node);
                Err(Failure::unreachable(message))
            }
        }
    }
}

/// A node by its name or number.
fn number(state: &State, which: &str) -> Result<(usize, String)> {
    let is_meant = |name: &str| name == which || name.strip_prefix("restate-") == Some(which);
    let found = state.nodes.iter().position(|node| is_meant(&node.name));
    found.map(|index| (index + 1, state.nodes[index].name.clone())).ok_or_else(|| {
        let known: Vec<&str> = state.nodes.iter().map(|node| node.name.as_str()).collect();
        Failure::usage(format!("cluster `{}` has no node `{}`", state.name, text::printable(which)))
            .hint(format!("it has {}", known.join(", ")))
    })
}

impl Others {
    /// All but `node`.
    async fn of(folder: &Folder, state: &State, node: &str) -> Result<Self> {
        let (restatectl, urls) = match state.runtime {
            Runtime::Native => {
                if state.snapshots.is_none() {
                    return Err(no_snapshots(folder));
                }
                let path = std::env::var_os("PATH").unwrap_or_default();
                let found = Restatectl::find(state.server.as_deref(), state.restatectl.as_deref(), &path);
                let urls = state.nodes.iter().map(|node| state.fabric(node).for_restate()).collect();
                (found.map_err(Failure::usage)?, urls)
            }
            Runtime::Docker => {
                let asked = docker::beside(state, node).await?;
                let (_, restatectl) = asked.ok_or_else(|| no_snapshots(folder))?;
                (restatectl, docker::inside(state))
            }
        };
        let urls: Vec<String> = urls;
        let left = state.nodes.iter().zip(urls).filter(|(other, _)| other.name != node);
        let urls: Vec<String> = left.map(|(_, url)| url).collect();
        if urls.is_empty() {
            return Err(Failure::usage(format!("{node} is the only node: there is none to restore it from")));
        }
        Ok(Self { restatectl, urls })
    }

    async fn ask(&self, what: &str, args: &[&str], timeout: Duration) -> Result<String> {
        let told = self.restatectl.run(&self.urls, args, timeout).await;
        let told = told.map_err(|Unanswered { why, said }| {
            let failure = Failure::unreachable(format!("cannot {what}: {why}"));
            let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            let shown = lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN));
            shown.fold(failure, |failure, line| failure.detail(text::printable(line)))
        })?;
        Ok(String::from_utf8_lossy(&told).into_owned())
    }

    async fn change(&self, what: &str, args: &[&str]) -> Result<()> {
        self.ask(what, args, CHANGE).await.map(drop)
    }

    /// What the cluster notes of this node; `None` where it does not know it.
    async fn storage(&self, number: usize) -> Result<Option<Storage>> {
        let what = "ask the other nodes about it";
        let told = self.ask(what, &["replicated-loglet", "servers"], ASK).await?;
        storage(&told, number).map_err(|line| {
            Failure::unexpected(format!("cannot {what}: an unexpected answer")).detail(text::printable(line))
        })
    }

    async fn last_partition(&self) -> Result<u64> {
        #[derive(serde::Deserialize)]
        struct Row {
            last: Option<u64>,
        }
        let what = "ask the other nodes for the partitions";
        let query = "select max(partition_id) as last from partition_state";
        let told = self.ask(what, &["sql", "--jsonl", query], ASK).await?;
        let row = told.lines().find_map(|line| serde_json::from_str::<Row>(line).ok());
        row.and_then(|row| row.last).ok_or_else(|| {
            Failure::unreachable(format!("cannot {what}: they do not tell them"))
                .detail(text::printable(&told))
        })
    }
}

/// Reads the table of `restatectl replicated-loglet servers`: name, generation, state, and in how many logs the node may be read and
/// written. `None` where the node is not in it; the error is a line of another form.
fn storage(table: &str, number: usize) -> std::result::Result<Option<Storage>, &str> {
    let name = format!("N{number}");
    let Some(line) = table.lines().find(|line| line.split_whitespace().next() == Some(&name)) else {
        return Ok(None);
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let count = |at: usize| words.get(at)?.parse::<u64>().ok();
    let logs = count(3).zip(count(4)).and_then(|(read, written)| read.checked_add(written));
    match (words.get(2), logs) {
        (Some(state), Some(logs)) => Ok(Some(Storage { state: (*state).to_owned(), logs })),
        _ => Err(line),
    }
}

fn no_snapshots(folder: &Folder) -> Failure {
    Failure::usage(format!("no other node of the cluster `{}` runs that keeps snapshots", folder.name()))
        .detail("without snapshots the logs go on counting on the node's copies, and it cannot begin anew")
        .hint(format!("how the nodes are: `{}`", folder.command("status")))
        .hint(format!(
            "or go on with the others, and when nothing runs begin anew: `{}`",
            folder.command("clean")
        ))
}

/// What starts the node when it may begin anew.
///
/// # Errors
/// When the cluster is gone.
pub fn next(folder: &Folder, node: &str) -> Result<String> {
    let state = State::require(folder)?;
    let found = state.project.filter(|project| project.origin == Origin::Found);
    Ok(found.map_or_else(
        || folder.command("start"),
        |project| format!("docker compose -p {} restart {node}", project.name),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_another_one_is_not_guessed_at() {
        let table = " Node configuration v9\n\n NODE  GEN    STORAGE-STATE  HISTORICAL LOGLETS  ACTIVE LOGLETS\n \
                     N1    N1:4   read-write     6   6\n N2    N2:1   data-loss      4   2\n";
        let told = |state: &str, logs| Ok(Some(Storage { state: state.to_owned(), logs }));
        assert_eq!(storage(table, 2), told("data-loss", 6));
        assert_eq!(storage(table, 1), told("read-write", 12));
        assert_eq!(storage(table, 3), Ok(None));
        for other in ["N2 N2:1 data-loss", "N2 N2:1 data-loss x 2", "N2"] {
            assert_eq!(storage(other, 2), Err(other));
        }
    }
}
