//! What of the folders of runs needs no cluster.

use std::time::SystemTime;

use super::*;

#[test]
fn what_is_no_run_is_swept_away_when_it_is_old_and_nobody_holds_it() {
    let home = tempfile::tempdir().unwrap();
    let runs = Runs::new(home.path());
    let old = SystemTime::now() - 2 * ABANDONED;
    let make = |files: &[&str], age: Option<SystemTime>| {
        let path = runs.path(&runs.new_id());
        fs::create_dir_all(&path).unwrap();
        for name in files {
            fs::write(path.join(name), "").unwrap();
        }
        if let Some(made) = age {
            File::open(&path).unwrap().set_modified(made).unwrap();
        }
        path
    };
    let dead = make(&["lock", "rows.bin"], Some(old));
    let young = make(&["rows.bin"], None);
    let run = make(&["run.json"], Some(old));
    let held = make(&["lock"], Some(old));
    let lock = Lock::try_take(&held.join("lock")).unwrap();
    File::open(&held).unwrap().set_modified(old).unwrap();
    let foreign = home.path().join("runs/notes");
    fs::create_dir(&foreign).unwrap();
    runs.sweep();
    assert_eq!(
        [&dead, &young, &run, &held, &foreign].map(|path| path.exists()),
        [false, true, true, true, true]
    );
    drop(lock);
}

const RUN: &str = r#"{"version":1,"run_id":"01KB0000000000000000000000","created_at":"2026-11-27T10:00:00.000Z","rows":{"tables":{
    "sources":["/a.csv"],"names":["a.csv"],"options":{},"digest":"00","keys":[1,2,3,4],"files":1,"rows":9,"invalid":0,"duplicates":0}},
    "options":{"provider":"rules","taxonomy":"d"},"taxonomy":{"id":"t@1","fields":["f"]},
    "pace":{"rate":"unlimited","batch_size":5,"max_in_flight":9},"limits":{},"target":{"cluster":"default"},
    "output":{"results":"/r","format":"jsonl","failures":"/f"}}"#;

#[test]
fn a_damaged_line_is_named_and_what_stands_before_it_can_be_saved() {
    let home = tempfile::tempdir().unwrap();
    let runs = Runs::new(home.path());
    let path = runs.path("01KB0000000000000000000000");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("run.json"), RUN).unwrap();
    let journal = path.join("journal.jsonl");
    let rejected = |rows: u64| format!("{{\"event\":\"rejected\",\"rows\":{rows},\"t\":0.5}}\n");
    let mark = "{\"event\":\"mark\",\"results\":{\"bytes\":0},\"failures\":{\"bytes\":7}}\n";
    let whole = rejected(2) + mark;
    fs::write(&journal, format!("{whole}{{\"event\":\"reje{}", rejected(3))).unwrap();
    let run = || runs.find(LATEST).unwrap();
    assert_eq!(run().look(&mut RunStats::new(9, Vec::new())).unwrap().rejected, 2, "a torn last line");

    fs::write(&journal, format!("{whole}\0\0\n{}", rejected(3))).unwrap();
    let failure = run().look(&mut RunStats::new(9, Vec::new())).unwrap_err();
    let place = journal.display();
    assert!(failure.message().starts_with(&format!("{place} is damaged: line 3: ")), "{failure}");
    assert!(failure.hints()[0].contains(&format!("`sed -i '3,$d' {place}`")), "{:?}", failure.hints());
    assert!(run().open(&mut RunStats::new(9, Vec::new())).is_err());
    fs::write(&journal, format!("{whole}{}", rejected(10))).unwrap();
    let failure = run().look(&mut RunStats::new(9, Vec::new())).unwrap_err();
    assert!(failure.message().ends_with("line 3: 10 rows after 2 of 9 are no indicators"), "{failure}");
}

/// A run on disk that may be opened.
fn run_on_disk(runs: &Runs, id: &str) {
    fs::create_dir_all(runs.path(id)).unwrap();
    fs::write(runs.path(id).join("run.json"), RUN.replace("01KB0000000000000000000000", id)).unwrap();
}

#[test]
fn a_run_under_a_wrong_clock_does_not_stay_the_youngest() {
    let home = tempfile::tempdir().unwrap();
    let runs = Runs::new(home.path());
    let in_ten_years = Ulid::from_parts(Ulid::generate().timestamp_ms() + 315_360_000_000, 7).to_string();
    run_on_disk(&runs, &in_ten_years);
    for _ in 0..3 {
        let id = runs.new_id();
        assert!(is_id(&id) && id > runs.find(LATEST).unwrap().spec.run_id);
        run_on_disk(&runs, &id);
        assert_eq!(runs.find(LATEST).unwrap().spec.run_id, id);
    }
}

#[test]
fn a_run_that_is_deleted_is_gone_and_one_that_is_held_is_not_deleted() {
    let home = tempfile::tempdir().unwrap();
    let runs = Runs::new(home.path());
    let id = runs.new_id();
    run_on_disk(&runs, &id);
    let claim = || runs.find(&id).unwrap().claim();
    let held = claim().unwrap();
    assert!(claim().unwrap_err().message().contains("is at the run"));
    held.delete().unwrap();
    assert!(!runs.path(&id).exists() && runs.find(&id).is_err());
}

#[test]
fn a_run_whose_journal_is_damaged_can_be_deleted() {
    let home = tempfile::tempdir().unwrap();
    let runs = Runs::new(home.path());
    let id = runs.new_id();
    run_on_disk(&runs, &id);
    std::fs::write(runs.path(&id).join("journal.jsonl"), "damage\n{}\n").unwrap();
    let run = || runs.find(&id).unwrap();
    assert!(run().open(&mut RunStats::new(9, Vec::new())).is_err());
    run().claim().unwrap().delete().unwrap();
    assert!(!runs.path(&id).exists());
}

#[test]
fn copies_go_with_the_run_that_reads_them_last() {
    let home = tempfile::tempdir().unwrap();
    let runs = Runs::new(home.path());
    let (old, new) = ("01J0000000000000000000000A", "01J0000000000000000000000B");
    run_on_disk(&runs, old);
    run_on_disk(&runs, new);
    let file = runs.path(new).join("run.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    spec["parent"] = old.into();
    std::fs::write(&file, spec.to_string()).unwrap();
    let copy = runs.path(old).join("input-0.csv");
    std::fs::write(&copy, "rows").unwrap();
    let tidy = || runs.find(new).unwrap().claim().unwrap().tidy();
    tidy();
    assert!(copy.exists(), "the older run can still be resumed");
    runs.find(old).unwrap().supersede(new).unwrap();
    tidy();
    assert!(!copy.exists());
}
