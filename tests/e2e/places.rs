//! Where results go, and who else is there.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::world::{Ran, World, wait_for};

/// A name that is not UTF-8.
fn odd(name: &'static [u8]) -> PathBuf {
    OsStr::from_bytes(name).into()
}

fn lines(world: &World, name: impl AsRef<std::path::Path>) -> usize {
    let path = world.path("").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).lines().count()
}

pub(crate) fn any_name_and_any_link_is_a_place_for_results(world: &mut World) {
    let table = world.table(20);
    let folder = odd(b"d\xe9r");
    fs::create_dir(world.path("").join(&folder)).expect("a folder");
    fs::copy(world.path(&table), world.path("").join(&folder).join(odd(b"caf\xe9.csv"))).expect("a table");
    let run = |world: &World, change: &dyn Fn(&mut Command)| -> Ran {
        let mut command = world.command(&["--mode", "max"]);
        change(&mut command);
        command.output().expect("the binary runs").into()
    };
    // Results by default beside the input, then at a place of their own, from a folder with such a name.
    let input = folder.join(odd(b"caf\xe9.csv"));
    run(world, &|command| _ = command.arg(&input)).expect_code(0);
    assert_eq!(lines(world, folder.join(odd(b"caf\xe9.classified.jsonl"))), 20);
    let within = world.path("").join(&folder);
    let ran = run(world, &|command| {
        command.current_dir(&within).arg("-o").arg(odd(b"r\xe9s.jsonl")).arg("--failures").arg(odd(b"f\xe9"));
        command.arg(odd(b"caf\xe9.csv"));
    });
    ran.expect_code(0);
    assert_eq!(lines(world, folder.join(odd(b"r\xe9s.jsonl"))), 20);
    let listed = world.classify(&["runs", "list", "--json"]).expect_code(0);
    assert!(listed.stdout.lines().count() >= 2, "{}", listed.stdout);
    world.classify(&["runs", "show", "--json"]).expect_code(0).json();
    world.classify(&["runs", "resume"]).expect_code(0);

    // A link to nothing, and one to a file that nobody else may read.
    fs::create_dir(world.path("behind")).expect("a folder");
    symlink("behind/target.jsonl", world.path("link.jsonl")).expect("a link");
    world.classify(&["--mode", "max", "-o", "link.jsonl", &table]).expect_code(0);
    assert_eq!(lines(world, "behind/target.jsonl"), 20);
    fs::set_permissions(world.path("behind/target.jsonl"), Permissions::from_mode(0o600)).expect("a mode");
    world.classify(&["--mode", "max", "-o", "link.jsonl", &table]).expect_code(0);
    assert!(fs::symlink_metadata(world.path("link.jsonl")).expect("the link").is_symlink());
    let found = fs::metadata(world.path("behind/target.jsonl")).expect("the results");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
}

pub(crate) fn a_place_that_cannot_be_taken_is_refused_before_the_first_row(world: &mut World) {
    let table = world.table(20);
    let before = world.executed().len();
    fs::write(world.path("there.jsonl"), "old").expect("a file");
    for (place, why) in [
        ("out.jsonl/", "it names a folder"),
        ("there.jsonl/", "it names a folder"),
        ("same.jsonl.partial", "unfinished results"),
    ] {
        let args = ["--mode", "max", "--output-format", "jsonl", "-o", place, &table];
        let ran = world.classify(&args).expect_code(2);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("hint: choose"), "{place}: {}", ran.stderr);
    }
    assert_eq!(world.executed().len(), before, "nothing was asked");
    assert_eq!(fs::read_to_string(world.path("there.jsonl")).expect("it"), "old");
}

pub(crate) fn a_reader_that_goes_away_ends_it_quietly(world: &mut World) {
    let table = world.table(3_000);
    let args = ["--rpm", "60000", "-o", "-", &table];
    let mut run = world.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a run");
    let mut rows = BufReader::new(run.stdout.take().expect("stdout"));
    for _ in 0..2 {
        assert!(rows.read_line(&mut String::new()).expect("a row") > 0);
    }
    drop(rows);
    let mut said = String::new();
    run.stderr.take().expect("stderr").read_to_string(&mut said).expect("UTF-8");
    assert_eq!(run.wait().expect("its status").code(), Some(141), "{said}");
    assert!(!said.contains("error:") && !said.contains("make room"), "{said}");

    let watch = ["queue", "status", "--watch", "--interval", "1"];
    let mut watch =
        world.command(&watch).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a watch");
    let mut shown = BufReader::new(watch.stdout.take().expect("stdout"));
    assert!(shown.read_line(&mut String::new()).expect("a line") > 0);
    drop(shown);
    wait_for("the watch to end", Duration::from_secs(20), || !matches!(watch.try_wait(), Ok(None)));
    assert_eq!(watch.wait().expect("its status").code(), Some(0));
}

pub(crate) fn a_file_that_another_program_changes_is_never_called_complete(world: &mut World) {
    let table = world.table(600);
    let partial = world.path("same.jsonl.partial");
    let run = world.begin(&["--rpm", "6000", "--batch-size", "10", "-o", "same.jsonl", &table]);
    wait_for("rows", Duration::from_mins(1), || {
        fs::metadata(&partial).is_ok_and(|found| found.len() > 5_000)
    });
    File::options().write(true).open(&partial).expect("the file").set_len(100).expect("a shorter one");
    let ran = run.finish().expect_code(1);
    assert!(ran.stderr.contains("same.jsonl.partial was changed by another program"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("classified 600 of 600"), "{}", ran.stderr);
    assert!(!world.path("same.jsonl").exists());
    world.classify(&["runs", "resume", "--rpm", "60000"]).expect_code(0);
    world.expect_each_once(&table, "same.jsonl");
}
