//! What a finished batch looks like in the files of a run, and what it counts as. Pure: the sink appends it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::row::{self, Layout, Provenance};
use crate::domain::answer::Answer;
use crate::domain::batch::BatchKey;
use crate::domain::heading::Headings;
use crate::domain::payload;
use crate::domain::tally::{Tally, is_own};

/// Bytes of lines whose room is kept for the next batch; by default a batch has a fraction of it.
const KEPT: usize = 1024 * 1024;

/// The rows of a [`BatchRequest`](crate::domain::batch::BatchRequest) as the JSON they were sent as.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    indicators: Vec<&'a RawValue>,
}

/// A batch as it goes into the files: of one batch after the other, in the same memory.
#[derive(Debug)]
pub struct Entries {
    layout: Layout,
    pub(super) results: Vec<u8>,
    pub(super) failures: Vec<u8>,
}

impl Entries {
    /// No entries yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout, results: Vec::new(), failures: Vec::new() }
    }

    /// Becomes those of the batch `key` that `node` delivered: one answer to each of `rows`. `request` is the body it was asked
    /// with: a row without labels is written down as it stands there. Returns what they count as.
    ///
    /// # Errors
    /// When the labels of a row cannot be taken apart for a CSV.
    pub fn fill(
        &mut self,
        key: &BatchKey,
        node: &str,
        rows: &Headings,
        answers: &[Answer<'_>],
        request: &[u8],
    ) -> serde_json::Result<Tally> {
        let Self { layout, results, failures } = self;
        for lines in [&mut *results, failures] {
            lines.clear();
            // What once held a giant must not keep its size for the rest of the run.
            lines.shrink_to(KEPT);
        }
        let from = Provenance { batch: key.index, node };
        let key = key.to_string();
        let (mut tally, mut failed) = (Tally::default(), Vec::new());
        for (place, (row, answer)) in rows.iter().zip(answers).enumerate() {
            match answer {
                Answer::Classified(classified) => {
                    row::result(results, layout, from, row, classified)?;
                    let own = is_own(classified.origin.as_str(), &key);
                    tally.add_labels(own, classified.usage.as_ref(), classified.spared, &classified.cut);
                }
                Answer::Failed(failure) => {
                    tally.add_failure(failure, &key);
                    failed.push((place, failure));
                }
            }
        }
        if !failed.is_empty() {
            let json = payload::text(request)?;
            let Asked { indicators } = serde_json::from_str(&json)?;
            for (place, failure) in failed {
                row::failure(failures, indicators[place], failure, None)?;
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use crate::domain::answer::Answers;
    use crate::domain::batch::{BatchRequest, RunOptions};
    use crate::domain::indicator::Indicator;
    use crate::domain::method::Method;
    use crate::domain::outcome::FailureClass;

    #[test]
    fn a_row_without_labels_is_written_down_in_full() {
        let options = RunOptions {
            method: Method::rules(),
            taxonomy: "d".into(),
            reads: None,
            nonce: None,
            detached: false,
        };
        let row = |id: &str| Indicator { id: id.into(), units: Some("%".into()), ..Indicator::default() };
        let indicators = vec![row("A"), row("B"), row("C")];
        let rows: Headings = indicators.iter().collect();
        let request = payload::encode(&BatchRequest { options, indicators }).unwrap();
        let labelled = r#"{"classified":{"labels":{},"confidence":1,"provider":"rules","taxonomy":"t@1","classified_at":"","origin":"Q.1"}}"#;
        let failed = r#"{"failed":{"class":"schema","message":"no","attempts":3,"origin":"R.7"}}"#;
        let json = format!(r#"{{"outcomes":[{labelled},{failed},{labelled}]}}"#);
        let Answers { outcomes } = serde_json::from_str(&json).unwrap();
        let key = BatchKey { run_id: "R".into(), index: 7 };
        let mut entries = Entries::new(Layout { format: Format::Jsonl, fields: Vec::new() });

        // The second time nothing of the first is left.
        entries.fill(&key, "restate-1", &rows, &outcomes, &request).unwrap();
        let tally = entries.fill(&key, "restate-1", &rows, &outcomes, &request).unwrap();

        let lines = |text: &[u8]| -> Vec<serde_json::Value> {
            serde_json::Deserializer::from_slice(text).into_iter().collect::<Result<_, _>>().unwrap()
        };
        let ids: Vec<_> = lines(&entries.results).iter().map(|line| line["id"].clone()).collect();
        assert_eq!(ids, ["A", "C"]);
        let failures = lines(&entries.failures);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0]["input"], serde_json::json!({"id": "B", "name": "", "units": "%"}));
        assert_eq!((tally.succeeded, tally.reused, tally.failed[&FailureClass::Schema]), (2, 2, 1));
    }
}
