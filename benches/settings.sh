#!/usr/bin/env bash
# Compares settings by running the same job, `--mode max` from file to file, on fresh three-node clusters, in turns.
# Prints each setting's median time and its speed as a ratio to the first setting. Only the ratios mean anything
# beyond this machine.
#
#   benches/settings.sh partitions 6 3 12 24      # default-num-partitions
#   benches/settings.sh rocksdb 512MiB 256MiB     # rocksdb-total-memory-size
#   benches/settings.sh batch 50 10 25 100        # --batch-size
#   benches/settings.sh in-flight 2000 500 1000   # --max-in-flight
#
# ROUNDS (default 3), ROWS (default 10000) and INPUT (default: made up) can be set. Needs a release build.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
what=$1
shift
rounds=${ROUNDS:-3} rows=${ROWS:-10000}
work=$(mktemp -d)
binary=$PWD/target/release/classify
real=${RESTATE_SERVER:-$(command -v restate-server)}
export CLASSIFY_HOME=$work/home CLASSIFY_CLUSTER=bench CLASSIFY_RUNTIME=native

finish() {
  [ ! -f "$work/service.pid" ] || kill "$(<"$work/service.pid")" 2>/dev/null || true
  "$binary" -q cluster clean --yes --name bench || true
  rm -rf "$work"
}
trap finish EXIT

input=${INPUT:-$work/input.jsonl}
if [ -z "${INPUT:-}" ]; then
  for ((row = 0; row < rows; row++)); do
    printf '{"id":"R%d","name":"Exports of goods and services, series %d","units":"USD Million","periodicity":"Monthly","topic":"Trade: balance of payments","definition":"Value of goods and services that residents sell to the rest of the world, series %d."}\n' $row $row $row
  done >"$input"
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# The product scrubs RESTATE_* from the nodes' environment, so a setting goes in through a wrapper of the server.
wrapper() {
  printf '#!/bin/sh\nexport %s\nexec %s "$@"\n' "$1" "$real" >"$work/restate-server"
  chmod +x "$work/restate-server"
}

run() { # setting -> seconds
  local env=CLASSIFY_BENCH=1 args=()
  case $what in
    partitions) env=RESTATE_DEFAULT_NUM_PARTITIONS=$1 ;;
    rocksdb) env=RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE=$1 ;;
    batch) args=(--batch-size "$1") ;;
    in-flight) args=(--max-in-flight "$1") ;;
    *) echo "what: partitions, rocksdb, batch or in-flight" >&2; exit 2 ;;
  esac
  wrapper "$env"
  RESTATE_SERVER=$work/restate-server "$binary" -q cluster start --ports auto --name bench
  "$binary" -q serve --bind "127.0.0.1:$port" --register &
  local service=$!
  echo "$service" >"$work/service.pid"
  for ((try = 0; ; try++)); do
    "$binary" -q --mode max -o "$work/warm-up.jsonl" examples/indicators.csv 2>/dev/null && break
    [ "$try" -lt 100 ] || { echo "the service does not come up" >&2; exit 1; }
    sleep 0.2
  done
  "$binary" -q --mode max --force --json "${args[@]}" -o "$work/out.jsonl" "$input" |
    python3 -c 'import json, sys; r = json.load(sys.stdin); assert r["totals"]["pending"] == r["totals"]["failed"] == 0; print(r["elapsed_s"])'
  "$binary" cluster status --json --name bench |
    python3 -c 'import json, sys; print("MiB a node:", *[n["memory_bytes"] >> 20 for n in json.load(sys.stdin)["nodes"]], file=sys.stderr)'
  kill "$service"
  wait "$service" || true
  rm "$work/service.pid"
  "$binary" -q cluster clean --yes --name bench
}

for ((round = 1; round <= rounds; round++)); do
  for setting in "$@"; do
    seconds=$(run "$setting")
    echo "$setting $seconds" | tee -a "$work/results" >&2
  done
done
python3 - "$work/results" "$@" <<'PY'
import statistics, sys
times = {}
for line in open(sys.argv[1]):
    setting, seconds = line.split()
    times.setdefault(setting, []).append(float(seconds))
base = statistics.median(times[sys.argv[2]])
for setting in sys.argv[2:]:
    median = statistics.median(times[setting])
    print(f"{setting:>10}  {median:6.2f} s  x{base / median:.2f}")
PY
