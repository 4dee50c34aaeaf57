//! Files on a disk of the tests' own, and what is left of them after an early end.

use super::*;

fn create(path: &Path) -> PartialFile {
    PartialFile::create(path, "--output").unwrap()
}

#[test]
fn the_old_file_stays_until_the_new_one_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    fs::write(&path, "old").unwrap();
    let mut file = create(&path);
    file.write(b"new").unwrap();
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
    file.write(b"A,x\n").unwrap();
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
    file.write(b"A,x\n").unwrap();
    drop(file);
    assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "id,name\nA,x\n");
}

#[test]
fn what_was_not_counted_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut file = create(&path);
    file.write(b"counted\n").unwrap();
    file.count().unwrap();
    file.write(b"torn").unwrap();
    file.roll_back().unwrap();
    file.write(b"next\n").unwrap();
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "counted\nnext\n");
}

#[test]
fn a_run_goes_on_behind_what_it_counted_and_with_no_other_run_s_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut file = create(&path);
    file.write(b"counted\n").unwrap();
    let extent = file.extent().unwrap();
    file.write(b"torn").unwrap();
    drop(file);
    let mut again = create(&path);
    assert!(again.holds(extent).unwrap());
    again.go_on(extent).unwrap();
    again.write(b"next\n").unwrap();
    drop(again);
    assert_eq!(fs::read_to_string(partial_path(&path)).unwrap(), "counted\nnext\n");
    // Another run takes the place; its rows are longer.
    let mut other = create(&path);
    other.write(b"of another run, and more of them\n").unwrap();
    drop(other);
    assert!(!create(&path).holds(extent).unwrap());
}

#[test]
fn a_sealed_file_is_found_wherever_the_end_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut file = create(&path);
    file.write(b"row\n").unwrap();
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
    file.write(b"new").unwrap();
    file.seal().unwrap();
    file.finish().unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn two_runs_cannot_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut first = create(&path);
    first.write(b"kept").unwrap();
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
