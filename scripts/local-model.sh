#!/usr/bin/env bash
# Twelve rows through a real server on this machine: llama.cpp with a model so small that it knows nothing. It decodes under the schema
# that it is sent, so every answer has to be valid, whatever it says; and none may be asked for twice.
#
#   scripts/local-model.sh FOLDER      # keeps Python packages and the model there (500 MB)
#
# Needs Python with venv, and its registry once. $CLASSIFY is the binary (default target/release/classify).
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:?a folder for what is downloaded}
classify=$(realpath "${CLASSIFY:-target/release/classify}")
if [ ! -x "$work/venv/bin/python" ]; then
  python3 -m venv "$work/venv.new"
  "$work/venv.new/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r scripts/local-model.txt
  mv "$work/venv.new" "$work/venv"
fi

home=$(mktemp -d)
export CLASSIFY_HOME=$home/state CLASSIFY_CACHE=${CLASSIFY_CACHE:-$PWD/target/restate-cache} CLASSIFY_CLUSTER=local-model
model= service=
finish() {
  [ -z "$service" ] || kill "$service" 2>/dev/null || true
  [ -z "$model" ] || kill "$model" 2>/dev/null || true
  "$classify" -q cluster clean --yes --name local-model || true
  rm -rf "$home"
}
trap finish EXIT

mkfifo "$home/open"
"$work/venv/bin/python" scripts/local-model.py "$work" <"$home/open" >"$home/url" 2>"$home/model.log" &
model=$!
exec 8>"$home/open"
until [ -s "$home/url" ]; do
  kill -0 "$model" || { cat "$home/model.log" >&2; exit 1; }
  sleep 0.2
done

"$classify" -q cluster start --runtime native --ports auto --name local-model
CLASSIFY_COMPATIBLE_URL=$(head -1 "$home/url") "$classify" serve --register --bind 127.0.0.1:0 --llm-concurrency 1 \
  --llm-timeout 900 2>"$home/service.log" &
service=$!
until grep -q "registered" "$home/service.log"; do
  kill -0 "$service" || { cat "$home/service.log" >&2; exit 1; }
  sleep 0.2
done

head -13 examples/indicators.csv >"$home/twelve.csv"
"$classify" --provider compatible --model gemma-3-270m --mode max --batch-size 3 --json -o "$home/twelve.jsonl" "$home/twelve.csv" >"$home/report.json"
"$work/venv/bin/python" - "$home/report.json" "$home/twelve.jsonl" <<'PY'
import json, sys

report = json.load(open(sys.argv[1]))
rows = [json.loads(line) for line in open(sys.argv[2])]
assert report["totals"]["succeeded"] == 12 and len({row["id"] for row in rows}) == 12, report
assert report["llm"]["requests"] == 12, f"some were asked for twice: {report['llm']}"
print(f"12 of 12 valid, {report['llm']['output_tokens']} tokens of output; labels that were noted: "
      f"{sum(bool(row.get('notes')) for row in rows)}")
PY
