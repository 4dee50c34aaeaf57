//! Ids of invocations, as people type them and nodes tell them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest id we take for one; Restate's have 38 characters.
const LONGEST_ID: usize = 64;

/// Restate's id of an invocation, `inv_…`: letters and digits only, safe in SQL and in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct InvocationId(String);

/// Text that is no invocation's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no id of an invocation (`inv_…`, as `classify queue list` shows them)")]
pub struct BadId;

impl FromStr for InvocationId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let rest = text.strip_prefix("inv_").ok_or(BadId)?;
        let fits = !rest.is_empty() && text.len() <= LONGEST_ID;
        if fits && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId)
        }
    }
}

impl TryFrom<String> for InvocationId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_an_id_is_an_id() {
        assert!("inv_1jJ8FQhCTfgm7cPQMjFIj1DDOysOJ4Po8r".parse::<InvocationId>().is_ok());
        let long = format!("inv_{}", "a".repeat(LONGEST_ID));
        for text in
            ["", "inv_", "inv_1'--", "inv_1/../x", "INV_1", "dp_1", "inv_é", " inv_1", "latest", &long]
        {
            assert_eq!(text.parse::<InvocationId>(), Err(BadId), "{text}");
        }
    }
}
