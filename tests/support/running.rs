//! A run of the real binary that goes on while a test looks at it, and what it left behind.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A finished run of the binary.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running one.
pub(crate) struct Running {
    pub(crate) child: Child,
    stderr: PathBuf,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// stdout as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

impl Running {
    /// Starts `command`; what it says goes to `stderr`.
    pub(crate) fn begin(mut command: Command, stderr: PathBuf) -> Self {
        let log = fs::File::create(&stderr).expect("a log");
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        Self { child, stderr }
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until stderr has `text`; fails at once if the run ends without it.
    pub(crate) fn wait_said(&mut self, text: &str, patience: Duration) {
        wait_for(&format!("`{text}` on stderr"), patience, || {
            let said = self.said().contains(text);
            let ended = self.has_ended();
            assert!(said || !ended, "ended without saying `{text}`: {}", self.said());
            said
        });
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Ran {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("a piped stdout");
        pipe.read_to_string(&mut stdout).expect("UTF-8");
        let code = self.child.wait().expect("its status").code();
        Ran { code, stdout, stderr: self.said() }
    }
}

impl Drop for Running {
    /// A test that fails in mid-run leaves no process behind.
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Waits for a condition; fails when it does not come true in time.
pub(crate) fn wait_for(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
