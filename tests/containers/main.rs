//! The cluster in containers: real images, a real engine, the real binary. Slow, and in need of Docker, so `cargo test`
//! leaves it out: `cargo test --test containers`. `scripts/containers/` has what it needs on a machine without.
//!
//! Tests of one stage share its cluster. It is torn down before the next stage's begins, at the end, and on Ctrl-C.

mod docker;
mod files;
mod job;
mod profiles;
#[path = "../support/running.rs"]
mod running;
mod size;
mod snapshots;
#[path = "../support/workplace.rs"]
mod workplace;
mod world;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::signal::unix::{SignalKind, signal};

use world::{Stage, World};

/// A test gets the world to itself: several of them kill nodes.
type Test = fn(&mut World);

const ALONE: &[(&str, fn())] = &[
    ("files::compose_takes_them", files::compose_takes_them),
    ("files::rendered_for_three_is_the_checked_in_one", files::rendered_for_three_is_the_checked_in_one),
    ("files::every_variable_is_in_the_example", files::every_variable_is_in_the_example),
    ("files::nothing_is_published_beyond_loopback", files::nothing_is_published_beyond_loopback),
];

const STAGED: &[(&str, Stage, Test)] = &[
    ("job::a_killed_node_loses_nothing", Stage::Started, job::a_killed_node_loses_nothing),
    ("job::stop_and_start_keep_all_state", Stage::Started, job::stop_and_start_keep_all_state),
    ("snapshots::a_wiped_node_comes_back", Stage::Started, snapshots::a_wiped_node_comes_back),
    ("job::clean_takes_ours_and_nothing_else", Stage::Started, job::clean_takes_ours_and_nothing_else),
    ("snapshots::another_store_by_environment_alone", Stage::OtherStore, snapshots::a_wiped_node_comes_back),
    ("size::five_nodes_serve", Stage::FiveNodes, size::five_nodes_serve),
    ("profiles::one_url_survives_a_killed_node", Stage::Plain, profiles::one_url_survives_a_killed_node),
    ("profiles::the_service_drains_and_returns", Stage::Plain, profiles::the_service_drains_and_returns),
    ("profiles::prometheus_scrapes_all", Stage::Plain, profiles::prometheus_scrapes_all),
    ("profiles::the_dashboard_shows_something", Stage::Plain, profiles::the_dashboard_shows_something),
    // The last one: nothing is there any more.
    (
        "job::what_was_found_is_left_until_it_is_taken_over",
        Stage::Plain,
        job::what_was_found_is_left_until_it_is_taken_over,
    ),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    remove_all_on_a_signal();
    let world: Arc<Mutex<Option<World>>> = Arc::default();
    let alone = ALONE.iter().map(|&(name, test)| {
        Trial::test(name, move || -> Result<(), Failed> {
            test();
            Ok(())
        })
    });
    let staged = STAGED.iter().map(|&(name, stage, test)| {
        let world = Arc::clone(&world);
        Trial::test(name, move || -> Result<(), Failed> {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            if world.as_ref().is_some_and(|world| world.stage() != stage) {
                drop(world.take());
            }
            let world = world.get_or_insert_with(|| World::start(stage));
            world.make_whole();
            test(world);
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, alone.chain(staged).collect());
    drop(world.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

/// Containers outlive the process that asked for them.
fn remove_all_on_a_signal() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listen = |kind| signal(kind).expect("a signal can be listened for");
            let mut interrupt = listen(SignalKind::interrupt());
            let mut terminate = listen(SignalKind::terminate());
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        let _nothing_starts_any_more = world::remove_what_was_started();
        #[expect(clippy::exit, reason = "the tests are on other threads, waiting for what was just removed")]
        std::process::exit(130);
    });
}
