//! Commands that are shown to be typed next: for the cluster and the label set that this invocation is about.
//!
//! Hints are written where something fails, for the default cluster and the built-in label set. That they name another one where another
//! one is meant is seen to here, once for all of them.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

use crate::cluster::DEFAULT_NAME;

static CONTEXT: OnceLock<Context> = OnceLock::new();

/// What this invocation is about, as far as it is not the default.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Context {
    cluster: Option<String>,
    taxonomy: Option<String>,
}

/// Says what this invocation is about. The first word counts.
pub fn set(cluster: &str, taxonomy: Option<&Path>) {
    let cluster = (cluster != DEFAULT_NAME).then(|| cluster.to_owned());
    let taxonomy = taxonomy.map(|file| quoted(&file.to_string_lossy()));
    let _earlier = CONTEXT.set(Context { cluster, taxonomy });
}

/// The text with its commands for what this invocation is about.
pub(super) fn in_context(text: &str) -> Cow<'_, str> {
    CONTEXT.get().map_or(Cow::Borrowed(text), |context| context.complete(text))
}

impl Context {
    fn complete<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if (self.cluster.is_none() && self.taxonomy.is_none()) || !text.contains("`classify ") {
            return Cow::Borrowed(text);
        }
        // Commands stand between backticks: every second part.
        let parts = text.split('`').enumerate();
        let parts = parts.map(|(index, part)| match index % 2 {
            1 => self.command(part),
            _ => Cow::Borrowed(part),
        });
        Cow::Owned(parts.collect::<Vec<_>>().join("`"))
    }

    /// The command with options behind its last verb: what else it has may end in a pipe.
    fn command<'a>(&self, command: &'a str) -> Cow<'a, str> {
        let words: Vec<&str> = command.split(' ').collect();
        let (verbs, named, labels) = match words.as_slice() {
            ["classify", "cluster", "render", ..] => return Cow::Borrowed(command),
            ["classify", "cluster", _, ..] => (3, "--name", false),
            ["classify", "queue" | "limits", _, ..] => (3, "--cluster", false),
            ["classify", "serve", ..] => (2, "--cluster", true),
            _ => return Cow::Borrowed(command),
        };
        let has = |option: &str| words.contains(&option);
        let cluster = self.cluster.as_ref().filter(|_| !has(named));
        let taxonomy = self.taxonomy.as_ref().filter(|_| labels && !has("--taxonomy"));
        let (head, rest) = words.split_at(verbs);
        let mut all: Vec<&str> = head.to_vec();
        all.extend(cluster.iter().flat_map(|name| [named, name.as_str()]));
        all.extend(taxonomy.iter().flat_map(|file| ["--taxonomy", file.as_str()]));
        all.extend(rest);
        Cow::Owned(all.join(" "))
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_cluster_and_the_label_set() {
        let context = Context { cluster: Some("hunt".into()), taxonomy: Some("tickets.toml".into()) };
        for (said, wanted) in [
            (
                "start it: `classify serve`",
                "start it: `classify serve --cluster hunt --taxonomy tickets.toml`",
            ),
            (
                "`classify serve --register`, or `--up`",
                "`classify serve --cluster hunt --taxonomy tickets.toml --register`, or `--up`",
            ),
            (
                "see `classify cluster status` and `classify cluster logs restate-2`",
                "see `classify cluster status --name hunt` and `classify cluster logs --name hunt restate-2`",
            ),
            ("`classify cluster logs | grep -o 'x'`", "`classify cluster logs --name hunt | grep -o 'x'`"),
            ("why: `classify queue status`", "why: `classify queue status --cluster hunt`"),
            ("`classify limits show m`", "`classify limits show --cluster hunt m`"),
        ] {
            assert_eq!(context.complete(said), wanted);
            assert_eq!(context.complete(wanted), wanted, "what names it already stays");
        }
        for said in [
            "`classify runs resume 01X`",
            "`classify` is fine",
            "classify serve",
            "`classify cluster render DIR`",
        ] {
            assert_eq!(context.complete(said), said);
        }
        let default = Context { cluster: None, taxonomy: None };
        assert_eq!(default.complete("`classify serve`"), "`classify serve`");
    }

    #[test]
    fn a_shell_takes_the_file_as_one_word() {
        assert_eq!(quoted("a/b-c_1.toml"), "a/b-c_1.toml");
        assert_eq!(quoted("my labels.toml"), "'my labels.toml'");
        assert_eq!(quoted("it's.toml"), r"'it'\''s.toml'");
    }
}
