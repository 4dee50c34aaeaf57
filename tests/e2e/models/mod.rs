//! Classification by models: the real service on the real cluster, and in place of the provider a stub that speaks HTTP.

mod cancels;
mod caps;
mod counts;
mod limits;
mod restarts;
mod retries;
mod secrets;
mod stops;

use std::fs;

use crate::provider::Provider;
use crate::world::World;

pub(crate) use cancels::{
    a_detached_run_that_is_cancelled_is_not_paid_for, what_is_cancelled_is_not_paid_for,
    what_is_stopped_is_not_paid_for,
};
pub(crate) use caps::{
    a_cap_holds_by_the_providers_record, a_group_is_of_one_run, a_limit_that_is_passed_sends_nothing,
};
pub(crate) use counts::{
    hybrid_asks_only_where_the_rules_are_not_sure, several_indicators_share_a_request,
    the_plan_is_what_the_provider_then_counts,
};
pub(crate) use limits::{
    a_killed_service_repeats_only_calls_in_flight, calls_at_once_are_used_in_full,
    faults_end_in_labels_or_a_class, two_services_share_one_limit,
};
pub(crate) use restarts::a_planned_restart_repeats_no_call;
pub(crate) use retries::{
    a_failed_row_is_asked_until_it_has_an_answer_and_never_after,
    a_retry_takes_over_nothing_but_what_its_run_left,
    failed_rows_are_retried_alone_and_put_among_the_results,
};
pub(crate) use secrets::the_key_is_nowhere;
pub(crate) use stops::{
    a_collected_run_keeps_its_limits, a_refused_key_stops_the_run,
    spent_money_stops_the_run_and_is_not_spent_twice, too_many_failures_stop_the_run,
};

/// `classify` with the provider's model, in a hurry, with the report on stdout.
fn with_model<'a>(model: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["--provider", "openai", "--model", model, "--mode", "max", "--json"], rest].concat()
}

/// Ids in a table, sorted.
fn ids(world: &World, table: &str) -> Vec<String> {
    let text = fs::read_to_string(world.path(table)).expect("the table");
    let mut ids: Vec<String> =
        text.lines().skip(1).filter_map(|line| Some(line.split_once(',')?.0.to_owned())).collect();
    ids.sort_unstable();
    ids
}
