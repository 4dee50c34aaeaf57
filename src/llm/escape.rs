//! Data of rows, escaped for a prompt.

use serde_json::Value;

/// JSON in which no `<` occurs, so nothing in it can end the data or begin anything else. JSON itself allows the
/// escape in strings, the only place where it can occur.
pub(super) fn escaped(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}
