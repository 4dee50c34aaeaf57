//! Bad files, and what is fine though it looks odd.

use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::*;

fn from_stdin(text: &str, format: Option<Format>) -> Result<Checked, Failure> {
    check_with(
        &[Source::Stdin],
        &Options { format, skip_invalid: false },
        Keys::random(),
        &mut text.as_bytes(),
    )
}

#[test]
fn a_byte_order_mark_crlf_and_blank_lines_are_fine() {
    let csv = good("a.csv", "\u{feff}\r\nid,name\r\n\r\n\r\na,One\r\n,\r\nb,\"Two\"\r\n\r\n");
    let jsonl = good(
        "a.jsonl",
        "\u{feff}\r\n{\"id\":\"a\",\"name\":\"One\"}\r\n  \r\n{\"id\":\"b\",\"name\":\"Two\"}",
    );
    let json = good(
        "a.json",
        "\u{feff} [\r\n{\"id\":\"a\",\"name\":\"One\"} ,\r\n\r\n{\"id\":\"b\",\"name\":\"Two\"}]\r\n",
    );
    assert_eq!(csv.len(), 2);
    assert_eq!(csv, jsonl);
    assert_eq!(csv, json);
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = Folder::new();
    let path = |name: &str| Source::File(folder.0.path().join(name));
    let say = |source: Source| folder.say(&read_all(&[source], &options(false)).unwrap_err());
    assert!(say(path("no.csv")).starts_with("cannot open no.csv: no such file\nhint: "));
    std::fs::create_dir(folder.0.path().join("sub.csv")).unwrap();
    assert!(say(path("sub.csv")).starts_with("sub.csv: is a directory\nhint: name the files in it"));
    let format = say(folder.write("table.xlsx", "x"));
    assert_eq!(
        format,
        "table.xlsx: cannot tell the format: unknown extension `.xlsx`\nhint: name it: `--input-format csv|json|jsonl`"
    );
    assert!(say(folder.write("table", "x")).contains("no extension"));
    assert!(say(folder.write("table.csv.gz", "x")).contains("zcat"));
    let device = Source::File(PathBuf::from("/dev/null"));
    assert_eq!(say(device), "/dev/null: no indicators: it is empty", "what cannot be rewound is spooled");
    assert!(
        check_with(&[], &options(false), Keys::random(), &mut std::io::empty())
            .unwrap_err()
            .message()
            .contains("no input")
    );
}

#[test]
fn a_named_format_overrules_the_extension() {
    let folder = Folder::new();
    let source = folder.write("table.txt", "id,name\na,One\n");
    let (summary, _) =
        read_all(&[source], &Options { format: Some(Format::Csv), skip_invalid: false }).unwrap();
    assert_eq!(summary.rows, 1);
}

#[test]
fn nothing_to_do_is_an_error() {
    assert_eq!(bad("a.csv", ""), "a.csv: no indicators: it is empty");
    assert_eq!(bad("a.csv", "\n\r\n"), "a.csv: no indicators: it is empty");
    assert_eq!(bad("a.csv", "id,name\n\n"), "a.csv: no indicators: there is only a header");
    assert_eq!(bad("a.json", " \n"), "a.json: no indicators: it is empty");
    assert_eq!(bad("a.json", "[ ]"), "a.json: no indicators: the array is empty");
    assert_eq!(bad("a.jsonl", "\u{feff}"), "a.jsonl: no indicators: it is empty");
}

#[test]
fn text_that_is_not_utf8_is_located() {
    assert!(
        bad("a.csv", b"id,name\na,M\xfcller\n")
            .starts_with("a.csv:2: not UTF-8: byte 0xfc at offset 11\nhint: ")
    );
    assert!(bad("a.jsonl", b"{\"id\":\"a\",\"name\":\"\xff\"}").starts_with("a.jsonl:1: not UTF-8"));
    assert!(bad("a.json", b"[\n\n\"\xe2\x82").starts_with("a.json:3: not UTF-8"));
    assert!(bad("a.csv", b"\xff\xfei\0d\0").contains("UTF-16"));
    assert!(bad("a.csv", b"\x1f\x8b\x08\0").contains("zcat"));
}

#[test]
fn lines_that_end_in_a_carriage_return_are_counted() {
    let place = |text: &str| bad("a.csv", text).lines().next().unwrap().to_owned();
    assert_eq!(place("id,name\ra,One\rb,\rc,Three\r"), "a.csv:3: `name` is empty");
    assert_eq!(place("\rid,name\ra,\"O\rne\"\rb,"), "a.csv:5: `name` is empty");
    assert_eq!(place("id,name\r\na,One\r\nb,\r\n"), "a.csv:3: `name` is empty");
    assert_eq!(place("id,name\na,\"O\rne\"\nb,\n"), "a.csv:3: `name` is empty", "it ends no line there");
    let text = bad("a.csv", b"id,name\ra,One\rb,\xff\r");
    assert!(text.starts_with("a.csv:3: not UTF-8"), "{text}");
}

#[test]
fn a_line_for_a_spreadsheet_is_recognised() {
    let text = bad("a.csv", "sep=,\nid,name\na,One\n");
    assert!(text.contains("hint: the line `sep=` is meant for a spreadsheet: remove it"), "{text}");
    let text = bad("a.csv", "SEP=;\nid;name\na;One\n");
    assert!(text.contains("hint: the line `SEP=;` is meant for a spreadsheet: remove it"), "{text}");
}

#[test]
fn columns_that_are_missing_are_named_with_a_suggestion() {
    assert_eq!(
        bad("a.csv", "\nindicator_id,name,units\n1,2,3\n"),
        "a.csv:2: no column `id`\ncolumns found: indicator_id, name, units\n\
         hint: rename column `indicator_id` to `id`\n\
         hint: the first row must name the columns; `id` and `name` are required"
    );
    assert!(bad("a.csv", "x,y\n1,2\n").starts_with("a.csv:1: no columns `id` and `name`\n"));
    assert!(bad("a.csv", "id;name\n1;2\n").contains("separated by commas"));
    let json = bad("a.csv", "{\"id\":\"a\",\"name\":\"n\"}\n");
    assert!(json.contains("looks like JSON") && !json.contains("rename"));
}

#[test]
fn a_column_given_twice_is_refused() {
    assert!(bad("a.csv", "id,name,ID\n").starts_with("a.csv:1: columns `id` and `ID` both mean id\n"));
    let both = bad("a.csv", "id,name,description,definition\n");
    assert!(both.starts_with("a.csv:1: columns `description` and `definition` both mean definition\n"));
}

#[test]
fn broken_json_is_located() {
    assert!(
        bad("a.json", "[\n{\"id\":\"a\",\n  \"name\" \"One\"}]")
            .starts_with("a.json:3:10: not valid JSON: expected `:`")
    );
    assert_eq!(bad("a.json", "[{\"id\": 01}]"), "a.json:1:10: not valid JSON: invalid number");
    assert!(
        bad("a.json", "[{\"id\":\"a\",\"name\":\"b\"} {}]")
            .starts_with("a.json:1:24: not valid JSON: expected `,` or `]`")
    );
    assert!(bad("a.json", "[{\"id\":\"a\",\"name\":\"b\"},]").contains("expected an element after `,`"));
    assert!(
        bad("a.json", "[{\"id\":\"a\",\"name\":\"b\"},\n")
            .starts_with("a.json:2:1: the array is never closed")
    );
    assert!(bad("a.json", "[{\"id\":\"a\"").contains("the array is never closed"));
    assert!(
        bad("a.json", "[{\"id\":\"a\",\"name\":\"b\"}]\n x").starts_with("a.json:2:2: text after the end")
    );
    assert!(bad("a.json", "[,]").contains("not valid JSON"));
    assert!(bad("a.json", "[}").contains("not valid JSON"));
    assert!(bad("a.jsonl", "\n  {\"id\" 1}").starts_with("a.jsonl:2:9: not valid JSON: expected `:`"));
    let half = "[\n{\"id\":\"a\",\n\"note\"\n:[1,\"\\ud800\"]}]";
    assert_eq!(bad("a.json", half), "a.json:4:14: not valid JSON: unexpected end of hex escape");
    // The line break in a text is where the text goes wrong; no column comes before the first.
    let broken = bad("a.json", "[{\"id\":\"a\nb\",\"name\":\"One\"}]");
    assert!(broken.starts_with("a.json:2:1: not valid JSON: control character"), "{broken}");
}

#[test]
fn the_wrong_kind_of_json_is_recognised() {
    let object = bad("a.json", "{\"id\":\"a\",\"name\":\"b\"}\n");
    assert!(object.starts_with("a.json:1:1: expected an array of objects, found an object\n"));
    assert!(object.contains("--input-format jsonl"));
    assert!(bad("a.json", "id,name\n").starts_with("a.json:1:1: expected an array of objects\n"));
    assert!(bad("a.jsonl", "[\n{\"id\":\"a\"}]").contains("--input-format json`"));
    assert!(bad("a.jsonl", "[{\"id\":\"a\"}]").contains("--input-format json`"));
}

#[test]
fn a_quote_that_is_never_closed_is_no_end_of_file() {
    let unclosed = bad("a.csv", "id,name\na,One\nb,\"Two\nc,Three\n");
    assert!(unclosed.starts_with("a.csv:3: a quote that opens in this row is never closed\n"), "{unclosed}");
    assert_eq!(good("a.csv", "id,name\na,\"One\"").len(), 1);
    assert_eq!(good("a.csv", "id,name\na,5\" pipe").remove(0).name, "5\" pipe");
}

#[test]
fn standard_input_is_spooled_and_its_format_recognised() {
    let row = "{\"id\":\"a\",\"name\":\"One\"}";
    let rows = |checked: Checked| checked.rows().collect::<Result<Vec<_>, _>>().unwrap().len();
    assert_eq!(rows(from_stdin(row, None).unwrap()), 1);
    assert_eq!(rows(from_stdin(&format!("\u{feff} [{row}]"), None).unwrap()), 1);
    assert_eq!(rows(from_stdin("id,name\na,One", Some(Format::Csv)).unwrap()), 1);
    let unknown = from_stdin("id,name\na,One", None).unwrap_err();
    assert_eq!(unknown.message(), "stdin: cannot tell the format");
    assert_eq!(unknown.hints(), ["name it: `--input-format csv|json|jsonl`"]);
    assert_eq!(from_stdin(" \n", None).unwrap_err().message(), "stdin: no indicators: it is empty");
    assert_eq!(from_stdin("{}", None).unwrap_err().message(), "stdin:1: `id` is missing");
    let twice =
        check_with(&[Source::Stdin, Source::Stdin], &options(false), Keys::random(), &mut std::io::empty());
    assert!(twice.unwrap_err().message().contains("only once"));
    assert_eq!(Source::from(PathBuf::from("-")), Source::Stdin);
}

#[test]
fn the_digest_is_that_of_the_bytes() {
    let folder = Folder::new();
    let sources =
        [folder.write("a.csv", "\u{feff}id,name\r\na,One\n"), folder.write("b.csv", "id,name\nb,Two\n")];
    let (summary, _) = read_all(&sources, &options(false)).unwrap();
    // printf '\xef\xbb\xbfid,name\r\na,One\nid,name\nb,Two\n' | sha256sum
    assert_eq!(summary.digest, "84b3dff0265b458a6bafc9ab26193c5d772d4b36ece63e1f8e3234bd8aecf4b5");
    assert_eq!((summary.files, summary.rows), (2, 2));
}

#[test]
fn a_file_replaced_between_the_passes_does_no_harm_and_a_changed_one_is_noticed() {
    let folder = Folder::new();
    let source = folder.write("a.csv", "id,name\na,One\n");
    let Source::File(path) = &source else { panic!("no file") };
    let checked =
        check_with(std::slice::from_ref(&source), &options(false), Keys::random(), &mut std::io::empty())
            .unwrap();
    folder.write("b.csv", "nonsense");
    std::fs::rename(folder.0.path().join("b.csv"), path).unwrap();
    assert_eq!(checked.rows().flatten().count(), 1);

    for change in
        ["id,name\na,Two\n", "id,name\na,Onex,\n", "id,name\na,\"Onex\n", "id,name\na,On\u{e9}\nb,c\n"]
    {
        folder.write("a.csv", "id,name\na,One\n");
        let checked =
            check_with(std::slice::from_ref(&source), &options(false), Keys::random(), &mut std::io::empty())
                .unwrap();
        let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(change.as_bytes()).unwrap();
        let mut rows = checked.rows();
        let failure = rows.find_map(Result::err).unwrap();
        assert!(folder.say(&failure).starts_with("a.csv changed while it was being read\n"), "{change}");
        assert!(rows.next().is_none());
    }
}

#[test]
fn every_file_is_opened_before_the_first_is_read() {
    let folder = Folder::new();
    let sources = [folder.write("a.csv", "nonsense"), Source::File(folder.0.path().join("no.csv"))];
    let failure = read_all(&sources, &options(false)).unwrap_err();
    assert!(folder.say(&failure).starts_with("cannot open no.csv"));
}
