//! `classify limits …`: what a model may be asked, from any node that answers.

use std::time::Duration;

use super::{print, target};
use crate::cli::Global;
use crate::cli::limits::{LimitsArgs, LimitsCommand, SetArgs, ShowArgs, Target};
use crate::error::{ExitStatus, Failure, Result};
use crate::llm::Model;
use crate::restate::Error;
use crate::restate::ingress::Ingress;
use crate::restate::names::ModelLimits;
use crate::text::{duration, grouped};
use crate::throttle::budget::Limits;
use crate::ui::{Ui, context};

/// Patience with one node.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(global: &Global, args: LimitsArgs, ui: Ui) -> Result<ExitStatus> {
    match args.command {
        LimitsCommand::Show(args) => show(global, &args, ui).await,
        LimitsCommand::Set(args) => set(global, &args, ui).await,
    }
}

async fn show(global: &Global, args: &ShowArgs, ui: Ui) -> Result<ExitStatus> {
    let limits = look(global, &args.target).await?;
    let text = if args.json {
        serde_json::to_string(&limits).map_err(anyhow::Error::from)?
    } else {
        table(&args.target.model, &limits)
    };
    print(&text, ui)?;
    Ok(ExitStatus::Success)
}

async fn set(global: &Global, args: &SetArgs, ui: Ui) -> Result<ExitStatus> {
    let limits = if args.reset {
        None
    } else {
        // What is not named stays as it is.
        let now = look(global, &args.target).await?.limits;
        Some(Limits {
            requests: args.rpm.map(Into::into).or(now.requests),
            tokens: args.tpm.map(Into::into).or(now.tokens),
            concurrency: args.concurrency.map(Into::into).or(now.concurrency),
        })
    };
    let model = args.target.model.to_string();
    any(global, &args.target, async |node| node.set_model_limits(&model, limits, TIMEOUT).await).await?;
    print(&table(&args.target.model, &look(global, &args.target).await?), ui)?;
    Ok(ExitStatus::Success)
}

async fn look(global: &Global, target: &Target) -> Result<ModelLimits> {
    let model = target.model.to_string();
    any(global, target, async |node| node.model_limits(&model, TIMEOUT).await).await
}

/// Asks one node after the other until one answers.
async fn any<T>(
    global: &Global,
    target: &Target,
    ask: impl AsyncFn(&Ingress) -> std::result::Result<T, Error>,
) -> Result<T> {
    context::set(&target.cluster, None);
    let mut failure = Failure::unreachable("no node can tell the limits")
        .hint("limits are kept by the service and its cluster: see `classify cluster status`");
    for (_, node) in target::ingress(global, &target.cluster, &target.ingress)? {
        match ask(&node).await {
            Ok(answer) => return Ok(answer),
            Err(error) => failure = failure.detail(error.to_string()),
        }
    }
    Err(failure)
}

fn table(model: &Model, limits: &ModelLimits) -> String {
    let Limits { requests, tokens, concurrency } = limits.limits;
    let used = limits.usage;
    let line = |name: &str, limit: Option<u64>, used: Option<u64>| {
        let limit = limit.map_or_else(|| "no limit".to_owned(), grouped);
        format!("{name:<12} {limit:>12} {:>12}", used.map(grouped).unwrap_or_default())
    };
    let mut lines = vec![
        format!("{:<12} {:>12} {:>12}", "", "limit", "in use"),
        line("requests/min", requests, used.map(|used| used.granted.requests)),
        line("tokens/min", tokens, used.map(|used| used.granted.tokens)),
        line("at once", concurrency, used.map(|used| used.in_flight)),
    ];
    if let Some(used) = used.filter(|used| used.pace < 1.0) {
        lines.push(format!(
            "pace         {:.0} % of the limits: the provider refused requests",
            used.pace * 100.0
        ));
    }
    if let Some(used) = used.filter(|used| used.shut_for_ms > 0) {
        let left = Duration::from_secs(used.shut_for_ms.div_ceil(1_000));
        lines.push(format!(
            "paused       {model} for {} more, as its provider asked; `classify limits set` ends it",
            duration(left)
        ));
    }
    let by = if limits.set_by_hand { "`classify limits set`" } else { "the services' own settings" };
    lines.push(format!("set by       {by}"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::budget::{Amount, Usage};

    #[test]
    fn limits_and_their_use_side_by_side() {
        let limits = Limits { requests: Some(5_000), tokens: None, concurrency: Some(64) };
        let granted = Amount { requests: 1_200, tokens: 2_400_000 };
        let usage = Usage { granted, pace: 0.7, processes: 2, in_flight: 12, shut_for_ms: 3_541_500 };
        let model = "openai/gpt-5".parse().unwrap();
        let shown = table(&model, &ModelLimits { limits, set_by_hand: true, usage: Some(usage) });
        let expected = "
                    limit       in use
requests/min        5,000        1,200
tokens/min       no limit    2,400,000
at once                64           12
pace         70 % of the limits: the provider refused requests
paused       openai/gpt-5 for 59 min 2 s more, as its provider asked; `classify limits set` ends it
set by       `classify limits set`";
        assert_eq!(format!("\n{shown}"), expected);
    }
}
