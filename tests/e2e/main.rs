//! End to end: the real binary, a real three-node Restate cluster on free ports, the real service. Only the provider of a
//! model is simulated.
//!
//! Two tests run at a time, each with a cluster of its own: they wait more than they work. Tests of slow rates come afterwards, two at a time and
//! with nothing beside them. Tests that load the machine and measure, and those that break things at random, come last and alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

#[path = "../support/balance.rs"]
mod balance;
#[path = "../support/chaos/mod.rs"]
mod chaos;
mod chaos_rounds;
mod cluster;
mod detached;
mod doors;
mod faults;
mod guard;
mod identity;
mod interrupt;
mod job;
#[path = "../support/llm_stub/mod.rs"]
mod llm_stub;
mod models;
mod orders;
mod places;
mod pressure;
mod private;
mod promises;
#[path = "../support/provider.rs"]
mod provider;
mod queue;
mod rate;
mod restored;
#[path = "../support/running.rs"]
mod running;
mod runs;
#[path = "../support/schema.rs"]
mod schema;
#[path = "../support/server.rs"]
mod server;
mod service;
mod states;
#[path = "../support/store.rs"]
mod store;
mod upgrade;
#[path = "../support/workplace.rs"]
mod workplace;
#[path = "../support/world.rs"]
mod world;

use std::fs::File;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};

use chaos::Fault;
use chaos_rounds::Rounds;
use world::{Program, World};

/// Tests that run at a time. Each has a cluster, which takes half a gigabyte. They wait most of the time, but not always at the same time:
/// three were too many for two cores on which CI does other work.
const LANES: usize = 2;
/// Tests of rates that run at a time.
const PACED_LANES: usize = 2;

/// A test, by what it needs.
#[derive(Clone, Copy)]
enum Test {
    /// A cluster, a service and a home folder, to itself.
    World(fn(&mut World)),
    /// Nothing: it makes what it needs.
    Free(fn()),
}

/// The name of a test is its path.
macro_rules! test {
    (world $module:ident::$name:ident) => {
        (concat!(stringify!($module), "::", stringify!($name)), Test::World($module::$name))
    };
    (free $module:ident::$name:ident) => {
        (concat!(stringify!($module), "::", stringify!($name)), Test::Free($module::$name))
    };
    (waits $module:ident::$name:ident) => {
        (concat!(stringify!($module), "::", stringify!($name)), Test::Free(|| wait($module::$name())))
    };
}

/// Any of these may run beside any other.
const TOGETHER: &[(&str, Test)] = &[
    test!(free cluster::two_starts_at_once_make_one_cluster),
    test!(free cluster::a_node_that_dies_is_reported_with_its_last_words),
    test!(free cluster::a_start_that_fails_stops_what_it_started),
    test!(free cluster::a_server_of_another_version_is_refused),
    test!(free cluster::without_server_and_npm_there_is_one_clear_error),
    test!(free cluster::a_reused_process_number_is_not_signalled),
    test!(free cluster::who_only_says_the_words_of_a_node_is_no_node),
    test!(free cluster::snapshots_go_where_they_are_wanted_and_keys_only_to_the_nodes),
    test!(free cluster::a_folder_that_is_no_cluster_is_not_deleted),
    test!(free cluster::without_docker_containers_are_refused_and_nothing_is_left),
    test!(waits cluster::a_service_that_dies_is_reported_with_its_last_words),
    test!(free restored::a_node_that_lost_its_data_comes_back),
    test!(waits identity::only_the_node_with_the_key_may_call_the_service),
    test!(free identity::what_is_no_key_is_refused),
    test!(world job::classifies_every_row_once),
    test!(world job::a_second_run_pays_for_nothing),
    test!(world job::reads_every_format_and_writes_csv),
    test!(world job::bad_rows_go_to_the_failures_file),
    test!(world places::any_name_and_any_link_is_a_place_for_results),
    test!(world places::a_place_that_cannot_be_taken_is_refused_before_the_first_row),
    test!(world places::a_reader_that_goes_away_ends_it_quietly),
    test!(world places::a_file_that_another_program_changes_is_never_called_complete),
    test!(world private::a_home_is_its_owner_s_alone),
    test!(world private::copies_of_rows_go_with_the_run),
    test!(world private::a_damaged_journal_keeps_no_run),
    test!(world private::what_others_laid_at_our_names_is_not_taken),
    test!(world private::a_terminal_gets_no_control_characters),
    test!(world private::a_terminal_without_capabilities_gets_lines),
    test!(world job::another_taxonomy_is_refused),
    test!(world job::another_taxonomy_registered_in_mid_run_is_waited_out),
    test!(world job::stop_and_start_keep_all_state),
    test!(world job::up_starts_what_is_missing),
    test!(world queue::tells_success_from_failure),
    test!(world queue::cancelled_work_is_told_and_can_be_done_again),
    test!(world queue::a_run_is_cancelled_and_forgotten),
    test!(world queue::what_is_not_ours_is_neither_shown_nor_touched),
    test!(world queue::paused_work_goes_on_when_it_is_retried),
    test!(world service::says_when_its_port_is_taken),
    test!(world service::says_when_no_node_can_keep_the_limits),
    test!(world service::drains_on_sigterm),
    test!(world service::takes_the_place_of_another_only_when_told_to),
    test!(world service::the_rules_say_the_same_when_asked_again),
    test!(world upgrade::another_compressor_in_mid_batch_costs_no_row),
    test!(world doors::who_does_not_know_the_secret_gets_nothing),
    test!(world doors::a_client_elsewhere_needs_the_secret),
    test!(world doors::a_proxy_with_tls_asks_for_a_token),
    test!(world guard::programs_of_the_user_get_through),
    test!(world guard::pages_and_other_names_are_refused),
    test!(world guard::another_user_is_refused),
    test!(world guard::one_that_died_is_started_again),
    test!(world pressure::a_body_that_unfolds_is_refused_for_good),
    test!(world faults::a_killed_node_costs_nothing_but_time),
    test!(world faults::a_node_that_hangs_is_not_waited_for),
    test!(world faults::a_killed_service_costs_nothing_but_time),
    test!(world detached::cancelled_it_ends_and_keeps_nothing),
    test!(world detached::batches_that_are_killed_are_counted_by_who_attaches),
    test!(world detached::reports_that_were_cancelled_are_made_up_for),
    test!(world detached::a_run_nobody_knows_is_told),
    test!(world states::every_command_does_in_every_state_what_the_docs_say),
    test!(world orders::an_order_that_nobody_carries_out_is_withdrawn),
    test!(world orders::a_cluster_that_moved_is_reached_from_anywhere),
    test!(world orders::what_is_in_the_way_of_a_detached_run_is_told),
    test!(world orders::what_is_said_about_a_detached_run_is_its_own),
    test!(world interrupt::once_drains),
    test!(world runs::a_killed_run_is_resumed_and_nothing_is_done_twice),
    test!(world runs::a_run_has_one_process_at_a_time),
    test!(world runs::reading_again_can_be_interrupted),
    test!(world runs::a_changed_input_is_refused_until_it_is_accepted),
    test!(world runs::batches_that_the_cluster_forgot_are_sent_again_and_cost_nothing),
    test!(world runs::rows_that_are_gone_are_collected_again),
    test!(world runs::standard_input_and_output_survive_as_well),
    test!(world runs::bad_rows_are_counted_once_and_order_is_kept),
    test!(world models::faults_end_in_labels_or_a_class),
    test!(world models::a_killed_service_repeats_only_calls_in_flight),
    test!(world models::a_planned_restart_repeats_no_call),
    test!(world models::what_is_cancelled_is_not_paid_for),
    test!(world models::what_is_stopped_is_not_paid_for),
    test!(world models::a_detached_run_that_is_cancelled_is_not_paid_for),
    test!(world models::a_refused_key_stops_the_run),
    test!(world models::too_many_failures_stop_the_run),
    test!(world models::spent_money_stops_the_run_and_is_not_spent_twice),
    test!(world models::a_cap_holds_by_the_providers_record),
    test!(world models::a_limit_that_is_passed_sends_nothing),
    test!(world models::a_group_is_of_one_run),
    test!(world models::hybrid_asks_only_where_the_rules_are_not_sure),
    test!(world models::several_indicators_share_a_request),
    test!(world models::the_plan_is_what_the_provider_then_counts),
    test!(world models::failed_rows_are_retried_alone_and_put_among_the_results),
    test!(world models::a_retry_takes_over_nothing_but_what_its_run_left),
    test!(world models::a_failed_row_is_asked_until_it_has_an_answer_and_never_after),
    test!(world models::a_collected_run_keeps_its_limits),
    test!(world models::the_key_is_nowhere),
    test!(world promises::the_rules_label_by_another_taxonomy),
    test!(world promises::a_model_labels_by_another_taxonomy),
    test!(world promises::numbers_keep_their_digits),
    test!(world promises::anthropic_is_asked_in_its_own_words),
    test!(world promises::compatible_servers_work_with_and_without_a_key),
    test!(world promises::max_in_flight_bounds_unfinished_rows),
    test!(world promises::a_resumed_run_takes_the_new_rate),
    test!(world promises::a_run_that_ran_out_of_money_is_resumed_with_more),
    test!(world promises::the_copy_of_standard_input_goes_when_the_run_is_complete),
    test!(world promises::runs_are_shown_as_they_stand),
    test!(world promises::limits_are_shown_with_their_use),
    test!(world promises::a_paused_model_is_named_and_can_be_asked_again),
    test!(world promises::the_queue_is_watched),
    test!(world promises::logs_are_followed_until_ctrl_c),
    test!(world promises::everything_listens_on_loopback_only),
];

/// Tests of rates that leave the machine idle most of the time. The longest comes first.
const PACED: &[(&str, Test)] = &[
    test!(world models::two_services_share_one_limit),
    test!(world rate::arrivals_follow_the_rate),
    test!(world detached::goes_on_at_its_rate_when_nobody_is_there),
    test!(world detached::a_pause_stops_it_and_it_goes_on_where_it_was),
    test!(world detached::a_service_that_comes_back_meets_no_burst),
    test!(world promises::a_dead_node_keeps_its_share),
    test!(world promises::a_limit_on_tokens_is_kept_and_used),
    test!(world queue::what_is_purged_in_mid_run_is_sent_again_at_the_rate),
];

/// Tests of times under load, and of what must be so at once: whatever else the machine does would count.
const ALONE: &[(&str, Test)] = &[
    test!(free cluster::the_life_of_a_cluster),
    test!(world pressure::who_says_nothing_keeps_nobody_out),
    test!(world interrupt::twice_stops_at_once),
    test!(world models::calls_at_once_are_used_in_full),
    test!(world faults::lost_quorum_is_told_and_outlived),
];

/// Clusters that no test is using.
#[derive(Clone, Default)]
struct Worlds(Arc<Mutex<Vec<World>>>);

impl Worlds {
    /// Hands a world to `test`. One in which a test failed is thrown away.
    fn lend(&self, test: impl FnOnce(&mut World)) {
        let idle = self.idle().pop();
        let mut world = idle.unwrap_or_else(|| World::start(program("e2e")));
        world.make_whole();
        test(&mut world);
        self.idle().push(world);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<World>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn program(cluster: &'static str) -> Program {
    Program {
        classify: env!("CARGO_BIN_EXE_classify").into(),
        cache: server::cache(env!("CARGO_TARGET_TMPDIR")),
        cluster,
        listen: None,
        environment: Vec::new(),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let worlds = Worlds::default();
    let trial = |&(name, test): &(&'static str, Test)| {
        let worlds = worlds.clone();
        timed(name.into(), move || {
            match test {
                Test::World(test) => worlds.lend(test),
                Test::Free(test) => test(),
            }
            Ok(Completion::Completed)
        })
    };
    let together = run(&arguments, LANES, TOGETHER.iter().map(trial).collect());
    let _quiet = if arguments.list { None } else { quiet() };
    let paced = run(&arguments, PACED_LANES, PACED.iter().map(trial).collect());
    // One is enough from here on, and the others must not disturb.
    worlds.idle().truncate(1);
    let alone = run(&arguments, 1, ALONE.iter().map(trial).collect());
    worlds.idle().clear();

    // A network can be cut only where there is one.
    let arena = Program { listen: Some("tcp"), ..program("chaos") };
    let rounds = Arc::new(Rounds::new(arena, fastrand::u64(..1_000_000)));
    let round = |fault: Fault| {
        let rounds = Arc::clone(&rounds);
        timed(format!("chaos::{fault}"), move || rounds.run(fault))
    };
    let chaos = run(&arguments, 1, Fault::ALL.map(round).into());
    drop(rounds);
    let failed = [together, paced, alone, chaos].iter().any(Conclusion::has_failed);
    if failed { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

/// Waits until whoever else holds a lock on `$CLASSIFY_TEST_LOCK` has let go of it, and then holds it alone: CI does other work beside
/// the tests, but not beside those of times.
fn quiet() -> Option<File> {
    let path = std::env::var_os("CLASSIFY_TEST_LOCK")?;
    let file = File::options().create(true).append(true).open(path).unwrap();
    let begun = Instant::now();
    file.lock().unwrap();
    note(&format!("{:>6.1} s  waited for a quiet machine", begun.elapsed().as_secs_f64()));
    Some(file)
}

fn run(arguments: &Arguments, at_once: usize, trials: Vec<Trial>) -> Conclusion {
    let arguments = Arguments { test_threads: Some(at_once), ..arguments.clone() };
    libtest_mimic::run(&arguments, trials)
}

/// A test that says how long it took.
fn timed(name: String, test: impl FnOnce() -> Result<Completion, Failed> + Send + 'static) -> Trial {
    Trial::ignorable_test(name.clone(), move || {
        let begun = Instant::now();
        let result = test();
        note(&format!("{:>6.1} s  {name}", begun.elapsed().as_secs_f64()));
        result
    })
}

fn wait(future: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(future);
}

/// Figures that a person wants to see, whatever the test makes of them.
#[expect(clippy::print_stderr, reason = "figures of a test belong into its output")]
fn note(line: &str) {
    eprintln!("{line}");
}
