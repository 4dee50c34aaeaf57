//! `--plan`: what a run would take and cost. Sends no work; asks the cluster, where one answers, what it knows already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use crate::cli::run::RunArgs;
use crate::domain::batch::RunOptions;
use crate::domain::fingerprint::{fingerprint, joint_fingerprint};
use crate::domain::indicator::Indicator;
use crate::domain::method::{HYBRID, Method, RULES};
use crate::domain::money::PerMillion;
use crate::error::{Failure, Result};
use crate::input::{Checked, Row};
use crate::llm::{Estimator, Model, Price, Prices, Provider, most_each};
use crate::restate::ingress::Ingress;
use crate::restate::names::{CLASSIFIER_CLASSIFY, CLASSIFIER_RULES};
use crate::taxonomy::{Rules, Taxonomy};
use crate::text::{duration, grouped, printable};
use crate::throttle::{Answerer, Mode, Pace};

/// Questions under way at once about what is known already.
const QUESTIONS: usize = 64;
/// Patience with one of them.
const ASK: Duration = Duration::from_secs(2);

/// What a run would take.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Estimate {
    /// Rows but merged duplicates.
    pub(super) indicators: u64,
    /// Of these, answered already under the same settings; null where no cluster could be asked.
    pub(super) known: Option<u64>,
    /// Of these, those the rules are sure of (`hybrid`).
    pub(super) spared: u64,
    /// Requests to the model; repeated ones are not foreseen.
    pub(super) requests: u64,
    /// Tokens sent: counted on the texts themselves.
    pub(super) input_tokens: u64,
    /// Tokens received, those the model thinks with included: an estimate.
    pub(super) output_tokens: u64,
    /// Of these, tokens it thinks with.
    pub(super) thinking_tokens: u64,
    /// US dollars if the provider has nothing in its cache; null where the model's price is not known.
    pub(super) cost_usd: Option<f64>,
    /// US dollars if it has what all requests share.
    pub(super) cost_cached_usd: Option<f64>,
    /// The most that one indicator can cost.
    pub(super) most_each_usd: Option<f64>,
    /// Columns that are sent to the provider.
    pub(super) columns_sent: Vec<String>,
    /// Columns that stay: the label set does not name them.
    pub(super) columns_kept: Vec<String>,
    /// Indicators of which the model would read a part only.
    pub(super) cut: u64,
    /// Those by column.
    pub(super) cut_columns: BTreeMap<String, u64>,
    /// Seconds in each mode.
    pub(super) seconds: Vec<(&'static str, f64)>,
    /// What a model would read about the first indicator it is asked about.
    pub(super) sample: Option<Sample>,
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    pub(super) system: String,
    pub(super) user: String,
}

/// Works out what `checked` would take. With `nodes`, what they know already is left out.
pub(super) async fn estimate(
    args: &RunArgs,
    options: &RunOptions,
    taxonomy: &Taxonomy,
    checked: &Checked,
    pace: &Pace,
    nodes: &[Ingress],
) -> Result<Estimate> {
    let method = &options.method;
    let rules = (method.provider == HYBRID).then(|| Rules::compile(taxonomy)).transpose()?;
    let unsure = |indicator: &Indicator| match &rules {
        Some(rules) => rules.classify(indicator).confidence < method.threshold.unwrap_or_default(),
        None => method.provider != RULES,
    };
    // With `--force` nothing that is known counts.
    let mut known = if args.force { Some(Vec::new()) } else { known(checked, options, pace, nodes).await? };
    let asked_of_cluster = known.is_some();
    let mut total = Estimate {
        indicators: checked.summary().distinct_rows(),
        known: known.as_ref().map(|known| known.iter().filter(|known| **known).count() as u64),
        spared: 0,
        requests: 0,
        input_tokens: 0,
        output_tokens: 0,
        thinking_tokens: 0,
        cost_usd: None,
        cost_cached_usd: None,
        most_each_usd: None,
        columns_sent: Vec::new(),
        columns_kept: Vec::new(),
        cut: 0,
        cut_columns: BTreeMap::new(),
        seconds: Vec::new(),
        sample: None,
    };
    let provider = provider(method)?;
    let items = method.items_per_call.unwrap_or(std::num::NonZeroUsize::MIN);
    let mut estimator = Estimator::new(taxonomy, provider, items, method.effort);
    let mut answered = known.take().unwrap_or_default().into_iter();
    let mut columns = Columns::default();
    let mut rows = 0;
    for row in checked.rows() {
        let Row::Valid(indicator) = row? else { continue };
        if rows % pace.batch_size == 0 {
            estimator.flush();
        }
        rows += 1;
        columns.add(&indicator, taxonomy.extra_columns());
        if asked_of_cluster && answered.next().unwrap_or(false) {
            continue;
        }
        if !unsure(&indicator) {
            total.spared += u64::from(method.provider == HYBRID);
            continue;
        }
        if total.sample.is_none() {
            let (system, user) = estimator.sample(std::slice::from_ref(&indicator));
            total.sample = Some(Sample { system, user });
        }
        estimator.add(indicator);
    }
    let estimated = estimator.finish();
    let usage = estimated.usage;
    (total.requests, total.input_tokens, total.output_tokens) =
        (usage.requests, usage.input_tokens, usage.output_tokens);
    total.thinking_tokens = estimated.thinking;
    (total.cut, total.cut_columns) = (estimated.remarks.cut, estimated.remarks.cut_columns.clone());
    if method.model.is_some() {
        (total.columns_sent, total.columns_kept) = columns.named();
    }
    if let Some(price) = price(args, method)? {
        total.cost_usd = Some(estimated.cost(&price, pace.total));
        total.cost_cached_usd = Some(estimated.cost_cached(&price, pace.total));
        total.most_each_usd =
            Some(most_each(taxonomy, provider, items, method.effort, &PerMillion::from(&price)));
    }
    total.seconds = times(total.indicators, pace);
    Ok(total)
}

/// Who runs the method's model; with the rules nobody does, and nothing is asked.
pub(super) fn provider(method: &Method) -> Result<Provider> {
    let Some(model) = &method.model else { return Ok(Provider::Compatible) };
    let model: Model =
        model.parse().map_err(|error| Failure::usage(format!("`--model {model}`: {error}")))?;
    Ok(model.provider)
}

/// Columns of a table in which any row has something: those that leave, and those that stay.
#[derive(Default)]
struct Columns {
    known: BTreeSet<&'static str>,
    /// With whether the label set names it.
    extra: BTreeMap<String, bool>,
}

impl Columns {
    fn add(&mut self, indicator: &Indicator, named: &[String]) {
        self.known.extend(indicator.columns());
        for name in indicator.extra.keys() {
            if !self.extra.contains_key(name) {
                self.extra.insert(name.clone(), named.contains(name));
            }
        }
    }

    fn named(self) -> (Vec<String>, Vec<String>) {
        let known = self.known.into_iter().map(str::to_owned);
        let (sent, kept): (Vec<_>, Vec<_>) = self.extra.into_iter().partition(|(_, named)| *named);
        let names = |columns: Vec<(String, bool)>| columns.into_iter().map(|(name, _)| name);
        (known.chain(names(sent)).collect(), names(kept).collect())
    }
}

/// What the method's model costs, where that is known.
pub(super) fn price(args: &RunArgs, method: &Method) -> Result<Option<Price>> {
    let Some(model) = &method.model else { return Ok(None) };
    let model: Model =
        model.parse().map_err(|error| Failure::usage(format!("`--model {model}`: {error}")))?;
    let prices = match &args.prices {
        Some(file) => Prices::embedded().overridden_by(file)?,
        None => Prices::embedded(),
    };
    Ok(prices.of(&model).cloned())
}

/// For each row whether Restate has its answer; `None` where nobody can be asked. Answers of the rules are kept by batch, and the
/// batches are those the run would make.
async fn known(
    checked: &Checked,
    options: &RunOptions,
    pace: &Pace,
    nodes: &[Ingress],
) -> Result<Option<Vec<bool>>> {
    let Some(node) = nodes.first() else { return Ok(None) };
    let by_batch = Answerer::of(&options.method.provider) == Answerer::Rules;
    let (handler, size) =
        if by_batch { (CLASSIFIER_RULES, pace.batch_size.get() as usize) } else { (CLASSIFIER_CLASSIFY, 1) };
    let key = |batch: &[Indicator]| match batch {
        [row] if !by_batch => fingerprint(row, options),
        rows => joint_fingerprint(rows, options),
    };
    let (mut keys, mut batch) = (Vec::new(), Vec::new());
    for row in checked.rows() {
        let Row::Valid(indicator) = row? else { continue };
        batch.push(indicator);
        if batch.len() == size {
            keys.push((key(&batch), size));
            batch.clear();
        }
    }
    if !batch.is_empty() {
        keys.push((key(&batch), batch.len()));
    }
    let questions = keys.into_iter().map(|(key, rows)| async move {
        let known = node.has_answer(handler, &key, ASK).await.ok()?;
        Some(std::iter::repeat_n(known, rows))
    });
    let answers: Vec<_> = stream::iter(questions).buffered(QUESTIONS).collect().await;
    // One question without an answer, and the number would be made up.
    let answers: Option<Vec<_>> = answers.into_iter().collect();
    Ok(answers.map(|answers| answers.into_iter().flatten().collect()))
}

fn times(indicators: u64, chosen: &Pace) -> Vec<(&'static str, f64)> {
    let modes = [("safe", Mode::Safe), ("fast", Mode::Fast), ("ultra", Mode::Ultra)];
    let of =
        |rate| Pace::new(rate, std::num::NonZeroU32::MIN, Answerer::Model, None, None).duration(indicators);
    let presets = modes.into_iter().map(|(name, mode)| (name, of(mode.rate())));
    let chosen = std::iter::once(("as asked", chosen.duration(indicators)));
    presets.chain(chosen).filter_map(|(name, time)| Some((name, time?.as_secs_f64()))).collect()
}

/// The estimate for a person.
pub(super) fn text(estimate: &Estimate, method: &Method) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<11}{value}");
    };
    line("rows", grouped(estimate.indicators));
    line(
        "known",
        match estimate.known {
            Some(known) => format!("{} are answered already and cost nothing", grouped(known)),
            None => "no cluster answers, so nobody knows".to_owned(),
        },
    );
    if method.provider == HYBRID {
        line("spared", format!("{} need no model: the rules are sure", grouped(estimate.spared)));
    }
    if let Some(model) = &method.model {
        line("requests", format!("{} to {model}, if none has to be repeated", grouped(estimate.requests)));
        line(
            "tokens",
            format!(
                "{} in (counted), about {} out, {} of them to think with",
                grouped(estimate.input_tokens),
                grouped(estimate.output_tokens),
                grouped(estimate.thinking_tokens)
            ),
        );
        line(
            "price",
            match (estimate.cost_usd, estimate.cost_cached_usd) {
                (Some(cost), Some(cached)) => format!(
                    "about {cost:.2} USD; about {cached:.2} USD where the provider has what all requests share in its cache"
                ),
                _ => format!("not known for {model}; give one with `--prices FILE`"),
            },
        );
        line("sent", columns(&estimate.columns_sent));
        line("kept here", columns(&estimate.columns_kept));
        if estimate.cut > 0 {
            let column = |(name, rows): (&String, &u64)| format!("`{}` {}", printable(name), grouped(*rows));
            let by_column: Vec<String> = estimate.cut_columns.iter().map(column).collect();
            let by_column = by_column.join(", ");
            line(
                "cut",
                format!("of {} rows the model reads a part only: {by_column}", grouped(estimate.cut)),
            );
        }
    } else {
        line("price", "nothing: the rules are built in".to_owned());
    }
    for (mode, seconds) in &estimate.seconds {
        line("time", format!("{} ({mode})", duration(Duration::from_secs_f64(*seconds))));
    }
    if let Some(sample) = &estimate.sample {
        let _ = writeln!(out, "\n--- system, the same in every request ---\n{}", sample.system);
        let _ = writeln!(out, "--- user ---\n{}", sample.user);
    }
    out
}

fn columns(names: &[String]) -> String {
    if names.is_empty() {
        return "no column".to_owned();
    }
    printable(&names.join(", "))
}
