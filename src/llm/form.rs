//! How the form of an answer is asked for. OpenAI and Anthropic take one subset of JSON schema. Of the servers that speak
//! OpenAI's format some decode under any schema, some under that subset, and some have a JSON mode only.

use std::fmt;
use std::str::FromStr;

/// How the form of an answer is asked for, the most exact way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A schema with bounds, patterns and lengths: decoding keeps to them.
    Bounded,
    /// A schema of what OpenAI's strict mode and Anthropic's structured outputs accept.
    Strict,
    /// JSON, whatever its form; the schema stands in the prompt.
    Json,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bounded, Self::Strict, Self::Json];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bounded => "bounded",
            Self::Strict => "strict",
            Self::Json => "json",
        }
    }

    /// The next simpler one.
    pub(super) fn simpler(self) -> Option<Self> {
        match self {
            Self::Bounded => Some(Self::Strict),
            Self::Strict => Some(Self::Json),
            Self::Json => None,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|form| form.name() == name);
        found.ok_or_else(|| format!("`{name}` is no form of answers (bounded, strict, json)"))
    }
}
