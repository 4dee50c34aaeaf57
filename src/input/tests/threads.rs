//! Tables that are long enough to be read on several threads.

use std::fmt::Write as _;

use super::*;

const ROWS: usize = 4_000;
/// Enough of it makes a row of a quarter of a kilobyte, and a table of sixteen times what one thread reads at once.
const PADDING: usize = 200;

/// One object a line; `special` may put another text in a row's place.
fn lines(special: impl Fn(usize) -> Option<String>) -> Vec<String> {
    let padding = "x".repeat(PADDING);
    let row = |number| format!(r#"{{"id":"{number}","name":"n","note":"{padding}"}}"#);
    (0..ROWS).map(|number| special(number).unwrap_or_else(|| row(number))).collect()
}

fn array(lines: &[String]) -> String {
    format!("[\n{}\n]", lines.join(",\n"))
}

#[test]
fn rows_keep_their_order_and_their_hashes() {
    let folder = Folder::new();
    let rows = lines(|number| (number % 1_000 == 999).then(|| r#"{"id":"7","name":"n"}"#.to_owned()));
    let rows = [&rows[..7], &rows[8..]].concat();
    for source in [folder.write("a.jsonl", rows.join("\n")), folder.write("a.json", array(&rows))] {
        let keys = Keys::random();
        let mut checked = check_with(&[source], &options(false), keys, &mut std::io::empty()).unwrap();
        assert_eq!((checked.summary().rows, checked.summary().duplicates), (3_999, 3));
        let hashes: Vec<u64> = checked.take_rows().map(|row| row.id).collect();
        let rows: Vec<Row> = checked.rows().collect::<Result<_, _>>().unwrap();
        let ids = rows.iter().map(|row| if let Row::Valid(row) = row { row.id.as_str() } else { "?" });
        assert_eq!(hashes, ids.map(|id| keys.id(id)).collect::<Vec<_>>());
        assert_eq!(hashes.len(), 3_996);
    }
}

#[test]
fn the_first_of_many_bad_rows_are_shown_in_order() {
    // Rows that are too long are noticed elsewhere than those that cannot be read.
    let too_long = || format!(r#"{{"id":"long","name":"{}"}}"#, "x".repeat(super::super::MAX_ROW));
    let rows = lines(|number| match number {
        50 => Some(too_long()),
        49 | 51 | 900 | 2_000 | 3_999 => Some(format!("{{\"id\":\"{number}\"}}")),
        3_000 => Some(r#"{"id":"0","name":"other"}"#.to_owned()),
        _ => None,
    });
    let mut expected = "7 of 4000 rows cannot be used\n".to_owned();
    for (line, what) in [
        (50, "`name` is missing"),
        (51, "the row is longer than 8 MiB"),
        (52, "`name` is missing"),
        (901, "`name` is missing"),
        (2_001, "`name` is missing"),
    ] {
        writeln!(expected, "a.jsonl:{line}: {what}").unwrap();
    }
    expected.push_str("and 2 more\n");
    let text = bad("a.jsonl", rows.join("\n"));
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn an_array_is_broken_where_it_is_broken_first() {
    for _ in 0..20 {
        let text = bad("a.json", array(&lines(|number| (number % 300 == 299).then(|| "{]}".to_owned()))));
        assert!(text.starts_with("a.json:301:2: not valid JSON"), "{text}");
        // Broken JSON stands before the end that is missing.
        let cut_off = array(&lines(|number| (number == 3_000).then(|| "{]}".to_owned())));
        let text = bad("a.json", cut_off.trim_end_matches(']'));
        assert!(text.starts_with("a.json:3002:2: not valid JSON"), "{text}");
    }
}
