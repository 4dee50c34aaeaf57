//! Rows are private and files are ours: modes of what is on disk, copies that go, names that others can guess, words that others can say,
//! and what reaches a terminal.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::pty::openpty;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::world::{Ran, Running, World, send, wait_for};

/// Somebody who is neither us nor root.
const NOBODY: &str = "--reuid=65534";
const MINUTE: Duration = Duration::from_mins(1);

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What others may read, write or enter in and below `folder`, which is left out itself where `within` says so.
fn open_to_others(folder: &Path, seen: &mut Vec<PathBuf>) -> Vec<String> {
    let mut open = Vec::new();
    // The nodes are at work: what was there a moment ago may be gone.
    let Ok(found) = fs::symlink_metadata(folder) else { return open };
    seen.push(folder.to_owned());
    if !found.is_symlink() && found.mode() & 0o077 != 0 {
        open.push(format!("{:o} {}", found.mode() & 0o7777, folder.display()));
    }
    if found.is_dir() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            open.extend(open_to_others(&entry.path(), seen));
        }
    }
    open
}

/// `classify` with `table` on its standard input.
fn piped(world: &World, table: &str, args: &[&str]) -> Running {
    let mut command = world.command(&[args, &["--input-format", "csv", "-"]].concat());
    command.stdin(File::open(world.path(table)).expect("the table"));
    Running::begin(command, world.path("piped.stderr"))
}

fn kill(run: &mut Running) {
    run.signal(Signal::SIGKILL);
    wait_for("the run's end", MINUTE, || run.has_ended());
}

fn youngest(world: &World) -> String {
    let listed = world.classify(&["runs", "list", "--json"]).expect_code(0);
    let last = listed.stdout.lines().last().expect("a run").to_owned();
    serde_json::from_str::<Value>(&last).expect("JSON")["run_id"].as_str().expect("an id").to_owned()
}

fn copies(world: &World, id: &str) -> Vec<String> {
    let files = fs::read_dir(world.path("state/runs").join(id)).expect("the run");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name.starts_with("input-") || name.ends_with("ry.jsonl")).collect()
}

pub(crate) fn a_home_is_its_owner_s_alone(world: &mut World) {
    let home = world.path("state");
    // As an older version left it.
    for folder in [home.clone(), home.join("cluster"), world.cluster_folder()] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("a mode");
    }
    let table = world.table(200);
    world.classify(&["--mode", "max", "-o", "attached.jsonl", &table]).expect_code(0);
    let before = world.executed().len();
    let piped_table = world.table(200);
    let mut run = piped(world, &piped_table, &["--rpm", "1200", "-o", "piped.jsonl"]);
    world.wait_executed(before, 40);
    let seen = &mut Vec::new();
    assert_eq!(open_to_others(&home, seen), [""; 0], "while it runs");
    kill(&mut run);
    assert_eq!(copies(world, &youngest(world)), ["input-0.csv"]);
    world.classify(&["runs", "resume", "--rpm", "60000"]).expect_code(0);
    let ran =
        world.classify(&["--detach", "-q", "--mode", "max", "-o", "detached.jsonl", &table]).expect_code(0);
    world.classify(&["runs", "attach", ran.stdout.trim()]).expect_code(0);
    // The service, too, as part of the cluster.
    world.end_service(Signal::SIGTERM);
    world.classify(&["cluster", "stop", "--name", "e2e"]).expect_code(0);
    world.classify(&["--up", "--force", "--mode", "max", "-o", "up.jsonl", &table]).expect_code(0);
    assert_eq!(open_to_others(&home, seen), [""; 0]);
    for there in ["input-0.csv", "journal.jsonl", "rows.bin", "report.json", "service.log", "restate-1.log"] {
        assert!(seen.iter().any(|path| path.ends_with(there)), "{there} was not looked at");
    }
    // A node keeps something in both of its folders.
    for part in ["data/restate-1", "tmp/restate-1"] {
        let folder = world.cluster_folder().join(part);
        assert!(seen.iter().any(|path| path.parent() == Some(&*folder)), "nothing in {part}: {seen:?}");
    }
    // Sockets are where the nodes are asked, and nowhere else: other paths may be too long for one.
    let is_socket = |path: &&PathBuf| {
        fs::symlink_metadata(path)
            .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()))
    };
    let sockets: Vec<&PathBuf> = seen.iter().filter(is_socket).collect();
    let is_known = |path: &Path| {
        path.starts_with(world.cluster_folder().join("data")) && path.extension() == Some("sock".as_ref())
    };
    assert!(sockets.len() >= 9 && sockets.iter().all(|path| is_known(path)), "{sockets:?}");
    if is_root() {
        // Even where the way there is open.
        let way = world.path("");
        let closed = fs::metadata(&way).expect("a folder").permissions();
        fs::set_permissions(&way, Permissions::from_mode(0o755)).expect("a mode");
        let theirs = |path: &Path| {
            Command::new("setpriv")
                .args([NOBODY, "--clear-groups", "ls"])
                .arg(path)
                .output()
                .expect("setpriv")
        };
        assert!(theirs(&way).status.success());
        assert!(!theirs(&home).status.success());
        fs::set_permissions(&way, closed).expect("a mode");
    }
    world.classify(&["cluster", "stop", "--name", "e2e"]).expect_code(0);
}

pub(crate) fn copies_of_rows_go_with_the_run(world: &mut World) {
    let table = world.table(400);
    let before = world.executed().len();
    let mut run = piped(world, &table, &["--rpm", "1200", "-o", "piped.jsonl"]);
    world.wait_executed(before, 40);
    kill(&mut run);
    let id = youngest(world);
    assert_eq!(copies(world, &id), ["input-0.csv"], "who resumes it needs it");
    // An older version left them.
    let left = fs::read(world.path("state/runs").join(&id).join("input-0.csv")).expect("rows");
    world.classify(&["runs", "cancel", &id]).expect_code(0);
    assert_eq!(copies(world, &id), [""; 0]);
    fs::write(world.path("state/runs").join(&id).join("input-0.csv"), left).expect("rows");
    world.classify(&["runs", "cancel", &id]).expect_code(0);
    assert_eq!(copies(world, &id), [""; 0]);
    world.classify(&["runs", "report", &id]).expect_code(0);

    // What the cluster has of a run is collected with the rows that it was made of.
    let table = world.table(200);
    let run = piped(world, &table, &["--detach", "-q", "--rpm", "60", "-o", "detached.jsonl"]);
    let id = run.finish().expect_code(0).stdout.trim().to_owned();
    world.classify(&["runs", "cancel", &id]).expect_code(0);
    assert_eq!(copies(world, &id), ["input-0.csv"], "who collects it needs it");
    world.classify(&["runs", "attach", &id]).expect_code(3);
    assert_eq!(copies(world, &id), [""; 0]);
}

pub(crate) fn a_damaged_journal_keeps_no_run(world: &mut World) {
    let table = world.table(20);
    for (args, detached) in [(&["--mode", "max"][..], false), (&["--mode", "max", "--detach"], true)] {
        world.classify(&[args, &["-q", "-o", "gone.jsonl", &table]].concat()).expect_code(0);
        let id = youngest(world);
        if detached {
            world.classify(&["runs", "attach", &id]).expect_code(0);
        }
        let journal = world.path("state/runs").join(&id).join("journal.jsonl");
        let lines = fs::read_to_string(&journal).expect("a journal");
        fs::write(&journal, format!("damage\n{lines}")).expect("a journal");
        world.classify(&["runs", "report", &id]).expect_code(1);
        let ran = world.classify(&["runs", "delete", "--yes", &id]).expect_code(0);
        assert!(ran.stderr.contains("its journal is damaged"), "{}", ran.stderr);
        assert!(!world.path("state/runs").join(&id).exists());
    }
    assert!(world.path("gone.jsonl").exists());
}

pub(crate) fn what_others_laid_at_our_names_is_not_taken(world: &mut World) {
    let table = world.table(20);
    let before = world.executed().len();
    let folder = world.path("shared");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("a mode");
    let victim = world.path("victim");
    fs::write(&victim, "").expect("a file");
    let refused = |world: &World, args: &[&str], why: &str| {
        let ran = world.classify(&[&["--mode", "max"], args, &[table.as_str()]].concat()).expect_code(2);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("hint: choose"), "{}", ran.stderr);
    };
    let results = ["-o", "shared/out.jsonl"];
    let failures = ["-o", "free.jsonl", "--failures", "shared/out.jsonl"];
    let name = folder.join("out.jsonl.partial");
    for args in [&results[..], &failures] {
        std::os::unix::fs::symlink(&victim, &name).expect("a link");
        refused(world, args, "is a symbolic link");
        fs::remove_file(&name).expect("the link");
        fs::hard_link(&victim, &name).expect("a link");
        refused(world, args, "has more than one name");
        fs::remove_file(&name).expect("the link");
        if is_root() {
            let mut theirs = Command::new("setpriv");
            theirs
                .args([NOBODY, "--clear-groups", "sh", "-c", r#"umask 0; : >"$0""#])
                .arg("out.jsonl.partial");
            // He cannot get here by the way, for that is ours; he is here.
            assert!(theirs.current_dir(&folder).status().expect("setpriv").success());
            assert_eq!(fs::metadata(&name).expect("his file").uid(), 65534);
            refused(world, args, "belongs to another user");
            fs::remove_file(&name).expect("his file");
        }
    }
    assert_eq!(world.executed().len(), before, "nothing was asked");
    // Rows are put in order beside a trap.
    std::os::unix::fs::symlink(&victim, folder.join("out.jsonl.partial.ordered")).expect("a link");
    world.classify(&["--mode", "max", "--ordered", "-o", "shared/out.jsonl", &table]).expect_code(0);
    world.expect_each_once(&table, "shared/out.jsonl");
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "");
}

/// Runs the binary on a terminal of its own; returns what that was sent on stdout and stderr.
fn on_terminal(mut command: Command) -> (Ran, String) {
    let terminal = openpty(None, None).expect("a terminal");
    let (mut person, theirs) = (File::from(terminal.master), File::from(terminal.slave));
    command.stdin(Stdio::null()).stdout(theirs.try_clone().expect("a copy")).stderr(theirs);
    let mut child = command.spawn().expect("the binary runs");
    // Without this the other end stays open and reading never ends.
    drop(command);
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    // Linux ends a terminal that nobody has open any more with an error.
    while let Ok(length @ 1..) = person.read(&mut piece) {
        said.extend_from_slice(&piece[..length]);
    }
    let code = child.wait().expect("its status").code();
    (Ran { code, stdout: String::new(), stderr: String::new() }, String::from_utf8(said).expect("UTF-8"))
}

/// What a terminal may take for more than text. A terminal itself ends lines with a carriage return.
fn powers(text: &str) -> String {
    let is_power = |c: &char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_power).collect()
}

pub(crate) fn a_terminal_gets_no_control_characters(world: &mut World) {
    let name = "Evil \u{1b}[2J\u{9b}31m\u{202e}series";
    fs::write(world.path("evil.csv"), format!("id,name,note\nE1,{name},\u{1b}]0;PWN\u{7}\n"))
        .expect("a table");
    for format in ["csv", "jsonl"] {
        let args = ["-q", "--mode", "max", "-o", "-", "--output-format", format, "evil.csv"];
        let piped = world.classify(&args).expect_code(0).stdout;
        // Digit for digit; JSON escapes some of it itself.
        assert!(piped.contains("\u{9b}31m\u{202e}series"), "{piped}");
        assert!(piped.contains(if format == "csv" { "\u{1b}[2J" } else { "\\u001b[2J" }), "{piped}");
        let (ran, shown) = on_terminal(world.command(&args));
        ran.expect_code(0);
        assert!(shown.contains("series") && shown.contains("E1"), "{shown}");
        assert_eq!(powers(&shown), "", "{shown}");
    }
    let taxonomy = include_str!("promises/tickets.toml");
    let (first, rest) = taxonomy.split_once("description = \"").expect("a description");
    fs::write(world.path("evil.toml"), format!("{first}description = \"\\u009b31m\\u202eEvil. {rest}"))
        .expect("a set");
    let plan = ["--provider", "openai", "--model", "gpt-6-luna", "--plan", "evil.csv"];
    for args in [&plan[..], &["taxonomy", "show", "evil.toml"], &["taxonomy", "prompt", "evil.toml"]] {
        let piped = world.classify(args).expect_code(0).stdout;
        assert!(!powers(&piped).is_empty(), "{args:?}: the test tests nothing: {piped}");
        let (ran, shown) = on_terminal(world.command(args));
        ran.expect_code(0);
        assert!(shown.contains("vil") && shown.lines().count() > 3, "{args:?}: {shown}");
        assert_eq!(powers(&shown), "", "{args:?}: {shown}");
    }
}

/// C10 of the real cases.
pub(crate) fn a_terminal_without_capabilities_gets_lines(world: &mut World) {
    // A line of progress comes after 10 s.
    let table = world.table(24);
    let node = world.node_pids()[0];
    for term in [Some("dumb"), None] {
        let mut command =
            world.command(&["--rpm", "120", "--batch-size", "1", "--force", "-o", "dumb.jsonl", &table]);
        match term {
            Some(term) => command.env("TERM", term),
            None => command.env_remove("TERM"),
        };
        let before = world.executed().len();
        let (ran, shown) = std::thread::scope(|threads| {
            let shown = threads.spawn(|| on_terminal(command));
            if term.is_some() {
                world.wait_executed(before, 2);
                send(node, Signal::SIGKILL);
            }
            shown.join().expect("a run")
        });
        ran.expect_code(0);
        assert!(shown.contains("progress   "), "{term:?}: {shown}");
        assert!(term.is_none() || shown.contains("restate-1"), "the node that died: {shown}");
        assert_eq!(powers(&shown), "", "{term:?}: {shown}");
        world.start_nodes();
    }
}
