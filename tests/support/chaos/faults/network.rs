//! A node is cut off from the others. Clients and service still reach it.

use std::time::Instant;

use super::super::arena::NODES;
use super::super::isolation::any_held_back;
use super::Scene;

pub(super) fn strike(scene: &mut Scene<'_>) {
    scene.begin();
    let node = scene.rng.usize(..NODES);
    scene.wait_share(5..60);
    let cut = scene.arena.network.as_ref().expect("a network of our own").cut(node);
    scene.cut_off(Instant::now());
    scene.hold(2_000..8_000);
    if !any_held_back() {
        scene.violations.push("the network was cut, and no packet was held back".into());
    }
    drop(cut);
}
