//! Settings from a file and the environment: what wins, what is refused, and that the example tells the truth.

use std::collections::BTreeSet;
use std::path::Path;

use classify::cli::{Cli, SECTIONS};
use classify::config::{File, Trust, example, settings};
use serde_json::Value;

use crate::support::{Folder, Ran};

/// Value and origin of one setting, as `config show` tells them.
fn shown(ran: &Ran, name: &str) -> (Value, Value) {
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let list: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let one = list.into_iter().find(|one| one["name"] == name).unwrap();
    (one["value"].clone(), one["origin"].clone())
}

const FILE: &str = "quiet = true\n\n[run]\nmode = \"fast\"\nmax_in_flight = 700\n\n[serve]\nllm_rpm = 500\n";

#[test]
fn every_value_says_where_it_came_from() {
    let folder = Folder::new().file("classify.toml", FILE);
    let environment =
        [("CLASSIFY_MODE", "ultra"), ("CLASSIFY_LLM_TPM", "90000"), ("OPENAI_API_KEY", "sk-very-secret")];
    let ran = folder.classify_with(&environment, &["config", "show", "--json", "--home", "there"]);
    for (name, value, kind, place) in [
        ("home", "there", "flag", "--home"),
        ("quiet", "true", "file", "classify.toml:1"),
        ("run.mode", "ultra", "environment", "CLASSIFY_MODE"),
        ("run.max_in_flight", "700", "file", "classify.toml:5"),
        ("serve.llm_rpm", "500", "file", "classify.toml:8"),
        ("serve.llm_tpm", "90000", "environment", "CLASSIFY_LLM_TPM"),
        ("OPENAI_API_KEY", "set", "environment", "OPENAI_API_KEY"),
    ] {
        let (shown, origin) = shown(&ran, name);
        assert_eq!((&shown, &origin[kind]), (&value.into(), &place.into()), "{name}: {origin}");
    }
    assert_eq!(shown(&ran, "serve.llm_timeout"), ("180".into(), "default".into()));
    assert_eq!(shown(&ran, "run.model"), (Value::Null, "default".into()));
    assert_eq!(shown(&ran, "ANTHROPIC_API_KEY"), ("not set".into(), "default".into()));
    assert!(!ran.stdout.contains("secret"), "{}", ran.stdout);
    let table = folder.classify(&["config", "show"]).stdout;
    assert!(
        table.lines().any(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).eq([
            "run.mode",
            "fast",
            "classify.toml:4",
            "any file"
        ])),
        "{table}"
    );
}

/// The rate that a run announces with these settings: `--plan` says how long it takes "as asked".
fn time(file: &str, environment: &[(&str, &str)], args: &[&str]) -> f64 {
    let rows: Vec<String> = (0..9_000).map(|row| format!("a{row},One {row}")).collect();
    let folder =
        Folder::new().file("a.csv", format!("id,name\n{}\n", rows.join("\n"))).file("classify.toml", file);
    let args = [args, &["--plan", "--json", "--force", "--ingress", "http://127.0.0.1:1", "a.csv"]].concat();
    let ran = folder.classify_with(environment, &args);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    let seconds = plan["seconds"].as_array().unwrap();
    let asked = seconds.iter().find(|one| one[0] == "as asked").unwrap();
    asked[1].as_f64().unwrap()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let slow = "[run]\nrpm = 450\n";
    let near = |seconds: f64, rpm: f64| (seconds / (9_000.0 / rpm * 60.0) - 1.0).abs() < 0.05;
    assert!(near(time("", &[], &[]), 450.0), "safe is the default");
    assert!(near(time("[run]\nmode = \"fast\"\n", &[], &[]), 900.0));
    assert!(near(time(slow, &[("CLASSIFY_RPM", "1800")], &[]), 1_800.0));
    assert!(near(time(slow, &[("CLASSIFY_RPM", "1800")], &["--rpm", "3600"]), 3_600.0));
    // Another way of saying the same thing takes the place of what stands below it.
    assert!(near(time(slow, &[], &["--mode", "fast"]), 900.0));
    assert!(near(time("[run]\nmode = \"fast\"\n", &[], &["--rpm", "450"]), 450.0));
    assert!(near(time(slow, &[("CLASSIFY_MODE", "fast")], &[]), 900.0));
    assert!(near(time("", &[("CLASSIFY_RPM", "450")], &["--mode", "fast"]), 900.0));
    assert!(near(time(slow, &[], &["run", "--mode", "ultra"]), 5_000.0), "also behind the command's name");
}

/// Every variable that an option reads.
fn variables(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_str().unwrap().to_owned()));
    let inner = command.get_subcommands().flat_map(variables);
    own.chain(inner).collect()
}

#[test]
fn an_empty_variable_is_unset() {
    let mut definition = Cli::definition();
    definition.build();
    let mut all = variables(&definition);
    assert!(
        all.contains("RESTATE_SERVER") && all.contains("CLASSIFY_CLUSTER") && all.contains("CLASSIFY_UP"),
        "{all:?}"
    );
    let others =
        ["OPENAI_API_KEY", "CLASSIFY_COMPATIBLE_URL", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "STORE_PORT"];
    all.extend(others.map(str::to_owned));
    // The rest of the machine's settings, and the containers that somebody may be running, stay out.
    all.retain(|name| name != "CLASSIFY_RUNTIME" && name != "CLASSIFY_HOME");
    let empty: Vec<(&str, &str)> = all.iter().map(|name| (name.as_str(), "")).collect();
    let folder = Folder::with_table().file("classify.toml", "[run]\nmode = \"ultra\"\n");
    let show = ["config", "show", "--json"];
    assert_eq!(folder.classify_with(&empty, &show).stdout, folder.classify(&show).stdout);
    let plan = ["--plan", "--json", "--ingress", "http://127.0.0.1:1", "a.csv"];
    assert_eq!(
        folder.classify_with(&empty, &plan).code,
        Some(0),
        "{:#?}",
        folder.classify_with(&empty, &plan)
    );
    folder
        .classify_with(&empty, &["cluster", "status"])
        .failed(4)
        .mentioned(&["there is no cluster `default`"]);
    let home = folder.path("there").display().to_string();
    for name in ["CLASSIFY_HOME", "CLASSIFY_RUNTIME"] {
        let ran = folder.classify_with(&[(name, "")], &["--home", &home, "cluster", "logs"]);
        ran.failed(4).mentioned(&["there is no cluster `default`", &home]);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_a_way_out() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("classify.toml")).unwrap();
    folder
        .classify(&["config", "show"])
        .failed(2)
        .mentioned(&["cannot read settings from", "`--config FILE`"]);
    assert_eq!(folder.classify(&["config", "show", "--config", "/dev/null"]).code, Some(0));
}

#[test]
fn another_provider_has_another_model() {
    let file = "[run]\nprovider = \"hybrid\"\nmodel = \"openai/gpt-6-luna\"\nthreshold = 0.6\n";
    let folder = Folder::with_table().file("mine.toml", file);
    let plan = |args: &[&str]| {
        let plan = ["--config", "mine.toml", "--plan", "--force", "--ingress", "http://127.0.0.1:1", "a.csv"];
        folder.classify(&[args, &plan].concat())
    };
    assert!(plan(&[]).stdout.contains("to openai/gpt-6-luna"), "{:#?}", plan(&[]));
    assert!(plan(&["--provider", "rules"]).stdout.contains("nothing: the rules are built in"));
    plan(&["--provider", "anthropic"]).failed(2).mentioned(&["`--provider anthropic` needs a model"]);
    assert!(plan(&["--model", "openai/other"]).stdout.contains("to openai/other"));
}

#[test]
fn a_file_is_found_in_its_places() {
    let there = |ran: &Ran| shown(ran, "run.mode").0;
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("xdg/classify")).unwrap();
    let folder = folder.file("xdg/classify/classify.toml", "[run]\nmode = \"ultra\"\n");
    let xdg = folder.path("xdg").display().to_string();
    let show = ["config", "show", "--json"];
    assert_eq!(there(&folder.classify_with(&[("XDG_CONFIG_HOME", &xdg)], &show)), "ultra");
    let folder =
        folder.file("classify.toml", "[run]\nmode = \"fast\"\n").file("mine.toml", "[run]\nmode = \"max\"\n");
    assert_eq!(there(&folder.classify_with(&[("XDG_CONFIG_HOME", &xdg)], &show)), "fast");
    assert_eq!(there(&folder.classify_with(&[("CLASSIFY_CONFIG", "mine.toml")], &show)), "max");
    assert_eq!(there(&folder.classify(&["config", "show", "--json", "--config", "mine.toml"])), "max");
    folder
        .classify(&["config", "show", "--config", "no.toml"])
        .failed(2)
        .mentioned(&["no.toml: there is no such file"]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, parts) in [
        (
            "[run]\nmod = \"fast\"\n",
            &["classify.toml:2: there is no setting `mod` in [run]", "did you mean `mode`?"][..],
        ),
        (
            "\n\n[rnu]\nmode = \"fast\"\n",
            &["classify.toml:4: there is no setting [rnu]", "did you mean `run`?"],
        ),
        ("mode = \"fast\"\n", &["classify.toml:1: there is no setting `mode`"]),
        (
            "[run]\nmode = \"fsat\"\n",
            &[
                "classify.toml:2: `fsat` is no value for `run.mode`",
                "did you mean `fast`? (safe, fast, ultra, max)",
            ],
        ),
        ("[run]\nrpm = 0\n", &["classify.toml:2: `0` is no value for `run.rpm`", "whole number above 0"]),
        ("[run]\nrpm = true\n", &["`true` is no value for `run.rpm`"]),
        ("[run]\nrpm = [1, 2]\n", &["one value, not a list"]),
        ("[run]\nordered = \"yes\"\n", &["true or false, without quotes"]),
        ("[run]\nrpm = 1979-05-27\n", &["classify.toml:2: `rpm` must be a text, a number"]),
        ("[run]\nmode = fast\n", &["classify.toml:2: "]),
        ("[run]\nforce = true\n", &["there is no setting `force`"]),
        (
            "[run]\nmode = \"fast\"\nrpm = 5\n",
            &["classify.toml:3: `run.rpm` and `run.mode` in line 2 exclude each other"],
        ),
    ] {
        let ran = Folder::with_table().file("classify.toml", text).classify(&["a.csv"]);
        ran.failed(2).mentioned(&["error: "]).mentioned(parts);
    }
}

/// Settings that a file in the current folder may have. Whoever adds to them answers for it: none starts a program, reads a file, or
/// decides where rows go.
const FOR_ANY_FOLDER: [&str; 21] = [
    "quiet",
    "verbose",
    "run.mode",
    "run.rpm",
    "run.rpm_per_node",
    "run.batch_size",
    "run.max_in_flight",
    "run.input_format",
    "run.skip_invalid",
    "run.output_format",
    "run.ordered",
    "run.threshold",
    "run.items_per_call",
    "run.reasoning_effort",
    "run.max_cost",
    "run.max_failures",
    "serve.llm_rpm",
    "serve.llm_tpm",
    "serve.llm_concurrency",
    "serve.llm_timeout",
    "cluster.start.timeout",
];

#[test]
fn a_folder_cannot_start_load_or_redirect_anything() {
    let show = Folder::new().classify(&["config", "show", "--json"]);
    let list: Vec<Value> = serde_json::from_str(&show.stdout).unwrap();
    let mut refused = 0;
    for setting in settings(&Cli::definition(), SECTIONS) {
        let name = setting.name();
        let line = if setting.section.is_empty() {
            format!("\n{} = \"./evil\"\n", setting.key)
        } else {
            format!("[{}]\n{} = \"./evil\"\n", setting.section, setting.key)
        };
        let free = FOR_ANY_FOLDER.contains(&name.as_str()) || name == "queue.status.interval";
        let shown = list.iter().find(|shown| shown["name"] == *name).unwrap();
        assert_eq!(shown["places"], if free { "any_file" } else { "own_file" }, "{name}");
        if free {
            continue;
        }
        refused += 1;
        let folder =
            Folder::with_table().file("classify.toml", &line).file("evil", "#!/bin/sh\ntouch started\n");
        let ran = folder.classify(&["a.csv"]);
        let said = format!("classify.toml:2: `{name}` cannot be set by a file in the current folder");
        ran.failed(2).mentioned(&[&said, "`--config classify.toml`", &setting.variable]);
        assert!(!folder.path("started").exists());
    }
    assert!(refused > 25, "{refused}");
    // The user says that it is his.
    let folder = Folder::with_table().file("classify.toml", "[run]\ningress = \"http://127.0.0.1:1\"\n");
    let show = ["config", "show", "--json"];
    for ran in [
        folder.classify(&[&show[..], &["--config", "classify.toml"]].concat()),
        folder.classify_with(&[("CLASSIFY_CONFIG", "classify.toml")], &show),
    ] {
        assert_eq!(shown(&ran, "run.ingress").0, "http://127.0.0.1:1");
    }
}

#[test]
fn a_file_that_is_in_force_is_named() {
    let folder = Folder::with_table().file("classify.toml", "[run]\nmode = \"fast\"\n");
    let plan = ["--plan", "--ingress", "http://127.0.0.1:1", "--force", "a.csv"];
    let says = |ran: &Ran| ran.stderr.lines().any(|line| line == "settings   classify.toml");
    assert!(says(&folder.classify(&plan)), "{:#?}", folder.classify(&plan));
    assert!(!says(&folder.classify(&[&plan[..], &["--quiet"]].concat())));
    assert!(!says(&folder.classify(&[&plan[..], &["--mode", "safe"]].concat())), "what is typed wins");
    assert!(!says(&folder.classify(&["taxonomy", "list"])), "nothing in it is for this command");
}

#[test]
fn a_key_in_a_file_is_refused_and_not_repeated() {
    let secret = "sk-proj-0123456789abcdef";
    for text in [
        format!("[serve]\nopenai_api_key = \"{secret}\"\n"),
        format!("OPENAI_API_KEY = \"{secret}\"\n"),
        format!("[run]\nmodel = \"{secret}\"\n"),
    ] {
        let ran = Folder::with_table().file("classify.toml", &text).classify(&["a.csv"]);
        ran.failed(2).mentioned(&["classify.toml:", "does not belong into a file", "hint: export it"]);
        assert!(!ran.stderr.contains(secret), "{}", ran.stderr);
    }
}

#[test]
fn the_example_lists_every_setting_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("classify.example.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let all = settings(&Cli::definition(), SECTIONS);
    assert_eq!(text, example(&all), "write it anew: `classify config example > classify.example.toml`");
    assert_eq!(File::parse(&path, Trust::User, &text).unwrap().entries, []);
    // With the defaults in force it says what holds without it.
    let is_default = |line: &&str| {
        line.starts_with("# ") && line.contains(" = ") && !line.ends_with('=') && !line.contains('`')
    };
    let defaults: String = text
        .lines()
        .map(|line| if is_default(&line) { &line[2..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    let file = File::parse(&path, Trust::User, &defaults).unwrap();
    assert!(file.entries.len() > 10, "{:?}", file.entries);
    file.check(&all).unwrap();
}
