//! Numbers in columns of the user's own: digit for digit to the model, into the results, the failures and a retry.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{text, with_model};
use crate::llm_stub::{Fault, Plan, Seen};
use crate::provider::Provider;
use crate::world::World;

const MODEL: &str = "stub-digits";
const ROWS: usize = 300;

/// Columns as they stand in a file.
type Columns = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
struct Classified {
    id: String,
    extra: Columns,
}

#[derive(Deserialize)]
struct Failed {
    input: Classified,
}

/// A number as somebody may write it.
fn literal() -> String {
    let sign = if fastrand::bool() { "-" } else { "" };
    let digits = |count: usize| -> String { (0..count).map(|_| fastrand::digit(10)).collect() };
    let first = char::from(fastrand::u8(b'1'..=b'9'));
    match fastrand::u8(0..6) {
        // Any double, in the fewest digits that tell it from the others, and in all of its digits.
        0 => format!("{:?}", double()),
        1 => format!("{:.16e}", double()),
        // Whole numbers, most of them beyond 64 bits.
        2 => format!("{sign}{first}{}", digits(fastrand::usize(..45))),
        // More digits than a double has, and noughts that say nothing.
        3 => format!("{sign}{}.{}", fastrand::u16(..), digits(fastrand::usize(1..40))),
        4 => format!("{sign}{}.{}0", fastrand::u16(..), digits(fastrand::usize(..3))),
        // Powers, also such as no double reaches.
        _ => {
            let (e, plus) = (fastrand::choice(["e", "E"]), fastrand::choice(["", "+", "-"]));
            format!("{sign}{first}.{}{}{}{}", digits(2), e.expect("one"), plus.expect("one"), digits(3))
        }
    }
}

fn double() -> f64 {
    std::iter::repeat_with(|| f64::from_bits(fastrand::u64(..)))
        .find(|double| double.is_finite())
        .expect("one")
}

/// A label set that names two of the three columns: the others stay.
const NAMES_THEM: &str = "name = 'numbers'
version = 1
extra_columns = ['value', 'other']
[[fields]]
name = 'large'
kind = 'boolean'
description = 'Whether it is.'
fallback = { value = true, weight = 0 }";

/// The numbers of each row by its id: those everybody thinks of first, and random ones.
fn numbers() -> BTreeMap<String, [String; 2]> {
    let known = [
        "51.248178375505404",
        "-93.31137037688032",
        "12345678901234567890123",
        "1.50",
        "1E400",
        "-0",
        "1e-7",
    ];
    let mut known = known.into_iter().map(str::to_owned);
    let mut next = || known.next().unwrap_or_else(literal);
    (0..ROWS).map(|row| (format!("N{row}"), [next(), next()])).collect()
}

fn row(id: &str, [value, other]: &[String; 2]) -> String {
    format!(r#"{{"id":"{id}","name":"A number","value":{value},"deep":[{{"n": {other} }}],"other":{other}}}"#)
}

/// Checks the columns of row `id`; `what` says where they stand.
fn expect_digits(numbers: &BTreeMap<String, [String; 2]>, id: &str, extra: &Columns, what: &str) {
    let [value, other] = &numbers[id];
    let found: Vec<(&str, &str)> = extra.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
    let deep = format!(r#"[{{"n":{other}}}]"#);
    assert_eq!(found, [("deep", deep.as_str()), ("other", other), ("value", value)], "{id} in {what}");
}

/// Checks that `seen` are requests about single rows, and that each has the digits of its row.
fn expect_asked(numbers: &BTreeMap<String, [String; 2]>, seen: &[Seen]) {
    for seen in seen {
        let data: Value = serde_json::from_str(seen.user.lines().nth(1).expect("the data")).expect("JSON");
        let [value, other] = &numbers[text(&data["id"])];
        assert_eq!(
            (text(&data["value"]), text(&data["other"])),
            (value.as_str(), other.as_str()),
            "{}",
            seen.user
        );
    }
}

fn lines<T: for<'de> Deserialize<'de>>(world: &World, name: &str) -> Vec<T> {
    let file = fs::read_to_string(world.path(name)).expect(name);
    file.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

pub(crate) fn numbers_keep_their_digits(world: &mut World) {
    let numbers = numbers();
    // Half of them as JSON Lines, half as an array.
    let rows: Vec<String> = numbers.iter().map(|(id, numbers)| row(id, numbers)).collect();
    let (one, other) = rows.split_at(ROWS / 2);
    fs::write(world.path("digits.jsonl"), one.join("\n")).expect("a table");
    fs::write(world.path("digits.json"), format!("[{}]", other.join(",\n"))).expect("a table");
    let inputs = ["digits.jsonl", "digits.json"];

    fs::write(world.path("numbers.toml"), NAMES_THEM).expect("a label set");
    let file = world.path("numbers.toml").display().to_string();
    let labels = ["--taxonomy", &file];

    // Some rows fail, so that there is something to retry.
    let provider = Provider::start(Plan::shares(7, [(Fault::Refusal, 0.2)]));
    provider.serve(world, &labels);
    let options =
        [&labels[..], &["-o", "digits.out.jsonl", "--failures", "digits.failed.jsonl"], &inputs].concat();
    world.classify(&with_model("openai", MODEL, &options)).expect_code(3);
    expect_asked(&numbers, &provider.seen(MODEL));
    let results: Vec<Classified> = lines(world, "digits.out.jsonl");
    let failures: Vec<Failed> = lines(world, "digits.failed.jsonl");
    assert!(!failures.is_empty() && results.len() + failures.len() == ROWS);
    for row in &results {
        expect_digits(&numbers, &row.id, &row.extra, "the results");
    }
    for Failed { input } in &failures {
        expect_digits(&numbers, &input.id, &input.extra, "the failures");
    }

    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &labels);
    world.classify(&["runs", "retry"]).expect_code(0);
    assert_eq!(provider.seen(MODEL).len(), failures.len());
    expect_asked(&numbers, &provider.seen(MODEL));
    let results: Vec<Classified> = lines(world, "digits.out.jsonl");
    assert_eq!(results.len(), ROWS);
    for row in &results {
        expect_digits(&numbers, &row.id, &row.extra, "the results after the retry");
    }

    // CSV has one cell for all of them.
    let args = [&labels[..], &["--mode", "max", "-o", "digits.csv"], &inputs].concat();
    world.classify(&args).expect_code(0);
    let mut table = csv::Reader::from_path(world.path("digits.csv")).expect("a CSV");
    let columns = table.headers().expect("a header").clone();
    let place = |name| columns.iter().position(|column| column == name).expect(name);
    let (id, extra) = (place("id"), place("extra"));
    let rows: Vec<csv::StringRecord> = table.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), ROWS);
    for row in rows {
        let columns: Columns = serde_json::from_str(&row[extra]).expect("JSON");
        expect_digits(&numbers, &row[id], &columns, "the CSV");
    }
}
