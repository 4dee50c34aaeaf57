//! The audit log: one JSON line for every classification really executed, with its time. What a user (and our
//! tests) can count calls with. Holds no text of any indicator.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use serde::Serialize;

use crate::output;

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
    /// Opens the log at `path` for appending. One that is made is its owner's alone. Whoever named it may have named a link or a pipe, but
    /// not a link that another user laid there, nor another user's file.
    ///
    /// # Errors
    /// When it cannot be opened, or is somebody else's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let refuse = |why: &str| Err(io::Error::new(ErrorKind::PermissionDenied, why));
        let us = geteuid().as_raw();
        let link = fs::symlink_metadata(path).ok().filter(Metadata::is_symlink);
        // The system's own lead to `/dev/stdout`.
        if link.is_some_and(|link| ![us, 0].contains(&link.uid())) {
            return refuse("another user laid a link there");
        }
        let target = output::behind_links(path)?;
        let mut open = OpenOptions::new();
        open.create(true).append(true).mode(0o600);
        if !fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            open.custom_flags(OFlag::O_NOFOLLOW.bits());
        }
        let file = open.open(&target)?;
        let found = file.metadata()?;
        if found.is_file() && found.uid() != us {
            return refuse("it belongs to another user");
        }
        if found.is_file() && found.nlink() > 1 {
            return refuse("it has more than one name");
        }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    #[test]
    fn a_log_is_its_owner_s_alone_and_nobody_else_s_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        AuditLog::open(&at("new")).unwrap().record("b", ["x"].into_iter()).unwrap();
        assert_eq!(fs::metadata(at("new")).unwrap().mode() & 0o777, 0o600);
        // Who names a link means what is behind it, and a pipe or a device is what it is.
        symlink("new", at("link")).unwrap();
        symlink("behind", at("dangling")).unwrap();
        for name in ["link", "dangling"] {
            AuditLog::open(&at(name)).unwrap().record("b", ["y"].into_iter()).unwrap();
        }
        assert_eq!(fs::read_to_string(at("new")).unwrap().lines().count(), 2);
        assert!(at("behind").exists());
        AuditLog::open(Path::new("/dev/null")).unwrap();
        let (_reader, writer) = io::pipe().unwrap();
        let pipe = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        assert!(!Path::new(&pipe).exists() || AuditLog::open(Path::new(&pipe)).is_ok());

        fs::hard_link(at("new"), at("twice")).unwrap();
        assert!(AuditLog::open(&at("twice")).unwrap_err().to_string().contains("more than one name"));
        if !geteuid().is_root() {
            return;
        }
        fs::write(at("theirs"), "").unwrap();
        chown(at("theirs"), Some(65534), None).unwrap();
        assert!(AuditLog::open(&at("theirs")).unwrap_err().to_string().contains("another user"));
        lchown(at("dangling"), Some(65534), None).unwrap();
        assert!(AuditLog::open(&at("dangling")).unwrap_err().to_string().contains("laid a link"));
    }
}
