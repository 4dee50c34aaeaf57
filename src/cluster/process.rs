//! Processes that outlive us: starting them, recognising them later, ending them.
//!
//! A pid alone proves nothing, for numbers come round again. A process is ours when pid, start time and the end of
//! its command line are what was recorded. Nothing else is ever signalled.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use serde::{Deserialize, Serialize};
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};
use tokio::time::{Instant, sleep};

use super::step::{Progress, Step};
use crate::error::{Failure, Result};

/// Start times count whole seconds from a boot time that is itself rounded.
const START_TOLERANCE_S: u64 = 2;
const POLL: Duration = Duration::from_millis(50);
/// A killed process is gone at once unless the kernel holds it in a system call.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Identifies a process beyond the reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number, and that of the process group it leads.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub started: u64,
}

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
    let process = system.process(pid)?;
    let same = process.start_time().abs_diff(id.started) <= START_TOLERANCE_S && carries(process, args);
    same.then(|| Vitals { memory_bytes: process.memory(), uptime_s: process.run_time() })
}

/// Finds a process by its command line: one we started and did not live to record.
pub(super) fn find(args: &[String]) -> Option<ProcessId> {
    let system = look(ProcessesToUpdate::All)?;
    system
        .processes()
        .values()
        .find(|process| process.thread_kind().is_none() && carries(process, args))
        .map(|process| ProcessId { pid: process.pid().as_u32(), started: process.start_time() })
}

fn look(which: ProcessesToUpdate<'_>) -> Option<System> {
    let kind = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always).with_memory().without_tasks();
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(which, true, kind);
    Some(system)
}

/// Whether the process lives and its command line ends with `args`. A zombie is dead: it only waits to be counted.
fn carries(process: &Process, args: &[String]) -> bool {
    let alive = !matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead);
    let cmd = process.cmd();
    alive
        && cmd.len() > args.len()
        && cmd[cmd.len() - args.len()..].iter().zip(args).all(|(given, expected)| given == expected.as_str())
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
/// file. The [`Child`] is for learning how it ended; dropping it leaves the process alone.
pub(super) fn spawn(launch: Launch<'_>) -> io::Result<(Child, ProcessId)> {
    if let Some(parent) = launch.log.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let log = OpenOptions::new().create(true).append(true).open(launch.log)?;
    let mut child = Command::new(launch.program)
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
    let started = look(ProcessesToUpdate::Some(&[Pid::from_u32(pid)]))
        .and_then(|system| system.process(Pid::from_u32(pid)).map(Process::start_time));
    if let Some(started) = started {
        return Ok((child, ProcessId { pid, started }));
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

/// Signals the group the process leads, if it is still the one recorded.
fn signal(target: &Target, signal: Signal) -> Result<()> {
    if vitals(target.id, &target.args).is_none() {
        return Ok(());
    }
    let Ok(group) = i32::try_from(target.id.pid) else { return Ok(()) };
    match killpg(nix::unistd::Pid::from_raw(group), signal) {
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
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> (Child, Target) {
        let args = vec!["60".to_owned()];
        let log = dir.join("logs/s.log");
        let launch = Launch { program: Path::new("sleep"), args: &args, env: path(), dir, log: &log };
        let (child, id) = spawn(launch).unwrap();
        (child, Target { name: "s".into(), id, args })
    }

    fn path() -> Vec<(OsString, OsString)> {
        std::env::vars_os().filter(|(name, _)| name == "PATH").collect()
    }

    #[tokio::test]
    async fn a_process_is_recognised_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, target) = sleeper(dir.path());
        assert!(vitals(target.id, &target.args).is_some());
        let deadline = Instant::now() + Duration::from_secs(10);
        let killed = terminate(std::slice::from_ref(&target), deadline, &|_| {}).await.unwrap();
        assert_eq!(killed, [""; 0]);
        assert_eq!(vitals(target.id, &target.args), None, "a zombie is dead");
        assert!(!child.wait().unwrap().success());
    }

    #[tokio::test]
    async fn a_reused_number_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut child, target) = sleeper(dir.path());
        let other_start =
            Target { id: ProcessId { started: target.id.started + 60, ..target.id }, ..target.clone() };
        let other_command = Target { args: vec!["61".into()], ..target.clone() };
        let deadline = Instant::now();
        terminate(&[other_start, other_command], deadline, &|_| panic!("nothing to stop")).await.unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it still runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
