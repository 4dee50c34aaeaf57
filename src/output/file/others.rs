//! What others may have laid at names that they can guess, and who may read what is made.

use super::tests::{create, mode};
use super::*;

/// What somebody else may have put at a name that he can guess, in a folder in which everybody may write.
fn trap(folder: &Path) -> PathBuf {
    let victim = folder.join("victim");
    fs::write(&victim, "").unwrap();
    victim
}

#[test]
fn a_link_at_the_name_of_unfinished_rows_is_neither_followed_nor_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let victim = trap(folder.path());
    let refused = |why: &str| {
        for flag in ["--output", "--failures"] {
            let refused = PartialFile::create(&path, flag).unwrap_err();
            assert!(refused.message().contains(why), "{refused}");
        }
        fs::remove_file(partial_path(&path)).unwrap();
    };
    std::os::unix::fs::symlink(&victim, partial_path(&path)).unwrap();
    refused("is a symbolic link");
    fs::hard_link(&victim, partial_path(&path)).unwrap();
    refused("has more than one name");
    nix::unistd::mkfifo(&partial_path(&path), nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("is no regular file");
    assert_eq!((mode(&victim), fs::read_to_string(&victim).unwrap()), (0o644, String::new()));
}

#[test]
fn a_file_that_another_user_laid_there_is_not_taken() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    for text in ["", "rows of his\n"] {
        fs::write(partial_path(&path), text).unwrap();
        std::os::unix::fs::chown(partial_path(&path), Some(65534), None).unwrap();
        let refused = PartialFile::create(&path, "--output").unwrap_err();
        assert!(refused.message().contains("belongs to another user"), "{refused}");
        assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), text);
    }
    // It is his place: the results were to be his anyway.
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    drop(create(&path));
}

#[test]
fn rows_are_put_in_order_under_a_name_that_nobody_can_guess() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let victim = trap(folder.path());
    fs::write(&victim, "kept").unwrap();
    let mut file = create(&path);
    file.append(b"a\nb\n").unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("out.jsonl.partial.ordered")).unwrap();
    // Left by a process that was killed meanwhile.
    fs::write(folder.path().join("out.jsonl.partial.Ab3dE9.ordered"), "half").unwrap();
    file.rewrite([(2, 2), (0, 2)].into_iter()).unwrap();
    // What has taken the place is locked as that was.
    assert!(PartialFile::create(&path, "--output").unwrap_err().message().contains("another run is writing"));
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "b\na\n");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["out.jsonl", "victim"]);
}

#[test]
fn results_without_a_predecessor_follow_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = folder.path().join("plain");
    fs::write(&wanted, "").unwrap();
    let path = folder.path().join("out.jsonl");
    let mut file = create(&path);
    file.append(b"a\nb\n").unwrap();
    file.rewrite([(2, 2), (0, 2)].into_iter()).unwrap();
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(mode(&path), mode(&wanted));
}
