//! What of the folders of runs needs no cluster.

use std::time::SystemTime;

use super::*;

#[test]
fn what_is_no_run_is_swept_away_when_it_is_old_and_nobody_holds_it() {
    let home = tempfile::tempdir().unwrap();
    let runs = Runs::new(home.path());
    let old = SystemTime::now() - 2 * ABANDONED;
    let make = |files: &[&str], age: Option<SystemTime>| {
        let path = runs.path(&new_id());
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
