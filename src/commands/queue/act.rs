//! `classify queue cancel|retry|purge`: finds what is meant, shows it, asks, does it, and says what came of it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::action::{Action, Became};
use super::kill::kill;
use super::orders::Orders;
use super::tally::Tally;
use super::{TIMEOUT, any, line, nodes, selection};
use crate::cli::Global;
use crate::cli::queue::Change;
use crate::commands::{block_on, question};
use crate::error::{ExitStatus, Failure, Result};
use crate::restate::admin::Admin;
use crate::restate::id::InvocationId;
use crate::restate::names::{BATCH_WORKFLOW, CLASSIFIER, SERVICES};
use crate::restate::queue::{Invocation, Selection, State};
use crate::shutdown::Level;
use crate::text::{count, grouped};
use crate::ui::Ui;

/// Invocations shown before the question.
const SHOWN: usize = 10;

pub(super) fn run(global: &Global, action: Action, change: &Change, ui: Ui) -> Result<ExitStatus> {
    let now = Timestamp::now();
    let selection = selected(action, change, now)?;
    if !change.yes && !question::can_be_asked() {
        let message = format!("nothing was {}: there is no terminal to ask on", action.participle());
        return Err(Failure::usage(message).hint(
            "see what there is: `classify queue list` with the same filters; without a question: `--yes`",
        ));
    }
    let nodes = nodes(global, &change.nodes)?;
    let found = block_on(any(&nodes, async |node| selection.fetch(node, None, TIMEOUT).await))?;
    refuse_others(selection.ids.as_deref().unwrap_or_default(), &found)?;
    if action == Action::Kill && selection.ids.is_some() && found.iter().any(|one| one.service == CLASSIFIER)
    {
        return Err(no_killing_of_calls());
    }
    let (fitting, unfit): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| action.fits(one.state));
    for text in preview(action, &fitting, now) {
        ui.note(&text);
    }
    let mut tally = Tally::new(action, (fitting.len() + unfit.len()) as u64);
    for one in unfit {
        tally.add(&one.id, unfitting(action, one.state));
    }
    if !fitting.is_empty() {
        let all = count(fitting.len() as u64, "invocation");
        if !change.yes && !question::confirmed(&format!("{} {all}?", action.imperative()))? {
            ui.note(&format!("nothing was {}", action.participle()));
            return Ok(ExitStatus::Success);
        }
        block_on(act(&nodes, &fitting, &mut tally))?;
    }
    ui.note(&tally.summary());
    tally.failure().map_or(Ok(ExitStatus::Success), Err)
}

fn selected(action: Action, change: &Change, now: Timestamp) -> Result<Selection> {
    if !change.ids.is_empty() {
        let ids: BTreeSet<&InvocationId> = change.ids.iter().collect();
        return Ok(Selection { ids: Some(ids.into_iter().cloned().collect()), ..Selection::default() });
    }
    let mut selection = selection(&change.filter, now)?;
    if action == Action::Kill && selection.service == Some(CLASSIFIER) {
        return Err(no_killing_of_calls());
    }
    // Without its own calls a detached run neither goes on nor hears of its batches: they are ended by name only.
    selection.rows_only = matches!(action, Action::Cancel | Action::Kill) && selection.service.is_none();
    let states = selection.states.get_or_insert_with(|| action.default_states());
    if let Some(wrong) = states.iter().find(|state| !action.fits(**state)) {
        let failure = Failure::usage(format!("{wrong} invocations cannot be {}", action.participle()))
            .hint(format!("`queue {}` is for these: {}", action.name(), action.states()));
        return Err(action.hint().into_iter().fold(failure, Failure::hint));
    }
    Ok(selection)
}

/// Its batch would ask for it once more, while it may be at the provider still.
fn no_killing_of_calls() -> Failure {
    Failure::usage(format!(
        "calls of {CLASSIFIER} cannot be killed: what is at a model's provider is paid for, and would be asked again"
    ))
    .hint("end them without `--kill`: what has not left for the provider ends, what has left ends with its answer")
    .hint("or kill the batches that made them: `classify queue cancel --run RUN_ID --kill`")
}

/// An id that is not among what was found is another service's, or nobody's.
fn refuse_others(ids: &[InvocationId], found: &[Invocation]) -> Result<()> {
    let others: Vec<&InvocationId> =
        ids.iter().filter(|id| !found.iter().any(|one| one.id == **id)).collect();
    let Some(first) = others.first() else { return Ok(()) };
    let more = match others.len() - 1 {
        0 => String::new(),
        more => format!(" (nor are {} more)", grouped(more as u64)),
    };
    let [services @ .., last] = SERVICES;
    Err(Failure::usage(format!(
        "{first} is no invocation of {} or {last} that this cluster knows{more}; nothing was done",
        services.join(", ")
    ))
    .hint("what there is: `classify queue list`"))
}

fn unfitting(action: Action, state: State) -> Became {
    match action {
        Action::Cancel | Action::Kill => Became::Over,
        Action::Retry | Action::Purge => Became::Refused(format!(
            "it is {state}; `queue {}` is for these: {}",
            action.name(),
            action.states()
        )),
    }
}

/// What would be hit, line by line.
fn preview(action: Action, found: &[Invocation], now: Timestamp) -> Vec<String> {
    let number = |service: &str, state: State| {
        found.iter().filter(|one| one.service == service && one.state == state).count() as u64
    };
    let mut lines = Vec::new();
    for service in SERVICES {
        let states = State::ALL.map(|state| (state, number(service, state)));
        let states = states.into_iter().filter(|(_, number)| *number > 0);
        let states: Vec<String> =
            states.map(|(state, number)| format!("{} {state}", grouped(number))).collect();
        if !states.is_empty() {
            lines.push(format!("{service:<14} {}", states.join(", ")));
        }
    }
    lines.extend(found.iter().take(SHOWN).map(|one| format!("{:<14} {}", one.state, line(one, now))));
    if found.len() > SHOWN {
        lines.push(format!("{:<14} and {} more", "", grouped((found.len() - SHOWN) as u64)));
    }
    let answers = number(CLASSIFIER, State::Succeeded);
    if action == Action::Purge && answers > 0 {
        let answers = count(answers, "answer");
        lines.push(format!("{answers} will be forgotten: rows that are asked for again are paid for again"));
    }
    lines
}

/// Does it to all of `found`, and tells `tally`.
async fn act(nodes: &[Admin], found: &[Invocation], tally: &mut Tally) -> Result<()> {
    let orders = Orders::to(nodes)?;
    let action = tally.action();
    if action == Action::Kill {
        kill(&orders, found, tally).await?;
    } else {
        // Batches come first: one whose calls end before it does asks for them once more.
        let (batches, others): (Vec<_>, Vec<_>) = found.iter().partition(|one| one.service == BATCH_WORKFLOW);
        for group in [batches, others] {
            orders.give(action, group, tally).await;
        }
    }
    if orders.stop.level() > Level::Run {
        tally.interrupted();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        change: Change,
    }

    #[test]
    fn what_paces_and_counts_rows_is_cancelled_by_name_only() {
        let rows_only = |action, typed: &[&str]| {
            let change = Typed::parse_from([&["queue"], typed].concat()).change;
            selected(action, &change, Timestamp::UNIX_EPOCH).unwrap().rows_only
        };
        for action in [Action::Cancel, Action::Kill] {
            assert!(rows_only(action, &["--all"]));
            assert!(rows_only(action, &["--state", "retrying"]));
            assert!(!rows_only(action, &["--service", "BatchReports"]));
            assert!(!rows_only(action, &["inv_1a"]));
        }
        assert!(!rows_only(Action::Retry, &["--all"]));
    }
}
