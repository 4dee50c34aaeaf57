#!/usr/bin/env bash
# Memory and disk of runs of different lengths on one cluster: what client and service had resident at most, how long a run took,
# and what each row left on the disks of the nodes.
#
#   benches/memory.sh                    # 100,000 and 1,000,000 rows: a quarter of an hour and more
#   benches/memory.sh 10000 50000        # other lengths
#   PUBLISH=1 benches/memory.sh          # and writes the table into docs/performance.md
#
# Ends with 1 where the client had over 64 MiB, the service over 128 MiB, or the last run took over 1.1 times as long a row as the first.
set -euo pipefail
cd "$(dirname "$0")"
. support/cluster.sh
[ $# -gt 0 ] || set -- 100000 1000000
start
disk() { du -sk "$CLASSIFY_HOME/cluster/bench" | cut -f1; }

for rows in "$@"; do
  indicators "$rows" >"$work/input.jsonl"
  before=$(disk)
  # Python's child is the client alone, so the peak of its children is the client's.
  measured=$(python3 - "$binary" -q --mode max --force -o "$work/out.jsonl" "$work/input.jsonl" <<'PY'
import resource, subprocess, sys, time
start = time.monotonic()
subprocess.run(sys.argv[1:], check=True)
print(time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY
  )
  service=$(awk '/^VmHWM/ { print $2 }' "/proc/$(<"$work/service.pid")/status")
  echo "$rows $measured $service $(($(disk) - before))" | tee -a "$work/results" >&2
  rm "$work/input.jsonl" "$work/out.jsonl"
done
python3 - "$work/results" <<'PY' | publish benches/memory.sh
import sys
rows = [[float(cell) for cell in line.split()] for line in open(sys.argv[1])]
print("| rows | time | indicators/s | client, most resident | service, most resident | disk a row, three nodes |")
print("|---|---|---|---|---|---|")
for count, seconds, client, service, disk in rows:
    print(f"| {count:,.0f} | {seconds:.1f} s | {count / seconds:,.0f} | {client / 1024:.0f} MiB | {service / 1024:.0f} MiB | {disk * 1024 / count:,.0f} bytes |")
most_client, most_service = (max(column) / 1024 for column in list(zip(*rows))[2:4])
longer = (rows[-1][1] / rows[-1][0]) / (rows[0][1] / rows[0][0])
print(f"\nA row of the last run took {longer:.2f} times as long as one of the first.")
sys.exit(most_client > 64 or most_service > 128 or longer > 1.1)
PY
