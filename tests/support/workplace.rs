//! The folder a test works in: its tables, their results, and the service's own record of what it executed.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::running::wait_for;

pub(crate) struct Workplace {
    home: tempfile::TempDir,
    rows_made: usize,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder"), rows_made: 0 }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a CSV of `count` indicators nobody has seen before; returns its name.
    pub(crate) fn table(&mut self, count: usize) -> String {
        let first = self.rows_made;
        self.rows_made += count;
        let rows = (first..self.rows_made)
            .map(|row| format!("ID{row},\"Exports of goods, series {row}\",USD Million,Monthly\n"));
        let name = format!("table-{first}.csv");
        fs::write(self.path(&name), String::from("id,name,units,periodicity\n") + &rows.collect::<String>())
            .expect("a table");
        name
    }

    /// The rows of a JSON Lines file.
    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect()
    }

    /// Checks that the results at `name` have each of `count` rows once, and nothing else.
    pub(crate) fn expect_each_once(&self, table: &str, results: &str) {
        let asked = fs::read_to_string(self.path(table)).expect("the table");
        let mut asked: Vec<&str> = asked.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        let rows = self.rows(results);
        let mut got: Vec<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
        asked.sort_unstable();
        got.sort_unstable();
        assert_eq!(asked.len(), got.len(), "rows in {results}");
        assert_eq!(asked, got, "ids in {results}");
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.path("audit.jsonl")
    }

    /// Classifications really executed so far, by the service's own record: id and time.
    pub(crate) fn executed(&self) -> Vec<(String, jiff::Timestamp)> {
        let text = fs::read_to_string(self.audit_path()).unwrap_or_default();
        // A line that is being written has no end yet.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).expect("an audit line");
                let at = entry["at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
                (entry["id"].as_str().expect("an id").to_owned(), at)
            })
            .collect()
    }

    /// How many classifications were executed more than once since `before`.
    pub(crate) fn repeated_since(&self, before: usize) -> usize {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for (id, _) in self.executed().into_iter().skip(before) {
            *times.entry(id).or_default() += 1;
        }
        times.values().map(|count| count - 1).sum()
    }

    /// Waits until `count` more classifications than `before` were executed.
    pub(crate) fn wait_executed(&self, before: usize, count: usize) {
        wait_for(&format!("{count} classifications"), Duration::from_mins(1), || {
            self.executed().len() >= before + count
        });
    }
}
