//! The same rows come from two sides, in two orders, so that a row's calls meet anywhere between not at all and at once.

use std::fs;

use super::Scene;

pub(super) fn strike(scene: &mut Scene<'_>) {
    let world = &scene.arena.world;
    let table = fs::read_to_string(world.path(&scene.table)).expect("the table");
    let (head, rows) = table.split_once('\n').expect("a header");
    let mut rows: Vec<&str> = rows.lines().collect();
    // Some of them more than once in the same table, too.
    let again: Vec<&str> = rows.iter().copied().filter(|_| scene.rng.u8(..10) == 0).collect();
    rows.extend(again);
    scene.rng.shuffle(&mut rows);
    let other = format!("{}.csv", scene.model);
    fs::write(world.path(&other), format!("{head}\n{}\n", rows.join("\n"))).expect("a table");

    scene.begin();
    scene.hold(0..2_000);
    let results = format!("{}-again.jsonl", scene.model);
    scene.begin_with(&other, &results);
}
