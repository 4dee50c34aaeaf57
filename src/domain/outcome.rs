//! What became of one indicator: labels, or a failure with its class.

use serde::{Deserialize, Serialize};

use super::labels::Labels;

/// The end of one indicator. There is no third state: what is neither is pending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has labels.
    Classified(Box<Classification>),
    /// It has none, and this is why.
    Failed(Failed),
}

/// Labels of one indicator, and where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// One value per field of the taxonomy.
    pub labels: Labels,
    /// How sure the provider is, from 0 to 1.
    pub confidence: f64,
    /// Why, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Which provider answered.
    pub provider: String,
    /// Which model answered, where the provider has models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Taxonomy in the form `name@version`.
    pub taxonomy: String,
    /// What the answer consumed; absent where nothing was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The rules were sure enough that no model had to be asked (`hybrid`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spared: bool,
    /// What was not as it should be and cost no label, in words for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Columns of which the model read a part only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<String>,
    /// When its batch reached the classifier, RFC 3339 in UTC.
    pub classified_at: String,
    /// Key of the batch this was first classified for. Another batch that receives it has reused the answer.
    pub origin: String,
}

/// Requests and tokens of one classification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Requests made, retries included.
    pub requests: u64,
    /// Tokens sent, cached ones included.
    pub input_tokens: u64,
    /// Tokens sent that the provider had cached.
    pub cached_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Of the requests, those that repeated another.
    #[serde(default, skip_serializing_if = "Retries::is_none")]
    pub retries: Retries,
    /// Price in US dollars; absent where the model's price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The most that requests may have cost beyond that of which no answer came, or none that says; in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled_usd: Option<f64>,
}

/// Requests that repeated another, by what was wrong with the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retries {
    /// The provider said "too many".
    #[serde(skip_serializing_if = "is_zero")]
    pub rate_limited: u64,
    /// It took too long.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// It failed, or the connection did.
    #[serde(skip_serializing_if = "is_zero")]
    pub provider: u64,
    /// The answer was missing, cut off or not valid.
    #[serde(skip_serializing_if = "is_zero")]
    pub schema: u64,
    /// The model would not speak about several indicators at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
}

impl Retries {
    /// Counts one repetition because of `class`.
    pub fn count(&mut self, class: FailureClass) {
        *match class {
            FailureClass::RateLimited => &mut self.rate_limited,
            FailureClass::Timeout => &mut self.timeout,
            FailureClass::Schema => &mut self.schema,
            FailureClass::Refused => &mut self.refused,
            FailureClass::Provider | FailureClass::InvalidInput | FailureClass::Cancelled => {
                &mut self.provider
            }
        } += 1;
    }

    /// Each number combined with another's, or changed.
    #[must_use]
    pub fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            rate_limited: with(self.rate_limited, other.rate_limited),
            timeout: with(self.timeout, other.timeout),
            provider: with(self.provider, other.provider),
            schema: with(self.schema, other.schema),
            refused: with(self.refused, other.refused),
        }
    }

    /// Class and number, where there is one.
    pub fn by_class(&self) -> impl Iterator<Item = (FailureClass, u64)> {
        [
            (FailureClass::RateLimited, self.rate_limited),
            (FailureClass::Timeout, self.timeout),
            (FailureClass::Provider, self.provider),
            (FailureClass::Schema, self.schema),
            (FailureClass::Refused, self.refused),
        ]
        .into_iter()
        .filter(|(_, number)| *number > 0)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_class().fold(0, |sum, (_, number)| sum.saturating_add(number))
    }

    fn is_none(&self) -> bool {
        self.total() == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An indicator that could not be classified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// What kind of failure, for `retry` and for reports.
    pub class: FailureClass,
    /// What happened, for a person.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the attempts consumed; absent where nothing was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Every other indicator of the run would fail in the same way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hopeless: bool,
    /// With `hopeless`: what is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
    /// Key of the batch it was tried for; empty where the failure cannot say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
}

impl Failed {
    /// Nobody was asked: the service is not the one that the run needs.
    pub fn is_unasked(&self) -> bool {
        self.class == FailureClass::Provider && self.attempts == 0
    }

    /// Somebody cancelled the batch `origin`, or this one call of it, before a model was asked.
    pub fn cancelled(origin: impl Into<String>) -> Self {
        Self::new(FailureClass::Cancelled, "cancelled before a model was asked", 0, origin)
    }

    /// A failure that cost nothing and says nothing about other indicators.
    pub fn new(
        class: FailureClass,
        message: impl Into<String>,
        attempts: u32,
        origin: impl Into<String>,
    ) -> Self {
        let (message, origin) = (message.into(), origin.into());
        Self { class, message, attempts, usage: None, hopeless: false, obstacle: None, origin }
    }
}

/// What makes every call fail, and so what a person can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The provider refuses the key.
    Key,
    /// The account is empty, or has reached a limit on what it may spend.
    Money,
    /// The provider does not know the model, or nothing is at the URL.
    Model,
    /// The provider refuses what all requests have in common.
    Request,
}

impl Obstacle {
    /// The next step.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Key => "put the right key into the environment of `classify serve` and start it again",
            Self::Money => "pay, or raise the account's limit with the provider; the key is right",
            Self::Model => {
                "name a model that the provider has (`--model`), or give `classify serve` the right URL and start it again"
            }
            Self::Request => {
                "ask in a way the model takes: another `--reasoning-effort` or `--items-per-call`, another model, or for a \
                 compatible server `classify serve --answer-form json`"
            }
        }
    }
}

/// A failure that every other indicator would meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Told")]
pub struct Hopeless {
    /// What happened.
    pub message: String,
    /// What is in the way, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
}

/// Earlier versions told the message alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Message(String),
    Whole { message: String, obstacle: Option<Obstacle> },
}

impl From<Told> for Hopeless {
    fn from(told: Told) -> Self {
        match told {
            Told::Message(message) => Self { message, obstacle: None },
            Told::Whole { message, obstacle } => Self { message, obstacle },
        }
    }
}

impl From<&str> for Hopeless {
    fn from(message: &str) -> Self {
        Self { message: message.to_owned(), obstacle: None }
    }
}

impl std::fmt::Display for Hopeless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Kinds of failure a user may want to treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The provider's limit stayed shut for as long as we were willing to wait.
    RateLimited,
    /// No answer in time.
    Timeout,
    /// The provider, or the service in front of it, answered with an error.
    Provider,
    /// An answer came and does not fit the taxonomy.
    Schema,
    /// The model declined to answer.
    Refused,
    /// The row cannot be classified as it is.
    InvalidInput,
    /// Somebody cancelled or killed the work.
    Cancelled,
}

impl FailureClass {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::RateLimited,
        Self::Timeout,
        Self::Provider,
        Self::Schema,
        Self::Refused,
        Self::InvalidInput,
        Self::Cancelled,
    ];

    /// Its name, as in results and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Provider => "provider",
            Self::Schema => "schema",
            Self::Refused => "refused",
            Self::InvalidInput => "invalid_input",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_told_is_understood() {
        let whole = Hopeless { message: "no".into(), obstacle: Some(Obstacle::Money) };
        let json = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Hopeless>(&json).unwrap(), whole);
        assert_eq!(serde_json::from_str::<Hopeless>("\"no\"").unwrap(), Hopeless::from("no"));
    }

    #[test]
    fn a_class_is_written_by_its_name() {
        for class in FailureClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
    }
}
