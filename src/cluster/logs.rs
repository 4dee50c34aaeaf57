//! The last lines of a log, and what comes after them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::folder::Folder;
use super::state::State;
use crate::error::{Failure, Result};

const BLOCK: u64 = 64 * 1024;
/// A line that long is no log line; reading back further would read the file.
const TAIL_MAX: u64 = 16 * 1024 * 1024;
const LINES_QUOTED: usize = 15;
const LINES_ABOUT_ENDING: usize = 100;
/// What a node says of troubles that its user must end.
const DATA_LOSS: &str = "`data-loss`";
const SNAPSHOT_ERROR: &str = "snapshot-related error";
/// The log of a service that was started as part of the cluster.
pub const SERVICE: &str = "service";

/// A log with the name to show for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `restate-1` and so on, or `service`.
    pub name: String,
    /// The file. It may not exist yet.
    pub path: PathBuf,
}

/// The logs meant by `which`: a node's name or number, `service`, or all of them.
///
/// # Errors
/// When the cluster has no such node.
pub fn select(folder: &Folder, state: &State, which: Option<&str>) -> Result<Vec<Log>> {
    let log = |name: &str| Log { name: name.to_owned(), path: folder.log(name) };
    let Some(which) = which else {
        let mut logs: Vec<Log> = state.nodes.iter().map(|node| log(&node.name)).collect();
        logs.extend(Some(log(SERVICE)).filter(|service| service.path.exists()));
        return Ok(logs);
    };
    if which == SERVICE {
        return Ok(vec![log(SERVICE)]);
    }
    if let Some(node) = state
        .nodes
        .iter()
        .find(|node| node.name == which || node.name.strip_prefix("restate-") == Some(which))
    {
        return Ok(vec![log(&node.name)]);
    }
    let known: Vec<&str> = state.nodes.iter().map(|node| node.name.as_str()).collect();
    Err(Failure::usage(format!("cluster `{}` has no node `{which}`", state.name))
        .hint(format!("it has {}, and {SERVICE}", known.join(", "))))
}

/// The last `count` lines of a file; none where there is no file.
///
/// # Errors
/// When the file cannot be read.
pub fn tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    match File::open(path) {
        Ok(mut file) => Ok(tail_of(&mut file, count)?.0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Adds what a process of the cluster said last.
pub(super) fn quote(folder: &Folder, process: &str, failure: Failure) -> Failure {
    let path = folder.log(process);
    let lines = tail(&path, LINES_QUOTED).unwrap_or_default();
    let failure = if lines.is_empty() {
        failure.detail("it said nothing")
    } else {
        lines
            .into_iter()
            .fold(failure.detail(format!("last lines of {}:", path.display())), |failure, line| {
                failure.detail(format!("  {line}"))
            })
    };
    // What a node says of its end is followed by more lines about ending.
    let said = tail(&path, LINES_ABOUT_ENDING).unwrap_or_default();
    let failure = hints(folder, process, &said).into_iter().fold(failure, Failure::hint);
    failure.hint(format!("the whole log: `{}`", folder.command(&format!("logs {process}"))))
}

/// How troubles end that the node tells of in these lines.
pub(super) fn hints(folder: &Folder, node: &str, said: &[impl AsRef<str>]) -> Vec<String> {
    let tells = |words: &str| said.iter().any(|line| line.as_ref().contains(words));
    let mut hints = Vec::new();
    if tells(DATA_LOSS) {
        hints.push(format!(
            "the node lost its data; the others let it back in where they keep snapshots: `{}`",
            folder.command(&format!("restore {node}"))
        ));
    }
    if tells(SNAPSHOT_ERROR) {
        hints.push(
            "a partition without data first looks for its snapshot: store, bucket and keys must be right"
                .to_owned(),
        );
    }
    hints
}

/// The last lines, and where they end.
fn tail_of(file: &mut (impl Read + Seek), count: usize) -> io::Result<(Vec<String>, u64)> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut start = end;
    let mut text = Vec::new();
    let mut breaks = 0;
    // One line break more than lines: the one before the first, for the last ends in one itself.
    while start > 0 && end - start < TAIL_MAX && breaks <= count {
        let size = BLOCK.min(start);
        start -= size;
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.by_ref().take(size).read_to_end(&mut block)?;
        breaks += block.split(|byte| *byte == b'\n').count() - 1;
        block.extend_from_slice(&text);
        text = block;
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(count));
    Ok((shown.map(|line| (*line).to_owned()).collect(), end))
}

/// Reads a log as it grows.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    position: u64,
    /// A line whose end has not been written yet.
    unfinished: Vec<u8>,
}

impl Follower {
    /// The last `count` lines, and a reader for what comes after.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn begin(path: &Path, count: usize) -> io::Result<(Self, Vec<String>)> {
        let (lines, position) = match File::open(path) {
            Ok(mut file) => tail_of(&mut file, count)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), 0),
            Err(error) => return Err(error),
        };
        Ok((Self { path: path.to_owned(), position, unfinished: Vec::new() }, lines))
    }

    /// The lines completed since the last look.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn more(&mut self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() < self.position {
            // Cleaned and started anew.
            self.position = 0;
            self.unfinished.clear();
        }
        file.seek(SeekFrom::Start(self.position))?;
        let read = file.read_to_end(&mut self.unfinished)?;
        self.position += u64::try_from(read).unwrap_or_default();
        let complete = self.unfinished.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = self.unfinished.split_off(complete);
        let text = std::mem::replace(&mut self.unfinished, rest);
        Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(tail(&path, 3).unwrap(), [""; 0]);
        let text: String = (0..20_000).fold(String::new(), |text, n| text + &format!("line {n}\n"));
        std::fs::write(&path, text).unwrap();
        assert_eq!(tail(&path, 2).unwrap(), ["line 19998", "line 19999"]);
        assert_eq!(tail(&path, 15_000).unwrap().len(), 15_000, "more than one block");
        assert_eq!(tail(&path, 0).unwrap(), [""; 0]);
        std::fs::write(&path, "a\nb").unwrap();
        assert_eq!(tail(&path, 1).unwrap(), ["b"], "a last line need not be finished");
    }

    #[test]
    fn following_gives_whole_lines_and_survives_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut follower, lines) = Follower::begin(&path, 10).unwrap();
        assert_eq!(lines, [""; 0]);
        let mut file = File::create(&path).unwrap();
        write!(file, "one\ntw").unwrap();
        assert_eq!(follower.more().unwrap(), ["one"]);
        writeln!(file, "o").unwrap();
        assert_eq!(follower.more().unwrap(), ["two"]);
        assert_eq!(follower.more().unwrap(), [""; 0]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(follower.more().unwrap(), ["new"]);
    }
}
