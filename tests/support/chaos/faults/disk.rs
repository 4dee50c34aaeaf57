//! The disk of the results is full.

use super::super::checks::stopped;
use super::super::client::counts;
use super::super::isolation::SmallDisk;
use super::Scene;

/// The run must stop and say why, and count nothing that is not on disk; with room it goes on.
pub(super) fn strike(scene: &mut Scene<'_>) {
    let kib = scene.rng.u32(8..200);
    let place = scene.arena.world.path("small");
    scene.disk = Some(SmallDisk::mount(place, kib));
    let (table, results) = (scene.table.clone(), format!("small/{}.jsonl", scene.model));
    scene.begin_with(&table, &results);
    let ran = scene.client().finish().expect_code(1);
    for said in ["error: cannot write the results: No space left on device", "hint: "] {
        if !ran.stderr.contains(said) {
            scene.violations.push(format!("a full disk is not told as `{said}`: {}", ran.stderr));
        }
    }
    let read = |name: String| std::fs::read_to_string(scene.arena.world.path(&name)).unwrap_or_default();
    let (good, bad) =
        (read(format!("{results}.partial")), read(results.replace(".jsonl", ".failures.jsonl.partial")));
    scene.violations.extend(stopped(counts(&ran.json()), &good, &bad));
    scene.disk.as_ref().expect("a disk").grow(64 * 1024);
    scene.resume();
}
