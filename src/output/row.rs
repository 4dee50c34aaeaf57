//! What one result and one failure look like in a file. Pure.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Format;
use crate::domain::answer::{Classified, Text};
use crate::domain::heading::Heading;
use crate::domain::labels::LabelsText;
use crate::domain::outcome::{Failed, FailureClass, Usage};

/// Columns of a CSV that are no labels.
const AROUND_LABELS: usize = 17;
/// Bytes of most lines of a CSV.
const LINE: usize = 512;

/// How rows are written.
#[derive(Debug, Clone)]
pub struct Layout {
    /// In which format.
    pub format: Format,
    /// Fields of the taxonomy: the columns of a CSV.
    pub fields: Vec<String>,
}

/// Where a result comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Provenance<'a> {
    /// Place of the batch in the run.
    pub(super) batch: u64,
    /// Name of the node that delivered it.
    pub(super) node: &'a str,
}

#[derive(Serialize)]
struct ResultRow<'a> {
    id: &'a str,
    name: &'a str,
    labels: &'a LabelsText<'a>,
    confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    taxonomy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'a Usage>,
    batch: u64,
    node: &'a str,
    classified_at: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cut: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct FailureRow<'a, T: ?Sized> {
    input: &'a T,
    class: FailureClass,
    message: &'a str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
}

/// Appends one result to `out`.
pub(super) fn result(
    out: &mut Vec<u8>,
    layout: &Layout,
    from: Provenance<'_>,
    heading: Heading<'_>,
    classified: &Classified<'_>,
) -> Result<(), serde_json::Error> {
    match layout.format {
        Format::Jsonl => jsonl(out, from, heading, classified),
        Format::Csv => {
            csv_line(out, csv_cells(&layout.fields, from, heading, classified)?);
            Ok(())
        }
    }
}

fn jsonl(
    out: &mut Vec<u8>,
    from: Provenance<'_>,
    heading: Heading<'_>,
    classified: &Classified<'_>,
) -> Result<(), serde_json::Error> {
    let row = ResultRow {
        id: heading.id,
        name: heading.name,
        labels: &classified.labels,
        confidence: classified.confidence,
        reasoning: classified.reasoning.as_ref().map(Text::as_str),
        provider: classified.provider.as_str(),
        model: classified.model.as_ref().map(Text::as_str),
        taxonomy: classified.taxonomy.as_str(),
        usage: classified.usage.as_ref(),
        batch: from.batch,
        node: from.node,
        classified_at: classified.classified_at.as_str(),
        notes: &classified.notes,
        cut: &classified.cut,
        extra: if heading.extra.is_empty() { None } else { Some(serde_json::from_str(heading.extra)?) },
    };
    serde_json::to_writer(&mut *out, &row)?;
    out.push(b'\n');
    Ok(())
}

/// Appends the header a CSV file starts with.
pub(super) fn csv_header(out: &mut Vec<u8>, fields: &[String]) {
    let before = ["id", "name"].into_iter();
    let after = [
        "confidence",
        "reasoning",
        "provider",
        "model",
        "taxonomy",
        "requests",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "cost_usd",
        "batch",
        "node",
        "classified_at",
        "extra",
        "notes",
    ];
    csv_line(out, before.chain(fields.iter().map(String::as_str)).chain(after));
}

/// The cells of one result, in the header's order.
fn csv_cells<'a>(
    fields: &[String],
    from: Provenance<'a>,
    heading: Heading<'a>,
    classified: &'a Classified<'_>,
) -> Result<Vec<Cow<'a, str>>, serde_json::Error> {
    let text = |text: &'a Option<Text<'_>>| text.as_ref().map(|text| tame(text.as_str())).unwrap_or_default();
    let usage = classified.usage.as_ref();
    let number =
        |pick: fn(&Usage) -> u64| usage.map(|usage| pick(usage).to_string().into()).unwrap_or_default();
    let mut labels = classified.labels.fields()?;
    let mut cells = Vec::with_capacity(fields.len() + AROUND_LABELS);
    // Other tables are joined by the id: it stays as it is, whatever a spreadsheet makes of it.
    cells.extend([heading.id.into(), tame(heading.name)]);
    cells.extend(fields.iter().map(|field| match labels.get_mut(field).map(Value::take) {
        Some(Value::String(text)) => tame(text),
        Some(other) => other.to_string().into(),
        None => Cow::default(),
    }));
    cells.extend([
        classified.confidence.to_string().into(),
        text(&classified.reasoning),
        tame(classified.provider.as_str()),
        text(&classified.model),
        tame(classified.taxonomy.as_str()),
        number(|usage| usage.requests),
        number(|usage| usage.input_tokens),
        number(|usage| usage.cached_tokens),
        number(|usage| usage.output_tokens),
        usage.and_then(|usage| usage.cost_usd).map(|cost| cost.to_string().into()).unwrap_or_default(),
        from.batch.to_string().into(),
        tame(from.node),
        classified.classified_at.as_str().into(),
        heading.extra.into(),
        tame(notes(classified)),
    ]);
    Ok(cells)
}

/// What is noted of a row, as one text.
fn notes(classified: &Classified<'_>) -> String {
    let cut = classified.cut.iter().map(|column| format!("the model read a part of `{column}` only"));
    classified.notes.iter().cloned().chain(cut).collect::<Vec<_>>().join("; ")
}

/// Keeps a spreadsheet from running a cell as a formula: text that begins like one gets an apostrophe in front
/// (OWASP, "CSV Injection"). So does text that looks as if it had got one, or two texts became the same cell.
fn tame<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    if is_formula(&text) { format!("'{text}").into() } else { text }
}

/// How a formula begins.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Whether there is a formula behind any number of apostrophes.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(FORMULA)
}

/// The text of a cell that was tamed, if it was.
pub(super) fn untamed(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_formula(text)).unwrap_or(cell)
}

fn csv_line(out: &mut Vec<u8>, cells: impl IntoIterator<Item = impl AsRef<str>>) {
    // A writer clears its buffer first, so one for a line is small.
    let mut writer = csv::WriterBuilder::new().buffer_capacity(LINE).from_writer(&mut *out);
    // Writing to memory cannot fail, and a single record cannot have unequal lengths.
    for cell in cells {
        let _infallible = writer.write_field(cell.as_ref());
    }
    let _infallible = writer.write_record(None::<&[u8]>);
    let _infallible = writer.flush();
}

/// Appends one failure to `out`. `input` is the row as far as it could be read, `origin` where it stood.
pub(super) fn failure<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    input: &T,
    failed: &Failed,
    origin: Option<&str>,
) -> Result<(), serde_json::Error> {
    let Failed { class, message, attempts, .. } = failed;
    let row = FailureRow { input, class: *class, message, attempts: *attempts, origin };
    serde_json::to_writer(&mut *out, &row)?;
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    const ANSWER: &str = r#"{
        "labels":{"family":"price-value","is_cumulative":false},"confidence":0.75,"reasoning":"=cmd()","provider":"rules",
        "taxonomy":"economic@1","classified_at":"2026-01-02T03:04:05Z","origin":"R.17"
    }"#;

    /// The line of one row, and what it is in.
    fn line(format: Format, fields: &[&str]) -> Vec<u8> {
        let layout = Layout { format, fields: fields.iter().map(|&field| field.to_owned()).collect() };
        let mut out = Vec::new();
        if format == Format::Csv {
            csv_header(&mut out, &layout.fields);
        }
        let heading = Heading { id: "-5", name: "=1+1, \"x\"\ny", extra: r#"{"country":"=A"}"# };
        let classified = serde_json::from_str(ANSWER).unwrap();
        result(&mut out, &layout, FROM, heading, &classified).unwrap();
        out
    }

    const FROM: Provenance<'_> = Provenance { batch: 17, node: "restate-2" };

    #[test]
    fn a_result_is_one_line_with_the_contract_s_keys_in_order() {
        let out = line(Format::Jsonl, &[]);
        assert_eq!(std::str::from_utf8(&out).unwrap().lines().count(), 1);
        let row: Map<String, Value> = serde_json::from_slice(&out).unwrap();
        let keys: Vec<&str> = row.keys().map(String::as_str).collect();
        let expected = [
            "id",
            "name",
            "labels",
            "confidence",
            "reasoning",
            "provider",
            "taxonomy",
            "batch",
            "node",
            "classified_at",
            "extra",
        ];
        assert_eq!(keys, expected);
        assert_eq!(row["name"], "=1+1, \"x\"\ny");
        assert_eq!(row["extra"], json!({"country": "=A"}));
    }

    #[test]
    fn csv_has_one_column_per_label_and_no_formulas() {
        // Labels are looked up by name: their order is no matter.
        let out = line(Format::Csv, &["is_cumulative", "family"]);
        let mut reader = csv::Reader::from_reader(out.as_slice());
        let header = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let cell = |name: &str| &row[header.iter().position(|column| column == name).unwrap()];
        assert_eq!(cell("id"), "-5", "ids stay as they are");
        assert_eq!((cell("name"), cell("reasoning")), ("'=1+1, \"x\"\ny", "'=cmd()"));
        assert_eq!((cell("family"), cell("is_cumulative")), ("price-value", "false"));
        assert_eq!((cell("batch"), cell("node"), cell("cost_usd")), ("17", "restate-2", ""));
        assert_eq!(cell("extra"), r#"{"country":"=A"}"#);
    }

    #[test]
    fn what_is_noted_stands_in_the_row() {
        let answer = ANSWER
            .replace("\"confidence\"", "\"notes\":[\"no reasoning\"],\"cut\":[\"body\"],\"confidence\"");
        let classified: Classified<'_> = serde_json::from_str(&answer).unwrap();
        assert_eq!(notes(&classified), "no reasoning; the model read a part of `body` only");
        let heading = Heading { id: "A", name: "B", extra: "" };
        let mut out = Vec::new();
        result(&mut out, &Layout { format: Format::Jsonl, fields: Vec::new() }, FROM, heading, &classified)
            .unwrap();
        let row: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&row["notes"], &row["cut"]), (&json!(["no reasoning"]), &json!(["body"])));
    }

    #[test]
    fn no_two_texts_become_the_same_cell() {
        let texts = ["=x", "'=x", "''=x", "'x", "x", "''", "'", "", "-1", "'-1", "\t", "'\t"];
        let cells: std::collections::BTreeSet<_> = texts.map(tame).into();
        assert_eq!(cells.len(), texts.len(), "{cells:?}");
        for text in texts {
            assert_eq!(untamed(&tame(text)), text);
            assert!(!tame(text).starts_with(FORMULA), "{text}");
        }
    }

    #[test]
    fn a_failure_carries_its_row() {
        let mut out = Vec::new();
        let failed = Failed::new(FailureClass::RateLimited, "429", 3, "");
        failure(&mut out, &json!({"id": "A"}), &failed, None).unwrap();
        let row: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(row["class"], "rate_limited");
        assert_eq!((&row["input"]["id"], &row["attempts"]), (&json!("A"), &json!(3)));
    }
}
