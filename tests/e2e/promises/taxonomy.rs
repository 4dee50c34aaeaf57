//! Another label set than the built-in one.

use std::fs;

use serde_json::{Value, json};

use super::{text, with_model};
use crate::llm_stub::Plan;
use crate::provider::Provider;
use crate::world::World;

const TICKETS: &str = include_str!("tickets.toml");

const SENDER: &str = "someone@example.com";

/// Subject and text of a ticket, and what the rules say of it: queue, whether it is urgent, hours, and the mean of the weights.
const ROWS: [(&str, &str, &str, bool, u32, f64); 4] = [
    ("Invoice 17", "Where is it?", "billing", false, 72, 2.2 / 3.0),
    ("The tap", "It leaks, come today.", "repairs", true, 4, 2.8 / 3.0),
    ("A refund", "At once!", "billing", true, 4, 1.0),
    ("Hello", "Nice place.", "front-desk", false, 72, 1.4 / 3.0),
];

/// Writes the label set and a table of tickets, whose ids begin with `prefix`; returns the path of the first and the name of the
/// second.
fn tickets(world: &World, prefix: &str) -> (String, String) {
    fs::write(world.path("tickets.toml"), TICKETS).expect("a taxonomy");
    let row = |(place, (name, body, ..)): (usize, &(&str, &str, _, _, _, _))| {
        // The label set names the body and not the sender.
        json!({ "id": format!("{prefix}{place}"), "name": name, "body": body, "sender": SENDER }).to_string()
    };
    let rows: Vec<String> = ROWS.iter().enumerate().map(row).collect();
    let table = format!("{prefix}.jsonl");
    fs::write(world.path(&table), rows.join("\n")).expect("a table");
    (world.path("tickets.toml").display().to_string(), table)
}

pub(crate) fn the_rules_label_by_another_taxonomy(world: &mut World) {
    let (file, table) = tickets(world, "rule");
    world.replace_service(|service| {
        service.args(["--taxonomy", &file]);
    });
    let run = |output| {
        let args = ["--taxonomy", &file, "--mode", "max", "--ordered", "--json", "-o", output, &table];
        world.classify(&args).expect_code(0)
    };
    run("tickets.jsonl");
    let rows = world.rows("tickets.jsonl");
    assert_eq!(rows.len(), ROWS.len());
    for (row, (name, body, queue, urgent, hours, confidence)) in rows.iter().zip(ROWS) {
        assert_eq!(row["labels"], json!({ "queue": queue, "urgent": urgent, "hours": hours }), "{row}");
        assert_eq!((text(&row["name"]), text(&row["taxonomy"])), (name, "tickets@7"));
        assert_eq!(row["extra"], json!({ "body": body, "sender": SENDER }));
        let told = row["confidence"].as_f64().expect("a confidence");
        assert!((told - confidence).abs() < 0.001, "{told} instead of {confidence}: {row}");
    }

    // A column per label.
    run("tickets.csv");
    let mut results = csv::Reader::from_path(world.path("tickets.csv")).expect("a CSV");
    let columns = results.headers().expect("a header").clone();
    let place = |name| columns.iter().position(|column| column == name).expect(name);
    let places = ["queue", "urgent", "hours"].map(place);
    let cells: Vec<[String; 3]> = results
        .records()
        .map(|row| row.expect("a row"))
        .map(|row| places.map(|place| row[place].to_owned()))
        .collect();
    let expected =
        ROWS.map(|(_, _, queue, urgent, hours, _)| [queue.to_owned(), urgent.to_string(), hours.to_string()]);
    assert_eq!(cells, expected);
    assert!(!columns.iter().any(|column| column == "family"), "{columns:?}");
}

/// The same tickets of another sender, and one that is longer than what a model reads of it.
fn what_is_not_read_does_not_matter(world: &World, provider: &Provider, file: &str, table: &str) {
    let before =
        fs::read_to_string(world.path(table)).expect("the table").replace(SENDER, "other@example.com");
    let body = "It leaks, ".repeat(200) + "and leaks.";
    let long = json!({ "id": "long", "name": "The tap, again", "body": body, "sender": SENDER });
    fs::write(world.path("later.jsonl"), format!("{before}\n{long}\n")).expect("a table");
    let run = |more: &[&str]| {
        let options = [&["--taxonomy", file], more, &["later.jsonl"]].concat();
        world.classify(&with_model("openai", "stub-tickets", &options)).expect_code(0).json()
    };
    let plan = run(&["--plan"]);
    assert_eq!(plan["columns_sent"], json!(["id", "name", "body"]), "{plan:#}");
    assert_eq!(plan["columns_kept"], json!(["sender"]), "{plan:#}");
    assert_eq!(
        (&plan["requests"], &plan["cut"], &plan["cut_columns"]),
        (&1.into(), &1.into(), &json!({ "body": 1 }))
    );

    let asked = provider.seen("stub-tickets").len();
    let report = run(&["-o", "later-results.jsonl"]);
    assert_eq!(report["totals"]["reused"], ROWS.len(), "another sender is no other question");
    assert_eq!(provider.seen("stub-tickets").len(), asked + 1);
    assert_eq!((&report["llm"]["cut"], &report["llm"]["cut_columns"]), (&1.into(), &json!({ "body": 1 })));
    let rows = world.rows("later-results.jsonl");
    let long = rows.iter().find(|row| row["id"] == "long").expect("the long one");
    assert_eq!((&long["cut"], &long["extra"]["body"]), (&json!(["body"]), &json!(body)), "{long}");
}

pub(crate) fn a_model_labels_by_another_taxonomy(world: &mut World) {
    let (file, table) = tickets(world, "model");
    let provider = Provider::start(Plan::healthy());
    provider.serve(world, &["--taxonomy", &file]);
    let ran = world
        .classify(&with_model("openai", "stub-tickets", &["--taxonomy", &file, "-o", "asked.jsonl", &table]))
        .expect_code(0);
    // The stub's answer is the first thing the schema allows: what it names are this taxonomy's own labels.
    let rows = world.rows("asked.jsonl");
    assert_eq!(rows.len(), ROWS.len());
    for row in &rows {
        assert_eq!(row["labels"], json!({ "queue": "billing", "urgent": false, "hours": 0.5 }), "{row}");
        assert_eq!((text(&row["provider"]), text(&row["taxonomy"])), ("openai", "tickets@7"));
    }
    let seen = provider.seen("stub-tickets");
    assert_eq!(seen.len(), ROWS.len());
    for seen in &seen {
        for part in
            ["Sort the tickets of a help desk.", "# queue: Who answers it.", "repairs: Something is broken"]
        {
            assert!(seen.system.contains(part), "no `{part}` in {}", seen.system);
        }
        assert!(!seen.system.contains("indicators for a statistical catalogue"), "{}", seen.system);
        let body = ROWS.iter().find(|row| seen.user.contains(row.0)).expect("a ticket").1;
        let data: Value = serde_json::from_str(seen.user.lines().nth(1).expect("the data")).expect("JSON");
        assert_eq!(data["body"], body, "columns that the label set names reach the model");
        assert!(!seen.user.contains(SENDER), "others do not: {}", seen.user);
    }
    provider.expect_same_counts("stub-tickets", &ran.json());
    what_is_not_read_does_not_matter(world, &provider, &file, &table);

    // What the two taxonomies say of a row is kept apart: the built-in one has not answered these.
    provider.serve(world, &[]);
    let ran = world
        .classify(&with_model("openai", "stub-tickets", &["-o", "economic.jsonl", &table]))
        .expect_code(0);
    assert_eq!(ran.json()["totals"]["reused"], 0);
    assert!(world.rows("economic.jsonl").iter().all(|row| row["labels"]["family"].is_string()));
}
