#!/usr/bin/env bash
# How long a user waits where nothing is to be classified: for help and for a usage error, for a cluster and the first row, for a job of
# ten rows, and for the end of the command after the last row is on disk.
#
#   benches/startup.sh               # needs a release build
#   PUBLISH=1 benches/startup.sh     # and writes the table into docs/performance.md
#
# Ends with 1 where something takes longer than it may.
set -euo pipefail
cd "$(dirname "$0")"
. support/cluster.sh
begin() { begun=$EPOCHREALTIME; }
note() { # WHAT: so many seconds have passed
  local now=$EPOCHREALTIME
  python3 -c 'import sys; print(sys.argv[1], float(sys.argv[3]) - float(sys.argv[2]))' "$1" "$begun" "$now" | tee -a "$work/results" >&2
}

for ((try = 0; try < 20; try++)); do
  begin
  "$binary" --help >/dev/null
  note help
  begin
  "$binary" --mode fsat x.csv 2>/dev/null || true
  note mistake
done

indicators 1 >"$work/one.jsonl"
begin
"$binary" -q cluster start --ports auto --name bench
"$binary" -q serve --bind "127.0.0.1:$port" --register &
echo $! >"$work/service.pid"
for ((try = 0; ; try++)); do
  "$binary" -q -o "$work/first.jsonl" "$work/one.jsonl" 2>"$work/said" && break
  [ "$try" -lt 100 ] || { cat "$work/said" >&2; exit 1; }
  sleep 0.05
done
note first

indicators 20010 >"$work/rows.jsonl"
for ((try = 0; try < 5; try++)); do
  sed -n "$((try * 10 + 2)),$((try * 10 + 11))p" "$work/rows.jsonl" >"$work/ten.jsonl"
  begin
  "$binary" -q -o "$work/ten.classified.jsonl" "$work/ten.jsonl"
  note ten
  begin
  "$binary" -q --mode max --force -o "$work/ten.classified.jsonl" "$work/ten.jsonl"
  note ten-max
  "$binary" -q --mode max --force -o "$work/many.jsonl" "$work/rows.jsonl"
  begun=$(stat -c %.Y "$work/many.jsonl") # The last row's; a rename does not change it.
  note tail
done
python3 - "$work/results" <<'PY' | publish benches/startup.sh
import statistics, sys
times = {}
for line in open(sys.argv[1]):
    what, seconds = line.split()
    times.setdefault(what, []).append(float(seconds))
rows = [
    ("help", "`classify --help`", 0.010), ("mistake", "`classify --mode fsat x.csv`, a usage error", 0.010),
    ("first", "from `cluster start` to the first classified row, programs at hand", 15.0),
    ("ten", "ten rows on a running cluster, at the default rate", 1.0), ("ten-max", "the same without a rate", 1.0),
    ("tail", "from the last of 20,010 rows on disk to the end of the command", 1.0),
]
shown = lambda seconds: f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
print("| what | median | longest | allowed |")
print("|---|---|---|---|")
for what, title, allowed in rows:
    print(f"| {title} | {shown(statistics.median(times[what]))} | {shown(max(times[what]))} | {shown(allowed) if allowed < 1 else f'{allowed:.0f} s'} |")
sys.exit(any(statistics.median(times[what]) > allowed for what, _, allowed in rows))
PY
