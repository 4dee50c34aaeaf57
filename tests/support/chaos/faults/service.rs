//! The service dies, or is restarted.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::Scene;

pub(super) fn kill(scene: &mut Scene<'_>) {
    scene.begin();
    scene.wait_share(5..80);
    scene.kill_service();
}

/// Nothing is at risk: calls under way end first, and their answers are kept.
pub(super) fn restart(scene: &mut Scene<'_>) {
    scene.begin();
    for _ in 0..scene.rng.usize(1..=3) {
        scene.wait_share(5..80);
        scene.arena.world.end_service(Signal::SIGTERM);
        scene.hold(0..3_000);
        scene.returned = Some(Instant::now());
        scene.arena.start_service();
    }
}
