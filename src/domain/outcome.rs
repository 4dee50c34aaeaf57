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
    /// Every other indicator of the run would fail in the same way: the provider refuses the key or the account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hopeless: bool,
    /// Key of the batch it was tried for; empty where the failure cannot say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
}

impl Failed {
    /// Nobody was asked: the service is not the one that the run needs.
    pub fn is_unasked(&self) -> bool {
        self.class == FailureClass::Provider && self.attempts == 0
    }

    /// A failure that cost nothing and says nothing about other indicators.
    pub fn new(
        class: FailureClass,
        message: impl Into<String>,
        attempts: u32,
        origin: impl Into<String>,
    ) -> Self {
        let (message, origin) = (message.into(), origin.into());
        Self { class, message, attempts, usage: None, hopeless: false, origin }
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
    fn a_class_is_written_by_its_name() {
        for class in FailureClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
    }
}
