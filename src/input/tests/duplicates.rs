//! The same id twice, within a file and across files.

use super::*;

#[test]
fn rows_with_the_same_content_are_merged_with_a_warning() {
    let folder = Folder::new();
    let sources = [
        folder.write("a.csv", "id,name,note\na,One,x\nb,Two,\na, One,x\n"),
        folder.write("b.jsonl", "{\"name\":\"Two\",\"id\":\"b\"}\n{\"note\":\"x\",\"id\":\"a\",\"name\":\"One\"}\n{\"id\":\"c\",\"name\":\"n\"}"),
    ];
    let (summary, rows) = read_all(&sources, &options(false)).unwrap();
    assert_eq!((summary.rows, summary.duplicates, summary.indicators()), (6, 3, 3));
    let warning = summary.warnings[0].replace(&format!("{}/", folder.0.path().display()), "");
    assert_eq!(
        warning,
        "3 duplicate rows merged: a.csv:4 repeats line 2, b.jsonl:1 repeats a.csv:3, b.jsonl:2 repeats a.csv:2"
    );
    let ids: Vec<&str> =
        rows.iter().map(|row| if let Row::Valid(row) = row { row.id.as_str() } else { "?" }).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn only_some_of_many_duplicates_are_named() {
    let folder = Folder::new();
    let source = folder.write("a.csv", format!("id,name\n{}", "a,One\n".repeat(6)));
    let (summary, _) = read_all(&[source], &options(false)).unwrap();
    assert!(summary.warnings[0].starts_with("5 duplicate rows merged: "));
    assert!(summary.warnings[0].ends_with(" repeats line 2 and 2 more"));
}

#[test]
fn rows_with_other_content_are_refused_naming_both_lines() {
    let text = bad("a.csv", "id,name,units,note\na,One,x,\nb,Two,,\na,One,y,\n");
    assert!(
        text.starts_with("a.csv:4: id `a` is already used on line 2, with other content (`units` differs)\n")
    );
    let text = bad("a.csv", "id,name,units,note\na,One,x,\na,Eins,x,z\n");
    assert!(text.contains("(`name`, `note` differ)"));
    let folder = Folder::new();
    let sources = [folder.write("a.csv", "id,name\na,One\n"), folder.write("b.csv", "id,name\na,Two\n")];
    let text = folder.say(&read_all(&sources, &options(false)).unwrap_err());
    assert!(text.starts_with("b.csv:2: id `a` is already used on a.csv:2, with"), "{text}");
}

#[test]
fn conflicts_and_bad_rows_are_reported_in_the_order_of_the_file() {
    let text = bad("a.csv", "id,name\na,One\na,Two\nb\na,Three\n");
    let lines: Vec<&str> = text.lines().take(4).collect();
    assert_eq!(lines[0], "3 of 4 rows cannot be used");
    assert!(lines[1].starts_with("a.csv:3: id `a`") && lines[2].starts_with("a.csv:4: expected"));
    assert!(lines[3].starts_with("a.csv:5: id `a`"));
}

#[test]
fn the_later_of_two_conflicting_rows_can_be_set_aside() {
    let (ids, invalid) = skipping("a.csv", "id,name\na,One\na,Two\nb,x,y\nb,Three\na,One\n");
    assert_eq!(ids, ["a", "b"], "a bad row does not claim its id");
    assert_eq!(invalid.len(), 2);
    assert_eq!(invalid[0].origin, "a.csv:3");
    assert_eq!(invalid[0].id.as_deref(), Some("a"));
    assert_eq!(invalid[0].message, "id `a` is already used on line 2, with other content");
    assert_eq!(invalid[0].raw, json!({"id": "a", "name": "Two"}));
}
