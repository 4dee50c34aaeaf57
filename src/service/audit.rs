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
    at: String,
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

    /// Records that indicator `id` of `batch` is being classified now. Unbuffered: a killed process must not
    /// forget a call it made.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub(super) fn record(&self, batch: &str, id: &str) -> io::Result<()> {
        let entry = Entry { at: jiff::Timestamp::now().to_string(), batch, id };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        // A single write of a whole line: appending keeps lines of several processes apart.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }
}
