#!/usr/bin/env bash
# On one three-node cluster, in turns: `classify --mode max` from file to file, the bare driver (`examples/bare_driver.rs`)
# on the same batches, and one ingress call per indicator (wrk, the nodes side by side). Prints the speed of each in every
# round and the medians of the ratios, which are what can be compared with another machine.
#
#   benches/paired.sh               # needs wrk, and a release build
#   PUBLISH=1 benches/paired.sh     # and writes the table into docs/performance.md
#
# A round is eight runs, four of each, in the order of Thue and Morse: what a run leaves the nodes to do in the background slows down the next
# one, whichever it is, and the nodes' own work comes round every so many rows; in no short rhythm does one of the two fare better by
# its place. The calls one by one come last.
#
# PAIRS (default 5), ROWS (default 300000: of runs half as long one in five was a fifth slower than the others) and CONNECTIONS (of wrk to
# each node, default 64) can be set.
set -euo pipefail
cd "$(dirname "$0")"
. support/cluster.sh
command -v wrk >/dev/null || { echo "no wrk: apt-get install wrk" >&2; exit 1; }
cargo build --quiet --locked --release --example bare_driver
pairs=${PAIRS:-5} rows=${ROWS:-300000} connections=${CONNECTIONS:-64}
indicators "$rows" >"$work/input.jsonl"
# wrk signs nothing.
open=1
start
mapfile -t nodes < <(ingress)
digest=$("$binary" cluster status --json --name bench |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["nodes"][0]["service"]["taxonomy_digest"])')

per_second() { python3 -c 'import sys; print(f"{int(sys.argv[1]) / float(sys.argv[2]):.0f}")' "$rows" "$1"; }

classify() { # -> indicators/s, from the start of the process to its end
  # To take the last run's file off the disk is no work of this run.
  rm -f "$work/out.jsonl"
  local begin=$EPOCHREALTIME
  job -o "$work/out.jsonl" "$work/input.jsonl" >/dev/null
  per_second "$(python3 -c 'import sys; print(float(sys.argv[2]) - float(sys.argv[1]))' "$begin" "$EPOCHREALTIME")"
}

bare() { # -> indicators/s, from the start of the process to the last output
  per_second "$("$examples/bare_driver" "${nodes[@]/#/--ingress=}" "$work/input.jsonl")"
}

one_call_each() { # ROUND -> indicators/s of all nodes
  local pids=()
  for node in "${!nodes[@]}"; do
    wrk -t1 "-c$connections" -d10s --timeout 10s -s benches/one_call_each.lua "${nodes[$node]}/restate/call/ClassifyBatch" \
      -- "$work/input.jsonl" "$digest" "wrk.$1.$node" >"$work/wrk.$node" &
    pids+=($!)
  done
  wait "${pids[@]}"
  if grep -E 'Non-2xx|Socket errors' "$work"/wrk.* >&2; then
    exit 1
  fi
  awk '/Requests\/sec/ { total += $2 } END { printf "%.0f\n", total }' "$work"/wrk.*
}

classify >/dev/null
for ((round = 1; round <= pairs; round++)); do
  ours=() theirs=()
  for who in classify bare bare classify bare classify classify bare; do
    case $who in
      classify) ours+=("$(classify)") ;;
      bare) theirs+=("$(bare)") ;;
    esac
  done
  echo "${ours[*]} ${theirs[*]}" | tee -a "$work/results" >&2
done
for ((round = 1; round <= pairs; round++)); do
  one_call_each "$round" | tee -a "$work/calls" >&2
done
python3 - "$work/results" "$work/calls" <<'PY' | publish benches/paired.sh
import statistics, sys
rows = []
for line, calls in zip(open(sys.argv[1]), open(sys.argv[2])):
    speeds = [float(cell) for cell in line.split()]
    # Of four runs over the same rows, the speed over all.
    rows.append([statistics.harmonic_mean(speeds[:4]), statistics.harmonic_mean(speeds[4:]), float(calls)])
print("| indicators/s | `classify --mode max` | bare driver | one call each | of the bare driver | of one call each |")
print("|---|---|---|---|---|---|")
for number, (a, b, c) in enumerate(rows, 1):
    print(f"| round {number} | {a:.0f} | {b:.0f} | {c:.0f} | {a / b:.2f} | {a / c:.2f} |")
a, b, c = (statistics.median(column) for column in zip(*rows))
driver, each = (statistics.median(row[0] / row[other] for row in rows) for other in (1, 2))
print(f"| median | {a:.0f} | {b:.0f} | {c:.0f} | **{driver:.2f}** | **{each:.2f}** |")
PY
