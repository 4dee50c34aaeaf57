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
cd "$(dirname "$0")"
. support/cluster.sh
what=$1
shift
rounds=${ROUNDS:-3}
real=$RESTATE_SERVER
input=${INPUT:-$work/input.jsonl}
[ -n "${INPUT:-}" ] || indicators "${ROWS:-10000}" >"$input"

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
  RESTATE_SERVER=$work/restate-server start
  job "${args[@]}" -o "$work/out.jsonl" "$input"
  "$binary" cluster status --json --name bench |
    python3 -c 'import json, sys; print("MiB a node:", *[n["memory_bytes"] >> 20 for n in json.load(sys.stdin)["nodes"]], file=sys.stderr)'
  stop
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
