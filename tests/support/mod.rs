//! One run of the real binary in a folder of its own, and what must hold of it.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Nobody listens there: a run that gets past its input ends with exit code 4.
pub(crate) const NO_NODE: [&str; 2] = ["--ingress", "http://127.0.0.1:1"];

/// A folder with files, in which commands run and in which `CLASSIFY_HOME` is.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with one good table, `a.csv`.
    pub(crate) fn with_table() -> Self {
        Self::new().file("a.csv", "id,name\na,One\n")
    }

    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Names of all files but local state, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "home");
        names.sort();
        names
    }

    /// `classify ARGS`, without a terminal, settings of the machine or standard input.
    pub(crate) fn classify(&self, args: &[&str]) -> Ran {
        self.classify_with(&[], args)
    }

    /// The same with these variables in its environment.
    pub(crate) fn classify_with(&self, environment: &[(&str, &str)], args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_classify"));
        let ours = |name: &str| name.starts_with("CLASSIFY_") || name.ends_with("_API_KEY");
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        for name in ["RESTATE_SERVER", "RUST_LOG"] {
            command.env_remove(name);
        }
        // Not the containers that the developer may be running.
        command.args(args).current_dir(self.0.path()).env("CLASSIFY_RUNTIME", "native");
        command.env("CLASSIFY_HOME", self.path("home"));
        command.env("XDG_CONFIG_HOME", self.path("home")).envs(environment.iter().copied());
        let output = command.stdin(Stdio::null()).output().unwrap();
        Ran { command: format!("classify {}", args.join(" ")), ..Ran::from(output) }
    }
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            command: String::new(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ran {
    /// Failed with this code, and kept stdout clean.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32) -> &Self {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:#?}");
        self
    }

    /// Said exactly this on stderr.
    #[track_caller]
    pub(crate) fn said(&self, lines: &[&str]) -> &Self {
        assert_eq!(self.stderr.lines().collect::<Vec<_>>(), lines, "{}", self.command);
        self
    }

    /// Said this among other things on stderr.
    #[track_caller]
    pub(crate) fn mentioned(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in {self:#?}");
        }
        self
    }
}
