//! The stages of a run, each alone: from the input to the results, on both sides of the wire.

use std::fs;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use classify::domain::answer::Answers;
use classify::domain::batch::{BatchKey, BatchRequest, BatchResponse, RunOptions};
use classify::domain::fingerprint::fingerprint;
use classify::domain::heading::Headings;
use classify::domain::indicator::Indicator;
use classify::domain::labels::Labels;
use classify::domain::method::{Method, RULES};
use classify::domain::outcome::{Classification, Outcome};
use classify::domain::payload;
use classify::engine::rehearse;
use classify::input::{self, Row, Source};
use classify::output::{Destination, Entries, Format, Sink};
use classify::taxonomy::{Rules, Taxonomy};

use crate::generator::indicator;

/// Batches as `run` makes them by default.
const BATCH: usize = 50;
const RUN: &str = "01JA0000000000000000000000";

/// Every stage, in the order of a run.
pub(crate) const NAMES: [&str; 11] = [
    "parse csv",
    "parse json",
    "parse jsonl",
    "batch",
    "service decode",
    "fingerprint",
    "classify",
    "service encode",
    "decode",
    "write csv",
    "write jsonl",
];

/// Runs a stage on `rows` indicators. What it needs first takes as long for one number of rows as for another only where it
/// says so: the difference of two runs has it, too, in the rows between them.
pub(crate) fn run(name: &str, rows: usize) {
    // Always as many, so that the difference of two runs is the stage alone.
    let all: Vec<Indicator> = (0..2_000).map(indicator).collect();
    assert!(rows <= all.len(), "at most {} rows", all.len());
    let folder = tempfile::tempdir().unwrap();
    match name {
        "parse csv" => parse(&files(folder.path(), "csv", &all, csv), rows),
        "parse json" => parse(&files(folder.path(), "json", &all, json), rows),
        "parse jsonl" => parse(&files(folder.path(), "jsonl", &all, jsonl), rows),
        "batch" => batch(all, rows),
        "service decode" => service_decode(&all, rows),
        "fingerprint" => {
            let options = options();
            for row in &all[..rows] {
                black_box(fingerprint(row, &options));
            }
        }
        "classify" => {
            let rules = Rules::compile(Taxonomy::economic()).unwrap();
            for row in &all[..rows] {
                black_box(rules.classify(row));
            }
        }
        "service encode" => {
            for response in &responses(&all)[..rows / BATCH] {
                black_box(payload::encode(response).unwrap());
            }
        }
        "decode" => decode(&all, rows),
        "write csv" => write(folder.path(), Format::Csv, &all, rows),
        "write jsonl" => write(folder.path(), Format::Jsonl, &all, rows),
        _ => panic!("no stage `{name}`"),
    }
}

fn options() -> RunOptions {
    RunOptions {
        method: Method::rules(),
        taxonomy: Taxonomy::economic().digest().to_owned(),
        reads: None,
        nonce: None,
        detached: false,
    }
}

/// Both passes: the check, and the rows again.
fn parse(files: &[(usize, PathBuf)], rows: usize) {
    let (_, file) = files.iter().find(|(length, _)| *length == rows).unwrap();
    let checked =
        input::check(&[Source::File(file.clone())], &input::Options::default(), input::Keys::random())
            .unwrap();
    assert_eq!(checked.rows().filter(|row| matches!(row, Ok(Row::Valid(_)))).count(), rows);
}

/// A file with half of the rows and one with all of them, whichever is read.
fn files(
    folder: &Path,
    extension: &str,
    all: &[Indicator],
    write: fn(&[Indicator]) -> Vec<u8>,
) -> Vec<(usize, PathBuf)> {
    let file = |rows: usize| {
        let path = folder.join(rows.to_string()).with_extension(extension);
        fs::write(&path, write(&all[..rows])).unwrap();
        (rows, path)
    };
    [all.len() / 2, all.len()].map(file).into()
}

fn csv(rows: &[Indicator]) -> Vec<u8> {
    let columns =
        ["id", "name", "units", "periodicity", "source", "definition", "topic", "dataset", "country"];
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).unwrap();
    for row in rows {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let country = row.extra.get("country").map(|country| country.text()).unwrap_or_default();
        writer.write_field(&row.id).unwrap();
        writer.write_field(&row.name).unwrap();
        for cell in
            [&row.units, &row.periodicity, &row.source_name, &row.definition, &row.topic, &row.dataset]
        {
            writer.write_field(text(cell)).unwrap();
        }
        writer.write_field(&*country).unwrap();
        writer.write_record(None::<&[u8]>).unwrap();
    }
    writer.into_inner().unwrap()
}

fn json(rows: &[Indicator]) -> Vec<u8> {
    serde_json::to_vec_pretty(rows).unwrap()
}

fn jsonl(rows: &[Indicator]) -> Vec<u8> {
    let line = |row: &Indicator| serde_json::to_vec(row).unwrap().into_iter().chain(*b"\n");
    rows.iter().flat_map(line).collect()
}

/// What the feeder does with rows: batches, each with its request body.
fn batch(mut all: Vec<Indicator>, rows: usize) {
    let rest = all.split_off(rows);
    let rows = all.into_iter().map(|row| Ok(Row::Valid(row)));
    rehearse(rows, &options(), NonZeroU32::new(50).unwrap()).unwrap();
    black_box(rest);
}

fn service_decode(all: &[Indicator], rows: usize) {
    let request =
        |indicators: &[Indicator]| BatchRequest { options: options(), indicators: indicators.to_vec() };
    let bodies: Vec<Vec<u8>> =
        all.chunks(BATCH).map(|chunk| payload::encode(&request(chunk)).unwrap()).collect();
    for body in &bodies[..rows / BATCH] {
        black_box(payload::decode::<BatchRequest>(body).unwrap());
    }
}

/// How the recorder reads the output of a batch.
fn decode(all: &[Indicator], rows: usize) {
    let bodies: Vec<Vec<u8>> =
        responses(all).iter().map(|response| payload::encode(response).unwrap()).collect();
    for body in &bodies[..rows / BATCH] {
        let json = payload::text(body).unwrap();
        black_box(serde_json::from_str::<Answers<'_>>(&json).unwrap());
    }
}

fn write(folder: &Path, format: Format, all: &[Indicator], rows: usize) {
    let fields = Taxonomy::economic().fields().iter().map(|field| field.name.clone()).collect();
    let results = Destination::File(folder.join("results"));
    let mut sink = Sink::create(&results, format, fields, &folder.join("failures")).unwrap();
    let headings: Vec<Headings> = all.chunks(BATCH).map(|chunk| chunk.iter().collect()).collect();
    let answers: Vec<String> =
        responses(all).iter().map(|response| serde_json::to_string(response).unwrap()).collect();
    let answers: Vec<Answers<'_>> = answers.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    let mut entries = Entries::new(sink.layout().clone());
    let key = BatchKey { run_id: RUN.to_owned(), index: 7 };
    for (rows, answers) in headings.iter().zip(&answers).take(rows / BATCH) {
        let tally = entries.fill(&key, "restate-2", rows, &answers.outcomes, &[]).unwrap();
        assert_eq!(tally.succeeded, BATCH as u64);
        sink.write(&entries).unwrap();
    }
    sink.sync().unwrap();
}

/// What the service answers by its rules.
fn responses(all: &[Indicator]) -> Vec<BatchResponse> {
    let taxonomy = Taxonomy::economic();
    let rules = Rules::compile(taxonomy).unwrap();
    let outcome = |row: &Indicator| {
        let answer = rules.classify(row);
        Outcome::Classified(Box::new(Classification {
            labels: Labels::new(&answer.labels),
            confidence: answer.confidence,
            reasoning: answer.reasoning,
            provider: RULES.to_owned(),
            model: None,
            taxonomy: taxonomy.id(),
            usage: None,
            spared: false,
            notes: Vec::new(),
            cut: Vec::new(),
            classified_at: "2026-11-22T10:11:12.345Z".to_owned(),
            origin: format!("{RUN}.7"),
        }))
    };
    all.chunks(BATCH).map(|chunk| BatchResponse { outcomes: chunk.iter().map(outcome).collect() }).collect()
}
