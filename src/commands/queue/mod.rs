//! `classify queue …`: what the cluster holds of our work, and what may be done to it, through any node that answers.

mod act;
mod action;
mod kill;
mod list;
mod orders;
mod status;
mod tally;

use std::time::Duration;

use jiff::Timestamp;

use super::{block_on, target};
use crate::cli::Global;
use crate::cli::queue::{Filter, Nodes, QueueArgs, QueueCommand, Service};
use crate::error::{ExitStatus, Failure, Result};
use crate::restate::Error;
use crate::restate::admin::Admin;
use crate::restate::queue::{Invocation, Selection};
use crate::text::{count, duration, printable, shorten};
use crate::ui::{Ui, context};
use action::Action;

/// Patience with one node. A query reads every retained invocation, which takes a while on a full cluster.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(global: &Global, args: QueueArgs, ui: Ui) -> Result<ExitStatus> {
    match args.command {
        QueueCommand::Status(args) => block_on(status::run(global, &args, ui)),
        QueueCommand::List(args) => block_on(list::run(global, &args, ui)),
        QueueCommand::Cancel(args) => {
            let action = if args.kill { Action::Kill } else { Action::Cancel };
            act::run(global, action, &args.change, ui)
        }
        QueueCommand::Retry(change) => act::run(global, Action::Retry, &change, ui),
        QueueCommand::Purge(change) => act::run(global, Action::Purge, &change, ui),
    }
}

fn nodes(global: &Global, nodes: &Nodes) -> Result<Vec<Admin>> {
    context::set(&nodes.cluster, None);
    target::admin(global, &nodes.cluster, &nodes.admin)
}

/// Asks one node after the other until one answers. A query may fail on a busy cluster (500: a node did not read its partitions in time): then
/// all are asked once more.
async fn any<T>(nodes: &[Admin], ask: impl AsyncFn(&Admin) -> std::result::Result<T, Error>) -> Result<T> {
    let mut errors = Vec::new();
    for _round in 0..2 {
        errors.clear();
        for node in nodes {
            match ask(node).await {
                Ok(answer) => return Ok(answer),
                Err(error) => errors.push(error),
            }
        }
        if !errors.iter().any(Error::is_of_server) {
            break;
        }
    }
    let failure = Failure::unreachable("no node can show the queue")
        .hint("see what is wrong: `classify cluster status`; start the cluster: `classify cluster start`");
    Err(errors.iter().fold(failure, |failure, error| failure.detail(error.to_string())))
}

/// What a person's filters select.
fn selection(filter: &Filter, now: Timestamp) -> Result<Selection> {
    let before = filter.older_than.map(|age| now.checked_sub(age)).transpose();
    Ok(Selection {
        ids: None,
        run: filter.run,
        service: filter.service.map(Service::name),
        rows_only: false,
        states: Some(filter.state.iter().copied().map(Into::into).collect::<Vec<_>>())
            .filter(|states| !states.is_empty()),
        before: before
            .map_err(|_| Failure::usage("`--older-than` goes back to before the calendar begins"))?,
        error: filter.error.clone(),
    })
}

/// An invocation in one line.
fn line(one: &Invocation, now: Timestamp) -> String {
    let age = one.created_at.parse::<Timestamp>().map_or_else(
        |_| printable(&one.created_at),
        |created| duration(Duration::try_from(now.duration_since(created)).unwrap_or_default()),
    );
    let attempts = one.retry_count.filter(|attempts| *attempts > 0);
    let attempts = attempts.map(|number| format!("   {}", count(number, "attempt"))).unwrap_or_default();
    let error = one.error.as_deref().map(|text| format!("   {}", shorten(&printable(text), 200)));
    let target = shorten(&printable(&one.target), 120);
    format!("{}   {target}   {age} old{attempts}{}", one.id, error.unwrap_or_default())
}
