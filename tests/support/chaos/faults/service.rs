//! The service dies.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::Scene;

pub(super) fn strike(scene: &mut Scene<'_>) {
    scene.begin();
    scene.wait_share(5..80);
    scene.arena.world.end_service(Signal::SIGKILL);
    scene.service_died(Instant::now());
    scene.hold(0..3_000);
    scene.returned = Some(Instant::now());
    scene.arena.start_service();
}
