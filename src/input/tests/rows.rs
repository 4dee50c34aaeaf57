//! Bad rows, and what each column may hold.

use super::*;
use crate::input::{MAX_CELL, MAX_NESTING, MAX_ROW};

fn jsonl(row: &Value) -> String {
    bad("a.jsonl", row.to_string()).lines().next().unwrap().to_owned()
}

#[test]
fn every_column_arrives_where_it_belongs() {
    let csv = "ID, Name ,unit,Frequency,long_name,source,description,topic,category_group,dataset,aggregation_method,\
               scale,currency,sample_values,Note,empty\n\
               a, One ,u,f,l,s,d,t,c,ds,am,sc,EUR,\"[{\"\"date\"\":2024,\"\"value\"\":\"\"1.5\"\"}]\",n,\n";
    let json = json!({"id": "a", "name": " One ", "units": "u", "periodicity": "f", "long_name": "l",
        "source_name": "s", "definition": "d", "topic": "t", "category_group": "c", "dataset": "ds",
        "aggregation_method": "am", "scale": "sc", "currency_code": "EUR",
        "sample_values": [{"date": "2024", "value": 1.5}], "extra": {"Note": "n"}});
    let expected: Indicator = serde_json::from_value(json).unwrap();
    let expected = Indicator { name: "One".to_owned(), ..expected };
    assert_eq!(good("a.csv", csv), std::slice::from_ref(&expected));
    let row = json!({"id": "a", "name": " One ", "unit": "u", "Frequency": "f", "long_name": "l", "source": "s",
        "description": "d", "topic": "t", "category_group": "c", "dataset": "ds", "aggregation_method": "am",
        "scale": "sc", "currency": "EUR", "sample_values": [{"date": 2024, "value": "1.5"}], "Note": " n ", "empty": ""});
    assert_eq!(good("a.jsonl", row.to_string()), [expected]);
}

#[test]
fn blank_text_and_null_are_absent_and_extra_columns_keep_their_type() {
    let row = json!({"id": "a", "name": "One", "units": " ", "scale": null, "sample_values": null,
        "x": null, "y": [1, {"z": true}], "n": 5});
    let indicator = good("a.jsonl", row.to_string()).remove(0);
    assert_eq!((indicator.units, indicator.scale), (None, None));
    assert_eq!(serde_json::to_value(indicator.extra).unwrap(), json!({"y": [1, {"z": true}], "n": 5}));
}

#[test]
fn headings_that_repeat_or_are_empty_lose_nothing() {
    let indicator = good("a.csv", "id,name,note,note,\na,One,x,y,z\n").remove(0);
    assert_eq!(
        serde_json::to_value(indicator.extra).unwrap(),
        json!({"note": "x", "note (4)": "y", "column 5": "z"})
    );
    // Neither is a number that another heading has already.
    let indicator = good("a.csv", "id,name,x (5),x,x\na,One,p,q,r\n").remove(0);
    assert_eq!(serde_json::to_value(indicator.extra).unwrap(), json!({"x (5)": "p", "x": "q", "x (6)": "r"}));
}

#[test]
fn ragged_rows_name_their_line_even_after_quoted_line_ends() {
    let text = bad("a.csv", "id,name\n\na,\"One\n\nand a half\"\nb,Two,3\n");
    assert_eq!(text.lines().next().unwrap(), "a.csv:6: expected 2 fields, found 3");
    assert!(text.contains("hint: correct the input, or set such rows aside with `--skip-invalid`"));
    assert!(bad("a.csv", "id,name,units\na,One\n").starts_with("a.csv:2: expected 3 fields, found 2"));
}

#[test]
fn what_is_no_text_is_refused_where_text_belongs() {
    for (value, found) in [
        (json!(12), "the number 12"),
        (json!(-1), "the number -1"),
        (json!(1.5), "the number 1.5"),
        (json!(true), "the boolean true"),
        (json!(["x", {"y": 1}]), "an array"),
        (json!({"x": [1]}), "an object"),
    ] {
        let message = jsonl(&json!({"id": "a", "name": "One", "units": value}));
        assert_eq!(message, format!("a.jsonl:1: column `units` must be text, found {found}"));
    }
    assert_eq!(
        jsonl(&json!({"id": 7, "name": "One"})),
        "a.jsonl:1: column `id` must be text, found the number 7"
    );
    assert!(jsonl(&json!({"id": "a", "name": "One", "sample_values": 7})).contains("must be an array"));
}

#[test]
fn elements_that_are_no_objects_are_refused() {
    assert!(bad("a.json", "[\n1]").starts_with("a.json:2: expected an object, found the number 1\n"));
    assert!(bad("a.json", "[\"x\" ]").starts_with("a.json:1: expected an object, found the text `x`\n"));
    assert!(bad("a.json", "[[1]]").starts_with("a.json:1: expected an object, found an array\n"));
    assert!(bad("a.jsonl", "null\n").starts_with("a.jsonl:1: expected an object, found null\n"));
}

#[test]
fn id_and_name_must_be_there_and_sane() {
    assert_eq!(jsonl(&json!({"name": "One"})), "a.jsonl:1: `id` is missing");
    assert_eq!(jsonl(&json!({"id": "a", "name": "  "})), "a.jsonl:1: `name` is empty");
    assert_eq!(jsonl(&json!({"id": "a", "name": null})), "a.jsonl:1: `name` is empty");
    assert!(bad("a.csv", "id,name\n,One\n").starts_with("a.csv:2: `id` is empty\n"));
    assert_eq!(jsonl(&json!({"id": "a\0b", "name": "One"})), "a.jsonl:1: `id` contains a NUL character");
    assert!(bad("a.csv", "id,name\na,\0\n").starts_with("a.csv:2: `name` contains a NUL character\n"));
    assert_eq!(good("a.jsonl", json!({"id": "x".repeat(512), "name": "One"}).to_string()).len(), 1);
    assert_eq!(
        jsonl(&json!({"id": "x".repeat(513), "name": "One"})),
        "a.jsonl:1: `id` is 513 bytes long, the limit is 512"
    );
}

#[test]
fn a_column_given_twice_in_one_object_is_refused() {
    assert!(
        bad("a.jsonl", r#"{"id":"a","id":"b","name":"n"}"#)
            .starts_with("a.jsonl:1: column `id` is given twice")
    );
    let aliased = r#"{"id":"a","name":"n","unit":"x","units":"x"}"#;
    assert!(bad("a.jsonl", aliased).starts_with("a.jsonl:1: column `units` is given twice"));
}

#[test]
fn no_cell_is_lost_to_a_heading_that_stands_twice() {
    let extra = |row: &Indicator| -> Vec<(String, String)> {
        row.extra.iter().map(|(name, cell)| (name.clone(), cell.text().into_owned())).collect()
    };
    for (header, cells) in [
        ("x (5),x,x", "p,q,r"),
        ("x,x,x (4),x (5)", "p,q,r,s"),
        ("y, y,y ,\u{a0}y", "p,q,r,s"),
        (",,column 3,column 4", "p,q,r,s"),
    ] {
        let rows = good("a.csv", format!("id,name,{header}\na,One,{cells}\n"));
        let kept: Vec<String> = extra(&rows[0]).into_iter().map(|(_, cell)| cell).collect();
        assert_eq!(kept, cells.split(',').collect::<Vec<_>>(), "{header}");
    }
    let (_, invalid) = skipping("a.csv", "id,name,field 4\na,One,p,q\nb,Two,\n");
    assert_eq!(invalid[0].raw, json!({"id": "a", "name": "One", "field 4": "p", "field 4 (4)": "q"}));
    for twice in [r#""x":1,"x":2"#, r#""x":1," x":2"#, r#""x":"a","y":1,"x\t":["b"]"#] {
        let row = format!(r#"{{"id":"a","name":"n",{twice}}}"#);
        assert!(bad("a.jsonl", &row).starts_with("a.jsonl:1: column `x` is given twice"), "{twice}");
        let (_, invalid) = skipping("a.jsonl", format!("{row}\n{{\"id\":\"b\",\"name\":\"n\"}}\n"));
        assert_eq!(invalid[0].raw, json!(row), "with both cells");
    }
    let once = good("a.jsonl", r#"{"id":"a","name":"n","x":null,"x":2,"y":"b","y":" "}"#);
    assert_eq!(extra(&once[0]), [("x".to_owned(), "2".to_owned()), ("y".to_owned(), "b".to_owned())]);
}

#[test]
fn a_message_names_the_column_as_the_table_does() {
    let message = jsonl(&json!({"id": "a", "name": "One", "source": {"url": "u"}}));
    assert_eq!(message, "a.jsonl:1: column `source` must be text, found an object");
    let long = "x".repeat(MAX_CELL + 1);
    let message = bad("a.csv", format!("id,name,Description\na,One,{long}\n"));
    assert!(message.starts_with("a.csv:2: column `description` holds "), "{message}");
}

#[test]
fn values_nested_without_end_are_refused() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!(r#"{{"id":"a","name":"n","note":{}1{}}}"#, open.repeat(levels), close.repeat(levels))
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), ("[0,", "]")] {
        assert_eq!(good("a.jsonl", nested(open, close, MAX_NESTING)).len(), 1);
        let refused = "a.jsonl:1: column `note` holds more than 64 arrays or objects in each other";
        assert!(bad("a.jsonl", nested(open, close, MAX_NESTING + 1)).starts_with(refused));
    }
}

#[test]
fn long_cells_are_refused_and_long_rows_are_not_held() {
    let long = "x".repeat(MAX_CELL + 1);
    let limit = format!("holds {} bytes, the limit is 1 MiB", MAX_CELL + 1);
    assert!(jsonl(&json!({"id": "a", "name": long})).ends_with(&limit));
    assert!(jsonl(&json!({"id": "a", "name": "n", "note": long})).ends_with(&limit));
    assert!(
        jsonl(&json!({"id": "a", "name": "n", "note": [long]})).starts_with("a.jsonl:1: column `note` holds")
    );
    assert!(bad("a.csv", format!("id,name\na,{long}\n")).contains(&limit));
    let samples = |blank: &str, date: &str| {
        format!(r#"{{"id":"a","name":"n","sample_values":[{blank}{{"date":"{date}"}}]}}"#)
    };
    assert!(bad("a.jsonl", samples("", &long)).contains("column `sample_values` holds"));
    assert_eq!(good("a.jsonl", samples(&" ".repeat(MAX_CELL), "d")).len(), 1, "blanks hold nothing");
    assert_eq!(good("a.csv", format!("id,name\na,{}\n", &long[1..])).len(), 1);

    let giant = "x".repeat(MAX_ROW + MAX_ROW / 2);
    let (ids, invalid) = skipping("a.csv", format!("id,name\na,One\nb,\"{giant}\n\"\nc,Three\n"));
    assert_eq!(ids, ["a", "c"]);
    assert_eq!((invalid[0].origin.as_str(), invalid[0].id.as_deref()), ("a.csv:3", Some("b")));
    assert_eq!(invalid[0].message, "column `name` holds more than 1 MiB");
    let row = |id: &str, name: &str| json!({"id": id, "name": name}).to_string();
    let rows = [row("a", "One"), row("b", &giant), row("c", "Three")];
    for (name, text) in [("a.jsonl", rows.join("\n")), ("a.json", format!("[{}]", rows.join(",\n")))] {
        let (ids, invalid) = skipping(name, text);
        assert_eq!(ids, ["a", "c"]);
        assert_eq!(invalid[0].origin, format!("{name}:2"));
        assert_eq!(invalid[0].message, "the row is longer than 8 MiB");
        assert!(invalid[0].raw.to_string().len() < 20_000);
    }
}

#[test]
fn a_line_of_commas_is_bounded() {
    let (ids, invalid) = skipping("a.csv", format!("id,name\na,One\nb{}\nc,Three\n", ",x".repeat(100_000)));
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(invalid[0].message, "expected 2 fields, found more than 4096");
}

#[test]
fn several_bad_rows_are_reported_at_once() {
    let text = bad("a.csv", format!("id,name\na,One\nb\nc,\n{}", "d\n".repeat(9)));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "11 of 12 rows cannot be used");
    assert_eq!(lines[1], "a.csv:3: expected 2 fields, found 1");
    assert_eq!(lines[2], "a.csv:4: `name` is empty");
    assert_eq!(lines[6], "and 6 more");
    assert_eq!(lines.len(), 8);
}

#[test]
fn bad_rows_can_be_set_aside() {
    let (ids, invalid) = skipping("a.csv", "id,name\na,One\nb,Two,3\n,Four\nc,Three\n");
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(
        invalid,
        [
            InvalidRow {
                origin: "a.csv:3".to_owned(),
                id: Some("b".to_owned()),
                raw: json!({"id": "b", "name": "Two", "field 3": "3"}),
                message: "expected 2 fields, found 3".to_owned(),
            },
            InvalidRow {
                origin: "a.csv:4".to_owned(),
                id: None,
                raw: json!({"id": "", "name": "Four"}),
                message: "`id` is empty".to_owned(),
            },
        ]
    );
    let (ids, invalid) =
        skipping("a.jsonl", "{\"id\":\"a\",\"name\":7}\n{\"id\":\n[1]\n{\"id\":\"b\",\"name\":\"n\"}\n");
    assert_eq!(ids, ["b"]);
    assert_eq!((invalid[0].id.as_deref(), &invalid[0].raw), (Some("a"), &json!({"id": "a", "name": 7})));
    assert_eq!(invalid[1].message, "column 6: not valid JSON: EOF while parsing a value");
    assert_eq!(invalid[1].raw, json!("{\"id\":"));
    assert_eq!(invalid[2].raw, json!([1]));
}

#[test]
fn bad_files_stay_errors_when_rows_are_set_aside() {
    let folder = Folder::new();
    for (name, content) in
        [("a.csv", &b"id\n1\n"[..]), ("a.csv", b"id,name\na,\xff\n"), ("a.json", b"[{]"), ("a.csv", b"")]
    {
        assert!(read_all(&[folder.write(name, content)], &options(true)).is_err());
    }
}
