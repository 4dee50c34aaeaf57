//! Settings in a file for compose: the one that the user names, else `.env` in the folder he is in.
//!
//! Somebody else may have made that folder. Its file may choose ports and the password of a page on loopback; what else a compose file takes
//! from there decides where snapshots and rows go.

use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};

/// Names the file that is the user's.
pub(super) const ENV_FILE: &str = "CLASSIFY_ENV_FILE";
/// What is looked for otherwise.
const NAME: &str = ".env";
/// What it may have then.
const FOLDER_SETTINGS: [&str; 5] =
    ["STORE_PORT", "LB_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "GRAFANA_PASSWORD"];

/// The file, and whether the user named it.
fn found() -> Option<(PathBuf, bool)> {
    match std::env::var_os(ENV_FILE).filter(|name| !name.is_empty()) {
        Some(name) => Some((std::path::absolute(name).ok()?, true)),
        None => Some((std::path::absolute(NAME).ok().filter(|file| file.is_file())?, false)),
    }
}

/// The file of settings for compose.
///
/// # Errors
/// When the user named one that is not there, or one that nobody named has a setting that it must not have.
pub(super) fn checked_env_file() -> Result<Option<PathBuf>> {
    let Some((path, is_named)) = found() else { return Ok(None) };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("cannot read settings from {}: {error}", path.display())))?;
    if !is_named {
        check(&path, &text)?;
    }
    Ok(Some(path))
}

/// Refuses lines of a file that nobody named which say more than a port.
fn check(path: &Path, text: &str) -> Result<()> {
    let stranger = text.lines().enumerate().find(|(_, line)| {
        let line = line.trim_start();
        let free = |name: &str| value_of(line, name).is_some();
        !line.is_empty() && !line.starts_with('#') && !FOLDER_SETTINGS.iter().any(|name| free(name))
    });
    let Some((index, line)) = stranger else { return Ok(()) };
    // Never the value: it may be a key.
    let name = line.trim_start().split(['=', ':']).next().unwrap_or_default().trim();
    let message =
        format!("{}:{}: `{name}` cannot be set by a file in the current folder", path.display(), index + 1);
    Err(Failure::usage(message)
        .detail("such a file is read unasked, and this setting decides what is started or sent where")
        .hint(format!(
            "if the file is yours, name it: `{ENV_FILE}={NAME}`; or set {name} in the environment"
        )))
}

/// A variable as compose will see it: from the environment, else from the file; empty is unset. One that is no text is no setting, and a
/// file that cannot be read has none: compose itself says what is wrong with them.
pub(super) fn setting(name: &str) -> Option<String> {
    let value = match std::env::var_os(name) {
        Some(value) => value.into_string().ok(),
        None => value_in(&std::fs::read_to_string(found()?.0).ok()?, name),
    };
    value.filter(|value| !value.is_empty())
}

/// The value of `name` in the text of such a file. The last one counts.
fn value_in(text: &str, name: &str) -> Option<String> {
    text.lines().filter_map(|line| value_of(line, name)).next_back()
}

fn value_of(line: &str, name: &str) -> Option<String> {
    let line = line.trim_start();
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let value = line.strip_prefix(name)?.trim_start().strip_prefix(['=', ':'])?.trim();
    // A quote ends what is quoted; otherwise a `#` behind a blank begins a comment.
    if let Some(quote @ ('"' | '\'')) = value.chars().next() {
        return value[1..].split(quote).next().map(str::to_owned);
    }
    let end = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
    let value = if value.starts_with('#') { "" } else { value[..end].trim_end() };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_chooses_ports_and_nothing_else() {
        let check = |text: &str| check(Path::new("/x/.env"), text);
        check("# ports\n\n  STORE_PORT=9100\nexport LB_PORT: 1 # one\nGRAFANA_PASSWORD='x y'\n").unwrap();
        for (text, said) in [
            ("STORE_PORT=1\nSNAPSHOTS=destination=\"s3://evil/x\"\n", "/x/.env:2: `SNAPSHOTS` cannot be set"),
            ("CLASSIFY_COMPATIBLE_URL: http://evil.example", "/x/.env:1: `CLASSIFY_COMPATIBLE_URL` cannot"),
            ("COMPOSE_FILE=evil.yml", "`COMPOSE_FILE`"),
            ("STORE_PORTS=1", "`STORE_PORTS`"),
        ] {
            let failure = check(text).unwrap_err();
            assert!(failure.message().contains(said), "{}", failure.message());
            assert!(!failure.message().contains("evil.example"), "{}", failure.message());
        }
    }

    #[test]
    fn values_are_read_as_compose_reads_them() {
        for line in [
            "STORE_PORT=9100",
            "  STORE_PORT=9100  ",
            "export STORE_PORT=9100",
            "export\tSTORE_PORT = 9100",
            "STORE_PORT = 9100 # beside the other one",
            "STORE_PORT=9100\t# beside the other one",
            "STORE_PORT=\"9100\" # quoted",
            "STORE_PORT='9100'",
            "STORE_PORT: 9100",
            "STORE_PORT=9000\nSTORE_PORT=9100",
        ] {
            assert_eq!(value_in(line, "STORE_PORT").as_deref(), Some("9100"), "{line:?}");
        }
        for line in ["#STORE_PORT=9100", "STORE_PORTS=9100", "exportSTORE_PORT=9100", "STORE_PORT", ""] {
            assert_eq!(value_in(line, "STORE_PORT"), None, "{line:?}");
        }
        assert_eq!(value_in("STORE_PORT=a#b", "STORE_PORT").as_deref(), Some("a#b"));
        assert_eq!(value_in("STORE_PORT= # none", "STORE_PORT").as_deref(), Some(""));
    }
}
