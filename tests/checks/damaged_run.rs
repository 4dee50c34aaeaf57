//! `classify runs delete` where the `run.json` of a run is damaged: without a cluster, for nothing tells where it was.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::Folder;

/// Puts something into a folder.
type Make = fn(&Path);

const ID: &str = "01KB0000000000000000000000";

/// A home with what is left of a run.
fn home(spec: &str) -> Folder {
    let folder = Folder::new();
    let run = folder.path("home/runs").join(ID);
    fs::create_dir_all(&run).unwrap();
    for (name, content) in
        [("run.json", spec), ("journal.jsonl", "damage\n{}\n"), ("rows.bin", "x"), ("input-0.csv", "id\n")]
    {
        fs::write(run.join(name), content).unwrap();
    }
    folder
}

fn names(folder: &Folder) -> usize {
    fs::read_dir(folder.path("home/runs").join(ID)).map_or(0, Iterator::count)
}

#[test]
fn it_is_deleted_when_somebody_says_so() {
    for spec in ["", "{\"version\":1", "\0\0\0\0", "{\"version\":1,\"run_id\":7}"] {
        let folder = home(spec);
        let shown = folder.classify(&["runs", "show", ID]);
        shown.failed(1).mentioned(&["cannot be understood", &format!("`classify runs delete {ID}`")]);
        folder.classify(&["runs", "list"]).failed(1).mentioned(&["cannot be understood", ID]);
        folder.classify(&["runs", "delete", ID]).failed(2).mentioned(&["no terminal to ask on", "--yes"]);
        assert_eq!(names(&folder), 4);
        let ran = folder.classify(&["runs", "delete", ID, "--yes"]);
        assert_eq!(ran.code, Some(0), "{spec:?}: {ran:#?}");
        ran.mentioned(&["its run.json is damaged", &format!("`classify runs attach {ID}`"), "1 run"]);
        assert!(!folder.path("home/runs").join(ID).exists());
    }
}

#[test]
fn what_may_be_somebody_else_s_is_not_deleted() {
    let make: [(&str, Make); 4] = [
        ("thesis.txt", |run| fs::write(run.join("thesis.txt"), "years").unwrap()),
        ("input-0.txt", |run| fs::write(run.join("input-0.txt"), "").unwrap()),
        ("report.json", |run| fs::create_dir(run.join("report.json")).unwrap()),
        ("kept.jsonl", |run| symlink(run.join("run.json"), run.join("kept.jsonl")).unwrap()),
    ];
    for (name, make) in make {
        let folder = home("");
        make(&folder.path("home/runs").join(ID));
        let ran = folder.classify(&["runs", "delete", ID, "--yes"]);
        ran.failed(2)
            .mentioned(&["nothing was deleted", &format!("`{name}` in it, which is no file of a run")]);
        assert_eq!(names(&folder), 5, "{name}");
    }
    // A folder of another name, and a link in the place of the folder.
    let folder = home("");
    let runs = folder.path("home/runs");
    fs::rename(runs.join(ID), runs.join("notes")).unwrap();
    folder.classify(&["runs", "delete", "notes", "--yes"]).failed(2).mentioned(&["no run `notes`"]);
    symlink(runs.join("notes"), runs.join(ID)).unwrap();
    folder.classify(&["runs", "delete", ID, "--yes"]).failed(2).mentioned(&["is no folder"]);
    assert!(runs.join("notes/run.json").exists());
}

#[test]
fn one_that_somebody_is_at_or_can_go_on_with_is_not_deleted() {
    let folder = home("");
    let lock = fs::File::create(folder.path("home/runs").join(ID).join("lock")).unwrap();
    lock.lock().unwrap();
    let held = folder.classify(&["runs", "delete", ID, "--yes"]);
    held.failed(2).mentioned(&["another `classify`", &format!("is at the run {ID}")]);
    assert_eq!(names(&folder), 5);
    drop(lock);
    assert_eq!(folder.classify(&["runs", "delete", ID, "--yes"]).code, Some(0));

    let folder = home("{\"version\":9}");
    let newer = folder.classify(&["runs", "delete", ID, "--yes"]);
    newer.failed(2).mentioned(&["was made by a newer version", "go on with that version"]);
    assert_eq!(names(&folder), 4);

    // Of several runs none goes where one has to stay.
    let folder = home("");
    folder.classify(&["runs", "delete", ID, "01KB0000000000000000000001", "--yes"]).failed(2);
    assert!(folder.path("home/runs").join(ID).join("run.json").exists());
}
