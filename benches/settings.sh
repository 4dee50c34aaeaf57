#!/usr/bin/env bash
# Compares settings: the same job, `--mode max` from file to file, with one setting after the other, in turns. Prints the speed of each as a
# ratio to that of the first, from the medians of the rounds. The first is the one in use, but for `poll`: the product waits as long as
# batches usually take.
#
#   benches/settings.sh                        # all of them: a quarter of an hour
#   benches/settings.sh batch in-flight        # some
#   PUBLISH=1 benches/settings.sh              # and writes the table, of all or of some, into docs/performance.md
#
# Settings of the nodes (`partitions`, `rocksdb`, `compression` of what they send each other) get a fresh cluster each time, the others share one. What the product has no
# setting for (`poll`, `connections`, `protocol`) is asked of the bare driver. ROUNDS (default 3) and ROWS (default 60000) can be set.
set -euo pipefail
cd "$(dirname "$0")"
. support/cluster.sh
declare -A values=(
  [partitions]="6 3 12 24" [rocksdb]="512MiB 256MiB 1GiB" [compression]="off on"
  [batch]="400 25 50 100 200 1000" [in-flight]="12000 2000 6000 24000" [row-bytes]="500 100 2000" [journal]="0s 1d"
  [poll]="100 20 50 250" [connections]="1 2 4" [protocol]="h2c http1"
)
[ $# -gt 0 ] || set -- partitions rocksdb compression batch in-flight row-bytes journal poll connections protocol
for what in "$@"; do
  [ -n "${values[$what]:-}" ] || { echo "no setting $what, but: ${!values[*]}" >&2; exit 2; }
done
rounds=${ROUNDS:-3} rows=${ROWS:-60000} server=$RESTATE_SERVER
cargo build --quiet --locked --release --example bare_driver
indicators "$rows" >"$work/input.jsonl"

# The product scrubs RESTATE_* from the nodes' environment, so a setting goes in through a wrapper of the server.
up=
fresh() { # NAME=VALUE [shared]
  [ -z "$up" ] || stop
  printf '#!/bin/sh\nexport %s\nexec %s "$@"\n' "$1" "$server" >"$work/restate-server"
  chmod +x "$work/restate-server"
  RESTATE_SERVER=$work/restate-server start
  up=${2:-alone}
}

# The same rows, with definitions that make each about so long.
of_length() { # BYTES
  python3 - "$work/input.jsonl" "$1" <<'PY'
import json, sys
for line in open(sys.argv[1], encoding="utf-8"):
    row = {name: value for name, value in json.loads(line).items() if name in ("id", "name", "units")}
    row["definition"] = ""
    row["definition"] = "word " * ((int(sys.argv[2]) - len(json.dumps(row))) // 5)
    print(json.dumps(row))
PY
}

keep_journals() { # HOW LONG
  local admin
  admin=$("$binary" cluster status --json --name bench | python3 -c 'import json, sys; print(json.load(sys.stdin)["nodes"][0]["admin_url"])')
  for service in ClassifyBatch Classifier; do
    curl -fsS -o /dev/null -X PATCH -H 'content-type: application/json' -d "{\"journal_retention\": \"$1\"}" "$admin/services/$service"
  done
}

bare() { # [argument]... -> seconds
  local nodes
  mapfile -t nodes < <(ingress)
  "$examples/bare_driver" "${nodes[@]/#/--ingress=}" "$work/input.jsonl" "$@"
}

run() { # WHAT VALUE -> seconds
  case $1 in
    partitions | rocksdb | compression) job -o "$work/out.jsonl" "$work/input.jsonl" ;;
    batch) job --batch-size "$2" -o "$work/out.jsonl" "$work/input.jsonl" ;;
    in-flight) job --max-in-flight "$2" -o "$work/out.jsonl" "$work/input.jsonl" ;;
    row-bytes)
      of_length "$2" >"$work/rows.jsonl"
      job -o "$work/out.jsonl" "$work/rows.jsonl"
      ;;
    journal)
      keep_journals "$2"
      job -o "$work/out.jsonl" "$work/input.jsonl"
      keep_journals 0s
      ;;
    poll) bare --poll-ms "$2" ;;
    connections) bare --connections "$2" ;;
    protocol) bare $([ "$2" = h2c ] || echo --http1) ;;
  esac
}

for what in "$@"; do
  for ((round = 1; round <= rounds; round++)); do
    for value in ${values[$what]}; do
      case $what in
        partitions) fresh "RESTATE_DEFAULT_NUM_PARTITIONS=$value" ;;
        rocksdb) fresh "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE=$value" ;;
        compression) fresh "RESTATE_NETWORKING__DISABLE_COMPRESSION=$([ "$value" = off ] && echo true || echo false)" ;;
        *) [ "$up" = shared ] || fresh CLASSIFY_BENCH=1 shared ;;
      esac
      seconds=$(run "$what" "$value")
      echo "$what $value $seconds" | tee -a "$work/results" >&2
    done
  done
done
python3 - "$work/results" <<'PY' | publish benches/settings.sh
import statistics, sys
times = {}
for line in open(sys.argv[1]):
    what, value, seconds = line.split()
    times.setdefault(what, {}).setdefault(value, []).append(float(seconds))
titles = {
    "partitions": "partitions", "rocksdb": "memory of RocksDB, a node", "compression": "compression between nodes",
    "batch": "rows in a batch", "in-flight": "rows in flight",
    "row-bytes": "bytes of a row", "journal": "journals are kept for", "poll": "ms between two polls (bare driver)",
    "connections": "connections to each node (bare driver)", "protocol": "protocol (bare driver)",
}
print("| setting | compared with | speed to that |")
print("|---|---|---|")
for what, of in times.items():
    used, *others = of
    base = statistics.median(of[used])
    told = ", ".join(f"{value}: {base / statistics.median(of[value]):.2f}" for value in others)
    spread = max(of[used]) / min(of[used]) - 1
    print(f"| {titles[what]} | {used} (rounds within {spread:.0%}) | {told} |")
PY
