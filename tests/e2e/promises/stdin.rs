//! What came through standard input: kept as long as it is needed, and no longer.

use std::fs;

use super::{kill, youngest_run};
use crate::world::{Running, World};

/// Files of a run in which rows of a table stand.
fn copies(world: &World, run: &str) -> Vec<String> {
    let folder = world.path(&format!("state/runs/{run}"));
    let files = fs::read_dir(folder).expect("the run's folder").flatten();
    files
        .filter(|file| {
            let content = fs::read(file.path()).expect("a file of the run");
            String::from_utf8_lossy(&content).contains("Exports of goods, series")
        })
        .map(|file| file.file_name().into_string().expect("a name"))
        .collect()
}

fn piped(world: &World, table: &str, args: &[&str]) -> Running {
    let fixed = ["--batch-size", "5", "--input-format", "csv", "-o", "piped.jsonl", "-"];
    let mut command = world.command(&[args, &fixed].concat());
    command.stdin(fs::File::open(world.path(table)).expect("the table"));
    Running::begin(command, world.path("run.stderr"))
}

pub(crate) fn the_copy_of_standard_input_goes_when_the_run_is_complete(world: &mut World) {
    let table = world.table(200);
    let before = world.executed().len();
    let mut run = piped(world, &table, &["--rpm", "1200"]);
    world.wait_executed(before, 40);
    let id = youngest_run(world);
    assert_eq!(copies(world, &id), ["input-0.csv"]);
    kill(&mut run);
    assert_eq!(copies(world, &id), ["input-0.csv"], "who resumes it needs it");
    world.classify(&["runs", "resume", "--rpm", "60000"]).expect_code(0);
    world.expect_each_once(&table, "piped.jsonl");
    assert_eq!(copies(world, &id), [""; 0]);

    // The same of a run that nothing has disturbed.
    let table = world.table(20);
    piped(world, &table, &["--mode", "max"]).finish().expect_code(0);
    world.expect_each_once(&table, "piped.jsonl");
    let other = youngest_run(world);
    assert_ne!(other, id);
    assert_eq!(copies(world, &other), [""; 0]);
}
