//! The counts that were accepted, in a file beside this one.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Where they are.
pub(crate) const FILE: &str = "benches/instructions/baseline.toml";
const HEADER: &str = "\
# Instructions per 1,000 indicators, and per start of the program. Written by `cargo bench --bench instructions -- --accept`;
# compared by `cargo bench --bench instructions`, which fails on a rise of 2 % and a fall of 5 %.
";

/// Accepted counts, and what they were made with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    pub(crate) toolchain: Toolchain,
    pub(crate) instructions: BTreeMap<String, u64>,
}

/// What moves the counts although the source stays as it is.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Toolchain {
    rustc: String,
    valgrind: String,
}

impl Baseline {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}"));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{FILE}: {error}"))
    }

    pub(crate) fn write(&self) {
        let text = format!("{HEADER}{}", toml::to_string(self).unwrap());
        std::fs::write(FILE, text).unwrap_or_else(|error| panic!("{FILE}: {error}"));
    }
}

impl Toolchain {
    pub(crate) fn here() -> Self {
        Self { rustc: version("rustc"), valgrind: version("valgrind") }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.rustc, self.valgrind)
    }
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output().unwrap_or_else(|e| panic!("{program}: {e}"));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
