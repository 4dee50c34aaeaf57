#!/usr/bin/env bash
# Runs the commands of README.md's first screen as they are written there: the fenced blocks marked `sh run`.
# The state goes to a folder of its own, and what was started is stopped, whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
CLASSIFY_HOME=$(mktemp -d)
# What the README shows, also on a machine with Docker.
CLASSIFY_RUNTIME=native
export CLASSIFY_HOME CLASSIFY_RUNTIME

if (: </dev/tcp/127.0.0.1/8080) 2>/dev/null; then
  echo "something listens on port 8080 already; the README's commands would use it" >&2
  exit 1
fi

finish() {
  [ ! -x target/release/classify ] || target/release/classify -q cluster clean --yes
  rm -rf "$CLASSIFY_HOME"
}
trap finish EXIT

commands=$(awk '/^```sh run$/ { on = 1; next } /^```$/ { on = 0 } on' README.md)
[ -n "$commands" ] || { echo "README.md has no commands to run" >&2; exit 1; }
while IFS= read -r command; do
  echo "\$ $command"
  bash -euo pipefail -c "$command" </dev/null
done <<<"$commands"

rows=$(($(python3 -c 'import csv; print(sum(1 for _ in csv.reader(open("examples/indicators.csv", newline="", encoding="utf-8"))))') - 1))
results=$(wc -l <examples/indicators.classified.jsonl)
[ "$rows" -eq "$results" ] || { echo "$results results for $rows rows" >&2; exit 1; }
echo "the main job left $results results for $rows rows"
