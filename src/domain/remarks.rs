//! What is said of indicators beyond their counts: which columns were cut, and what failures said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Different messages that are counted. A table of a million rows must not fill the memory with a million complaints.
const MOST_MESSAGES: usize = 32;

/// Columns that were cut and messages of failures, each with its number of indicators.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remarks {
    /// Indicators of which the model read a part only, whatever the number of columns.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut: u64,
    /// By column.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cut_columns: BTreeMap<String, u64>,
    /// By what the failure said. Where there are many, those seen least are given up for new ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub said: BTreeMap<String, u64>,
}

impl Remarks {
    /// Counts an indicator whose `columns` were cut.
    pub fn cut<'a>(&mut self, columns: impl IntoIterator<Item = &'a str>) {
        let mut any = false;
        for column in columns {
            any = true;
            *self.cut_columns.entry(column.to_owned()).or_default() += 1;
        }
        self.cut += u64::from(any);
    }

    /// Counts what a failure said, `times` times.
    pub fn say(&mut self, message: &str, times: u64) {
        if let Some(count) = self.said.get_mut(message) {
            *count += times;
            return;
        }
        if self.said.len() >= MOST_MESSAGES
            && let Some(rarest) =
                self.said.iter().min_by_key(|(_, count)| **count).map(|(said, _)| said.clone())
        {
            self.said.remove(&rarest);
        }
        self.said.insert(message.to_owned(), times);
    }

    /// Adds what was said of others.
    pub fn add(&mut self, other: &Self) {
        self.cut += other.cut;
        for (column, count) in &other.cut_columns {
            *self.cut_columns.entry(column.clone()).or_default() += count;
        }
        for (message, count) in &other.said {
            self.say(message, *count);
        }
    }

    /// What was said most often, and how often.
    pub fn most_said(&self) -> Option<(&str, u64)> {
        // Of equals the first by the alphabet, so that a report is the same each time.
        let most = self.said.iter().rev().max_by_key(|(_, count)| **count)?;
        Some((most.0, *most.1))
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_once_and_each_of_its_columns() {
        let mut remarks = Remarks::default();
        remarks.cut(["body", "definition"]);
        remarks.cut(["body"]);
        remarks.cut([]);
        assert_eq!((remarks.cut, remarks.cut_columns["body"], remarks.cut_columns["definition"]), (2, 2, 1));
    }

    #[test]
    fn the_most_frequent_message_outlasts_any_number_of_others() {
        let mut remarks = Remarks::default();
        for number in 0..1_000 {
            remarks.say(&format!("only once: {number}"), 1);
            remarks.say("400 Bad Request", 1);
        }
        assert!(remarks.said.len() <= MOST_MESSAGES);
        let mut sum = Remarks::default();
        sum.add(&remarks);
        sum.add(&remarks);
        assert_eq!(sum.most_said(), Some(("400 Bad Request", 2_000)));
        assert_eq!(Remarks::default().most_said(), None);
    }
}
