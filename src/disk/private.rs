//! Folders and files for their owner alone: 0700 and 0600, whatever the umask says.
//!
//! The one place for these modes. Results are not made here: they follow the umask.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

/// What others may not have.
const OTHERS: u32 = 0o077;
const FILE: u32 = 0o600;
const FOLDER: u32 = 0o700;

/// Makes `folder` and those above it that are missing.
///
/// # Errors
/// When one cannot be made.
pub fn create_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(folder)
}

/// Opens a file as `options` say. Neither a file that is made nor one that is there can be read by others afterwards. A symbolic link is
/// not followed.
///
/// # Errors
/// When it cannot be opened, or its mode cannot be set.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.mode(FILE).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    narrow_file(&file)?;
    Ok(file)
}

/// Makes a file for writing, or empties the one that is there.
///
/// # Errors
/// As [`open`].
pub fn create(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true).create(true).truncate(true))
}

fn narrow_file(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    let is_ours = found.uid() == geteuid().as_raw();
    if !is_ours || found.mode() & OTHERS == 0 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(found.mode() & 0o777 & !OTHERS))
}

/// Takes `folder` away from others; whether that was needed. A folder of another user stays as it is, and so does what a link leads to.
///
/// # Errors
/// When its mode cannot be set.
pub fn narrow(folder: &Path) -> io::Result<bool> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(folder);
    // None, or one that is not ours.
    let Ok(opened) = opened else { return Ok(false) };
    let wide = opened.metadata()?.mode() & OTHERS != 0;
    narrow_file(&opened)?;
    Ok(wide)
}

/// Takes everything in and below `folder` away from others, but for what is in folders called `except`.
///
/// # Errors
/// When a folder cannot be read or a mode cannot be set. What is gone meanwhile is no error.
pub fn narrow_all(folder: &Path, except: &str) -> io::Result<()> {
    narrow(folder)?;
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        let done = match entry {
            Ok(kind) if kind.is_dir() && path.ends_with(except) => Ok(()),
            Ok(kind) if kind.is_dir() => narrow_all(&path, except),
            Ok(kind) if kind.is_file() => open(&path, OpenOptions::new().read(true)).map(drop),
            _ => Ok(()),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_made_here_is_its_owner_s_alone() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        create_folders(&at("a/b")).unwrap();
        drop(create(&at("a/b/file")).unwrap());
        assert_eq!(["a", "a/b", "a/b/file"].map(|name| mode(&at(name))), [0o700, 0o700, 0o600]);
        fs::write(at("wide"), "old").unwrap();
        fs::set_permissions(at("wide"), Permissions::from_mode(0o644)).unwrap();
        drop(create(&at("wide")).unwrap());
        assert_eq!((mode(&at("wide")), fs::read_to_string(at("wide")).unwrap()), (0o600, String::new()));
    }

    #[test]
    fn a_link_is_neither_opened_nor_narrowed() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        fs::write(at("theirs"), "kept").unwrap();
        fs::set_permissions(at("theirs"), Permissions::from_mode(0o644)).unwrap();
        symlink(at("theirs"), at("link")).unwrap();
        assert!(create(&at("link")).is_err());
        assert_eq!((mode(&at("theirs")), fs::read_to_string(at("theirs")).unwrap()), (0o644, "kept".into()));
        fs::create_dir(at("folder")).unwrap();
        fs::set_permissions(at("folder"), Permissions::from_mode(0o755)).unwrap();
        symlink(at("folder"), at("way")).unwrap();
        assert!(!narrow(&at("way")).unwrap() && mode(&at("folder")) == 0o755);
    }

    #[test]
    fn everything_below_is_narrowed_but_what_must_stay_open() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        for folder in ["old/sub", "old/compose"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let files = ["old/file", "old/sub/program", "old/compose/mounted"];
        for (file, wide) in files.into_iter().zip([0o664, 0o755, 0o644]) {
            fs::write(at(file), "").unwrap();
            fs::set_permissions(at(file), Permissions::from_mode(wide)).unwrap();
        }
        for folder in ["old", "old/sub"] {
            fs::set_permissions(at(folder), Permissions::from_mode(0o755)).unwrap();
        }
        narrow_all(&at("old"), "compose").unwrap();
        let modes = |names: &[&str]| names.iter().map(|name| mode(&at(name))).collect::<Vec<_>>();
        assert_eq!(modes(&["old", "old/sub"]), [0o700, 0o700]);
        assert_eq!(modes(&files), [0o600, 0o700, 0o644]);
    }

    #[test]
    fn what_is_another_user_s_stays_as_it_is() {
        if !geteuid().is_root() {
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let theirs = top.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        fs::set_permissions(&theirs, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
        narrow(&theirs).unwrap();
        assert_eq!(mode(&theirs), 0o755);
    }
}
