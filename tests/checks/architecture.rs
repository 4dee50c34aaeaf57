//! Rules about the source itself: who may use whom, who may write to the terminal, how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 400;
/// Everything else hands its text to one of these.
const WRITERS: [&str; 3] = ["ui/", "output/", "cli/usage.rs"];
/// Lies outside of `src` and is there for unit tests only.
const FOR_TESTS: &str = "json_schema";

struct Source {
    /// Relative to `src`.
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Without comments and the strings that could be taken for code; with the unit tests.
    fn code(&self) -> String {
        self.text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
    }

    /// Up to the unit tests at its end.
    fn product(&self) -> &str {
        self.text.split("\n#[cfg(test)]\n").next().unwrap()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let (mut folders, mut sources): (Vec<PathBuf>, Vec<Source>) = (vec![root().join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path: name, text: std::fs::read_to_string(path).unwrap() });
            }
        }
    }
    assert!(sources.len() > 50, "this is not the source");
    sources
}

/// The table in the documentation: module to rank.
fn ranks() -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table = text.split("```text modules\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut ranks = BTreeMap::new();
    for line in table.lines() {
        let mut words = line.split_whitespace();
        let (rank, module) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
        assert!(words.next().is_some(), "`{module}` is not explained");
        assert_eq!(ranks.insert(module.to_owned(), rank), None, "`{module}` stands there twice");
    }
    ranks
}

/// Modules named right after `crate::` or `classify::`, also in `crate::{a::b, c}`.
fn modules_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let word =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    for (start, prefix) in code.match_indices("crate::") {
        if code[..start].ends_with('$') {
            continue;
        }
        let rest = &code[start + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let (mut depth, mut expected) = (1, true);
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => break,
                '}' => depth -= 1,
                ',' if depth == 1 => expected = true,
                c if expected && (c.is_alphabetic() || c == '_') => {
                    used.insert(word(&group[index..]));
                    expected = false;
                }
                _ => {}
            }
        }
    }
    used.retain(|name| name.starts_with(char::is_lowercase));
    used
}

/// What a module of rank `own` may not use.
fn forbidden<'a>(module: &str, used: &'a BTreeSet<String>, ranks: &BTreeMap<String, u32>) -> Vec<&'a str> {
    let own = ranks[module];
    let allowed = |other: &str| {
        other == module || other == FOR_TESTS || ranks.get(other).is_some_and(|rank| *rank < own)
    };
    used.iter().map(String::as_str).filter(|other| !allowed(other)).collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let ranks = ranks();
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| !["lib", "main"].contains(&source.module())) {
        let used = modules_used(&source.code());
        for other in forbidden(source.module(), &used, &ranks) {
            violations.push(format!("src/{} uses `{other}`", source.path));
        }
    }
    assert!(violations.is_empty(), "see docs/architecture.md:\n{}", violations.join("\n"));
}

#[test]
fn the_table_names_every_module_and_no_other() {
    let modules: BTreeSet<String> = sources()
        .iter()
        .map(Source::module)
        .filter(|name| !["lib", "main"].contains(name))
        .map(Into::into)
        .collect();
    assert_eq!(ranks().into_keys().collect::<BTreeSet<_>>(), modules);
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert_eq!(declared.map(str::to_owned).collect::<BTreeSet<_>>(), modules);
}

/// The checks above find nothing today: this shows that they would.
#[test]
fn a_use_in_the_wrong_direction_would_be_found() {
    let code = "use crate::{\n    cli::{Cli, run},\n    text::{self, count},\n    error,\n};\n\
                use crate::domain::outcome;\nfn f() -> crate::ui::Ui { $crate::macros() }\npub(crate) use crate::Thing;";
    let used = modules_used(code);
    assert_eq!(used.iter().collect::<Vec<_>>(), ["cli", "domain", "error", "text", "ui"]);
    let ranks = ranks();
    assert_eq!(forbidden("report", &used, &ranks), ["cli", "ui"]);
    assert_eq!(forbidden("text", &used, &ranks), ["cli", "error", "ui"], "its equals, too");
    assert_eq!(forbidden("commands", &used, &ranks), [""; 0]);
}

#[test]
fn every_file_says_what_it_owns() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "src/{} does not open with `//!`", source.path);
    }
}

#[test]
fn no_file_is_long() {
    for source in sources() {
        let lines = source.product().lines().count();
        assert!(lines <= LONGEST_FILE, "src/{} has {lines} lines without its tests", source.path);
    }
}

/// The macros are denied by clippy.
#[test]
fn few_places_write_to_the_terminal() {
    for source in sources() {
        // Asking whether it is a terminal writes nothing.
        let code = source.code().replace("stdout().is_terminal()", "").replace("stderr().is_terminal()", "");
        let writes = ["stdout()", "stderr()", "io::stdout", "io::stderr", ".print()"];
        let found = writes.iter().find(|call| code.contains(**call));
        let may = WRITERS.iter().any(|place| source.path.starts_with(place));
        assert!(may || found.is_none(), "src/{} writes by `{}` itself", source.path, found.unwrap());
    }
}

#[test]
fn one_place_ends_the_process() {
    for source in sources() {
        assert!(!source.code().contains("process::exit"), "src/{}", source.path);
    }
}
