//! How a batch ended, and what of it goes into the files. Does no IO: couriers bring ends, the recorder has their rows written.

use bytes::Bytes;

use super::feed::Prepared;
use crate::domain::answer::{Answer, Answers};
use crate::domain::batch::BatchResponse;
use crate::domain::outcome::{Failed, FailureClass, Usage};
use crate::domain::payload;
use crate::domain::tally::Tally;
use crate::output::Entries;

/// How a batch ended.
#[derive(Debug)]
pub(super) enum End {
    /// With an output.
    Output(Bytes),
    /// Without one: all its rows share the failure.
    Failed(Failed),
}

impl End {
    /// The failure of a whole batch.
    pub(super) fn failed(batch: &Prepared, class: FailureClass, message: &str) -> Self {
        Self::Failed(Failed::new(class, message, 1, batch.key.to_string()))
    }

    /// Whether rows of it were cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        match self {
            Self::Failed(failed) => failed.class == FailureClass::Cancelled,
            Self::Output(body) => {
                let cancelled = |answer: &Answer<'_>| matches!(answer, Answer::Failed(failed) if failed.class == FailureClass::Cancelled);
                let json = payload::text(body).ok();
                let answers = json.as_deref().and_then(|json| serde_json::from_str::<Answers<'_>>(json).ok());
                answers.is_some_and(|answers| answers.outcomes.iter().any(cancelled))
            }
        }
    }

    /// What was bought for it.
    pub(super) fn spent(&self, batch: &Prepared) -> Usage {
        let Self::Output(body) = self else { return Usage::default() };
        let outcomes = payload::decode::<BatchResponse>(body).map(|response| response.outcomes);
        Tally::of(&outcomes.unwrap_or_default(), &batch.key.to_string()).usage
    }

    /// Makes `entries` those of `batch`, which `node` delivered, and counts them. An output that does not fit the batch fails all
    /// of it, and says so.
    pub(super) fn fill(self, entries: &mut Entries, batch: &Prepared, node: &str) -> Tally {
        let failed = match self {
            Self::Failed(failed) => failed,
            Self::Output(body) => match read(&body, entries, batch, node) {
                Ok(tally) => return tally,
                Err(message) => Failed::new(FailureClass::Provider, message, 1, batch.key.to_string()),
            },
        };
        let answers = vec![Answer::Failed(failed); batch.rows.len()];
        entries
            .fill(&batch.key, node, &batch.rows, &answers, &batch.body)
            .unwrap_or_else(|error| unreachable!("a request that was written can be read: {error}"))
    }
}

fn read(body: &[u8], entries: &mut Entries, batch: &Prepared, node: &str) -> Result<Tally, String> {
    let unreadable = |error| format!("the service's answer cannot be read: {error}");
    let json = payload::text(body).map_err(unreadable)?;
    let Answers { outcomes } = serde_json::from_str(&json).map_err(unreadable)?;
    let (answers, rows) = (outcomes.len(), batch.rows.len());
    if answers != rows {
        return Err(format!("the service gave {answers} answers to {rows} rows"));
    }
    entries.fill(&batch.key, node, &batch.rows, &outcomes, &batch.body).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use indexmap::IndexMap;
    use serde_json::Value;

    use super::*;
    use crate::domain::batch::{BatchKey, BatchRequest, RunOptions};
    use crate::domain::indicator::Indicator;
    use crate::domain::method::Method;
    use crate::domain::outcome::Outcome;
    use crate::output::{Format, Layout};

    #[test]
    fn a_batch_of_which_a_row_was_cancelled_is_one_to_ask_about_again() {
        let output = |outcomes: Vec<Outcome>| {
            End::Output(payload::encode(&BatchResponse { outcomes }).unwrap().into())
        };
        let failed = |class| Outcome::Failed(Failed::new(class, "no", 1, "R.0"));
        assert!(output(vec![failed(FailureClass::Schema), failed(FailureClass::Cancelled)]).is_cancelled());
        assert!(!output(vec![failed(FailureClass::Schema)]).is_cancelled());
        assert!(End::Failed(Failed::cancelled("R.0")).is_cancelled());
        assert!(!End::Output(Bytes::from_static(b"nonsense")).is_cancelled());
    }

    #[test]
    fn an_answer_of_the_wrong_shape_fails_every_row_of_the_batch_and_no_more() {
        let options = RunOptions {
            method: Method::rules(),
            taxonomy: "d".into(),
            reads: None,
            nonce: None,
            detached: false,
        };
        // More deeply nested than could be read value by value.
        let tower = (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        let extra = IndexMap::from_iter([("note".to_owned(), tower.into())]);
        let indicators = vec![Indicator { id: "A".into(), extra, ..Indicator::default() }; 3];
        let batch = Prepared {
            key: BatchKey { run_id: "R".into(), index: 0 },
            rows: indicators.iter().collect(),
            bytes: 0,
            body: payload::encode(&BatchRequest { options, indicators }).unwrap().into(),
        };
        let mut entries = Entries::new(Layout { format: Format::Jsonl, fields: Vec::new() });
        for body in ["{\"outcomes\":[]}", "nonsense"] {
            let end = End::Output(Bytes::from_static(body.as_bytes()));
            let Tally { succeeded, failed, .. } = end.fill(&mut entries, &batch, "restate-1");
            assert_eq!((succeeded, failed), (0, BTreeMap::from([(FailureClass::Provider, 3)])), "{body}");
        }
    }
}
