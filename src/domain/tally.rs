//! What one batch, or many together, came to: counts by outcome, and what they cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::money::Done;
use super::outcome::{Classification, Failed, FailureClass, Hopeless, Outcome, Usage};
use super::remarks::Remarks;

/// Counts of outcomes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Indicators with labels.
    pub succeeded: u64,
    /// Of these, answered by an earlier call.
    #[serde(default)]
    pub reused: u64,
    /// Indicators without labels, by class.
    #[serde(default)]
    pub failed: BTreeMap<FailureClass, u64>,
    /// What was bought; answers that were reused cost nothing.
    #[serde(default)]
    pub usage: Usage,
    /// Indicators for which no model had to be asked.
    #[serde(default)]
    pub spared: u64,
    /// Why every other indicator would fail, too, if one failed in such a way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hopeless: Option<Hopeless>,
    /// Columns that were cut, and what failures said.
    #[serde(default, skip_serializing_if = "Remarks::is_empty")]
    pub remarks: Remarks,
}

/// Whether an answer was first made for the batch `key`, under whichever of its keys: those of what was taken back and asked again begin with it.
pub fn is_own(origin: &str, key: &str) -> bool {
    origin.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Tally {
    /// Counts the outcomes of the batch `key`.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, key: &str) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Classified(classification) => {
                    let Classification { origin, usage, spared, cut, .. } = &**classification;
                    tally.add_labels(is_own(origin, key), usage.as_ref(), *spared, cut);
                }
                Outcome::Failed(failed) => tally.add_failure(failed, key),
            }
        }
        tally
    }

    /// Counts one with labels, of which the model read `cut` columns in part only; whether the labels are its batch's `own`
    /// tells them from a reused answer.
    pub fn add_labels(&mut self, own: bool, usage: Option<&Usage>, spared: bool, cut: &[String]) {
        self.succeeded += 1;
        if !own {
            self.reused += 1;
        } else if let Some(usage) = usage {
            self.usage.add(usage);
        }
        self.spared += u64::from(spared);
        self.remarks.cut(cut.iter().map(String::as_str));
    }

    /// Counts one without, in the batch `key`.
    pub fn add_failure(&mut self, failed: &Failed, key: &str) {
        *self.failed.entry(failed.class).or_default() += 1;
        if is_own(&failed.origin, key)
            && let Some(usage) = &failed.usage
        {
            self.usage.add(usage);
        }
        if failed.hopeless && self.hopeless.is_none() {
            self.hopeless = Some(Hopeless { message: failed.message.clone(), obstacle: failed.obstacle });
        }
        self.remarks.say(&failed.message, 1);
    }

    /// Adds another batch's counts.
    pub fn add(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.reused += other.reused;
        for (class, number) in other.failed {
            *self.failed.entry(class).or_default() += number;
        }
        self.usage.add(&other.usage);
        self.spared += other.spared;
        self.hopeless = self.hopeless.take().or(other.hopeless);
        self.remarks.add(&other.remarks);
    }

    /// As the account of a run counts it.
    pub fn done(&self) -> Done<'_> {
        let cancelled = self.failed.get(&FailureClass::Cancelled).copied().unwrap_or_default();
        Done { rows: self.rows(), free: self.reused + self.spared, cancelled, usage: &self.usage }
    }

    /// Indicators without labels.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Indicators with and without labels.
    pub fn rows(&self) -> u64 {
        self.succeeded + self.failures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::labels::Labels;

    fn classified(origin: &str, requests: u64) -> Outcome {
        Outcome::Classified(Box::new(Classification {
            labels: Labels::new(&serde_json::Map::default()),
            confidence: 1.0,
            reasoning: None,
            provider: "openai".into(),
            model: None,
            taxonomy: "economic@1".into(),
            usage: Some(Usage { requests, ..Usage::default() }),
            spared: false,
            notes: Vec::new(),
            cut: vec!["body".into()],
            classified_at: String::new(),
            origin: origin.into(),
        }))
    }

    #[test]
    fn a_reused_answer_costs_nothing_and_a_failure_costs_what_it_took() {
        let failed = Failed {
            usage: Some(Usage { requests: 3, ..Usage::default() }),
            hopeless: true,
            ..Failed::new(FailureClass::Schema, "no", 3, "R.1")
        };
        let outcomes = [classified("R.1", 1), classified("Q.7", 1), Outcome::Failed(failed)];
        let mut tally = Tally::of(&outcomes, "R.1");
        assert_eq!((tally.succeeded, tally.reused, tally.failures(), tally.rows()), (2, 1, 1, 3));
        assert_eq!((tally.usage.requests, &tally.hopeless), (4, &Some("no".into())));
        assert_eq!((tally.remarks.cut, tally.remarks.most_said()), (2, Some(("no", 1))));
        tally.add(Tally::of(&outcomes[..1], "R.1"));
        assert_eq!((tally.rows(), tally.usage.requests), (4, 5));
    }

    #[test]
    fn an_answer_is_a_batchs_own_under_each_of_its_keys() {
        for (origin, key, own) in [
            ("R.3", "R.3", true),
            ("R.3.1", "R.3", true),
            ("R.31", "R.3", false),
            ("R.3", "R.3.1", false),
            ("", "R.3", false),
        ] {
            assert_eq!(is_own(origin, key), own, "{origin} of {key}");
        }
    }
}
