//! The built-in taxonomy against real-looking indicators: currency traps, the example file, arbitrary text.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, Rules, Taxonomy};
use crate::domain::indicator::Indicator;

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::compile(Taxonomy::economic()).unwrap());

fn valid(answer: &Answer) -> Result<(), String> {
    let fields = Taxonomy::economic().fields();
    if !answer.labels.keys().eq(fields.iter().map(|field| &field.name)) {
        return Err(format!("wrong keys: {:?}", answer.labels));
    }
    if !(0.0..=1.0).contains(&answer.confidence) {
        return Err(format!("confidence {}", answer.confidence));
    }
    fields.iter().try_for_each(|field| field.check(&answer.labels[&field.name]))
}

fn currency(name: &str, units: Option<&str>, code: Option<&str>) -> String {
    let [units, currency_code] = [units, code].map(|text| text.map(str::to_owned));
    let row = Indicator { name: name.into(), units, currency_code, ..Indicator::default() };
    RULES.classify(&row).labels["currency"].as_str().unwrap().to_owned()
}

#[test]
fn words_are_no_currencies() {
    for (name, units) in [
        ("Consumer prices", "Index, All Items"),
        ("Consumer prices", "INDEX, ALL ITEMS"),
        ("Vehicle registrations", "Cars/month"),
        ("Income share", "percent, top 10"),
        ("Exports, TOP 10 partners", "Number"),
        ("Ease of entry (give it a TRY)", "score"),
        ("WORLD CUP visitors", "Persons"),
        ("PEN production", "Thousand units"),
        ("MAD cow disease cases", "Number"),
        ("COP summit pledges", "Number of pledges"),
        ("Postal code areas", "Number"),
        ("Real GDP, all industries", "Index 2015=100"),
        ("Try-outs", "per try"),
        ("Euro area unemployment", "Thousand persons"),
        ("GDP, PPP", "constant 2017 international $"),
        ("Loans in USD", "% of total loans"),
        ("Poverty rate at $2.15 a day", "% of population"),
    ] {
        assert_eq!(currency(name, Some(units), None), "none", "{name} [{units}]");
    }
}

#[test]
fn currencies_are_found_where_they_are_stated() {
    for (name, units, code, expected) in [
        ("Wages", "TRY Million", None, "TRY"),
        ("Wages", "ALL", None, "ALL"),
        ("Wages", "ALL/Month", None, "ALL"),
        ("Exports", "MAD Million", None, "MAD"),
        ("Exports", "PEN Million", None, "PEN"),
        ("Exports", "CUP Million", None, "CUP"),
        ("Exports", "TOP Thousand", None, "TOP"),
        ("Exports", "US Dollars", None, "USD"),
        ("Exports", "Euro million", None, "EUR"),
        ("Exports", "MIO_EUR", None, "EUR"),
        ("Exports", "BoP, current US$", None, "USD"),
        ("Exports", "Million A$", None, "AUD"),
        ("Exports", "£ million", None, "GBP"),
        ("Exports", "Millions", Some("TRY"), "TRY"),
        ("Exports", "Millions", Some("usd"), "USD"),
        ("Exports (EUR million)", "Millions", None, "EUR"),
        ("Euro area exports (USD million)", "Millions", None, "USD"),
        ("Tax revenue", "Peruvian soles", None, "PEN"),
    ] {
        assert_eq!(currency(name, Some(units), code), expected, "{name} [{units}] {code:?}");
    }
}

/// The rows of the example file, read the way any reader would: empty cells are absent.
pub(super) fn examples() -> Vec<Indicator> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/indicators.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        let mut object = serde_json::Map::new();
        for (column, cell) in headers.iter().zip(&record).filter(|(_, cell)| !cell.is_empty()) {
            let parsed = column == "sample_values";
            object.insert(
                column.into(),
                if parsed { serde_json::from_str(cell).unwrap() } else { cell.into() },
            );
        }
        serde_json::from_value(object.into()).unwrap()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

#[test]
fn every_example_is_classified() {
    let rows = examples();
    assert!(rows.len() >= 120);
    let ids: std::collections::HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids.len(), rows.len());
    for row in &rows {
        let answer = RULES.classify(row);
        assert_eq!(valid(&answer), Ok(()), "{}", row.id);
        assert!(answer.confidence > 0.7, "{}: {answer:?}", row.id);
        assert_eq!(RULES.classify(row), answer, "the same row, the same answer");
    }
}

/// In the order of the fields.
#[test]
fn a_dozen_examples_checked_by_hand() {
    let rows = examples();
    for (id, expected) in [
        (
            "usa-gdp",
            "physical-fundamental flow period-total per-period quarterly currency-amount billions USD true false higher-is-positive",
        ),
        (
            "usa-unrate",
            "numeric-measurement percentage not-applicable point-in-time monthly percentage percent none false false lower-is-positive",
        ),
        (
            "jpn-tankan",
            "composite-derived index period-average per-period quarterly index index none false false higher-is-positive",
        ),
        (
            "fra-pib",
            "change-movement rate period-rate per-period quarterly percentage percent none false false higher-is-positive",
        ),
        (
            "esp-ipc",
            "composite-derived index point-in-time point-in-time monthly index index none false false lower-is-positive",
        ),
        (
            "deu-mortgage",
            "price-value price point-in-time point-in-time monthly percentage percent none false false lower-is-positive",
        ),
        (
            "usa-claims-4w",
            "numeric-measurement count period-average per-period weekly count thousands none false false lower-is-positive",
        ),
        (
            "idn-revenue",
            "physical-fundamental flow period-cumulative cumulative monthly currency-amount trillions IDR true true higher-is-positive",
        ),
        (
            "ita-debt-gdp",
            "numeric-measurement ratio not-applicable point-in-time annual percentage percent none false false lower-is-positive",
        ),
        (
            "usa-10y",
            "price-value yield point-in-time point-in-time daily percentage percent none false false lower-is-positive",
        ),
        (
            "civ-fx",
            "price-value price point-in-time point-in-time daily currency-amount units XOF false false neutral",
        ),
        (
            "imf-ngdp",
            "physical-fundamental flow period-total per-period other currency-amount billions none true false higher-is-positive",
        ),
        (
            "wb-law",
            "qualitative other not-applicable point-in-time annual unknown units none false false neutral",
        ),
        (
            "chn-solar-cap",
            "physical-fundamental capacity point-in-time point-in-time annual physical units none false false higher-is-positive",
        ),
    ] {
        let row = rows.iter().find(|row| row.id == id).unwrap();
        let answer = RULES.classify(row);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let labels: Vec<String> = answer.labels.values().map(text).collect();
        assert_eq!(labels.join(" "), expected, "{id}: {:?}", answer.reasoning);
    }
}

#[test]
fn confidence_tells_the_clear_from_the_unclear() {
    let clear = Indicator {
        name: "Inflation Rate YoY".into(),
        units: Some("percent".into()),
        periodicity: Some("Monthly".into()),
        ..Indicator::default()
    };
    assert!(RULES.classify(&clear).confidence > 0.85);
    let unclear = Indicator { name: "Miscellaneous (revised)".into(), ..Indicator::default() };
    let answer = RULES.classify(&unclear);
    assert!(answer.confidence < 0.6, "{answer:?}");
    assert_eq!(answer.labels["indicator_type"], json!("other"));
}

#[test]
fn a_huge_row_is_read_in_part() {
    let row = Indicator { definition: Some("índice ".repeat(1_000_000)), ..Indicator::default() };
    assert_eq!(valid(&RULES.classify(&row)), Ok(()));
}

proptest! {
    #[test]
    fn any_text_gets_a_valid_answer(
        name in any::<String>(), units in any::<Option<String>>(), definition in "\\PC*|[ -~]{0,80}",
        words in proptest::collection::vec(
            prop_oneof!["USD", "TRY", "ALL", "%", "index", "per", "GDP", "rate", "€", "\u{301}", "1,000", "\\?"], 0..12,
        ),
    ) {
        let row = Indicator {
            id: String::new(),
            name,
            units,
            definition: Some(definition),
            long_name: Some(words.join(" ")),
            currency_code: words.first().cloned(),
            ..Indicator::default()
        };
        let answer = RULES.classify(&row);
        prop_assert_eq!(valid(&answer), Ok(()));
    }
}
