//! The report of a run: one value made from the counts, shown as JSON or as text. Pure.
//!
//! Owns the JSON report's shape (`schema/report.schema.json`) and the wording of the summary. Prints nothing.

mod hints;
mod human;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use hints::hints;
pub use human::summary;

use crate::domain::outcome::FailureClass;
use crate::domain::stats::RunStats;
use crate::error::ExitStatus;

/// Everything worth knowing after a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// Identity of the run; sorts by time.
    pub run_id: String,
    /// What was read.
    pub input: Input,
    /// What became of it; `indicators = succeeded + failed + pending`.
    pub totals: Totals,
    /// Failures by class.
    pub failed_by_class: BTreeMap<FailureClass, u64>,
    /// What failures said most often; null where there are none.
    #[serde(default)]
    pub most_said: Option<Said>,
    /// From the first batch read to the last one on disk.
    pub elapsed_s: f64,
    /// How fast.
    pub rate: Rate,
    /// Per node.
    pub nodes: Vec<Node>,
    /// What was bought.
    pub llm: Llm,
    /// The results; null for stdout.
    #[serde(serialize_with = "crate::text::paths::lossy")]
    pub output: Option<PathBuf>,
    /// The failures; null where there are none.
    #[serde(serialize_with = "crate::text::paths::lossy")]
    pub failures: Option<PathBuf>,
    /// Whether the run was ended before its time.
    pub interrupted: bool,
    /// What going on with it took.
    pub resumed: Resumed,
}

/// What was read. `rows = duplicates + totals.indicators`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Files, standard input included.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Rows set aside by `--skip-invalid`; they are among the failed.
    pub invalid: u64,
    /// Rows merged into an earlier one of the same content.
    pub duplicates: u64,
}

/// What became of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows but merged duplicates.
    pub indicators: u64,
    /// With labels.
    pub succeeded: u64,
    /// Without labels, in the failures file.
    pub failed: u64,
    /// Neither.
    pub pending: u64,
    /// Of those with labels, answered by an earlier call.
    pub reused: u64,
    /// Taken over, with and without labels, from the run whose failures this one retries.
    pub carried: u64,
}

/// A message, and how many failed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The message.
    pub message: String,
    /// Indicators.
    pub indicators: u64,
}

/// How often the run was taken up, and what the cluster knew of it then, in indicators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Processes that worked on it.
    pub sessions: u32,
    /// Collected without being sent anew: the cluster had them from an earlier process.
    pub recovered: u64,
    /// Sent again, because the cluster had forgotten their batches; answers it still had cost nothing.
    pub forgotten: u64,
}

/// Rates in indicators per minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// What was asked for; null without a limit.
    pub target_rpm: Option<f64>,
    /// Finished indicators over elapsed time.
    pub achieved_rpm: f64,
    /// Most indicators submitted within any 60 s; null of a run that the cluster submitted by itself.
    pub max_60s_window: Option<u64>,
}

/// One node's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its ingress.
    pub url: String,
    /// Batches it accepted.
    pub batches: u64,
    /// Indicators it accepted.
    pub indicators: u64,
    /// Exchanges with it that failed.
    pub errors: u64,
    /// Mean time from submission of a batch to its result; null before the first.
    pub mean_ms: Option<f64>,
    /// 95th percentile of it.
    pub p95_ms: Option<u64>,
}

/// Requests to models and what they cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Llm {
    /// Requests made, retries included.
    pub requests: u64,
    /// Of these, repeated ones.
    pub retries: u64,
    /// Those by what was wrong with the request before.
    pub retries_by_class: BTreeMap<FailureClass, u64>,
    /// Tokens sent, cached ones included.
    pub input_tokens: u64,
    /// Tokens sent that the provider had cached.
    pub cached_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// US dollars; null where a price is not known or nothing was bought.
    pub cost_usd: Option<f64>,
    /// The most that requests may have cost beyond that of which no answer came, or none that says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled_usd: Option<f64>,
    /// Indicators for which no model had to be asked (`hybrid`).
    pub spared: u64,
    /// Indicators of which the model read a part only.
    #[serde(default)]
    pub cut: u64,
    /// Those by column.
    #[serde(default)]
    pub cut_columns: BTreeMap<String, u64>,
}

impl Llm {
    /// Of the tokens sent, those that the provider had cached, in percent.
    pub fn cached_share(&self) -> u64 {
        cached_share(self.cached_tokens, self.input_tokens)
    }
}

/// Tokens that the provider had cached, in percent of those sent.
pub fn cached_share(cached: u64, sent: u64) -> u64 {
    cached.saturating_mul(100) / sent.max(1)
}

/// What the counts do not say.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Identity of the run.
    pub run_id: String,
    /// What was read.
    pub input: Input,
    /// What was asked for, in indicators per minute.
    pub target_rpm: Option<f64>,
    /// The results.
    pub output: Option<PathBuf>,
    /// The failures.
    pub failures: Option<PathBuf>,
    /// Whether the run was ended before its time.
    pub interrupted: bool,
    /// Processes that worked on the run.
    pub sessions: u32,
}

impl RunReport {
    /// The report on `stats`.
    pub fn new(frame: Frame, stats: &RunStats, elapsed: Duration) -> Self {
        let node = |node: &crate::domain::stats::NodeStats| Node {
            name: node.name.clone(),
            url: node.url.clone(),
            batches: node.batches,
            indicators: node.indicators,
            errors: node.errors,
            mean_ms: node.mean_ms().map(|ms| (ms * 10.0).round() / 10.0),
            p95_ms: node.p95_ms(),
        };
        Self {
            run_id: frame.run_id,
            input: frame.input,
            totals: Totals {
                indicators: stats.indicators,
                succeeded: stats.succeeded,
                failed: stats.failures(),
                pending: stats.pending(),
                reused: stats.reused,
                carried: stats.carried,
            },
            failed_by_class: stats.failed.clone(),
            most_said: stats
                .remarks
                .most_said()
                .map(|(message, indicators)| Said { message: message.to_owned(), indicators }),
            elapsed_s: seconds(elapsed),
            rate: Rate {
                target_rpm: frame.target_rpm,
                achieved_rpm: per_minute(stats.finished() - stats.carried, elapsed),
                max_60s_window: Some(stats.max_60s_window),
            },
            nodes: stats.nodes.iter().map(node).collect(),
            llm: Llm {
                requests: stats.usage.requests,
                retries: stats.usage.retries.total(),
                retries_by_class: stats.usage.retries.by_class().collect(),
                input_tokens: stats.usage.input_tokens,
                cached_tokens: stats.usage.cached_tokens,
                output_tokens: stats.usage.output_tokens,
                cost_usd: stats.usage.cost_usd,
                unsettled_usd: stats.usage.unsettled_usd,
                spared: stats.spared,
                cut: stats.remarks.cut,
                cut_columns: stats.remarks.cut_columns.clone(),
            },
            output: frame.output,
            failures: frame.failures,
            interrupted: frame.interrupted,
            resumed: Resumed {
                sessions: frame.sessions,
                recovered: stats.recovered,
                forgotten: stats.forgotten,
            },
        }
    }

    /// The same of a run that the cluster went on with by itself: when this process fetched what from which node says nothing of
    /// how the run went, which took `elapsed` for `finished` indicators.
    #[must_use]
    pub fn of_detached(mut self, finished: u64, elapsed: Duration) -> Self {
        self.elapsed_s = seconds(elapsed);
        self.rate.achieved_rpm = per_minute(finished, elapsed);
        self.rate.max_60s_window = None;
        for node in &mut self.nodes {
            (node.mean_ms, node.p95_ms) = (None, None);
        }
        self
    }

    /// The exit status this run deserves.
    pub fn status(&self) -> ExitStatus {
        match (self.interrupted, self.totals.pending, self.totals.failed) {
            (true, _, _) => ExitStatus::Interrupted,
            (false, 0, 0) => ExitStatus::Success,
            (false, 0, _) => ExitStatus::SomeFailed,
            (false, _, _) => ExitStatus::Unexpected,
        }
    }
}

/// To the millisecond.
fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e3).round() / 1e3
}

/// `number` over `elapsed`, per minute, to one decimal place.
pub fn per_minute(number: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number to show")]
    let rate = number as f64 / elapsed.as_secs_f64().max(1e-3) * 60.0;
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::event::{Reception, Recorded, RunEvent};
    use crate::domain::outcome::Usage;
    use crate::domain::stats::NodeStats;
    use crate::json_schema;

    /// A report on 10 rows, of which `failed` failed and `pending` are pending.
    pub(crate) fn report(failed: u64, pending: u64, interrupted: bool) -> RunReport {
        let nodes =
            ["restate-1", "restate-2"].map(|name| NodeStats::new(name.into(), format!("http://{name}:8080")));
        let mut stats = RunStats::new(10, nodes.into());
        stats.apply(&RunEvent::Submitted {
            node: 0,
            reception: Reception::New,
            indicators: 10 - pending,
            at: Duration::ZERO,
        });
        stats.apply(&RunEvent::Recorded(Recorded {
            node: 0,
            succeeded: 10 - failed - pending,
            reused: 0,
            failed: if failed > 0 {
                BTreeMap::from([(FailureClass::Schema, failed)])
            } else {
                BTreeMap::new()
            },
            usage: Usage::default(),
            spared: 0,
            hopeless: None,
            remarks: Box::default(),
            took: Duration::from_millis(210),
        }));
        let frame = Frame {
            run_id: "01R".into(),
            input: Input { files: 1, rows: 12, invalid: 0, duplicates: 2 },
            target_rpm: Some(900.0),
            output: Some("x.classified.jsonl".into()),
            failures: (failed > 0).then(|| "x.failures.jsonl".into()),
            interrupted,
            sessions: 1,
        };
        RunReport::new(frame, &stats, Duration::from_secs(2))
    }

    #[test]
    fn the_exit_status_follows_from_the_totals() {
        assert_eq!(report(0, 0, false).status(), ExitStatus::Success);
        assert_eq!(report(1, 0, false).status(), ExitStatus::SomeFailed);
        assert_eq!(report(1, 3, true).status(), ExitStatus::Interrupted);
        assert_eq!(report(0, 3, false).status(), ExitStatus::Unexpected);
    }

    #[test]
    fn rows_reconcile() {
        let report = report(2, 3, true);
        let totals = &report.totals;
        assert_eq!(totals.indicators, totals.succeeded + totals.failed + totals.pending);
        assert_eq!(report.input.rows, report.input.duplicates + totals.indicators);
    }

    fn problems(report: &serde_json::Value) -> Vec<String> {
        let schema = serde_json::from_str(include_str!("../../schema/report.schema.json")).unwrap();
        json_schema::problems(&schema, report)
    }

    #[test]
    fn every_report_fits_the_published_schema() {
        let mut stdout = report(0, 0, false);
        (stdout.output, stdout.rate.target_rpm, stdout.llm.cost_usd) = (None, None, Some(0.25));
        stdout.most_said = Some(Said { message: "400".into(), indicators: 2 });
        (stdout.llm.cut, stdout.llm.cut_columns) = (3, BTreeMap::from([("body".to_owned(), 3)]));
        let detached = report(2, 0, false).of_detached(10, Duration::from_mins(1));
        assert_eq!((detached.elapsed_s, detached.rate.achieved_rpm), (60.0, 10.0));
        for report in [report(0, 0, false), report(2, 3, true), stdout, detached] {
            assert_eq!(problems(&serde_json::to_value(&report).unwrap()), Vec::<String>::new());
        }
    }

    #[test]
    fn the_schema_refuses_what_is_no_report() {
        let good = serde_json::to_value(report(2, 0, false)).unwrap();
        let broken = |pointer: &str, key: &str, value: Option<serde_json::Value>| {
            let mut report = good.clone();
            let object = report.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            match value {
                Some(value) => object.insert(key.to_owned(), value),
                None => object.remove(key),
            };
            problems(&report).len()
        };
        // A key too many, one too few, a wrong type, a wrong class; at the top and inside.
        assert_eq!(broken("", "surprise", Some(1.into())), 1);
        assert_eq!(broken("/nodes/0", "surprise", Some(1.into())), 1);
        for key in good.as_object().unwrap().keys() {
            assert_eq!(broken("", key, None), 1, "{key}");
        }
        for part in ["/input", "/totals", "/rate", "/nodes/1", "/llm", "/resumed"] {
            for key in good.pointer(part).unwrap().as_object().unwrap().keys() {
                assert_eq!(broken(part, key, None), 1, "{part}/{key}");
            }
        }
        assert_eq!(broken("/totals", "failed", Some((-1).into())), 1);
        assert_eq!(broken("", "elapsed_s", Some("2".into())), 1);
        assert_eq!(broken("", "run_id", Some(serde_json::Value::Null)), 1);
        assert_eq!(broken("/failed_by_class", "bad_luck", Some(1.into())), 1);
    }

    #[test]
    fn the_schema_knows_every_class_of_failure() {
        use FailureClass::{Cancelled, InvalidInput, Provider, RateLimited, Refused, Schema, Timeout};
        let mut all = report(0, 0, false);
        let classes = [RateLimited, Timeout, Provider, Schema, Refused, InvalidInput, Cancelled];
        all.failed_by_class = classes.map(|class| (class, 1)).into();
        assert_eq!(problems(&serde_json::to_value(&all).unwrap()), Vec::<String>::new());
    }
}
