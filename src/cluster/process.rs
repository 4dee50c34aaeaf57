//! Processes that outlive us: starting them, recognising them later, ending them.
//!
//! A pid alone proves nothing, for numbers come round again. A process is ours when pid, start time, user and the end of
//! its command line are what was recorded. Nothing else is ever signalled. Words prove nothing either, for anybody can say them: what is
//! looked for by them alone must be of the right user and the right program.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{AccessFlags, access, geteuid, getpgid};
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};
use tokio::time::{Instant, sleep};

use super::birth::{Birth, ProcessId};
use super::folder::canonical;
use super::step::{Progress, Step};
use crate::disk::private;
use crate::error::{Failure, Result};

const POLL: Duration = Duration::from_millis(50);
/// Sets the umask and becomes the program that is named behind it, so that what that one writes is its user's alone. Ours stays as it is:
/// it belongs to all our threads.
const PRIVATELY: [&str; 2] = ["-c", r#"umask 077; exec "$0" "$@""#];
/// What Linux puts behind the path of a program that was removed, or replaced by a newer one, while it runs.
const REMOVED: &str = " (deleted)";
/// A killed process is gone at once unless the kernel holds it in a system call.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// What the operating system says about a running process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vitals {
    pub(super) memory_bytes: u64,
    pub(super) uptime_s: u64,
}

/// A process that may have to be ended.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// What to call it.
    pub(super) name: String,
    pub(super) id: ProcessId,
    /// Its command line without the program.
    pub(super) args: Vec<String>,
}

/// Looks at a process if it is the one that was recorded and still runs.
pub(super) fn vitals(id: ProcessId, args: &[String]) -> Option<Vitals> {
    let pid = Pid::from_u32(id.pid);
    let system = look(ProcessesToUpdate::Some(&[pid]))?;
    let process =
        system.process(pid).filter(|process| is_alive(process) && ends_with(process.cmd(), args))?;
    let seen = identity(process);
    // Seconds alone may be those of another clock; then all words must be the recorded ones, and said by us.
    let is_own = seen.uid == Some(geteuid().as_raw());
    let same = id.is(seen) || (id.may_be(seen) && is_own && is_command(process.cmd(), args));
    let uptime_s = seen.birth.and_then(Birth::age_s).unwrap_or_else(|| process.run_time());
    same.then(|| Vitals { memory_bytes: process.memory(), uptime_s })
}

/// Whether the recorded process runs, whatever it has for a command line by now.
pub(super) fn lives(id: ProcessId) -> bool {
    let pid = Pid::from_u32(id.pid);
    let system = look(ProcessesToUpdate::Some(&[pid]));
    let process = system.as_ref().and_then(|system| system.process(pid));
    process.is_some_and(|process| is_alive(process) && id.is(identity(process)))
}

/// What a process must be besides its words.
#[derive(Debug)]
pub(super) struct Looks {
    users: Vec<u32>,
    programs: Vec<OsString>,
}

impl Looks {
    /// Of a program with one of these names, run by us or by whoever owns `folder`.
    pub(super) fn new(folder: &Path, programs: impl IntoIterator<Item = OsString>) -> Self {
        let owner = std::fs::metadata(folder).ok().map(|found| found.uid());
        let users = std::iter::once(geteuid().as_raw()).chain(owner).collect();
        Self { users, programs: programs.into_iter().collect() }
    }

    fn fit(&self, user: Option<u32>, program: Option<&Path>) -> bool {
        let name = program.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = OsStr::new(name.strip_suffix(REMOVED).unwrap_or(&name));
        user.is_some_and(|user| self.users.contains(&user))
            && self.programs.iter().any(|program| program == name)
    }
}

/// Finds a process by its command line: one we started and did not live to record. What runs it, say a tracer, has the same words
/// behind its own and is another process.
pub(super) fn find(args: &[String], looks: &Looks) -> Option<ProcessId> {
    let system = look(ProcessesToUpdate::All)?;
    let is_it = |process: &&Process| {
        process.thread_kind().is_none()
            && is_alive(process)
            && is_command(process.cmd(), args)
            && looks.fit(user(process), process.exe())
    };
    system.processes().values().find(is_it).map(identity)
}

fn identity(process: &Process) -> ProcessId {
    let pid = process.pid().as_u32();
    ProcessId { pid, started: process.start_time(), birth: Birth::of(pid), uid: user(process) }
}

/// Whose rights a process has.
fn user(process: &Process) -> Option<u32> {
    process.effective_user_id().map(|user| **user)
}

fn look(which: ProcessesToUpdate<'_>) -> Option<System> {
    let kind = ProcessRefreshKind::nothing()
        .with_cmd(UpdateKind::Always)
        .with_exe(UpdateKind::Always)
        .with_user(UpdateKind::Always)
        .with_memory()
        .without_tasks();
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(which, true, kind);
    Some(system)
}

/// A zombie is dead: it only waits to be counted.
fn is_alive(process: &Process) -> bool {
    !matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead)
}

/// Whether a command line is a program with `args`, of which there must be some: a program's name alone is many processes'.
fn is_command(cmd: &[OsString], args: &[String]) -> bool {
    !args.is_empty() && cmd.len() == args.len() + 1 && ends_with(cmd, args)
}

/// Whether a command line ends with `args`. A path may be spelled in another way.
fn ends_with(cmd: &[OsString], args: &[String]) -> bool {
    let same = |given: &OsString, expected: &String| {
        let (path, wanted) = (Path::new(given), Path::new(expected));
        given == expected.as_str()
            || (path.is_absolute()
                && wanted.is_absolute()
                && canonical(path).is_ok_and(|path| path == wanted))
    };
    cmd.len() > args.len()
        && cmd[cmd.len() - args.len()..].iter().zip(args).all(|(given, expected)| same(given, expected))
}

/// How to start a process.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) program: &'a Path,
    pub(super) args: &'a [String],
    /// Its whole environment.
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) dir: &'a Path,
    pub(super) log: &'a Path,
}

/// Starts a process that goes on when we end: own process group (Ctrl-C does not reach it), no terminal, output to a
/// file, and whatever it writes for its user alone. The [`Child`] is for learning how it ended; dropping it leaves the process alone.
pub(super) fn spawn(launch: Launch<'_>) -> io::Result<(Child, ProcessId)> {
    if let Some(parent) = launch.log.parent() {
        private::create_folders(parent)?;
    }
    let log = private::open(launch.log, OpenOptions::new().create(true).append(true))?;
    // The shell would say it to the log.
    if launch.program.is_absolute() {
        access(launch.program, AccessFlags::X_OK)?;
    }
    let mut child = Command::new("/bin/sh")
        .args(PRIVATELY)
        .arg(launch.program)
        .args(launch.args)
        .env_clear()
        .envs(launch.env)
        .current_dir(launch.dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let pid = child.id();
    // Even a process that ended already keeps its entry until we ask for its status.
    let id = look(ProcessesToUpdate::Some(&[Pid::from_u32(pid)]))
        .and_then(|system| system.process(Pid::from_u32(pid)).map(identity));
    if let Some(id) = id {
        return Ok((child, id));
    }
    // A process that cannot be recognised later must not be left behind.
    child.kill()?;
    child.wait()?;
    Err(io::Error::other("the operating system does not tell when it started"))
}

/// Ends the processes: asks, waits until `deadline`, kills what remains. Those that are not ours (any more) count as
/// ended. Returns the names of those that had to be killed.
pub(super) async fn terminate(
    targets: &[Target],
    deadline: Instant,
    progress: Progress<'_>,
) -> Result<Vec<String>> {
    let names = |targets: &[&Target]| targets.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    let running = alive(targets);
    if running.is_empty() {
        return Ok(Vec::new());
    }
    progress(&Step::Stopping(names(&running)));
    for target in running {
        signal(target, Signal::SIGTERM)?;
    }
    let left = wait_gone(targets, deadline).await;
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let killed = names(&left);
    progress(&Step::Killing(killed.clone()));
    for target in left {
        signal(target, Signal::SIGKILL)?;
    }
    let left = wait_gone(targets, Instant::now() + KILL_GRACE).await;
    match left.first() {
        None => Ok(killed),
        Some(target) => {
            Err(Failure::unexpected(format!("{} (pid {}) does not end", target.name, target.id.pid)))
        }
    }
}

fn alive(targets: &[Target]) -> Vec<&Target> {
    targets.iter().filter(|target| vitals(target.id, &target.args).is_some()).collect()
}

async fn wait_gone(targets: &[Target], deadline: Instant) -> Vec<&Target> {
    loop {
        let left = alive(targets);
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        sleep(POLL).await;
    }
}

/// Signals the process, if it is still the one recorded, and the group it leads.
fn signal(target: &Target, signal: Signal) -> Result<()> {
    if vitals(target.id, &target.args).is_none() {
        return Ok(());
    }
    let Ok(pid) = i32::try_from(target.id.pid).map(nix::unistd::Pid::from_raw) else { return Ok(()) };
    // One that a shell or a tracer started may be in somebody else's group.
    let leads = getpgid(Some(pid)).is_ok_and(|group| group == pid);
    match if leads { killpg(pid, signal) } else { kill(pid, signal) } {
        // Gone between look and signal.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Failure::unexpected(format!(
            "cannot signal {} (pid {}): {}",
            target.name,
            target.id.pid,
            errno.desc()
        ))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> (Child, Target) {
        let args = vec!["60".to_owned()];
        let log = dir.join("logs/s.log");
        let launch = Launch { program: Path::new("sleep"), args: &args, env: path(), dir, log: &log };
        let (child, id) = spawn(launch).unwrap();
        (child, Target { name: "s".into(), id, args })
    }

    /// What `sleep` is here: coreutils may be one program with many names.
    pub(in crate::cluster) fn sleeping(folder: &Path) -> Looks {
        let program = super::super::server::search(&std::env::var_os("PATH").unwrap(), "sleep").unwrap();
        Looks::new(folder, [program.canonicalize().unwrap().file_name().unwrap().to_owned()])
    }

    #[test]
    fn the_right_words_of_another_user_or_another_program_are_not_taken_for_ours() {
        let dir = tempfile::tempdir().unwrap();
        let us = geteuid().as_raw();
        let looks = Looks::new(dir.path(), ["restate-server".into()]);
        let server = Path::new("/opt/restate-server");
        assert!(looks.fit(Some(us), Some(server)));
        // An upgrade replaces a program that runs.
        assert!(looks.fit(Some(us), Some(Path::new("/opt/restate-server (deleted)"))));
        for (user, program) in [
            (Some(us + 1), Some(server)),
            (None, Some(server)),
            (Some(us), Some(Path::new("/bin/sh"))),
            (Some(us), None),
        ] {
            assert!(!looks.fit(user, program), "{user:?} {program:?}");
        }
        if !geteuid().is_root() {
            return;
        }
        let mut theirs = Command::new("setpriv")
            .args(["--reuid=65534", "--clear-groups", "sleep", "61.875"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let args = ["61.875".to_owned()];
        let pid = theirs.id();
        let begun = std::time::Instant::now();
        // Until it is what it is to be.
        while look(ProcessesToUpdate::Some(&[Pid::from_u32(pid)]))
            .and_then(|system| system.process(Pid::from_u32(pid)).map(|p| is_command(p.cmd(), &args)))
            != Some(true)
        {
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not start");
            std::thread::yield_now();
        }
        let found = find(&args, &sleeping(dir.path()));
        std::os::unix::fs::chown(dir.path(), Some(65534), None).unwrap();
        let of_owner = find(&args, &sleeping(dir.path()));
        theirs.kill().unwrap();
        theirs.wait().unwrap();
        assert_eq!(found, None);
        assert_eq!(of_owner.map(|id| (id.pid, id.uid)), Some((pid, Some(65534))), "whose cluster it is");
    }

    #[tokio::test]
    async fn what_a_process_writes_is_its_user_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let args = ["-c", "mkdir made && echo x >made/file && umask"].map(str::to_owned);
        let log = dir.path().join("logs/s.log");
        let launch =
            Launch { program: Path::new("sh"), args: &args, env: path(), dir: dir.path(), log: &log };
        let (mut child, _) = spawn(launch).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(std::fs::read_to_string(&log).unwrap().trim(), "0077");
        for name in ["logs", "logs/s.log", "made", "made/file"] {
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().mode();
            assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
        }
    }

    #[test]
    fn a_program_that_cannot_be_run_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("s.log");
        for (name, kind) in [("missing", io::ErrorKind::NotFound), ("s.log", io::ErrorKind::PermissionDenied)]
        {
            let program = dir.path().join(name);
            let launch = Launch { program: &program, args: &[], env: path(), dir: dir.path(), log: &log };
            assert_eq!(spawn(launch).unwrap_err().kind(), kind, "{name}");
        }
    }

    fn path() -> Vec<(OsString, OsString)> {
        std::env::vars_os().filter(|(name, _)| name == "PATH").collect()
    }

    #[tokio::test]
    async fn a_process_is_recognised_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, target) = sleeper(dir.path());
        let deadline = Instant::now() + Duration::from_secs(10);
        // While it becomes the program, a process has no words.
        while vitals(target.id, &target.args).is_none() {
            assert!(Instant::now() < deadline, "it is not recognised");
            sleep(POLL).await;
        }
        let killed = terminate(std::slice::from_ref(&target), deadline, &|_| {}).await.unwrap();
        assert_eq!(killed, [""; 0]);
        assert_eq!(vitals(target.id, &target.args), None, "a zombie is dead");
        assert!(!child.wait().unwrap().success());
    }

    #[tokio::test]
    async fn what_runs_a_process_is_not_taken_for_it_and_one_in_another_group_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        // A shell that stays, as a tracer would, with the same words at its end.
        let script = "\"$@\" & wait";
        let args = ["-c", script, "sh", "sleep", "61.625"].map(str::to_owned);
        let log = dir.path().join("s.log");
        let launch =
            Launch { program: Path::new("sh"), args: &args, env: path(), dir: dir.path(), log: &log };
        let (mut shell, outer) = spawn(launch).unwrap();
        let args = vec!["61.625".to_owned()];
        let deadline = Instant::now() + Duration::from_secs(10);
        let inner = loop {
            if let Some(found) = find(&args, &sleeping(dir.path())) {
                break found;
            }
            assert!(Instant::now() < deadline, "it was not found");
            sleep(POLL).await;
        };
        assert_ne!(inner.pid, outer.pid);
        let target = Target { name: "s".into(), id: inner, args };
        assert_eq!(terminate(&[target], deadline, &|_| {}).await.unwrap(), [""; 0]);
        assert!(shell.wait().is_ok() && find(&["61.625".to_owned()], &sleeping(dir.path())).is_none());
    }

    #[test]
    fn another_spelling_of_a_path_is_the_same_argument() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("real")).unwrap();
        std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let wanted = ["--config-file".to_owned(), text(&dir.join("real/restate.toml"))];
        let cmd =
            |path: &str| ["restate-server", "--config-file", &text(&dir.join(path))].map(OsString::from);
        for spelling in ["real/restate.toml", "link/restate.toml", "link/../real/./restate.toml"] {
            assert!(ends_with(&cmd(spelling), &wanted), "{spelling}");
        }
        assert!(!ends_with(&cmd("other/restate.toml"), &wanted));
        assert!(is_command(&cmd("link/restate.toml"), &wanted) && !is_command(&cmd("x"), &wanted[1..]));
        assert!(!is_command(&["bash".into()], &[]), "every shell is called so");
    }

    #[tokio::test]
    async fn a_reused_number_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, target) = sleeper(dir.path());
        let birth = target.id.birth.map(|birth| Birth { ticks: birth.ticks + 1, ..birth });
        let id = ProcessId { started: target.id.started + 60, birth, ..target.id };
        let other_start = Target { id, ..target.clone() };
        let other_command = Target { args: vec!["61".into()], ..target.clone() };
        let deadline = Instant::now();
        terminate(&[other_start, other_command], deadline, &|_| panic!("nothing to stop")).await.unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it still runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
