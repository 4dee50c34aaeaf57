//! Puts what was measured into a document, with what it was measured on.

use std::io;
use std::path::Path;
use std::process::Command;

/// Puts `text` between the marks `<!-- NAME -->` and `<!-- end -->` of a document of the repository.
pub(crate) fn publish(document: &str, name: &str, text: &str) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let page = std::fs::read_to_string(&path)?;
    let (begin, end) = (format!("<!-- {name} -->\n"), "<!-- end -->");
    let marks = || io::Error::other(format!("{} has no place for `{name}`", path.display()));
    let (before, rest) = page.split_once(&begin).ok_or_else(marks)?;
    let (_, after) = rest.split_once(end).ok_or_else(marks)?;
    std::fs::write(&path, format!("{before}{begin}{text}\n{end}{after}"))
}

/// What was typed, when, and on what machine.
pub(crate) fn about(typed: &str) -> String {
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let commit = said("git", &["describe", "--always", "--dirty"]);
    format!("`{typed}` on {today}, commit {commit}, {}:", machine())
}

fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: u64 = after(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let model = after(&read("/proc/cpuinfo"), "model name");
    let (gib, kernel) = (kib / 1024 / 1024, said("uname", &["-r"]));
    // Whoever else was at work then says something about the times.
    let load = read("/proc/loadavg");
    let load = load.split(' ').nth(2).unwrap_or("?");
    format!("{cores} cores ({model}), {gib} GiB, Linux {kernel}, load average of the last 15 min {load}")
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
