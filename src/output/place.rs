//! The place of a file that is written beside it first: which file is meant, whether it can be replaced at the end, and who may read it.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use tempfile::NamedTempFile;

use crate::disk;

/// Symbolic links that are followed one after the other, as on Linux.
const LINKS: usize = 40;
/// What the name of unfinished rows ends in.
const PARTIAL: &str = ".partial";
/// What the name of rows ends in while they are put in order.
const ORDERED: &str = ".ordered";
/// Characters in front of that which nobody can guess.
const RANDOM: usize = 6;
/// A folder in which only its own may replace a file.
const STICKY: u32 = 0o1000;

/// Where the rows of `path` are until it is complete.
pub fn partial_path(path: &Path) -> PathBuf {
    with_suffix(path, PARTIAL)
}

/// As [`partial_path`], of the file that is meant by `path`.
pub fn partial_of(path: &Path) -> PathBuf {
    behind_links(path).map_or_else(|_| partial_path(path), |path| partial_path(&path))
}

/// A new file in which the rows of a partial file are put in order. What a process that was killed left of another one goes.
pub(super) fn create_ordered(partial: &Path) -> io::Result<NamedTempFile> {
    let (folder, name) = (disk::folder_of(partial), partial.file_name().unwrap_or_default());
    // One that cannot be listed may still be written.
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if is_ordered(&entry.file_name(), name) {
            // Somebody else's stays, and is in nobody's way.
            let _not_ours = fs::remove_file(entry.path());
        }
    }
    let mut prefix = name.to_owned();
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(ORDERED).rand_bytes(RANDOM).append(true).tempfile_in(folder)
}

/// Whether `name` is that of rows of the file `partial` that are put in order. Older versions put nothing in between.
fn is_ordered(name: &OsStr, partial: &OsStr) -> bool {
    let between = name
        .as_bytes()
        .strip_prefix(partial.as_bytes())
        .and_then(|rest| rest.strip_suffix(ORDERED.as_bytes()));
    between.is_some_and(|between| match between.split_first() {
        None => true,
        Some((first, random)) => {
            *first == b'.' && random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric)
        }
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The file that is meant by `path`: that behind a symbolic link, be it there already or not.
///
/// # Errors
/// When links lead in a circle.
pub fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if path.exists() {
            // What has no path of its own, as a pipe in `/dev/stdout`, keeps the one it was given.
            return Ok(path.canonicalize().unwrap_or(path));
        }
        match fs::read_link(&path) {
            Ok(target) => path = disk::folder_of(&path).join(target),
            // No link, but nothing at all.
            Err(_) => return Ok(path),
        }
    }
    Err(nix::errno::Errno::ELOOP.into())
}

/// Why a complete file could not take the name `path`, if that can be told beforehand.
pub(super) fn obstacle(path: &Path) -> Option<String> {
    let Some(name) = path.file_name().filter(|name| path.as_os_str().as_bytes().ends_with(name.as_bytes()))
    else {
        return Some("it names a folder".into());
    };
    let name = name.as_bytes();
    if [PARTIAL, ORDERED].iter().any(|suffix| name.ends_with(suffix.as_bytes())) {
        return Some(format!("names in `{PARTIAL}` and `{ORDERED}` are those of unfinished results"));
    }
    // A name may be too long with what is added to it.
    let longest = with_suffix(&partial_path(path), &format!(".{}{ORDERED}", "x".repeat(RANDOM)));
    if let Err(error) = fs::symlink_metadata(longest)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Some(error.to_string());
    }
    let found = fs::metadata(path).ok()?;
    if found.is_dir() {
        return Some("it is a directory".into());
    }
    // A device or a pipe cannot be replaced, and must not be removed.
    if !found.is_file() {
        return Some("it is no regular file".into());
    }
    if found.permissions().readonly() {
        return Some("it is read-only".into());
    }
    if is_mounted(path) {
        return Some("it is a mount, which cannot be replaced: mount its folder instead".into());
    }
    let folder = fs::metadata(disk::folder_of(path)).ok()?;
    let me = nix::unistd::geteuid();
    let own = me.is_root() || [found.uid(), folder.uid()].contains(&me.as_raw());
    (folder.mode() & STICKY != 0 && !own).then(|| "only its owner may replace it in this folder".into())
}

/// Whether something is mounted on this very file, as containers do. Asked where Linux tells.
fn is_mounted(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut points = mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    points.any(|point| unescaped(point) == path.as_os_str().as_bytes())
}

/// Blanks, tabs, line breaks and backslashes stand there as `\040`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = octal.filter(|_| byte == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    out
}

/// Opens a file on its way to `place` for appending and locks it, creating it if it is not there: for its owner alone if it is to replace a
/// file. Not truncated: another run may be writing it, which only the lock tells. What is appended after somebody else changed the
/// file does not land where it would have, so that its length tells.
///
/// Anybody can guess its name: a link there is not followed, and nobody else's file is taken.
pub(super) fn open_locked(path: &Path, place: &Path) -> Result<File, String> {
    let mut open = OpenOptions::new();
    open.read(true).append(true).custom_flags(OFlag::O_NOFOLLOW.bits());
    if place.exists() {
        open.mode(0o600);
    }
    let file = match open.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => there(path, place, &open)?,
        file => file.map_err(|error| error.to_string())?,
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another run is writing it".into()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// Opens the file that is at `path` already, if it can be one that an earlier run left on its way to `place`.
fn there(path: &Path, place: &Path, open: &OpenOptions) -> Result<File, String> {
    let refuse = |why: &str| format!("{} {why}: it is not one that an earlier run left", partial_name(path));
    let found = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if found.is_symlink() {
        return Err(refuse("is a symbolic link"));
    }
    if !found.is_file() {
        return Err(refuse("is no regular file"));
    }
    let file = open.open(path).map_err(|error| error.to_string())?;
    let found = file.metadata().map_err(|error| error.to_string())?;
    if found.nlink() > 1 {
        return Err(refuse("has more than one name"));
    }
    let replaced = fs::metadata(place).ok().map(|place| place.uid());
    if !is_ours(found.uid(), replaced, || owner_here(path)) {
        return Err(refuse("belongs to another user"));
    }
    Ok(file)
}

/// Whether a file of the user `owner` can be ours: made by us, or given to the owner of what it is to replace. Some disks give every file to
/// one user, whoever makes it: `here` tells.
fn is_ours(owner: u32, replaced: Option<u32>, here: impl FnOnce() -> Option<u32>) -> bool {
    owner == nix::unistd::geteuid().as_raw() || Some(owner) == replaced || Some(owner) == here()
}

/// Who gets a file that we make beside `path`.
fn owner_here(path: &Path) -> Option<u32> {
    let made = tempfile::tempfile_in(disk::folder_of(path)).ok()?;
    made.metadata().ok().map(|made| made.uid())
}

fn partial_name(path: &Path) -> String {
    format!("`{}`", path.file_name().unwrap_or_default().display())
}

/// Gives `file` the owner and the mode of the file it replaces. Never lets anybody read it who could not read that one.
pub(super) fn inherit(file: &File, replaced: &Metadata) -> io::Result<()> {
    let ours = file.metadata()?;
    let mut mode = replaced.mode() & 0o777;
    let (owner, group) = (replaced.uid(), replaced.gid());
    if (ours.uid(), ours.gid()) != (owner, group) && fchown(file, Some(owner), Some(group)).is_err() {
        let same_group = ours.gid() == group || fchown(file, None, Some(group)).is_ok();
        if !same_group {
            // It is another group's now.
            mode &= !0o070;
        }
    }
    if file.metadata()?.mode() & 0o777 != mode {
        // Where a file system keeps no modes, there are none to keep.
        let _stays_private = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok(())
}

/// Whether the file at `path` is the open one.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let of = |found: &Metadata| (found.dev(), found.ino());
    fs::symlink_metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|ours| of(&ours) == of(&there)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_whether_or_not_there_is_something_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let at = |name: &str| top.join(name);
        fs::create_dir(at("sub")).unwrap();
        symlink("sub/dangling", at("one")).unwrap();
        symlink(at("one"), at("sub/two")).unwrap();
        symlink("circle", at("circle")).unwrap();
        assert_eq!(behind_links(&at("sub/two")).unwrap(), at("sub/dangling"));
        fs::write(at("sub/dangling"), "").unwrap();
        assert_eq!(behind_links(&at("sub/two")).unwrap(), at("sub/dangling"));
        assert_eq!(behind_links(&at("new")).unwrap(), at("new"));
        assert!(behind_links(&at("circle")).is_err());
        let (_reader, writer) = io::pipe().unwrap();
        let pipe = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        if Path::new(&pipe).exists() {
            assert_eq!(obstacle(&behind_links(Path::new(&pipe)).unwrap()).unwrap(), "it is no regular file");
        }
    }

    #[test]
    fn what_cannot_take_its_name_is_told_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let why = |name: &str| obstacle(&folder.path().join(name)).unwrap_or_default();
        for name in ["out.jsonl/", "out.jsonl/.", "new/..", "."] {
            assert!(why(name).contains("folder") || why(name).contains("directory"), "{name}: {}", why(name));
        }
        assert!(why("same.jsonl.partial").contains("unfinished results"));
        assert!(why("same.jsonl.partial.ordered").contains("unfinished results"));
        assert!(why(&"n".repeat(240)).contains("too long"), "it could not be put in order");
        assert_eq!((why("out.jsonl"), why(&"n".repeat(200))), (String::new(), String::new()));
        assert!(is_mounted(Path::new("/proc")) || !Path::new("/proc/self/mountinfo").exists());
        assert!(!is_mounted(folder.path()));
        assert_eq!(unescaped(br"/a\040b\134\x"), br"/a b\\x");
    }

    #[test]
    fn a_file_of_another_user_is_not_ours() {
        let me = nix::unistd::geteuid().as_raw();
        assert!(is_ours(me, None, || None) && is_ours(me + 1, Some(me + 1), || None));
        assert!(is_ours(me + 1, None, || Some(me + 1)), "the disk knows one user only");
        assert!(!is_ours(me + 1, None, || Some(me)) && !is_ours(me + 1, Some(me), || None));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(owner_here(&folder.path().join("x")), Some(me));
    }

    #[test]
    fn only_rows_that_are_put_in_order_have_such_names() {
        let is = |name: &str| is_ordered(OsStr::new(name), OsStr::new("a.partial"));
        assert!(is("a.partial.Ab3dE9.ordered") && is("a.partial.ordered"));
        for other in [
            "a.partial",
            "a.partial.Ab3dE9",
            "a.partial.Ab3dE.ordered",
            "a.partial.b.partial.Ab3dE9.ordered",
            "a.partial_Ab3dE9.ordered",
            "b.a.partial.Ab3dE9.ordered",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
