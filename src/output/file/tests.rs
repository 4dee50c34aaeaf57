//! Files on a disk of the tests' own, and what is left of them after an early end.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

pub(super) fn create(path: &Path) -> PartialFile {
    PartialFile::create(path, "--output").unwrap()
}

#[test]
fn the_old_file_stays_until_the_new_one_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    fs::write(&path, "old").unwrap();
    let mut file = create(&path);
    file.append(b"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert!(!partial_path(&path).exists());
}

#[test]
fn only_rows_survive_an_early_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let mut file = create(&path);
    file.set_header(b"id,name\n");
    drop(file);
    assert!(!partial_path(&path).exists());
    let mut file = create(&path);
    file.append(b"A,x\n").unwrap();
    drop(file);
    assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "A,x\n");
    assert!(!path.exists());
}

#[test]
fn rows_of_an_interrupted_run_stay_until_there_are_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    fs::write(partial_path(&path), "paid for, and more").unwrap();
    let mut file = create(&path);
    file.set_header(b"id,name\n");
    drop(file);
    assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "paid for, and more");
    let mut file = create(&path);
    file.set_header(b"id,name\n");
    file.append(b"A,x\n").unwrap();
    drop(file);
    assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "id,name\nA,x\n");
}

#[test]
fn what_was_not_counted_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut file = create(&path);
    file.append(b"counted\n").unwrap();
    file.count();
    file.append(b"torn").unwrap();
    file.roll_back().unwrap();
    file.append(b"next\n").unwrap();
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "counted\nnext\n");
}

#[test]
fn a_run_goes_on_behind_what_it_counted_and_with_no_other_run_s_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut file = create(&path);
    file.append(b"counted\n").unwrap();
    let extent = file.extent().unwrap();
    file.append(b"torn").unwrap();
    drop(file);
    let mut again = create(&path);
    let held = again.held(extent).unwrap().unwrap();
    again.go_on(extent, held).unwrap();
    again.append(b"next\n").unwrap();
    drop(again);
    assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "counted\nnext\n");
    // Another run takes the place; its rows are longer.
    let mut other = create(&path);
    other.append(b"of another run, and more of them\n").unwrap();
    drop(other);
    assert!(create(&path).held(extent).unwrap().is_none());
}

#[test]
fn a_sealed_file_is_found_wherever_the_end_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut file = create(&path);
    file.append(b"row\n").unwrap();
    let sealed = file.seal().unwrap();
    drop(file);
    for _ in 0..2 {
        assert!(settle(&path, sealed).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "row\n");
    }
    fs::write(folder.path().join("other"), "row\n").unwrap();
    fs::rename(folder.path().join("other"), &path).unwrap();
    assert!(!settle(&path, sealed).unwrap(), "the same bytes of somebody else");
}

#[test]
fn a_device_is_neither_replaced_nor_removed() {
    let refused = PartialFile::create(Path::new("/dev/null"), "--failures").unwrap_err();
    assert!(refused.message().ends_with("it is no regular file"), "{refused}");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link.jsonl"));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let mut file = create(&link);
    file.append(b"new").unwrap();
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // Where nothing is behind it yet, that is where the file goes.
    fs::remove_file(&target).unwrap();
    let mut file = create(&link);
    file.append(b"first").unwrap();
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "first");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn two_runs_cannot_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut first = create(&path);
    first.append(b"kept").unwrap();
    let refused = PartialFile::create(&path, "--output").unwrap_err();
    assert!(refused.message().contains("another run is writing it"), "{refused}");
    assert_eq!(fs::read_to_string(first.partial().unwrap()).unwrap(), "kept");
}

#[test]
fn what_cannot_be_written_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("missing/out.jsonl")] {
        assert!(PartialFile::create(&path, "--output").unwrap_err().message().starts_with("cannot write"));
    }
}

pub(super) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_file_keeps_its_mode_and_is_never_readable_by_more_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    for private in [0o600, 0o640, 0o666] {
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(private)).unwrap();
        // As an earlier run left it before the place was private.
        fs::write(partial_path(&path), "of an earlier run").unwrap();
        let mut file = create(&path);
        file.set_header(b"id\n");
        file.append(b"a\nb\n").unwrap();
        assert_eq!(mode(&partial_path(&path)), private);
        file.rewrite([(5, 2), (3, 2)].into_iter()).unwrap();
        assert_eq!(mode(&partial_path(&path)), private);
        file.seal().unwrap();
        file.finish().unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap().as_str()), (private, "id\nb\na\n"));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_owner_of_what_is_replaced_stays() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::chown(&path, Some(1), Some(2)).unwrap();
    let mut file = create(&path);
    file.append(b"new").unwrap();
    file.seal().unwrap();
    file.finish().unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (1, 2));
}

/// What another program may do to a file: how, and whether what was counted is still there.
type Harm = (&'static str, bool, fn(&Path));

const HARM: [Harm; 6] = [
    ("truncated", false, |path| fs::write(path, "").unwrap()),
    ("cut", false, |path| File::options().write(true).open(path).unwrap().set_len(3).unwrap()),
    ("replaced", false, |path| {
        let other = path.with_file_name("other");
        fs::copy(path, &other).unwrap();
        fs::rename(other, path).unwrap();
    }),
    ("removed", false, |path| fs::remove_file(path).unwrap()),
    ("appended to", true, |path| {
        File::options().append(true).open(path).unwrap().write_all(b"theirs\n").unwrap();
    }),
    ("written over", false, |path| {
        File::options().write(true).open(path).unwrap().write_all(b"X").unwrap();
    }),
];

/// A file with rows that count.
fn with_rows(path: &Path) -> (PartialFile, Extent) {
    let mut file = create(path);
    file.append(b"one\ntwo\n").unwrap();
    file.sync().unwrap();
    file.count();
    let counted = file.extent().unwrap();
    (file, counted)
}

#[test]
fn whatever_another_program_does_to_a_file_is_noticed_before_it_gets_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (name, survives, harm)) in HARM.into_iter().enumerate() {
        for more in [false, true] {
            let path = folder.path().join(format!("out-{number}-{more}.jsonl"));
            let (mut file, counted) = with_rows(&path);
            harm(&partial_path(&path));
            // What is appended now may not hide it: not even rows as long as what is missing.
            let noticed = (|| -> io::Result<()> {
                if more {
                    file.append(b"three\nfour\n")?;
                }
                file.sync()?;
                file.seal().map(drop)
            })();
            let error = noticed.expect_err(name);
            assert!(is_spoiled(&error) && error.to_string().contains("by another program"), "{error}");
            file.roll_back().unwrap();
            assert_eq!(!file.is_spoiled(), survives, "{name}");
            drop(file);
            let again = create(&path);
            assert_eq!(again.held(counted).unwrap().is_some(), survives, "{name}: whoever resumes");
            assert!(!path.exists(), "{name}");
        }
    }
}

#[test]
fn a_file_that_was_changed_after_it_was_sealed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (name, _, harm)) in HARM.into_iter().enumerate() {
        let path = folder.path().join(format!("out-{number}.jsonl"));
        let (mut file, _) = with_rows(&path);
        let sealed = file.seal().unwrap();
        harm(&partial_path(&path));
        if name == "written over" {
            // Its length says nothing: whoever settles it reads it.
            drop(file);
        } else {
            assert!(is_spoiled(&file.finish().expect_err(name)), "{name}");
        }
        assert!(!settle(&path, sealed).unwrap(), "{name}");
    }
}

#[test]
fn what_is_carried_over_is_the_very_file() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("earlier.jsonl");
    let mut file = create(&from);
    file.append(b"one\ntwo\n").unwrap();
    let left = file.seal().unwrap();
    file.finish().unwrap();
    let carried = |name: &str| {
        let path = folder.path().join(name);
        let mut file = create(&path);
        let carried = file.carry(&from, left).unwrap();
        (carried, fs::read_to_string(partial_path(&path)).unwrap())
    };
    assert_eq!(carried("a"), (true, "one\ntwo\n".to_owned()));
    // Another run takes the place, with rows that are as long or longer.
    for text in ["uno\ndos\n", "one\ntwo\n", "one\ntwo\nthree\n"] {
        fs::write(folder.path().join("other"), text).unwrap();
        fs::rename(folder.path().join("other"), &from).unwrap();
        assert_eq!(carried("b"), (false, String::new()), "{text}");
    }
}

#[test]
fn names_are_durable_before_what_they_name_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, at) = (folder.path().join("out.jsonl"), [folder.path().to_owned()]);
    let synced = |work: &mut dyn FnMut()| crate::disk::tests::synced_by(work);
    let mut file = create(&path);
    file.append(b"a\nb\n").unwrap();
    assert_eq!(synced(&mut || file.sync().unwrap()), at, "its own name, once");
    assert!(synced(&mut || file.sync().unwrap()).is_empty());
    file.rewrite([(2, 2), (0, 2)].into_iter()).unwrap();
    assert_eq!(synced(&mut || assert!(file.seal().is_ok())), at, "the name of the ordered one");
    let mut file = Some(file);
    assert_eq!(synced(&mut || drop(file.take().unwrap().finish().unwrap())), at);
    let mut gone = Some(create(&path));
    assert_eq!(synced(&mut || gone.take().unwrap().clear().unwrap()), at);
}
