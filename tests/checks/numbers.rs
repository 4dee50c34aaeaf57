//! Numbers in columns of the user's own reach a model digit for digit, as `--plan` shows what it would read. Needs no cluster.

use proptest::prelude::*;
use serde_json::Value;

use crate::support::{Folder, NO_NODE};

/// Columns of one row. A model gets to read all of them, whatever the numbers: each takes 20 tokens at most.
const COLUMNS: std::ops::Range<usize> = 1..7;

/// A label set that names them.
const NAMES_THEM: &str = "name = 'numbers'\nversion = 1\nextra_columns = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5']
[[fields]]\nname = 'large'\nkind = 'boolean'\ndescription = 'Whether it is.'\nfallback = { value = true, weight = 0 }";

/// A number as somebody may write it in JSON.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        // Any double, in the fewest digits that tell it from the others and in all of its digits.
        double().prop_map(|double| format!("{double:?}")),
        double().prop_map(|double| format!("{double:.16e}")),
        any::<i128>().prop_map(|whole| whole.to_string()),
        // Beyond what any type holds, with noughts that say nothing, with powers that no double reaches.
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,16})?([eE][+-]?[0-9]{1,3})?",
    ]
}

fn double() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits).prop_filter("JSON has no other", |double| double.is_finite())
}

/// What the model would read of a row with these columns, by name.
fn read(format: &str, numbers: &[String]) -> Vec<Value> {
    let columns: Vec<String> =
        numbers.iter().enumerate().map(|(place, number)| format!(r#""c{place}":{number}"#)).collect();
    let row = format!(r#"{{"id":"a","name":"A number",{}}}"#, columns.join(","));
    let (name, content) =
        if format == "json" { ("a.json", format!("[\n {row} ]")) } else { ("a.jsonl", row) };
    let plan = ["--plan", "--json", "--provider", "openai", "--model", "some", "--taxonomy", "n.toml", name];
    let ran = Folder::new()
        .file("n.toml", NAMES_THEM)
        .file(name, content)
        .classify(&[&plan, &NO_NODE[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    let user = plan["sample"]["user"].as_str().unwrap();
    let data: Value = serde_json::from_str(user.lines().nth(1).unwrap()).unwrap();
    (0..numbers.len()).map(|place| data[format!("c{place}")].clone()).collect()
}

#[test]
fn known_numbers_keep_their_digits() {
    let numbers = ["51.248178375505404", "12345678901234567890123", "1.50", "1E400"].map(str::to_owned);
    for format in ["json", "jsonl"] {
        assert_eq!(read(format, &numbers), numbers, "{format}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn numbers_keep_their_digits(numbers in proptest::collection::vec(number(), COLUMNS), array: bool) {
        let format = if array { "json" } else { "jsonl" };
        prop_assert_eq!(read(format, &numbers), numbers);
    }
}
