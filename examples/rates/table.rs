//! A table in Markdown that knows what was promised.

use std::fmt;

/// Rows of cells below a head.
#[derive(Debug)]
pub(crate) struct Table {
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
    missed: Vec<String>,
}

impl Table {
    pub(crate) fn new(head: &'static [&'static str]) -> Self {
        Self { head, rows: Vec::new(), missed: Vec::new() }
    }

    /// Adds a row. `promises` are what has to be true of it, with what is missed where it is not.
    pub(crate) fn row(&mut self, cells: Vec<String>, promises: &[(bool, &str)]) {
        let broken = promises.iter().filter(|(kept, _)| !kept);
        self.missed.extend(broken.map(|(_, what)| format!("missed: {}: {what}", cells[0])));
        self.rows.push(cells);
    }

    /// Whether a promise was broken.
    pub(crate) fn missed(&self) -> bool {
        !self.missed.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| {} |", self.head.join(" | "))?;
        write!(out, "|{}", "---|".repeat(self.head.len()))?;
        for row in &self.rows {
            write!(out, "\n| {} |", row.join(" | "))?;
        }
        for line in &self.missed {
            write!(out, "\n\n{line}")?;
        }
        Ok(())
    }
}
