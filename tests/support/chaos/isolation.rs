//! Network and mounts of our own, so that a network can be cut and a disk filled without anybody noticing.
//!
//! Linux gives each thread its own view of them: whatever this thread starts from then on lives in there. All nodes listen
//! on one address, so they are told apart by the group that each runs in; every connection between two of them is marked
//! with both as soon as it carries anything, and a cut drops the packets of all connections in which a node takes part, in both directions.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Groups of the nodes: this and the node's number.
const FIRST_GROUP: u32 = 60_000;

/// Whether [`enter`] will do.
///
/// # Errors
/// Why not. Nothing has changed.
pub(super) fn probe() -> Result<(), String> {
    // In a thread that is thrown away: half of it would leave us without a network.
    std::thread::spawn(enter).join().map_err(|_| "a thread died".to_owned())?
}

/// Gives this thread, and all that it starts from now on, a network with nothing but loopback, and mounts of its own.
///
/// # Errors
/// Why that cannot be had here.
pub(super) fn enter() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root".into());
    }
    leave_the_others()?;
    tool("mount", ["--make-rprivate", "/"])?;
    tool("ip", ["link", "set", "lo", "up"])?;
    tool("setpriv", ["--regid", "60001", "--clear-groups", "true"])?;
    rules("add table inet chaos")
}

#[cfg(target_os = "linux")]
fn leave_the_others() -> Result<(), String> {
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .map_err(|error| format!("no network and mounts of our own: {}", error.desc()))
}

#[cfg(not(target_os = "linux"))]
fn leave_the_others() -> Result<(), String> {
    Err("needs Linux".into())
}

/// A stand-in for the server at `server` that starts it in the node's own group; the process stays the same.
pub(super) fn grouped(server: &Path, at: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let server = server.display();
    let script = format!(
        "#!/bin/sh\n\
         [ -n \"$RESTATE_FORCE_NODE_ID\" ] || exec '{server}' \"$@\"\n\
         exec setpriv --regid $(({FIRST_GROUP} + RESTATE_FORCE_NODE_ID)) --clear-groups '{server}' \"$@\"\n"
    );
    std::fs::write(at, script)?;
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o755))
}

/// The network between nodes whose ports for each other are `fabric`.
pub(super) struct Network {
    fabric: Vec<u16>,
}

impl Network {
    pub(super) fn between(fabric: Vec<u16>) -> Result<Self, String> {
        let network = Self { fabric };
        rules(&network.marking())?;
        Ok(network)
    }

    fn marking(&self) -> String {
        // Connection tracking has seen a packet before it comes here (priority -200).
        let mut script = "flush table inet chaos\n\
            add chain inet chaos cut { type filter hook output priority 10; }\n\
            add chain inet chaos marks { type filter hook output priority 0; }\n"
            .to_owned();
        for (to, port) in (1_u32..).zip(&self.fabric) {
            for from in (1..).take(self.fabric.len()).filter(|from| *from != to) {
                let group = FIRST_GROUP + from;
                let _infallible = writeln!(
                    script,
                    "add rule inet chaos marks meta skgid {group} tcp dport {port} ct mark set {}",
                    mark(from, to)
                );
            }
        }
        script
    }

    /// Drops everything between node number `node` (from 0) and the others until the cut is dropped.
    pub(super) fn cut(&self, node: usize) -> Cut {
        let node = u32::try_from(node + 1).expect("a small number");
        let others = (1..).take(self.fabric.len()).filter(|other| *other != node);
        let marks: Vec<String> = others
            .flat_map(|other| [mark(node, other), mark(other, node)])
            .map(|mark| mark.to_string())
            .collect();
        rules(&format!("add rule inet chaos cut ct mark {{ {} }} counter drop", marks.join(", ")))
            .expect("a cut");
        Cut
    }
}

/// Whether a cut has held anything back so far.
pub(super) fn any_held_back() -> bool {
    let listed = Command::new("nft").args(["list", "chain", "inet", "chaos", "cut"]).output().expect("nft");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.contains("counter packets") && !listed.contains("counter packets 0 ")
}

/// Connections from one node to another, by their numbers from 1.
fn mark(from: u32, to: u32) -> u32 {
    from * 10 + to
}

/// A network that is cut.
pub(super) struct Cut;

impl Drop for Cut {
    fn drop(&mut self) {
        rules("flush chain inet chaos cut").expect("a network that is whole again");
    }
}

/// A disk with room for so many KiB, until it is dropped.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(super) fn mount(at: PathBuf, kib: u32) -> Self {
        std::fs::create_dir_all(&at).expect("a folder");
        let size = format!("size={kib}k");
        let target = at.as_os_str();
        tool(
            "mount",
            ["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), size.as_ref(), "chaos".as_ref(), target],
        )
        .expect("a small disk");
        Self(at)
    }

    /// Makes room.
    pub(super) fn grow(&self, kib: u32) {
        let size = format!("remount,size={kib}k");
        tool("mount", ["-o".as_ref(), size.as_ref(), self.0.as_os_str()]).expect("a larger disk");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        tool("umount", ["--lazy".as_ref(), self.0.as_os_str()]).expect("no small disk any more");
    }
}

fn rules(script: &str) -> Result<(), String> {
    use std::io::Write as _;
    let said = |error: std::io::Error| format!("nft: {error}");
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = nft.spawn().map_err(said)?;
    child.stdin.take().expect("a piped stdin").write_all(script.as_bytes()).map_err(said)?;
    let output = child.wait_with_output().map_err(said)?;
    if output.status.success() { Ok(()) } else { Err(format!("nft: {}", first_line(&output.stderr))) }
}

fn tool(name: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<(), String> {
    let output = Command::new(name).args(args).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", first_line(&output.stderr))) }
}

fn first_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().next().unwrap_or_default().to_owned()
}
