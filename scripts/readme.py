#!/usr/bin/env python3
"""Runs the commands of README.md's blocks marked `sh run`, as they are written there, and holds what they leave against the README.

    scripts/readme.py [first|tests]     # the first command, or the second; both without a word

The first command must say what the block after it shows, but for numbers, times and ids, and every row of the example must be among the
results, once. State and downloads go to a folder of their own; what was started is stopped, whatever happens."""

import csv
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RESULTS = ROOT / "examples/indicators.classified.jsonl"
BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(readme):
    """Commands of the blocks to run, and the first block of plain text after them."""
    commands, shown = [], None
    for block in BLOCK.finditer(readme):
        if block["kind"] == "sh run":
            commands += block["text"].splitlines()
        elif block["kind"] == "text" and commands and shown is None:
            shown = block["text"]
    return commands, shown


def shape(text):
    """What stays the same from one run to another."""
    text = re.sub(r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ID", text)
    text = re.sub(r"\S+/cache/", "CACHE/", text)
    text = re.sub(r"\d+(,\d{3})*(\.\d+)?", "N", text)
    return [re.sub(r" {2,}", "  ", line.rstrip()) for line in text.splitlines()]


def differences(shown, said):
    """Lines that only one of both has, in order."""
    import difflib

    lines = difflib.unified_diff(shape(shown), shape(said), "README.md", "the command", lineterm="", n=0)
    return [line for line in lines if not line.startswith("@@")]


def problems(results, table):
    """What is wrong with the results of a table, both as texts."""
    asked = sorted(row["id"] for row in csv.DictReader(table.splitlines()))
    rows = [json.loads(line) for line in results.splitlines()]
    found = []
    if sorted(row["id"] for row in rows) != asked:
        found.append(f"{len(rows)} results for {len(asked)} rows, or other ids")
    if not all(row["labels"]["family"] and 0 <= row["confidence"] <= 1 for row in rows):
        found.append("a result without labels")
    return found


def can_fail():
    """The checks above see what they are for."""
    shown = "run        01M8EZ5GTMFTVYW03EECNVCYQ0\nclassified 142 of 142 in 9.2 s; 0 failed\n"
    assert not differences(shown, shown.replace("142", "1,042").replace("01M8E", "01M9E"))
    assert differences(shown, shown.replace("failed", "lost"))
    assert differences(shown, shown + "service    gone\n")
    table = "id,name\na,One\nb,Two\n"
    row = '{"id":"%s","labels":{"family":"x"},"confidence":0.5}\n'
    assert not problems(row % "b" + row % "a", table)
    assert problems(row % "a" + row % "a", table) and problems(row % "a", table)


def first(command, shown, env):
    """The main job."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 8080)) == 0:
            sys.exit("something listens on port 8080 already; the README's command would use it")
    RESULTS.unlink(missing_ok=True)
    try:
        ran = subprocess.run(["bash", "-c", command], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    finally:
        subprocess.run([TARGET / "release/classify", "-q", "cluster", "clean", "--yes"], env=env, check=False)
    print(ran.stderr, end="")
    if ran.returncode != 0:
        sys.exit(f"the command ended with {ran.returncode}")
    # Cargo speaks first.
    said = ran.stderr[ran.stderr.index("input "):]
    wrong = differences(shown, said) + problems(RESULTS.read_text(), (ROOT / "examples/indicators.csv").read_text())
    if wrong:
        sys.exit("README.md is not what happened:\n" + "\n".join(wrong))
    print("the first command says what README.md shows, and every row has its result")


def main():
    can_fail()
    which = sys.argv[1:] or ["first", "tests"]
    commands, shown = blocks((ROOT / "README.md").read_text())
    assert len(commands) == 2 and shown, commands
    os.chdir(ROOT)
    for word in which:
        command = commands[["first", "tests"].index(word)]
        print(f"$ {command}", flush=True)
        if word == "tests":
            subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, check=True)
            continue
        with tempfile.TemporaryDirectory() as home:
            # A home of its own, and what the README shows also on a machine with Docker.
            env = {k: v for k, v in os.environ.items() if not k.startswith(("CLASSIFY_", "RESTATE_"))}
            first(command, shown, {**env, "CLASSIFY_HOME": home, "CLASSIFY_RUNTIME": "native"})


if __name__ == "__main__":
    main()
