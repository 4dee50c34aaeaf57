//! How many failures a run may have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Finished rows from which a share of failures means something.
const ENOUGH: u64 = 50;

/// Most failures a run may have, as it is typed: `20` or `5%`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MaxFailures {
    /// So many rows.
    Count(u64),
    /// Percent of the finished rows, as typed: a hundredth of it would be another number. Judged from 50 finished rows on.
    Percent(f64),
}

impl MaxFailures {
    /// What is wrong with `failed` of `finished` rows, if anything is.
    pub fn excess(self, failed: u64, finished: u64) -> Option<String> {
        let said = match self {
            Self::Count(most) => (failed > most).then(|| format!("more than {most}")),
            Self::Percent(percent) => {
                let over = finished >= ENOUGH && number(failed) * 100.0 > percent * number(finished);
                over.then(|| format!("more than {percent}% of {finished}"))
            }
        }?;
        Some(format!("{failed} indicators have failed, {said} (`--max-failures`)"))
    }
}

impl FromStr for MaxFailures {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a number of rows, or a share like `5%`".to_owned();
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
                (0.0..=100.0).contains(&percent).then_some(Self::Percent(percent)).ok_or_else(wrong)
            }
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for MaxFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(rows) => rows.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl TryFrom<String> for MaxFailures {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MaxFailures> for String {
    fn from(most: MaxFailures) -> Self {
        most.to_string()
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows of a table")]
fn number(rows: u64) -> f64 {
    rows as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["20", "5%", "0", "12.5%"] {
            assert_eq!(text.parse::<MaxFailures>().unwrap().to_string(), text);
        }
        for percent in 0..=100 {
            let text = format!("{percent}%");
            let most: MaxFailures = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&most).unwrap(), format!("\"{text}\""));
            assert_eq!(most.excess(percent, 100), None, "exactly so many");
            assert!(most.excess(percent + 1, 100).is_some());
        }
    }
}
