//! The taxonomy file as it is written: one struct per table, nothing else.
//!
//! Owns the names of the keys and what may be left out. Does not judge the content (that is `validate`). The
//! structs serialise back because the digest of a taxonomy is taken from them: comments and layout do not
//! change it, everything a classification depends on does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) version: u32,
    #[serde(default)]
    pub(super) instructions: String,
    /// Columns of the input beyond the ones the product knows; declared so that a misspelt column is an error.
    #[serde(default)]
    pub(super) extra_columns: Vec<String>,
    /// Several columns read as one text.
    #[serde(default)]
    pub(super) texts: BTreeMap<String, Vec<String>>,
    pub(super) fields: Vec<Spanned<FieldSpec>>,
    /// Labels rules may set and ask for, and no answer shows.
    #[serde(default)]
    pub(super) facts: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) lookups: BTreeMap<String, Spanned<LookupSpec>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<RuleSpec>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldSpec {
    pub(super) name: String,
    pub(super) kind: KindSpec,
    pub(super) description: String,
    #[serde(default)]
    pub(super) values: Vec<ChoiceSpec>,
    #[serde(default)]
    pub(super) pattern: Option<String>,
    #[serde(default)]
    pub(super) min: Option<f64>,
    #[serde(default)]
    pub(super) max: Option<f64>,
    pub(super) fallback: FallbackSpec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindSpec {
    Enum,
    Boolean,
    Number,
    String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChoiceSpec {
    pub(super) value: String,
    pub(super) description: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FallbackSpec {
    pub(super) value: Value,
    pub(super) weight: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupSpec {
    /// Asked in this order; the first that has an entry wins.
    pub(super) columns: Vec<LookupColumn>,
    /// Taken out of the text first: phrases that contain an entry and do not mean it.
    #[serde(default)]
    pub(super) ignore: Option<String>,
    /// Whole words in upper case; each is its own value.
    #[serde(default)]
    pub(super) codes: Vec<String>,
    /// Codes that are common words too: they count only where every other word of the column is a companion.
    #[serde(default)]
    pub(super) guarded: Vec<String>,
    #[serde(default)]
    pub(super) companions: Vec<String>,
    /// Whole words or symbols in any case, and what they stand for.
    #[serde(default)]
    pub(super) words: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupColumn {
    pub(super) column: String,
    /// The column holds nothing but codes, so `usd` is one.
    #[serde(default)]
    pub(super) any_case: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleSpec {
    pub(super) name: String,
    /// Text to pattern; all must match.
    #[serde(default, rename = "match")]
    pub(super) matches: BTreeMap<String, String>,
    /// Text to pattern; none may match.
    #[serde(default)]
    pub(super) unless: BTreeMap<String, String>,
    /// Label to values; each must have been decided for one of them. `*` stands for any.
    #[serde(default)]
    pub(super) when: BTreeMap<String, Vec<Value>>,
    /// Label to value.
    #[serde(default)]
    pub(super) set: BTreeMap<String, Value>,
    /// Label to lookup.
    #[serde(default)]
    pub(super) find: BTreeMap<String, String>,
    pub(super) weight: f64,
}
