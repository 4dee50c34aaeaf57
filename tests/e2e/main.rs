//! End to end: the real binary, a real three-node Restate cluster on free ports, the real service. Nothing is
//! simulated. The cluster is started once and torn down at the end, also when tests fail.

#[path = "../support/balance.rs"]
mod balance;
mod detached;
mod faults;
mod interrupt;
mod job;
#[path = "../support/llm_stub/mod.rs"]
mod llm_stub;
mod models;
#[path = "../support/provider.rs"]
mod provider;
mod queue;
mod rate;
#[path = "../support/running.rs"]
mod running;
mod runs;
#[path = "../support/schema.rs"]
mod schema;
mod service;
#[path = "../support/workplace.rs"]
mod workplace;
#[path = "../support/world.rs"]
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

use world::{Program, World};

/// A test gets the world to itself: several of them kill nodes.
type Test = fn(&mut World);

const TESTS: &[(&str, Test)] = &[
    ("job::classifies_every_row_once", job::classifies_every_row_once),
    ("job::a_second_run_pays_for_nothing", job::a_second_run_pays_for_nothing),
    ("job::reads_every_format_and_writes_csv", job::reads_every_format_and_writes_csv),
    ("job::bad_rows_go_to_the_failures_file", job::bad_rows_go_to_the_failures_file),
    ("job::another_taxonomy_is_refused", job::another_taxonomy_is_refused),
    ("job::stop_and_start_keep_all_state", job::stop_and_start_keep_all_state),
    ("job::up_starts_what_is_missing", job::up_starts_what_is_missing),
    ("queue::tells_success_from_failure", queue::tells_success_from_failure),
    (
        "queue::cancelled_work_is_told_and_can_be_done_again",
        queue::cancelled_work_is_told_and_can_be_done_again,
    ),
    ("queue::a_run_is_cancelled_and_forgotten", queue::a_run_is_cancelled_and_forgotten),
    (
        "queue::what_is_not_ours_is_neither_shown_nor_touched",
        queue::what_is_not_ours_is_neither_shown_nor_touched,
    ),
    ("queue::paused_work_goes_on_when_it_is_retried", queue::paused_work_goes_on_when_it_is_retried),
    ("rate::arrivals_follow_the_rate", rate::arrivals_follow_the_rate),
    ("service::says_when_its_port_is_taken", service::says_when_its_port_is_taken),
    ("service::says_when_no_node_can_keep_the_limits", service::says_when_no_node_can_keep_the_limits),
    ("service::drains_on_sigterm", service::drains_on_sigterm),
    ("service::the_rules_say_the_same_when_asked_again", service::the_rules_say_the_same_when_asked_again),
    ("faults::a_killed_node_costs_nothing_but_time", faults::a_killed_node_costs_nothing_but_time),
    ("faults::a_node_that_hangs_is_not_waited_for", faults::a_node_that_hangs_is_not_waited_for),
    ("faults::a_killed_service_costs_nothing_but_time", faults::a_killed_service_costs_nothing_but_time),
    ("faults::lost_quorum_is_told_and_outlived", faults::lost_quorum_is_told_and_outlived),
    (
        "detached::goes_on_at_its_rate_when_nobody_is_there",
        detached::goes_on_at_its_rate_when_nobody_is_there,
    ),
    (
        "detached::a_pause_stops_it_and_it_goes_on_where_it_was",
        detached::a_pause_stops_it_and_it_goes_on_where_it_was,
    ),
    ("detached::cancelled_it_ends_and_keeps_nothing", detached::cancelled_it_ends_and_keeps_nothing),
    (
        "detached::a_service_that_comes_back_meets_no_burst",
        detached::a_service_that_comes_back_meets_no_burst,
    ),
    (
        "detached::batches_that_are_killed_are_counted_by_who_attaches",
        detached::batches_that_are_killed_are_counted_by_who_attaches,
    ),
    ("detached::a_run_nobody_knows_is_told", detached::a_run_nobody_knows_is_told),
    ("interrupt::once_drains", interrupt::once_drains),
    ("interrupt::twice_stops_at_once", interrupt::twice_stops_at_once),
    (
        "runs::a_killed_run_is_resumed_and_nothing_is_done_twice",
        runs::a_killed_run_is_resumed_and_nothing_is_done_twice,
    ),
    ("runs::a_run_has_one_process_at_a_time", runs::a_run_has_one_process_at_a_time),
    (
        "runs::a_changed_input_is_refused_until_it_is_accepted",
        runs::a_changed_input_is_refused_until_it_is_accepted,
    ),
    (
        "runs::batches_that_the_cluster_forgot_are_sent_again_and_cost_nothing",
        runs::batches_that_the_cluster_forgot_are_sent_again_and_cost_nothing,
    ),
    ("runs::rows_that_are_gone_are_collected_again", runs::rows_that_are_gone_are_collected_again),
    ("runs::standard_input_and_output_survive_as_well", runs::standard_input_and_output_survive_as_well),
    ("runs::bad_rows_are_counted_once_and_order_is_kept", runs::bad_rows_are_counted_once_and_order_is_kept),
    ("models::faults_end_in_labels_or_a_class", models::faults_end_in_labels_or_a_class),
    ("models::two_services_share_one_limit", models::two_services_share_one_limit),
    (
        "models::a_killed_service_repeats_only_calls_in_flight",
        models::a_killed_service_repeats_only_calls_in_flight,
    ),
    ("models::a_refused_key_stops_the_run", models::a_refused_key_stops_the_run),
    ("models::too_many_failures_stop_the_run", models::too_many_failures_stop_the_run),
    (
        "models::spent_money_stops_the_run_and_is_not_spent_twice",
        models::spent_money_stops_the_run_and_is_not_spent_twice,
    ),
    (
        "models::hybrid_asks_only_where_the_rules_are_not_sure",
        models::hybrid_asks_only_where_the_rules_are_not_sure,
    ),
    ("models::several_indicators_share_a_request", models::several_indicators_share_a_request),
    ("models::the_plan_is_what_the_provider_then_counts", models::the_plan_is_what_the_provider_then_counts),
    (
        "models::failed_rows_are_retried_alone_and_put_among_the_results",
        models::failed_rows_are_retried_alone_and_put_among_the_results,
    ),
    ("models::the_key_is_nowhere", models::the_key_is_nowhere),
];

fn program() -> Program {
    Program {
        classify: env!("CARGO_BIN_EXE_classify").into(),
        cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("restate-cache"),
        cluster: "e2e",
        environment: Vec::new(),
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    // Started by the first test that runs, so that `--list` and a filter that fits nothing cost nothing.
    let world: Arc<Mutex<Option<World>>> = Arc::default();
    let trial = |&(name, test): &(&'static str, Test)| {
        let world = Arc::clone(&world);
        Trial::test(name, move || -> Result<(), Failed> {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            let world = world.get_or_insert_with(|| World::start(program()));
            world.make_whole();
            test(world);
            Ok(())
        })
    };
    let conclusion = libtest_mimic::run(&arguments, TESTS.iter().map(trial).collect());
    drop(world.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}
