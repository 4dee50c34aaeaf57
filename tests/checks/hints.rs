//! Commands that are shown to be typed: none has a verb or an option that there is not.

use std::path::{Path, PathBuf};

use clap::Command;
use classify::cli::Cli;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
            found.push(path);
        }
    }
}

/// What stands between backticks and begins with the program's name, a text over several lines of the source as one.
fn commands(text: &str) -> Vec<String> {
    let mut whole = String::new();
    for line in text.lines() {
        match line.trim().strip_suffix('\\') {
            Some(begun) => whole.push_str(begun),
            None => whole.extend([line.trim(), "\n"]),
        }
    }
    let quoted = whole.lines().flat_map(|line| line.split('`').skip(1).step_by(2).collect::<Vec<_>>());
    quoted.filter(|part| part.starts_with("classify ")).map(str::to_owned).collect()
}

/// What is wrong with `typed`, as far as its verbs and options go.
fn problem(root: &Command, typed: &str) -> Option<String> {
    let words = typed.split([' ', '\u{2026}']).skip(1).take_while(|word| !["|", ";", "&&"].contains(word));
    let (mut command, mut in_verbs) = (root, true);
    for word in words {
        if let Some(option) = word.strip_prefix("--") {
            in_verbs = false;
            let name = option.split(['=', '|']).next().unwrap_or(option);
            let known = |command: &Command| command.get_arguments().any(|arg| arg.get_long() == Some(name));
            let is_global =
                root.get_arguments().any(|arg| arg.is_global_set() && arg.get_long() == Some(name));
            if !name.is_empty() && !name.contains(['{', '…']) && !known(command) && !is_global {
                return Some(format!("`{}` has no `--{name}`", command.get_name()));
            }
        } else if in_verbs {
            // A verb that is filled in later, or several of them.
            let is_filled_in = word.contains(['{', '|']) || word.chars().all(|c| c.is_ascii_uppercase());
            if is_filled_in && command.has_subcommands() {
                return None;
            }
            match command.find_subcommand(word) {
                Some(inner) => command = inner,
                None if command.has_subcommands() && command.get_name() != root.get_name() => {
                    return Some(format!("`{}` has no verb `{word}`", command.get_name()));
                }
                None => in_verbs = false,
            }
        }
    }
    None
}

#[test]
fn what_is_shown_to_be_typed_can_be_typed() {
    let mut root = Cli::definition();
    root.build();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut shown, mut wrong) = (vec![here.join("README.md")], 0, Vec::new());
    sources(&here.join("src"), &mut files);
    sources(&here.join("docs"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for command in commands(&text) {
            shown += 1;
            wrong.extend(
                problem(&root, &command).map(|why| format!("{}: `{command}`: {why}", file.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(shown > 100, "only {shown} commands were found");
}

#[test]
fn what_cannot_be_typed_is_found() {
    let mut root = Cli::definition();
    root.build();
    for (typed, said) in [
        ("classify runs resume 01X --up", Some("`resume` has no `--up`")),
        ("classify runs go", Some("`runs` has no verb `go`")),
        ("classify runs resume {id} --max-cost USD", None),
        ("classify runs {verb} --whatever", None),
        ("classify runs resume -q --home DIR", None),
        ("classify --detach x.csv", None),
        ("classify cluster logs | grep -o --nonsense", None),
    ] {
        assert_eq!(problem(&root, typed).as_deref(), said, "{typed}");
    }
}
