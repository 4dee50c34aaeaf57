//! What the files around the source claim: the Rust version, the features of dependencies, the changelog, the notices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use toml::Table;

/// Packages as `name v1.2.3`, with each set of features they are built with. The compiler's own helpers may be
/// built with another set than the program.
type Features = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn table(path: &str) -> Table {
    read(path).parse().unwrap()
}

/// A value of Cargo.toml's `[package]`.
fn package(key: &str) -> String {
    table("Cargo.toml")["package"][key].as_str().unwrap().to_owned()
}

/// What cargo says, without the network and without touching the lock file.
fn cargo(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).args(["--locked", "--offline"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `1.95` and `1.95.0` are the same.
fn numbers(version: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = version.split('.').map(|part| part.parse().unwrap()).collect();
    numbers.resize(3, 0);
    numbers
}

/// Whether `version` is `claimed` or one of its patches.
fn is_of(version: &str, claimed: &str) -> bool {
    numbers(version)[..2] == numbers(claimed)[..2]
}

/// Of the dependencies, each with the Rust version it asks for, those that ask for a newer one than `claimed`.
fn too_new<'a>(wanted: &'a [(String, String)], claimed: &str) -> Vec<&'a str> {
    let newer = wanted.iter().filter(|(_, version)| numbers(version) > numbers(claimed));
    newer.map(|(name, _)| name.as_str()).collect()
}

/// The Rust versions that `text` names: `Rust 1.95`, `rust:1.95.0-slim`, `toolchain: 1.95.0`.
fn rust_versions(text: &str) -> Vec<&str> {
    static NAMED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"(?i)\b(?:rust|toolchain)[ :"(]{1,3}(1\.\d+(?:\.\d+)?)"#).unwrap());
    NAMED.captures_iter(text).map(|found| found.get(1).unwrap().as_str()).collect()
}

/// Reads `cargo tree -f '{p}|{f}'`.
fn features(tree: &str) -> Features {
    let mut all = Features::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (package, features) = line.split_once('|').unwrap();
        // Name and version; then come `(proc-macro)` and the path.
        let name = package.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let features = features.trim_end_matches("(*)").trim();
        all.entry(name).or_default().insert(features.to_owned());
    }
    all
}

/// Packages of the program that tests build with other features, with both sets.
fn differences(program: &Features, tests: &Features) -> Vec<String> {
    let differs = |name: &str, of_program: &BTreeSet<String>| {
        let of_tests = tests.get(name).cloned().unwrap_or_default();
        (*of_program != of_tests).then(|| format!("{name}\n  program {of_program:?}\n  tests   {of_tests:?}"))
    };
    program.iter().filter_map(|(name, features)| differs(name, features)).collect()
}

/// Whether a changelog has a place for changes of `version`.
fn has_section(changelog: &str, version: &str) -> bool {
    let mut titles = changelog.lines().filter_map(|line| line.strip_prefix("## ")?.split(' ').next());
    titles.any(|title| title == version || title == "Unreleased")
}

/// The packages in THIRD-PARTY-NOTICES.txt.
fn noticed(notices: &str) -> BTreeSet<String> {
    let names = notices.lines().filter_map(|line| line.strip_prefix("  * ")?.split(',').next());
    names.map(|name| name.replacen(' ', " v", 1)).collect()
}

/// What is compiled for this machine, `edges` being the kinds of dependencies.
fn compiled(edges: &str) -> Features {
    let compiled = features(&cargo(&["tree", "-e", edges, "-f", "{p}|{f}", "--prefix", "none"]));
    assert!(compiled.len() > 100, "these are not the dependencies");
    compiled
}

/// Every build here is one with the version that is claimed.
#[test]
fn the_toolchain_is_the_rust_version_claimed() {
    let (claimed, toolchain) = (package("rust-version"), table("rust-toolchain.toml"));
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert!(is_of(channel, &claimed), "rust-toolchain.toml has {channel}, Cargo.toml claims {claimed}");
}

#[test]
fn no_dependency_asks_for_a_newer_rust() {
    let claimed = package("rust-version");
    let about = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Packages for other systems need not be on this machine.
    let args = ["metadata", "--format-version", "1", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&cargo(&args)).unwrap();
    let compiled = compiled("normal,build");
    let wanted: Vec<(String, String)> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|package| {
            let name = format!("{} v{}", package["name"].as_str()?, package["version"].as_str()?);
            compiled.contains_key(&name).then_some((name, package["rust_version"].as_str()?.to_owned()))
        })
        .collect();
    assert!(wanted.len() > 100, "these are not the dependencies");
    assert_eq!(too_new(&wanted, &claimed), [""; 0], "newer than {claimed}");
}

/// Otherwise tests would test another program than the one that is shipped.
#[test]
fn tests_are_built_with_the_features_of_the_program() {
    let differences = differences(&compiled("normal,build"), &compiled("normal,build,dev"));
    assert!(differences.is_empty(), "add the features to [dependencies]:\n{}", differences.join("\n"));
}

#[test]
fn one_rust_version_is_named_everywhere() {
    let claimed = package("rust-version");
    let workflows = std::fs::read_dir(root().join(".github/workflows")).unwrap();
    let workflows: Vec<PathBuf> = workflows.map(|entry| entry.unwrap().path()).collect();
    let mut named = 0;
    for file in ["README.md", "Dockerfile"].map(PathBuf::from).into_iter().chain(workflows) {
        let text = read(&file);
        let versions = rust_versions(&text);
        named += usize::from(!versions.is_empty());
        for version in versions {
            assert!(is_of(version, &claimed), "{} names Rust {version}, not {claimed}", file.display());
        }
    }
    assert!(named >= 3, "README, Dockerfile or workflows name no Rust version");
}

#[test]
fn the_changelog_has_a_section_for_this_version() {
    let version = package("version");
    assert!(has_section(&read("CHANGELOG.md"), &version), "no section `## {version}` and no `## Unreleased`");
}

/// Without the tool that writes them: names and versions only.
#[test]
fn the_notices_name_what_is_in_the_program() {
    let notices = noticed(&read("THIRD-PARTY-NOTICES.txt"));
    let own = format!("{} v{}", package("name"), package("version"));
    let program = compiled("normal").into_keys().filter(|name| *name != own);
    let missing: Vec<String> = program.filter(|name| !notices.contains(name)).collect();
    assert!(missing.is_empty(), "run scripts/notices.sh: it misses {missing:?}");
    // Those of other systems are named as well, so what is in excess shows by the lock file.
    let lock = table("Cargo.lock");
    let locked: BTreeSet<String> = lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            format!("{} v{}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
        })
        .collect();
    let gone: Vec<_> = notices.difference(&locked).collect();
    assert!(gone.is_empty(), "run scripts/notices.sh: nothing needs {gone:?} any more");
}

/// The checks above find nothing today: this shows that they would.
#[test]
fn wrong_claims_would_be_found() {
    assert!(is_of("1.95.0", "1.95") && is_of("1.95", "1.95.0"));
    assert!(!is_of("1.96.0", "1.95") && !is_of("1.9.5", "1.95"));

    let wanted = [("old", "1.56"), ("same", "1.95.0"), ("patch", "1.95.1"), ("newer", "1.100")];
    let wanted = wanted.map(|(name, version)| (name.to_owned(), version.to_owned()));
    assert_eq!(too_new(&wanted, "1.95"), ["patch", "newer"]);

    let text = "You need Rust (1.91 or later), not Rust.\nFROM docker.io/library/rust:1.94.0-slim\n  toolchain: \"1.93\"\n";
    assert_eq!(rust_versions(text), ["1.91", "1.94.0", "1.93"]);

    assert!(has_section("# Changelog\n\n## 1.2.3 – 2026-11-27\n", "1.2.3"));
    assert!(has_section("## Unreleased\n", "1.2.3"));
    assert!(!has_section("## 1.2.30 – 2026-11-27\n### 1.2.3\n", "1.2.3"));

    let notices = "MIT\n  * one 1.0.0\n  * two 2.0.0, Somebody <a@b.c>\n\n  text\n";
    assert_eq!(noticed(notices), ["one v1.0.0", "two v2.0.0"].map(str::to_owned).into());
}

#[test]
fn other_features_would_be_found() {
    let program =
        features("own v1.0.0 (/somewhere)|\nserde v1.0.0|default,std\nmacros v2.0.0 (proc-macro)|\n");
    let tests = "own v1.0.0 (/somewhere)|\nserde v1.0.0|default,std (*)\nmacros v2.0.0 (proc-macro)| (*)\nproptest v1.0.0|std\n";
    assert_eq!(differences(&program, &features(tests)), [""; 0], "what only tests use is theirs");
    let other = features(&tests.replace("default,std (*)", "default,rc,std"));
    assert_eq!(
        differences(&program, &other),
        ["serde v1.0.0\n  program {\"default,std\"}\n  tests   {\"default,rc,std\"}"]
    );
    let second = features(&format!("{tests}serde v1.0.0|alloc\n"));
    assert_eq!(differences(&program, &second).len(), 1, "a second set is a difference, too");
}

/// A threat that nothing is shown against any more must not look as if it were.
#[test]
fn every_test_that_the_threats_name_is_there() {
    let pattern = Regex::new(r"`(?:[a-z_]+::)+([a-z_0-9]{12,})`").unwrap();
    let text = read("docs/security.md");
    let names: BTreeSet<&str> = pattern.captures_iter(&text).map(|found| found.extract::<1>().1[0]).collect();
    assert!(names.len() > 12, "{names:?}");
    let mut sources = Vec::new();
    let mut open = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                sources.push(read(path));
            }
        }
    }
    for name in names {
        assert!(sources.iter().any(|source| source.contains(&format!("fn {name}("))), "no test `{name}`");
    }
}
