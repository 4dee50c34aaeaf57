//! The command line: what can be typed, what cannot, and that the help tells the truth.

use std::num::NonZeroU32;
use std::path::Path;

use clap::CommandFactory as _;
use classify::cli::Cli;
use classify::throttle::{Answerer, Mode, Pace, Rate};
use classify::{cluster, output};

use crate::support::{Folder, NO_NODE};

#[test]
fn hints_name_the_cluster_and_the_label_set() {
    let labels = concat!(env!("CARGO_MANIFEST_DIR"), "/taxonomies/economic.toml");
    let folder = Folder::with_table().file("my labels.toml", std::fs::read_to_string(labels).unwrap());
    folder
        .classify(&[&["--cluster", "hunt", "a.csv", "--taxonomy", "my labels.toml"][..], &NO_NODE].concat())
        .failed(4)
        .mentioned(&["`classify cluster start --name hunt`"]);
    folder
        .classify(&["--cluster", "hunt", "a.csv"])
        .failed(4)
        .mentioned(&["`classify cluster start --name hunt`"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    folder
        .classify(&["serve", "--bind", &address, "--cluster", "hunt", "--taxonomy", "my labels.toml"])
        .failed(2)
        .mentioned(&["`classify serve --cluster hunt --taxonomy 'my labels.toml' --bind 127.0.0.1:9081`"]);
    let admin = ["queue", "list", "--cluster", "hunt", "--admin", "http://127.0.0.1:1"];
    folder.classify(&admin).failed(4).mentioned(&["`classify cluster status --name hunt`"]);
}

#[test]
fn state_that_cannot_be_written_is_told_with_a_way_out() {
    // A file where a folder should be: root may write anywhere else.
    let folder = Folder::new().file("home", "");
    folder
        .classify(&["cluster", "start", "--restate-server", "/bin/true", "--ports", "auto"])
        .failed(2)
        .mentioned(&["cannot write ", "name a folder where you may write with `--home DIR`"]);
}

#[test]
fn these_can_be_typed() {
    for line in [
        "a.csv",
        "run a.csv",
        "a.csv b.json c.jsonl -",
        "--mode fast a.csv",
        "-m max a.csv -o out.csv",
        "--up --mode ultra a.csv",
        "run --rpm 100 a.csv --failures f.jsonl --json",
        "--rpm-per-node 5 --batch-size 1000 --max-in-flight 9 a.csv",
        "--input-format ndjson --output-format csv -o - -",
        "--skip-invalid --force --provider rules --taxonomy t.toml a.csv",
        "--ingress http://a:1,http://b:2 --ingress http://c:3 a.csv",
        "--cluster two --restate-server /bin/x --cache /tmp a.csv --up",
        "-q a.csv --home h",
        "-vv run a.csv",
        "-q cluster stop",
        "cluster start --runtime native --nodes 3 --ports auto --name two --timeout 9",
        "cluster start --runtime docker --name two",
        "cluster render --nodes 5",
        "cluster render --ports auto --force DIR",
        "--up --runtime docker a.csv",
        "cluster stop",
        "cluster clean --yes",
        "cluster status --json",
        "cluster ps",
        "cluster adopt classify --name two",
        "cluster restore restate-2 --name two --yes",
        "cluster logs -f -n 9 restate-2",
        "cluster register http://127.0.0.1:9080",
        "serve --register --bind 0.0.0.0:9080 --audit-log a --taxonomy t",
        "queue status --watch --interval 5 --json --admin http://a:1",
        "queue list --run 01M82VWXVYQHWRKTN4PR1DFQ44 --service Classifier --state retrying,paused --older-than 1d --limit 5 --json",
        "queue cancel inv_1a inv_1b --kill -y",
        "queue cancel --all --admin http://a:1",
        "queue retry --error RT0010 --older-than 10m",
        "queue purge --state succeeded --state failed --error 500",
        "completions bash",
        "--provider hybrid --model openai/a/b --threshold 0.5 --items-per-call 50 --reasoning-effort low a.csv",
        "--plan --max-cost 0.5 --max-failures 5% --prices p.toml a.csv",
        "serve --llm-rpm 500 --llm-tpm 90000 --llm-concurrency 8 --llm-timeout 30 --answer-form json --prices p.toml",
        "limits show openai/a --json",
        "limits set openai/a --rpm 5 --tpm 6 --concurrency 7",
        "limits set openai/a --reset",
        "taxonomy show",
        "taxonomy check t.toml",
        "taxonomy prompt --items-per-call 5",
        "taxonomy schema t.toml",
        "config show --json --config c.toml",
        "config example",
    ] {
        let parsed = Cli::parse_from_os(["classify"].into_iter().chain(line.split(' ')).map(Into::into));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn these_cannot() {
    let folder = Folder::with_table();
    for (line, parts) in [
        ("", &["required arguments", "<INPUT>..."][..]),
        ("run", &["required arguments", "<INPUT>..."]),
        ("--modee fast a.csv", &["unexpected argument '--modee'", "hint: ", "'--mode'"]),
        ("a.csv --outptu x", &["unexpected argument '--outptu'", "hint: ", "'--output'"]),
        ("--bogus a.csv", &["unexpected argument '--bogus'", "hint: see `classify --help`"]),
        ("clutser start", &["cannot open clutser", "hint: did you mean the command `classify cluster`?"]),
        ("cluster", &["requires a subcommand", "start, stop, clean, status"]),
        ("cluster strat", &["unrecognized subcommand 'strat'", "hint: ", "'start'"]),
        ("cluster start --nodes 0", &["invalid value '0' for '--nodes <N>'"]),
        ("cluster start --nodes 10", &["invalid value '10' for '--nodes <N>'"]),
        ("cluster start --ports some", &["unknown ports `some`", "hint: use one of: default, auto"]),
        ("cluster start --runtime dokcer", &["unknown runtime `dokcer`", "hint: did you mean `docker`?"]),
        ("cluster render --force", &["required arguments", "<DIR>"]),
        ("cluster render --nodes 6", &["default ports are enough for 5", "hint: add `--ports auto`"]),
        ("cluster status --timeout 3", &["unexpected argument '--timeout'"]),
        ("--mode fast cluster start", &["`--mode <MODE>` belongs to `run`"]),
        ("--detach --plan a.csv", &["'--detach' cannot be used with '--plan'"]),
        ("--detach -o - a.csv", &["`--detach` needs a file", "hint: write the results to a file"]),
        ("queue", &["requires a subcommand", "status"]),
        ("queue status --interval 0", &["invalid value '0' for '--interval <SECONDS>'"]),
        (
            "queue list --service Payments",
            &["unknown service `Payments`", "ClassifyBatch, Classifier, ModelLimits, DetachedRun"],
        ),
        ("queue list --error slow", &["invalid value 'slow'", "`cancelled`, `killed`"]),
        ("queue list --older-than 5", &["no length of time", "`10m`"]),
        ("queue list --run latest", &["no run's id: 26 letters and digits"]),
        ("queue cancel", &["required arguments", "<ID|--all|--run <RUN_ID>"]),
        ("queue cancel --yes", &["required arguments"]),
        ("queue cancel --all --state paused", &["'--all' cannot be used with"]),
        ("queue cancel inv_1a --run 01M82VWXVYQHWRKTN4PR1DFQ44", &["cannot be used with"]),
        (
            "queue cancel --state failed --yes",
            &["failed invocations cannot be cancelled", "hint: ", "waiting, running"],
        ),
        ("queue cancel inv_1a", &["nothing was cancelled: there is no terminal", "hint: ", "`--yes`"]),
        (
            "queue retry --state failed --yes",
            &["failed invocations cannot be retried", "hint: ", "`classify runs retry`"],
        ),
        ("queue purge all", &["invalid value 'all'", "no id of an invocation"]),
        ("queue purge inv_1'--", &["no id of an invocation"]),
        ("serve --bind nowhere", &["invalid value 'nowhere' for '--bind <ADDRESS>'"]),
        ("completions tcsh", &["unknown shell `tcsh`", "bash"]),
        ("--mode fast --rpm 5 a.csv", &["'--mode <MODE>' cannot be used with '--rpm <N>'"]),
        ("--rpm 5 --rpm-per-node 5 a.csv", &["cannot be used with"]),
        ("--up --ingress http://a:1 a.csv", &["'--up' cannot be used with '--ingress <URL>'"]),
        ("--input-format tsv a.csv", &["unknown input format `tsv`"]),
        ("--output-format xml a.csv", &["unknown output format `xml`", "jsonl, csv"]),
        ("--ingress junk a.csv", &["`junk` is no URL of a node", "hint: ", "--ingress http://"]),
        ("--cluster ../x a.csv", &["cannot name a cluster"]),
        ("--taxonomy no.toml a.csv", &["no.toml"]),
        ("--provider opnai a.csv", &["no such provider; did you mean `openai`?"]),
        ("--provider openai a.csv", &["needs a model", "hint: for instance `--model gpt-6-luna`"]),
        ("--provider hybrid --model luna a.csv", &["named PROVIDER/NAME"]),
        ("--threshold 0.5 a.csv", &["`--threshold` does nothing here"]),
        ("--model x a.csv", &["`--model` does nothing here"]),
        ("--reasoning-effort hard --provider openai --model x a.csv", &["use one of: none, minimal, low"]),
        ("--max-cost 0 a.csv", &["must be an amount above 0"]),
        ("--max-failures 101% a.csv", &["a share like `5%`"]),
        ("limits set openai/a --rpm 0", &["invalid value '0'"]),
        ("limits set openai/a --reset --rpm 5", &["cannot be used with"]),
        ("taxonomy check no.toml", &["no.toml"]),
        ("config", &["requires a subcommand"]),
        ("-m", &["a value is required for '--mode <MODE>'"]),
    ] {
        let args: Vec<&str> = line.split_whitespace().collect();
        let ran = folder.classify(&args);
        ran.failed(2).mentioned(&["error: "]).mentioned(parts);
        assert_eq!(ran.stderr.matches("error: ").count(), 1, "{ran:#?}");
        assert_eq!(folder.names(), ["a.csv"]);
    }
}

#[test]
fn the_main_job_needs_no_name() {
    let folder = Folder::with_table();
    let [short, long] =
        [&[][..], &["run"]].map(|name| folder.classify(&[name, &["a.csv"], &NO_NODE[..]].concat()));
    let expected: Vec<&str> = short.stderr.lines().collect();
    long.failed(4).said(&expected);
    folder.classify(&[&["-q", "a.csv"], &NO_NODE[..]].concat()).failed(4).said(&expected[1..]);
}

#[test]
fn the_version_is_told() {
    let ran = Folder::new().classify(&["--version"]);
    let version = format!("classify {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ran.code, ran.stdout, ran.stderr), (Some(0), version, String::new()));
}

#[test]
fn every_command_explains_itself_and_each_of_its_flags() {
    let mut root = Cli::command();
    root.build();
    explain(&Folder::new(), &root, &[]);
}

fn explain(folder: &Folder, command: &clap::Command, path: &[&str]) {
    for flag in ["--help", "-h"] {
        let ran = folder.classify(&[path, &[flag]].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
        let words: Vec<&str> =
            ran.stdout.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).collect();
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let name = argument.get_long().map_or_else(
                || argument.get_value_names().unwrap()[0].to_string(),
                |long| format!("--{long}"),
            );
            // Word by word: `--rpm` is not there because `--rpm-per-node` is.
            assert!(words.contains(&name.as_str()), "no {name} in {ran:#?}");
            assert!(argument.get_help().is_some_and(|help| !help.to_string().is_empty()), "{name}");
        }
        // One is for `cluster start` alone.
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let line = format!("  {} ", command.get_name());
            assert!(ran.stdout.lines().any(|found| found.starts_with(&line)), "no {line} in {ran:#?}");
        }
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        explain(folder, inner, &[path, &[inner.get_name()]].concat());
    }
}

#[test]
fn arguments_stand_under_their_own_headings() {
    let root = Cli::command();
    let heading = |id: &str| {
        let argument = root.get_arguments().find(|argument| argument.get_id() == id).unwrap();
        argument.get_help_heading().map(str::to_owned)
    };
    assert_eq!((heading("input"), heading("up")), (None, None));
    assert_eq!(heading("home").as_deref(), Some("Global options"));
    assert_eq!(heading("rpm").as_deref(), Some("Pace"));
    assert_eq!(heading("restate_server").as_deref(), Some("Server for --up"));
}

/// The help of one argument, of a command by its path.
fn help(path: &[&str], id: &str) -> String {
    let mut command = Cli::command();
    for name in path {
        command = command.find_subcommand(name).unwrap().clone();
    }
    let argument = command.get_arguments().find(|argument| argument.get_id() == id).unwrap();
    argument.get_help().unwrap().to_string()
}

/// What clap fills in is true by construction; what is written by hand is held against the code here.
#[test]
fn the_defaults_that_the_help_tells_are_true() {
    let by = |rate: Rate, answerer| Pace::new(rate, NonZeroU32::new(3).unwrap(), answerer, None, None);
    let pace = |rate: Rate| by(rate, Answerer::Model);
    let [rules, model] = [Answerer::Rules, Answerer::Model].map(|answerer| by(Rate::Unlimited, answerer));
    let rates = [("safe", Mode::Safe), ("fast", Mode::Fast), ("ultra", Mode::Ultra)].map(|(name, mode)| {
        let total = pace(mode.rate()).total.unwrap();
        format!("{name} {}/min", classify::text::grouped(format!("{total:.0}").parse().unwrap()))
    });
    assert_eq!(help(&["run"], "mode"), format!("How fast: {}, max without limit", rates.join(", ")));
    assert_eq!(pace(Mode::Max.rate()).total, None);

    assert!(help(&["run"], "batch_size").ends_with(&format!(
        "[default: about one second's worth for a node, 1 to 50; {} for the rules without a rate; never more than --max-in-flight]",
        rules.batch_size
    )));
    let batch = |rpm: f64| pace(Rate::PerNode(rpm)).batch_size.get();
    assert_eq!([1.0, 600.0, 1e6].map(batch), [1, 10, 50]);

    let number = |size: NonZeroU32| classify::text::grouped(size.get().into());
    assert!(help(&["run"], "max_in_flight").ends_with(&format!(
        "[default: one minute's worth, at least 500; without a rate {}, for the rules {}]",
        number(model.max_in_flight),
        number(rules.max_in_flight)
    )));
    let in_flight = |rpm: f64| pace(Rate::Total(rpm)).max_in_flight.get();
    assert_eq!([10.0, 5_000.0].map(in_flight), [500, 5_000]);

    assert!(help(&["run"], "output").ends_with("[default: next to the input, NAME.classified.jsonl]"));
    let results = output::default_results(Some(Path::new("x/NAME.csv")));
    assert_eq!(results, Path::new("x/NAME.classified.jsonl"));
    assert!(help(&["run"], "failures").ends_with("[default: next to the results, NAME.failures.jsonl]"));
    assert_eq!(output::default_failures(&results), Path::new("x/NAME.failures.jsonl"));

    assert!(help(&["run"], "taxonomy").ends_with("[default: the built-in `economic`]"));
    assert_eq!(classify::taxonomy::Taxonomy::economic().id().split_once('@').unwrap().0, "economic");

    let nodes = format!("[default: {}, or what the cluster has]", cluster::DEFAULT_NODES);
    assert!(help(&["cluster", "start"], "nodes").ends_with(&nodes));
    assert!(help(&["cluster", "register"], "uri").contains(&format!("<{}>", cluster::DEFAULT_SERVICE_URI)));
    let serve = Cli::command().find_subcommand("serve").unwrap().clone();
    let bind = serve.get_arguments().find(|argument| argument.get_id() == "bind").unwrap().clone();
    assert_eq!(format!("http://{}", bind.get_default_values()[0].display()), cluster::DEFAULT_SERVICE_URI);
}

#[test]
fn a_label_set_can_be_looked_at() {
    let folder = Folder::new().file("bad.toml", "name = \"bad\"\n");
    let said = |args: &[&str]| {
        let ran = folder.classify(&[&["taxonomy"], args].concat());
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        (ran.stdout, ran.stderr)
    };
    let (shown, _) = said(&["show"]);
    for field in classify::taxonomy::Taxonomy::economic().fields() {
        assert!(shown.contains(&format!("\n{} (", field.name)), "{}", field.name);
    }
    let (_, checked) = said(&["check"]);
    assert!(
        checked.starts_with("economic@1 (") && checked.ends_with("can be used: 11 fields\n"),
        "{checked}"
    );
    let schema: serde_json::Value = serde_json::from_str(&said(&["schema"]).0).unwrap();
    crate::schema::expect_schema(&schema);
    let several = said(&["schema", "--items-per-call", "5"]).0;
    assert!(several.contains("\"items\"") && !schema.to_string().contains("\"items\""));
    assert!(said(&["prompt"]).0.contains("higher-is-positive"));
    folder.classify(&["taxonomy", "check", "bad.toml"]).failed(2).mentioned(&["bad.toml"]);
}
