//! The client dies.

use super::Scene;

/// A kill comes anywhere: at the first call or after the last, and again while the run is being resumed.
pub(super) fn strike(scene: &mut Scene<'_>) {
    scene.begin();
    scene.wait_share(0..90);
    for _ in 0..scene.rng.usize(1..=3) {
        if !scene.client().kill() {
            return;
        }
        scene.resume();
        scene.hold(0..2_000);
    }
}
