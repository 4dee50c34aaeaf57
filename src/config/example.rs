//! A file with every setting in it, commented out, made from the options' own help and defaults.

use std::fmt::Write as _;

use super::setting::Setting;

const HEAD: &str = "\
# Settings of `classify`, all at their defaults. Looked for as ./classify.toml, then as classify/classify.toml in $XDG_CONFIG_HOME
# (~/.config); `--config FILE` or CLASSIFY_CONFIG names another. The environment wins over this file, and flags over both:
# `max_in_flight` is CLASSIFY_MAX_IN_FLIGHT and --max-in-flight. `classify config show` tells where each value came from.
# A file that is found in the current folder may come from somebody else. It cannot have the settings marked (own file):
# they decide what is started, read or sent where. `--config classify.toml` says that the file is yours.
# Keys of providers belong into the environment of `classify serve` and are refused here.
";

/// The text of such a file.
pub fn example(settings: &[Setting]) -> String {
    let mut out = HEAD.to_owned();
    let mut section = "";
    // Writing to a String cannot fail.
    for setting in settings {
        if setting.section == section {
            out.push('\n');
        } else {
            section = &setting.section;
            let _ = write!(out, "\n[{section}]\n");
        }
        let help = setting.arg.get_help().map(ToString::to_string).unwrap_or_default();
        let own = if setting.is_for_any_folder() { "" } else { " (own file)" };
        let _ = writeln!(out, "# {}{own}", help.lines().collect::<Vec<_>>().join(" "));
        let value = match setting.default() {
            Some(value) if setting.is_switch() || value.parse::<f64>().is_ok() => value,
            Some(value) => format!("\"{value}\""),
            None => String::new(),
        };
        let _ = writeln!(out, "{}", format!("# {} = {value}", setting.key).trim_end());
    }
    out
}
