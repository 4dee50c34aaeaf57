//! `classify limits …`: what a model may be asked, from any node that answers.

use std::time::Duration;

use super::{print, target};
use crate::cli::Global;
use crate::cli::limits::{LimitsArgs, LimitsCommand, Place, SetArgs, ShowArgs};
use crate::error::{ExitStatus, Failure, Result};
use crate::restate::Error;
use crate::restate::ingress::Ingress;
use crate::restate::models::models_with_limits;
use crate::restate::names::ModelLimits;
use crate::restate::secret::REMEDY;
use crate::text::{duration, grouped, printable};
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
    let model = args.model.as_ref().map(ToString::to_string);
    let models = match &model {
        Some(model) => std::slice::from_ref(model),
        None => &known(global, args).await?[..],
    };
    if models.is_empty() {
        ui.note("no model was asked yet; `classify limits show PROVIDER/NAME` shows what it may be asked");
    }
    let mut shown = Vec::with_capacity(models.len());
    for name in models {
        let limits = look(global, name, &args.place).await?;
        shown.push(match (args.json, &model) {
            (true, Some(_)) => serde_json::to_string(&limits).map_err(anyhow::Error::from)?,
            (true, None) => {
                let named = serde_json::json!({ "model": name, "limits": limits });
                named.to_string()
            }
            (false, Some(_)) => table(name, &limits),
            (false, None) => format!("{}\n{}\n", printable(name), table(name, &limits)),
        });
    }
    print(shown.join("\n").trim_end(), ui)?;
    Ok(ExitStatus::Success)
}

/// Every model that the cluster keeps limits for.
async fn known(global: &Global, args: &ShowArgs) -> Result<Vec<String>> {
    context::set(&args.place.cluster, None);
    let mut failure = unknown();
    for admin in target::admin(global, &args.place.cluster, &args.admin)? {
        match models_with_limits(&admin, TIMEOUT).await {
            Ok(models) => return Ok(models),
            Err(error) => failure = failure.detail(error.to_string()),
        }
    }
    Err(failure)
}

async fn set(global: &Global, args: &SetArgs, ui: Ui) -> Result<ExitStatus> {
    let limits = if args.reset {
        None
    } else {
        // What is not named stays as it is.
        Some(Limits {
            requests: args.rpm.map(Into::into),
            tokens: args.tpm.map(Into::into),
            concurrency: args.concurrency.map(Into::into),
        })
    };
    let model = args.model.to_string();
    any(global, &args.place, async |node| node.set_model_limits(&model, limits, TIMEOUT).await).await?;
    print(&table(&model, &look(global, &model, &args.place).await?), ui)?;
    Ok(ExitStatus::Success)
}

async fn look(global: &Global, model: &str, place: &Place) -> Result<ModelLimits> {
    any(global, place, async |node| node.model_limits(model, TIMEOUT).await).await
}

fn unknown() -> Failure {
    Failure::unreachable("no node can tell the limits")
        .hint("limits are kept by the service and its cluster: see `classify cluster status`")
}

/// Asks one node after the other until one answers.
async fn any<T>(
    global: &Global,
    place: &Place,
    ask: impl AsyncFn(&Ingress) -> std::result::Result<T, Error>,
) -> Result<T> {
    context::set(&place.cluster, None);
    let mut failure = unknown();
    for (_, node) in target::ingress(global, &place.cluster, &place.ingress)? {
        match ask(&node).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_unsigned() => {
                return Err(Failure::usage(error.to_string()).hint(REMEDY));
            }
            Err(error) => failure = failure.detail(error.to_string()),
        }
    }
    Err(failure)
}

/// The limits of a model, how much of each is used, and who set it.
fn table(model: &str, shown: &ModelLimits) -> String {
    let ModelLimits { limits, set, usage: used, .. } = shown;
    let line = |name: &str, limit: Option<u64>, used: Option<u64>, set: Option<u64>| {
        let limit = limit.map_or_else(|| "no limit".to_owned(), grouped);
        let by = if set.is_some() { "`limits set`" } else { "the service" };
        format!("{name:<12} {limit:>12} {:>12}   {by}", used.map(grouped).unwrap_or_default())
    };
    let mut lines = vec![
        format!("{:<12} {:>12} {:>12}   set by", "", "limit", "in use"),
        line("requests/min", limits.requests, used.map(|used| used.granted.requests), set.requests),
        line("tokens/min", limits.tokens, used.map(|used| used.granted.tokens), set.tokens),
        line("at once", limits.concurrency, used.map(|used| used.in_flight), set.concurrency),
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
            "paused       {} for {} more, as its provider asked; `classify limits set` ends it",
            printable(model),
            duration(left)
        ));
    }
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
        let set = Limits { requests: Some(5_000), ..Limits::default() };
        let shown =
            table("openai/gpt-5", &ModelLimits { limits, set_by_hand: true, set, usage: Some(usage) });
        let expected = "
                    limit       in use   set by
requests/min        5,000        1,200   `limits set`
tokens/min       no limit    2,400,000   the service
at once                64           12   the service
pace         70 % of the limits: the provider refused requests
paused       openai/gpt-5 for 59 min 2 s more, as its provider asked; `classify limits set` ends it";
        assert_eq!(format!("\n{shown}"), expected);
    }
}
