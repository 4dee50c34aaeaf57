//! The key: in the environment of `serve`, in the request to the provider, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Provider, with_model};
use crate::llm_stub::{KEY, Plan};
use crate::world::{World, http, wait_for};

const WRONG: &str = "stub-wrong-0123456789abcdefghij";

pub(crate) fn the_key_is_nowhere(world: &mut World) {
    let provider = Provider::start(Plan::healthy().slowed(Duration::from_millis(700)));
    provider.serve(world, &["-vv", "--llm-concurrency", "20"]);
    let table = world.table(100);
    let options = with_model("stub-secret", &["-vv", "-o", "secret.jsonl", &table]);
    let run = world.begin(&options);
    // Journals are kept as long as work is under way.
    wait_for("calls under way", Duration::from_secs(30), || provider.seen("stub-secret").len() > 30);
    let live = restate(world);
    for part in ["ModelLimits", "sys_journal", "ask", "clock"] {
        assert!(live.contains(part), "no {part} in what is searched: {live}");
    }
    let mut texts = vec![live];
    let ran = run.finish().expect_code(0);
    texts.extend([ran.stdout, ran.stderr]);

    // A provider that says back what it was sent.
    world.replace_service(|service| {
        provider.is_known_to(service);
        service.env("OPENAI_API_KEY", WRONG).arg("-vv");
    });
    let table = world.table(10);
    let ran = world.classify(&with_model("stub-secret", &["-o", "wrong.jsonl", &table])).expect_code(2);
    texts.extend([ran.stdout, ran.stderr, restate(world)]);

    // What nodes still keep in memory goes to disk when they end.
    world.end_service(Signal::SIGTERM);
    world.classify(&["cluster", "stop"]).expect_code(0);
    let files = files(world.path("").as_path());
    let read: Vec<(PathBuf, Vec<u8>)> =
        files.into_iter().filter_map(|file| Some((file.clone(), fs::read(file).ok()?))).collect();
    // The search finds what is there.
    for (part, least) in [("Exports of goods", 4), ("ClassifyBatch", 3), ("[redacted]", 1)] {
        let having = read.iter().filter(|(_, content)| has(content, part.as_bytes())).count();
        assert!(having >= least, "`{part}` in {having} files");
    }
    for key in [KEY, WRONG] {
        let hex = classify::domain::fingerprint::hex(key.as_bytes());
        for needle in [key, &hex, &key[..20]] {
            for text in &texts {
                assert!(!text.contains(needle), "the key is in {text}");
            }
            for (file, content) in &read {
                assert!(!has(content, needle.as_bytes()), "the key is in {}", file.display());
            }
        }
    }
}

/// All that Restate can be asked about invocations, journals and state.
fn restate(world: &World) -> String {
    let url = format!("{}/query", world.admin_url());
    let all = |name: &str| {
        let answer = http("POST", &url, &json!({ "query": format!("SELECT * FROM {name}") }));
        (name.to_owned(), answer)
    };
    let tables = ["sys_journal", "sys_invocation", "state"].map(all);
    Value::Object(tables.into_iter().collect()).to_string()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

fn has(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}
