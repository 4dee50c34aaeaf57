//! Settings in the folder the user is in, as compose itself will read them there.

use std::path::PathBuf;

/// `.env` in the folder the user is in.
pub(super) fn env_file() -> Option<PathBuf> {
    std::path::absolute(".env").ok().filter(|file| file.is_file())
}

/// A variable as compose will see it: from the environment, else from `.env`; empty is unset. One that is no text is no setting, and a
/// file that cannot be read has none: compose itself says what is wrong with them.
pub(super) fn setting(name: &str) -> Option<String> {
    let value = match std::env::var_os(name) {
        Some(value) => value.into_string().ok(),
        None => value_in(&std::fs::read_to_string(env_file()?).ok()?, name),
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
