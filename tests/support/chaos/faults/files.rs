//! The client's own files: what is left of them is not what the client wrote.
//!
//! What of a loss of power is simulated: the process ends at once; of results and failures only what a mark in the journal vouches
//! for is left, since a mark is written after they were synced; the journal, which is not synced before the run is over, ends at a random
//! byte, or its end is zeros. Names in folders stay where a mark vouches for the file, for its folder was synced before; without any mark
//! the file is gone. What is not simulated: a disk that loses or exchanges what it had confirmed, and blocks of one file that reach
//! the disk in another order than they were written. The nodes' disks lose nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::Scene;
use crate::running::wait_for;

/// Bytes of zeros that may stand at the end of a file whose length got further than its content.
const ZEROS: usize = 4_096;
/// The first rows are on disk by then.
const PATIENCE: Duration = Duration::from_mins(1);

/// A journal ends at a random byte.
pub(super) fn journal(scene: &mut Scene<'_>) {
    scene.begin();
    scene.wait_share(0..90);
    if !scene.client().kill() {
        return;
    }
    if let Some(path) = scene.journal() {
        cut(scene, &path);
    }
    scene.resume();
}

/// Another program changes the rows, while the client writes them or when it is dead.
pub(super) fn partial(scene: &mut Scene<'_>) {
    scene.begin();
    scene.wait_share(5..50);
    let path = scene.partial();
    wait_for("rows on disk", PATIENCE, || fs::metadata(&path).is_ok_and(|found| found.len() > 0));
    let harm = scene.rng.usize(..5);
    if scene.rng.bool() {
        if scene.client().kill() {
            change(scene, &path, harm);
            scene.resume();
        }
        return;
    }
    let text = fs::read(&path).unwrap_or_default();
    if !change(scene, &path, harm) {
        return;
    }
    let ran = scene.client().finish();
    if ran.code != Some(1) || !ran.stderr.contains("was changed by another program") {
        scene.violations.push(format!(
            "harm {harm} to {} bytes is not noticed: {:?}, {}",
            text.len(),
            ran.code,
            ran.stderr
        ));
    }
    scene.resume();
}

/// The power fails.
pub(super) fn power(scene: &mut Scene<'_>) {
    scene.begin();
    scene.wait_share(0..90);
    if !scene.client().kill() {
        return;
    }
    let Some(journal) = scene.journal() else { return scene.resume() };
    let synced = last_mark(&journal);
    let partial = scene.partial();
    let failures =
        PathBuf::from(partial.to_string_lossy().replace(".jsonl.partial", ".failures.jsonl.partial"));
    for (path, name) in [(&partial, "results"), (&failures, "failures")] {
        match synced.as_ref().map(|mark| &mark[name]).filter(|extent| extent["file"].is_object()) {
            Some(extent) if path.exists() => {
                let bytes = extent["bytes"].as_u64().expect("a length");
                let file = OpenOptions::new().write(true).open(path).expect("a partial file");
                assert!(file.metadata().expect("its length").len() >= bytes, "a mark vouches for more");
                file.set_len(bytes).expect("a shorter file");
            }
            Some(_) => {}
            None => {
                let _was_not_there = fs::remove_file(path);
            }
        }
    }
    cut(scene, &journal);
    if scene.rng.bool() {
        let zeros = scene.rng.usize(1..ZEROS);
        let mut file = OpenOptions::new().append(true).open(&journal).expect("a journal");
        file.write_all(&vec![0; zeros]).expect("zeros");
    }
    scene.resume();
}

fn cut(scene: &mut Scene<'_>, path: &Path) {
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    let length = file.metadata().expect("its length").len();
    file.set_len(scene.rng.u64(..=length)).expect("a shorter file");
}

/// How much of the files was synced, as the journal says.
fn last_mark(journal: &Path) -> Option<Value> {
    let text = fs::read_to_string(journal).expect("a journal");
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let marks = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let vouched = |line: Value| match line["event"].as_str() {
        Some("mark") => Some(line),
        Some("sealed") => Some(line["mark"].clone()),
        _ => None,
    };
    marks.filter_map(vouched).next_back()
}

/// Does one of the things that other programs do; false where there was nothing to do it to.
fn change(scene: &mut Scene<'_>, path: &Path, harm: usize) -> bool {
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(path) else { return false };
    let length = file.metadata().expect("its length").len();
    if length == 0 {
        return false;
    }
    match harm {
        0 => file.set_len(scene.rng.u64(..length)).is_ok(),
        1 => {
            let mut end = OpenOptions::new().append(true).open(path).expect("the same file");
            end.write_all(b"{\"id\":\"theirs\"}\n").is_ok()
        }
        2 => {
            let other = path.with_extension("sed");
            let mut text = String::new();
            File::open(path).and_then(|mut file| file.read_to_string(&mut text)).expect("rows");
            let lines: Vec<&str> = text.lines().skip(1).collect();
            fs::write(&other, lines.join("\n")).expect("another file");
            fs::rename(other, path).is_ok()
        }
        3 => fs::remove_file(path).is_ok(),
        _ => {
            let place = scene.rng.u64(..length);
            file.seek(SeekFrom::Start(place)).and_then(|_| file.write_all(b"\0")).is_ok()
        }
    }
}
