//! Finding `restate-server`, or fetching it once with npm.
//!
//! Owns where it is looked for and which versions will do. What it is run with is the business of `node`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::environment::{self, Needs};
use super::lock;
use super::step::{Progress, Step};
use crate::domain::fingerprint::hex;
use crate::error::{Failure, Result};

pub(super) const BINARY: &str = "restate-server";
/// The version that is fetched.
pub const VERSION: &str = "1.7.12";
/// The versions that will do: the APIs we use, `x-restate-error-source` and configuration keys are those of 1.7.
const COMPATIBLE: &str = "1.7.";
/// What is fetched, and in which folder of the cache it is kept.
const SERVER: Tool<'_> = Tool {
    binary: BINARY,
    folder: "restate",
    digests: &[
        ("linux-x64", "8597e9511a4aeb4f082c33a9f4cc62132ea1fe21289811a6e52ae3d2261a031f"),
        ("linux-arm64", "345b6b16c8469e37de1fb2f9ebc80b086facf5f0657750cde367b9ed96bdb95a"),
        ("darwin-x64", "005aaa71cdabdbbb2ca3295f64a103ab5f9efeaa83d574b88569646b9b99e96b"),
        ("darwin-arm64", "343907cf6045859798b12cf6e1e12d25d72dc09e98aa59032c2a8c7305835353"),
    ],
};
/// A download of some 60 MB over a slow line, and somebody else's before ours.
const INSTALL_WAIT: Duration = Duration::from_mins(10);
/// A program that tells its version does nothing else.
const VERSION_WAIT: Duration = Duration::from_secs(10);
const NPM_LINES_SHOWN: usize = 10;

/// Where the server may come from, in this order.
#[derive(Debug, Clone)]
pub struct Source {
    /// `$RESTATE_SERVER`: this one and no other.
    pub explicit: Option<PathBuf>,
    /// `$PATH`, searched for the server, then for npm.
    pub path: OsString,
    /// Where a downloaded server is kept.
    pub cache: PathBuf,
}

/// One of Restate's programs, which npm has as `@restatedev/BINARY`.
pub(super) struct Tool<'a> {
    pub(super) binary: &'a str,
    pub(super) folder: &'a str,
    /// SHA-256 of the program of [`VERSION`], by platform.
    pub(super) digests: &'a [(&'a str, &'a str)],
}

impl Tool<'_> {
    fn package(&self) -> String {
        format!("@restatedev/{}", self.binary)
    }
}

/// A server that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its executable file, an absolute path.
    pub binary: PathBuf,
}

/// Finds a server, fetching it where there is none.
///
/// # Errors
/// When there is none to be had, or it is of another version.
pub async fn locate(source: &Source, progress: Progress<'_>) -> Result<Server> {
    locate_or_fetch(&SERVER, source, progress).await
}

async fn locate_or_fetch(tool: &Tool<'_>, source: &Source, progress: Progress<'_>) -> Result<Server> {
    if let Some(binary) = &source.explicit {
        // Relative to where the user is, not to the node's folder.
        let binary = std::path::absolute(binary).unwrap_or_else(|_| binary.clone());
        check_version(&binary, "$RESTATE_SERVER").await?;
        return Ok(Server { binary });
    }
    let mut unfit = None;
    if let Some(binary) = search(&source.path, BINARY) {
        match check_version(&binary, "found on PATH").await {
            Ok(()) => return Ok(Server { binary }),
            Err(failure) => unfit = Some(failure),
        }
    }
    // Whatever else uses the one on PATH goes on with it; we take our own.
    if let Some(unfit) = &unfit {
        progress(&Step::OtherServer { why: unfit.message().to_owned() });
    }
    let fetched = async {
        let binary = fetch(tool, source, progress).await?;
        check_version(&binary, "downloaded").await?;
        Ok(Server { binary })
    };
    fetched.await.map_err(|failure: Failure| match unfit {
        Some(unfit) => failure.detail(unfit.message().to_owned()),
        None => failure,
    })
}

/// The first executable file called `name` in the folders of `path`.
pub(super) fn search(path: &OsStr, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|file| {
        file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

async fn check_version(binary: &Path, origin: &str) -> Result<()> {
    let mut command = environment::command(binary, Needs::Little);
    command.arg("--version");
    let cannot_run = |why: &str| no_server(format!("cannot run {} ({origin}): {why}", binary.display()));
    let output = match timeout(VERSION_WAIT, run(command)).await {
        Ok(output) => output.map_err(|error| cannot_run(&error.to_string()))?,
        Err(_) => return Err(cannot_run("it does not tell its version")),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let Some(version) = version_of(&said) else {
        let said = crate::text::shorten(said.trim(), 80);
        return Err(no_server(format!("{} ({origin}) is no {BINARY}", binary.display()))
            .detail(format!("to `--version` it said `{said}`")));
    };
    if version.starts_with(COMPATIBLE) {
        return Ok(());
    }
    Err(no_server(format!(
        "{} ({origin}) is Restate {version}; this version of `classify` needs {COMPATIBLE}x",
        binary.display()
    )))
}

fn no_server(message: String) -> Failure {
    Failure::usage(message).hint(format!(
        "set RESTATE_SERVER to a {BINARY} {COMPATIBLE}x, or unset it to have {VERSION} downloaded"
    ))
}

fn version_of(said: &str) -> Option<&str> {
    said.strip_prefix(BINARY)?.split_whitespace().next()
}

pub(super) async fn fetch(tool: &Tool<'_>, source: &Source, progress: Progress<'_>) -> Result<PathBuf> {
    let home = source.cache.join(format!("{}-{VERSION}", tool.folder));
    let package = tool.package();
    let Some(platform) = platform() else {
        return Err(Failure::usage(format!("there is no Restate server for {}", std::env::consts::OS))
            .hint("it runs on Linux and macOS, x64 and arm64"));
    };
    // The platform's package is all there is to it: the other one finds it, and brings somebody else's package along.
    let place = Path::new("node_modules").join(format!("{package}-{platform}")).join("bin").join(tool.binary);
    let binary = home.join(&place);
    // Whatever lies there was compared when it came.
    if binary.is_file() {
        return Ok(binary);
    }
    let Some(npm) = search(&source.path, "npm") else {
        return Err(Failure::usage(format!("no {BINARY}, and no npm to download it with"))
            .detail(format!("neither `{BINARY}` nor `npm` is on PATH, and RESTATE_SERVER is not set"))
            .hint(format!(
                "install Node.js, or set RESTATE_SERVER to a {BINARY} {COMPATIBLE}x, or put one on PATH"
            )));
    };
    let _lock = lock::take(&source.cache.join("lock"), INSTALL_WAIT, progress).await?;
    // Somebody may have fetched it while we waited.
    if !binary.is_file() {
        progress(&Step::Installing { package: format!("{package}@{VERSION}"), into: home.clone() });
        let work = install(&format!("{package}-{platform}"), &npm, &source.cache).await?;
        check_digest(tool, &platform, work.path().join(place)).await?;
        keep(&work, &home)?;
    }
    if binary.is_file() {
        return Ok(binary);
    }
    Err(Failure::unexpected(format!("npm installed {package}@{VERSION} without {}", binary.display())))
}

fn failed(package: &str, what: &str) -> Failure {
    Failure::unexpected(format!("npm cannot install {package}@{VERSION}: {what}"))
}

/// Installs into a temporary folder: a folder under its final name is complete, and what was published.
async fn install(package: &str, npm: &Path, cache: &Path) -> Result<TempDir> {
    let failed = |what: &str| failed(package, what);
    let work = tempfile::Builder::new()
        .prefix(".install-")
        .tempdir_in(cache)
        .map_err(|error| failed(&error.to_string()))?;
    let mut command = environment::command(npm, Needs::Npm);
    command
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
        .arg(work.path())
        .arg(format!("{package}@{VERSION}"))
        .current_dir(work.path())
        .env("DO_NOT_TRACK", "1")
        .env("SCARF_ANALYTICS", "false");
    let output = run(command).await.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let shown = &lines[..lines.len().min(NPM_LINES_SHOWN)];
        let failure = shown.iter().fold(failed(&output.status.to_string()), |f, line| f.detail(*line));
        return Err(failure.hint(format!(
            "is the npm registry reachable? Or set RESTATE_SERVER to a {BINARY} {COMPATIBLE}x"
        )));
    }
    Ok(work)
}

/// Gives an installed package its place in the cache.
fn keep(work: &TempDir, home: &Path) -> Result<()> {
    // What an interrupted older version may have left is not worth keeping.
    let _absent = std::fs::remove_dir_all(home);
    std::fs::rename(work.path(), home)
        .map_err(|error| Failure::unexpected(format!("cannot keep {}: {error}", home.display())))
}

/// Compares a downloaded program with the published one.
async fn check_digest(tool: &Tool<'_>, platform: &str, file: PathBuf) -> Result<()> {
    let shown = file.display().to_string();
    let reading = move || {
        let mut digest = Sha256::new();
        std::io::copy(&mut std::fs::File::open(&file)?, &mut DigestWriter(&mut digest))?;
        std::io::Result::Ok(hex(&digest.finalize()))
    };
    let found = tokio::task::spawn_blocking(reading).await.map_err(anyhow::Error::from)?;
    let found = found.map_err(|error| failed(&tool.package(), &format!("{shown}: {error}")))?;
    let known = tool.digests.iter().find(|(name, _)| *name == platform).map(|(_, digest)| *digest);
    if known == Some(found.as_str()) {
        return Ok(());
    }
    Err(Failure::unexpected(format!("{shown} is not the {} {VERSION} that was published", tool.binary))
        .detail(format!("its SHA-256 is     {found}"))
        .detail(format!("it should have been {}", known.unwrap_or("none")))
        .hint("it was not run, and is deleted; is npm's registry the one it should be (`npm config get registry`)?")
        .hint(format!("or set RESTATE_SERVER to a {BINARY} {COMPATIBLE}x that you trust")))
}

/// Takes what is written to it into a digest.
struct DigestWriter<'a>(&'a mut Sha256);

impl std::io::Write for DigestWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn run(mut command: Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    command.output().await
}

/// This machine, as the names of npm packages with native binaries end.
fn platform() -> Option<String> {
    let os = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return None,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("{os}-{arch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_word_after_the_name() {
        assert_eq!(version_of("restate-server 1.7.12\n"), Some("1.7.12"));
        assert_eq!(version_of("restate-server 1.7.12 (abc 2026)\n"), Some("1.7.12"));
        assert_eq!(version_of("restate-server\n"), None);
        assert_eq!(version_of("GNU bash"), None);
    }

    /// A folder with executable scripts, and a source that knows nothing but them.
    fn scripts(scripts: &[(&str, &str)]) -> (tempfile::TempDir, Source) {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let source = Source { explicit: None, path: dir.path().into(), cache: dir.path().join("cache") };
        (dir, source)
    }

    /// An npm that installs a server of our version.
    fn npm() -> String {
        let home = format!("node_modules/@restatedev/{BINARY}-{}/bin", platform().unwrap());
        format!(
            "PATH=/bin:/usr/bin; mkdir -p {home}; printf '#!/bin/sh\\necho {BINARY} {VERSION}\\n' >{home}/{BINARY}; \
             chmod +x {home}/{BINARY}"
        )
    }

    /// SHA-256 of what that npm installs.
    fn published() -> String {
        hex(&Sha256::digest(format!("#!/bin/sh\necho {BINARY} {VERSION}\n")))
    }

    #[tokio::test]
    async fn a_program_that_was_not_published_is_not_run() {
        let (dir, source) = scripts(&[("npm", &npm())]);
        let refused = locate(&source, &|_| {}).await.unwrap_err();
        assert!(
            refused.message().ends_with("restate-server is not the restate-server 1.7.12 that was published")
        );
        let known = SERVER.digests.iter().find(|(name, _)| *name == platform().unwrap()).unwrap().1;
        let details = refused.details().join(" ");
        assert!(details.contains(&published()) && details.contains(known), "{details}");
        let left: Vec<_> = std::fs::read_dir(dir.path().join("cache")).unwrap().flatten().collect();
        assert!(left.iter().all(|entry| entry.file_name() == "lock"), "{left:?}");
    }

    #[tokio::test]
    async fn another_version_on_the_path_is_no_dead_end() {
        let (dir, source) = scripts(&[(BINARY, "echo restate-server 1.4.2"), ("npm", &npm())]);
        let steps = std::sync::Mutex::new(Vec::new());
        let progress = |step: &Step| steps.lock().unwrap().push(step.clone());
        let (platform, digest) = (platform().unwrap(), published());
        let tool = Tool { digests: &[(&platform, &digest)], ..SERVER };
        let server = locate_or_fetch(&tool, &source, &progress).await.unwrap();
        assert!(server.binary.starts_with(dir.path().join("cache")), "{server:?}");
        let steps = steps.into_inner().unwrap();
        let told = |step: &Step| matches!(step, Step::OtherServer { why } if why.contains("Restate 1.4.2"));
        assert!(steps.iter().any(told), "{steps:?}");
        // One that was named is the one that is meant.
        let explicit = Source { explicit: Some(dir.path().join(BINARY)), ..source };
        assert!(locate(&explicit, &|_| {}).await.unwrap_err().message().contains("Restate 1.4.2"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_tell_its_version_is_given_up() {
        let (dir, _) = scripts(&[(BINARY, "exec sleep 600")]);
        let refused = check_version(&dir.path().join(BINARY), "found on PATH").await.unwrap_err();
        assert!(refused.message().ends_with("it does not tell its version"), "{refused}");
    }

    #[test]
    fn only_executable_files_of_absolute_folders_are_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("restate-server"), "").unwrap();
        let path = std::env::join_paths([dir.path(), Path::new("/bin"), Path::new(".")]).unwrap();
        assert_eq!(search(&path, "restate-server"), None);
        assert_eq!(search(&path, "sh"), Some(PathBuf::from("/bin/sh")));
    }
}
