//! JSON Schema for tests: whether a schema is one, and whether a value fits it.

#![allow(dead_code, reason = "each target uses its own part; `expect` would fail in one that uses all of it")]

use boon::{Compiler, Schemas, ValidationError};
use serde_json::Value;

/// What does not fit, one line for each place. A schema that is none is a panic.
pub(crate) fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.add_resource("schema.json", schema.clone()).expect("a resource");
    let index = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
    match schemas.validate(value, index) {
        Ok(()) => Vec::new(),
        Err(error) => leaves(&error),
    }
}

/// Panics where `schema` is none.
pub(crate) fn expect_schema(schema: &Value) {
    let _not_asked = problems(schema, &Value::Null);
}

fn leaves(error: &ValidationError<'_, '_>) -> Vec<String> {
    if error.causes.is_empty() {
        return vec![format!("{}: {}", error.instance_location, error.kind)];
    }
    error.causes.iter().flat_map(leaves).collect()
}
