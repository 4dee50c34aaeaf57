//! What the README promises and no other test looks at: each promise by the real binary on the real cluster.

mod dialects;
mod logs;
mod money;
mod numbers;
mod pace;
mod shown;
mod sockets;
mod stdin;
mod taxonomy;
mod tokens;

use std::time::Duration;

use serde_json::Value;

use crate::provider::Provider;
use crate::world::{Running, World, wait_for};

pub(crate) use dialects::{
    anthropic_is_asked_in_its_own_words, compatible_servers_work_with_and_without_a_key,
};
pub(crate) use logs::logs_are_followed_until_ctrl_c;
pub(crate) use money::a_run_that_ran_out_of_money_is_resumed_with_more;
pub(crate) use numbers::numbers_keep_their_digits;
pub(crate) use pace::{
    a_dead_node_keeps_its_share, a_resumed_run_takes_the_new_rate, max_in_flight_bounds_unfinished_rows,
};
pub(crate) use shown::{
    a_paused_model_is_named_and_can_be_asked_again, limits_are_shown_with_their_use,
    runs_are_shown_as_they_stand, the_queue_is_watched,
};
pub(crate) use sockets::{everything_listens_on_loopback_only, exposed, listeners};
pub(crate) use stdin::the_copy_of_standard_input_goes_when_the_run_is_complete;
pub(crate) use taxonomy::{a_model_labels_by_another_taxonomy, the_rules_label_by_another_taxonomy};
pub(crate) use tokens::a_limit_on_tokens_is_kept_and_used;

const MINUTE: Duration = Duration::from_mins(1);

/// `classify` with the provider's model, without a rate, with the report on stdout.
fn with_model<'a>(provider: &'a str, model: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["--provider", provider, "--model", model, "--mode", "max", "--json"], rest].concat()
}

/// A text in a report or a journal.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The lines of a run's journal.
fn journal(world: &World, run_id: &str) -> Vec<Value> {
    world.rows(&format!("state/runs/{run_id}/journal.jsonl"))
}

/// The id of the youngest run.
fn youngest_run(world: &World) -> String {
    let listed = world.classify(&["runs", "list", "--json"]).expect_code(0);
    let last = listed.stdout.lines().last().expect("a run");
    text(&serde_json::from_str::<Value>(last).expect("JSON")["run_id"]).to_owned()
}

/// A batch that a node accepted, as the journal has it.
struct Sent {
    node: String,
    rows: f64,
    /// Seconds since the run began.
    at: f64,
}

/// The batches among `lines` of a journal, in the order in which they were let through.
fn sent(lines: &[Value]) -> Vec<Sent> {
    let sent = |line: &Value| Sent {
        node: text(&line["node"]).to_owned(),
        rows: number(&line["indicators"]),
        at: number(&line["t"]),
    };
    let mut batches: Vec<Sent> = lines.iter().filter(|line| line["event"] == "sent").map(sent).collect();
    batches.sort_by(|one, other| one.at.total_cmp(&other.at));
    batches
}

/// Waits until `count` requests for `model` have arrived.
fn wait_asked(provider: &Provider, model: &str, count: usize) {
    wait_for(&format!("{count} requests"), MINUTE, || provider.stub.number_for(model) >= count);
}

/// Kills a run's process.
fn kill(run: &mut Running) {
    run.signal(nix::sys::signal::Signal::SIGKILL);
    wait_for("the killed run to end", Duration::from_secs(5), || run.has_ended());
}
