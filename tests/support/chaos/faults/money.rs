//! Runs that end early to pay no more, and the same asked again.

use std::fs;

use super::Scene;

/// What a row of the table costs at most, in US dollars, with a price of 1,000 for a million tokens of input and none for output.
const ROW_USD: f64 = 2.0;

pub(super) fn cancel(scene: &mut Scene<'_>) {
    scene.begin();
    scene.wait_share(2..90);
    let kill = if scene.rng.bool() { &["--kill"][..] } else { &[] };
    let id = scene.run_id().expect("a run that asks has a record");
    let cancelled = scene.arena.world.classify(&[&["queue", "cancel", "--run", &id, "--yes"], kill].concat());
    // What had ended by then cannot be cancelled.
    assert!([Some(0), Some(3)].contains(&cancelled.code), "{}", cancelled.stderr);
    scene.again(&[]);
}

pub(super) fn cap(scene: &mut Scene<'_>) {
    let prices = format!("{}.toml", scene.model);
    let list = format!(
        "version = 1\n[[prices]]\nprovider = \"openai\"\nmodels = [\"{}\"]\ninput = 1000.0\ncached = 1000.0\noutput = 0.0\n\
         date = \"2026-12-01\"\nsource = \"a test\"\n",
        scene.model
    );
    fs::write(scene.arena.world.path(&prices), list).expect("prices");
    let share = f64::from(scene.rng.u32(20..70)) / 100.0;
    let most = (scene.rows() * ROW_USD * share).round();
    scene.begin_with_more(&["--prices", &prices, "--max-cost", &most.to_string()]);
    if scene.rng.bool() {
        scene.wait_share(2..10);
        scene.kill_service();
    }
    scene.wait_stopped();
    let charged = scene.charged();
    if charged > most {
        scene.violations.push(format!("{charged} USD were charged, and {most} were allowed"));
    }
    scene.again(&[]);
}
