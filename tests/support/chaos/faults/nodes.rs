//! Nodes die, or stand still.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::super::arena::NODES;
use super::Scene;
use crate::world::send;

/// One dies. The two others have a quorum.
pub(super) fn one(scene: &mut Scene<'_>) {
    scene.begin();
    let pids = scene.arena.world.node_pids();
    let node = scene.rng.usize(..NODES);
    scene.wait_share(5..60);
    send(pids[node], Signal::SIGKILL);
    scene.cut_off(Instant::now());
    scene.hold(1_000..5_000);
    scene.arena.world.start_nodes();
}

/// Two die, at the same time or a little apart. The one that is left cannot write.
pub(super) fn two(scene: &mut Scene<'_>) {
    scene.begin();
    let pids = scene.arena.world.node_pids();
    let left = scene.rng.usize(..NODES);
    let dead: Vec<usize> = (0..NODES).filter(|node| *node != left).collect();
    scene.wait_share(5..60);
    send(pids[dead[0]], Signal::SIGKILL);
    scene.cut_off(Instant::now());
    if scene.rng.bool() {
        scene.hold(0..1_000);
    }
    send(pids[dead[1]], Signal::SIGKILL);
    let lost = Instant::now();
    scene.cut_off(lost);
    scene.told = Some(scene.client().wait_said("quorum lost", lost));
    scene.hold(0..3_000);
    std::thread::scope(|threads| {
        let world = &scene.arena.world;
        let starting = threads.spawn(|| world.start_nodes());
        scene.arena.wait_listening(&dead);
        scene.returned = Some(Instant::now());
        starting.join().expect("nodes that start");
    });
}

/// One stands still and does not know that time has passed when it goes on.
pub(super) fn pause(scene: &mut Scene<'_>) {
    scene.begin();
    let pids = scene.arena.world.node_pids();
    let node = scene.rng.usize(..NODES);
    scene.wait_share(5..60);
    let paused = Paused::new(pids[node]);
    scene.cut_off(Instant::now());
    scene.hold(1_000..8_000);
    drop(paused);
}

struct Paused(u32);

impl Paused {
    fn new(pid: u32) -> Self {
        send(pid, Signal::SIGSTOP);
        Self(pid)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        send(self.0, Signal::SIGCONT);
    }
}
