//! Every kind of bad input: exit code 2, a message with the place, nothing submitted, nothing overwritten. None of
//! this needs a cluster; a run that would submit fails with exit code 4 here, because no node listens.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::support::{Folder, NO_NODE, Ran};

const SKIP: &str = "hint: correct the input, or set such rows aside with `--skip-invalid`";
const OTHER_OUTPUT: &str = "hint: choose another place with `--output FILE`";
const OTHER_FAILURES: &str = "hint: choose another place with `--failures FILE`";

fn read(folder: &Folder, name: &str) -> String {
    std::fs::read_to_string(folder.path(name)).unwrap()
}

/// Runs `classify ARGS -o out.jsonl` over a file, where results and failures of an earlier run are, and expects a
/// usage error that leaves both as they are.
#[track_caller]
fn refused_file(name: &str, content: impl AsRef<[u8]>, args: &[&str]) -> Ran {
    let folder = Folder::new()
        .file(name, content)
        .file("out.jsonl", "earlier results")
        .file("out.failures.jsonl", "earlier failures");
    let ran = folder.classify(&[&[name, "-o", "out.jsonl"], &NO_NODE[..], args].concat());
    ran.failed(2);
    assert_eq!(read(&folder, "out.jsonl"), "earlier results");
    assert_eq!(read(&folder, "out.failures.jsonl"), "earlier failures");
    let mut names = [name, "out.failures.jsonl", "out.jsonl"];
    names.sort_unstable();
    assert_eq!(folder.names(), names, "nothing is left behind");
    ran
}

#[track_caller]
fn refused(name: &str, content: impl AsRef<[u8]>) -> Ran {
    refused_file(name, content, &[])
}

/// Runs `classify ARGS` in a folder with a good table and expects a usage error that changes nothing there.
#[track_caller]
fn refused_args(folder: &Folder, args: &[&str]) -> Ran {
    let before = folder.names();
    let ran = folder.classify(&[args, &NO_NODE[..]].concat());
    ran.failed(2);
    assert_eq!(folder.names(), before, "nothing is left behind");
    ran
}

// Files

#[test]
fn a_missing_file() {
    let folder = Folder::with_table();
    refused_args(&folder, &["no.csv"])
        .said(&["error: cannot open no.csv: no such file", "hint: check the path; `-` reads standard input"]);
    // Also when it is not the first.
    refused_args(&folder, &["a.csv", "no.csv"]).mentioned(&["cannot open no.csv"]);
    refused_args(&folder, &["a.csv/b.csv"]).mentioned(&["cannot open a.csv/b.csv", "not a directory"]);
}

#[test]
fn a_directory() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("tables.csv")).unwrap();
    refused_args(&folder, &["tables.csv"]).said(&[
        "error: tables.csv: is a directory",
        "hint: name the files in it, for instance `tables.csv/*.csv`",
    ]);
}

#[test]
fn nothing_in_it() {
    refused("a.csv", "").said(&["error: a.csv: no indicators: it is empty"]);
    refused("a.json", "").said(&["error: a.json: no indicators: it is empty"]);
    refused("a.jsonl", "\n\n").said(&["error: a.jsonl: no indicators: it is empty"]);
    refused("a.json", "[]").said(&["error: a.json: no indicators: the array is empty"]);
    refused("a.csv", "id,name\n").said(&["error: a.csv: no indicators: there is only a header"]);
    Folder::new().classify(&["-"]).failed(2).said(&["error: stdin: no indicators: it is empty"]);
}

#[test]
fn not_utf_8() {
    let latin_1 = b"id,name\na,One\nb,M\xfcnchen\n";
    refused("a.csv", latin_1).mentioned(&["error: a.csv:3: not UTF-8: byte 0xfc at offset 17", "hint: "]);
    refused("a.jsonl", b"{\"id\":\"a\",\"name\":\"\xff\"}").mentioned(&["error: a.jsonl:1: not UTF-8"]);
    refused("a.csv", b"\xff\xfei\0d\0,\0").mentioned(&["UTF-16", "hint: "]);
    // Set aside are rows, never broken files.
    refused_file("a.csv", latin_1, &["--skip-invalid"]).mentioned(&["a.csv:3: not UTF-8"]);
}

#[test]
fn an_unknown_extension() {
    refused("table.xlsx", "id,name\na,One\n").said(&[
        "error: table.xlsx: cannot tell the format: unknown extension `.xlsx`",
        "hint: name it: `--input-format csv|json|jsonl`",
    ]);
    refused("table", "id,name\na,One\n").mentioned(&["error: table: cannot tell the format: no extension"]);
    refused("table.csv.gz", "x").mentioned(&["unknown extension `.gz`", "hint: decompress it"]);
    let named = Folder::new().file("table.txt", "id,name\na,One\n");
    named.classify(&[&["table.txt", "--input-format", "csv"], &NO_NODE[..]].concat()).failed(4);
}

// Rows

#[test]
fn a_csv_without_id_or_name() {
    refused("a.csv", "indicator_id,name\n1,One\n").said(&[
        "error: a.csv:1: no column `id`",
        "  columns found: indicator_id, name",
        "hint: rename column `indicator_id` to `id`",
        "hint: the first row must name the columns; `id` and `name` are required",
    ]);
    refused("a.csv", "id,units\n1,EUR\n").mentioned(&["error: a.csv:1: no column `name`"]);
    refused("a.csv", "GDP,EUR\n").mentioned(&["error: a.csv:1: no columns `id` and `name`"]);
}

#[test]
fn a_ragged_row() {
    let ragged = "id,name\n\na,\"One\nand a half\"\nb,Two,3\n";
    refused("a.csv", ragged).said(&["error: a.csv:5: expected 2 fields, found 3", SKIP]);
    let several = refused("a.csv", "id,name\na\nb,Two\nc,Three,3\n");
    several.said(&[
        "error: 2 of 3 rows cannot be used",
        "  a.csv:2: expected 2 fields, found 1",
        "  a.csv:4: expected 2 fields, found 3",
        SKIP,
    ]);
}

#[test]
fn an_id_with_two_contents() {
    refused("a.csv", "id,name\nx,One\ny,Two\nx,Three\n").said(&[
        "error: a.csv:4: id `x` is already used on line 2, with other content (`name` differs)",
        SKIP,
    ]);
    let folder = Folder::with_table().file("b.jsonl", "{\"id\":\"a\",\"name\":\"Other\"}\n");
    refused_args(&folder, &["a.csv", "b.jsonl"])
        .mentioned(&["error: b.jsonl:1: id `a` is already used on a.csv:2"]);
}

#[test]
fn json_without_an_object_per_row() {
    refused("a.jsonl", "{\"id\":\"a\",\"name\":\"One\"}\n[1]\n")
        .mentioned(&["error: a.jsonl:2: expected an object"]);
    refused("a.json", "[\n{\"id\":\"a\",\"name\":\"One\"},\n7]")
        .said(&["error: a.json:3: expected an object, found the number 7", SKIP]);
    refused("a.json", "{\"id\":\"a\",\"name\":\"One\"}")
        .mentioned(&["error: a.json:1:1: expected an array of objects", "--input-format jsonl"]);
    refused("a.jsonl", "{\"id\":").mentioned(&["error: a.jsonl:1:", "not valid JSON"]);
    refused("a.json", "[{\"id\":\"a\",\"name\":\"One\"},").mentioned(&["the array is never closed"]);
}

#[test]
fn a_number_where_text_belongs() {
    refused("a.jsonl", "{\"id\":\"a\",\"name\":\"One\"}\n{\"id\":7,\"name\":\"Two\"}\n")
        .said(&["error: a.jsonl:2: column `id` must be text, found the number 7", SKIP]);
    refused("a.json", "[{\"id\":\"a\",\"name\":\"One\",\"units\":1.5}]")
        .said(&["error: a.json:1: column `units` must be text, found the number 1.5", SKIP]);
}

#[test]
fn a_cell_of_40_mb() {
    let cell = "x".repeat(40_000_000);
    let csv = refused("a.csv", format!("id,name\na,One\nb,{cell}\n"));
    csv.said(&["error: a.csv:3: column `name` holds more than 1 MiB", SKIP]);
    let jsonl = refused("a.jsonl", format!("{{\"id\":\"b\",\"name\":\"{cell}\"}}\n"));
    jsonl.mentioned(&["error: a.jsonl:1: ", "8 MiB", SKIP]);
    assert!(jsonl.stderr.len() < 1_000, "the cell is not shown");
}

// Places

#[test]
fn an_output_that_cannot_be_written() {
    let folder = Folder::with_table().file("read-only.jsonl", "kept").file("file", "");
    std::fs::create_dir(folder.path("dir.jsonl")).unwrap();
    std::fs::set_permissions(folder.path("read-only.jsonl"), std::fs::Permissions::from_mode(0o444)).unwrap();
    for (place, why) in [
        ("dir.jsonl", "it is a directory"),
        ("read-only.jsonl", "it is read-only"),
        ("missing/out.jsonl", "No such file or directory"),
        ("file/out.jsonl", "Not a directory"),
    ] {
        let message = format!("error: cannot write {place}: {why}");
        refused_args(&folder, &["a.csv", "-o", place]).mentioned(&[&message, OTHER_OUTPUT]);
        refused_args(&folder, &["a.csv", "--failures", place]).mentioned(&[&message, OTHER_FAILURES]);
    }
    assert_eq!(read(&folder, "read-only.jsonl"), "kept");
}

#[test]
fn an_output_that_is_the_input() {
    let folder = Folder::with_table();
    symlink(folder.path("a.csv"), folder.path("link.csv")).unwrap();
    std::fs::create_dir(folder.path("sub")).unwrap();
    let absolute = folder.path("a.csv").display().to_string();
    for place in ["a.csv", "./a.csv", "sub/../a.csv", "link.csv", &absolute] {
        let message = format!("error: output {place} is the input a.csv");
        refused_args(&folder, &["a.csv", "-o", place]).said(&[&message, OTHER_OUTPUT]);
        let message = format!("error: failures file {place} is the input a.csv");
        refused_args(&folder, &["a.csv", "--failures", place]).said(&[&message, OTHER_FAILURES]);
    }
    // It may be any of them, and the input may be the link.
    refused_args(&folder, &["other.csv", "link.csv", "-o", "a.csv"]).mentioned(&["is the input link.csv"]);
    assert_eq!(read(&folder, "a.csv"), "id,name\na,One\n");
}

#[test]
fn results_and_failures_in_one_place() {
    let folder = Folder::with_table();
    std::fs::create_dir(folder.path("sub")).unwrap();
    for failures in ["out.jsonl", "./out.jsonl", "sub/../out.jsonl"] {
        refused_args(&folder, &["a.csv", "-o", "out.jsonl", "--failures", failures])
            .said(&["error: results and failures both go to out.jsonl", OTHER_FAILURES]);
    }
}

#[test]
fn an_output_of_unknown_format() {
    let folder = Folder::with_table();
    refused_args(&folder, &["a.csv", "-o", "out.xlsx"]).said(&[
        "error: cannot tell the format of out.xlsx from its extension",
        "hint: name it with `--output-format jsonl` or `--output-format csv`",
    ]);
    folder
        .classify(&[&["a.csv", "-o", "out.xlsx", "--output-format", "csv"], &NO_NODE[..]].concat())
        .failed(4);
}

#[test]
fn stdout_wanted_twice() {
    refused_args(&Folder::with_table(), &["a.csv", "-o", "-", "--json"])
        .said(&["error: `--output -` and `--json` both want stdout", "hint: write the results to a file"]);
}

// Numbers and names

#[test]
fn numbers_that_make_no_sense() {
    let folder = Folder::with_table();
    for flag in ["--rpm", "--rpm-per-node", "--batch-size", "--max-in-flight"] {
        for number in ["0", "-1", "abc", "1.5", "99999999999"] {
            let message = format!("error: invalid value '{number}' for '{flag} <N>': must be a whole number");
            refused_args(&folder, &["a.csv", flag, number]).mentioned(&[&message]);
        }
    }
}

#[test]
fn a_batch_that_is_larger_than_all_that_may_be_unfinished() {
    let folder = Folder::with_table();
    refused_args(&folder, &["a.csv", "--batch-size", "11", "--max-in-flight", "10"]).said(&[
        "input      a.csv: 1 indicator",
        "error: a batch of 11 rows (`--batch-size`) is more than may be unfinished at once: 10 (`--max-in-flight`)",
        "hint: use smaller batches: `--batch-size 10`",
    ]);
    folder
        .classify(&[&["a.csv", "--batch-size", "10", "--max-in-flight", "10"], &NO_NODE[..]].concat())
        .failed(4);
}

#[test]
fn an_unknown_mode() {
    let folder = Folder::with_table();
    refused_args(&folder, &["--mode", "fsat", "a.csv"])
        .said(&["error: unknown mode `fsat`", "hint: did you mean `fast`? (safe, fast, ultra, max)"]);
    refused_args(&folder, &["-m", "warp", "a.csv"])
        .said(&["error: unknown mode `warp`", "hint: use one of: safe, fast, ultra, max"]);
}

#[test]
fn a_batch_over_the_server_s_limit() {
    let row = |index: usize| format!("{{\"id\":\"{index}\",\"name\":\"{}\"}}\n", "x".repeat(100_000));
    let rows: String = (0..400).map(row).collect();
    refused_file("a.jsonl", &rows, &["--batch-size", "1000"]).said(&[
        "input      a.jsonl: 400 indicators",
        "error: the batch of 400 rows `0` to `399` has 39 MiB",
        "  the server takes at most 32 MiB in one request",
        "hint: use smaller batches: `--batch-size 200`",
    ]);
    let folder = Folder::new().file("a.jsonl", &rows);
    folder.classify(&[&["a.jsonl", "--batch-size", "200"], &NO_NODE[..]].concat()).failed(4);
}

// Good but odd: these get as far as the cluster.

#[test]
fn a_byte_order_mark_line_ends_of_windows_and_blank_lines_are_fine() {
    let folder = Folder::new().file("a.csv", "\u{feff}\r\nid,name\r\n\r\na,One\r\n,\r\nb,\"Two\"\r\n\r\n");
    let ran = folder.classify(&[&["a.csv"], &NO_NODE[..]].concat());
    ran.failed(4).mentioned(&["input      a.csv: 2 indicators\n", "no Restate node answers"]);
}

#[test]
fn a_repeated_row_is_merged_with_a_warning() {
    let folder = Folder::new().file("a.csv", "id,name\na,One\nb,Two\na,One\n");
    let ran = folder.classify(&[&["a.csv"], &NO_NODE[..]].concat());
    ran.failed(4).mentioned(&["warning: ", "input      a.csv: 2 indicators, 1 duplicate merged\n"]);
}

#[test]
fn bad_rows_can_be_set_aside() {
    let folder = Folder::new().file("a.csv", "id,name\na,One\nb\nc,Three,3\na,Other\n");
    let ran = folder.classify(&[&["a.csv", "--skip-invalid"], &NO_NODE[..]].concat());
    ran.failed(4).mentioned(&["input      a.csv: 4 indicators, 3 invalid\n"]);
}

#[test]
fn without_a_cluster_each_node_is_named() {
    let folder = Folder::with_table().file("a.classified.jsonl", "earlier results");
    let nodes = "http://127.0.0.1:1,http://127.0.0.1:20/,http://127.0.0.1:300";
    folder.classify(&["a.csv", "--ingress", nodes]).failed(4).said(&[
        "input      a.csv: 1 indicator",
        "error: no Restate node answers",
        "  http://127.0.0.1:1    connection refused",
        "  http://127.0.0.1:20   connection refused",
        "  http://127.0.0.1:300  connection refused",
        "hint: start a cluster with `classify cluster start`, or let this command do it: add `--up`",
    ]);
    assert_eq!(folder.names(), ["a.classified.jsonl", "a.csv"]);
    assert_eq!(read(&folder, "a.classified.jsonl"), "earlier results");
    // The run was made while the nodes were asked, and is gone again.
    assert_eq!(std::fs::read_dir(folder.path("home/runs")).unwrap().count(), 0);
    // With the header of a CSV waiting for its first row.
    folder.classify(&[&["a.csv", "-o", "-", "--output-format", "csv"], &NO_NODE[..]].concat()).failed(4);
}

#[test]
fn rows_of_an_interrupted_run_survive_one_that_cannot_start() {
    let folder = Folder::with_table().file("a.classified.jsonl.partial", "paid for");
    folder.classify(&[&["a.csv"], &NO_NODE[..]].concat()).failed(4);
    assert_eq!(read(&folder, "a.classified.jsonl.partial"), "paid for");
}
