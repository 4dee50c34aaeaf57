//! The audit log: one JSON line for every classification really executed, with its time. What a user (and our
//! tests) can count calls with. Holds no text of any indicator.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// An open audit log.
#[derive(Debug)]
pub struct AuditLog {
    file: Mutex<File>,
}

#[derive(Serialize)]
struct Entry<'a> {
    at: &'a str,
    batch: &'a str,
    id: &'a str,
}

impl AuditLog {
    /// Opens the log at `path` for appending.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Records that these indicators of `batch` are being classified now. Unbuffered: a killed process must not
    /// forget a call it made.
    ///
    /// # Errors
    /// When the lines cannot be written.
    pub(super) fn record<'a>(&self, batch: &str, ids: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let at = jiff::Timestamp::now().to_string();
        let mut lines = Vec::new();
        for id in ids {
            serde_json::to_writer(&mut lines, &Entry { at: &at, batch, id })?;
            lines.push(b'\n');
        }
        // A single write of whole lines: appending keeps lines of several processes apart.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&lines)
    }
}
