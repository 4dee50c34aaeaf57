#!/usr/bin/env bash
# How exact the rate is, by the service's own record of arrivals (`serve --audit-log`): runs of 90 s and more on one cluster.
#
#   benches/rates.sh                 # 450, 900, 5000 and 20000 indicators a minute
#   benches/rates.sh 900             # one of them
#   PUBLISH=1 benches/rates.sh       # and writes the table into docs/performance.md
#
# Ends with 1 where a rate misses: under 99 % of the target, a minute above the target plus a batch per node, or a first second
# above 2 % of a minute plus a batch per node. SECONDS_EACH (default 95) can be set; a minute has to fit.
set -euo pipefail
cd "$(dirname "$0")"
. support/cluster.sh
[ $# -gt 0 ] || set -- 450 900 5000 20000
seconds=${SECONDS_EACH:-95}
start --audit-log "$work/audit.jsonl"
nodes=$(ingress | wc -l)

for rpm in "$@"; do
  indicators $((rpm * seconds / 60)) >"$work/input.jsonl"
  before=$(wc -l <"$work/audit.jsonl")
  "$binary" -q --rpm "$rpm" --force -o "$work/out.jsonl" "$work/input.jsonl"
  tail -n "+$((before + 1))" "$work/audit.jsonl" >"$work/arrivals.$rpm"
done
python3 - "$nodes" "$work" "$@" <<'PY' | publish benches/rates.sh
import bisect, datetime, json, statistics, sys
nodes, work, rates = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
print("| target a minute | achieved | of the target | fullest minute | allowed | first second | allowed | jitter of batches, median | 99 % |")
print("|---|---|---|---|---|---|---|---|---|")
missed = []
for rate in map(int, rates):
    batches, sizes, arrivals = {}, {}, []
    for line in open(f"{work}/arrivals.{rate}"):
        entry = json.loads(line)
        at = datetime.datetime.fromisoformat(entry["at"].replace("Z", "+00:00")[:26] + "+00:00").timestamp()
        arrivals.append(at)
        key = entry["batch"]
        batches[key] = min(at, batches.get(key, at))
        sizes[key] = sizes.get(key, 0) + 1
    arrivals.sort()
    size = max(sizes.values())
    burst = nodes * size
    # The first batch of each node leaves at once.
    achieved = (len(arrivals) - burst) / (arrivals[-1] - arrivals[0]) * 60
    fullest = max(bisect.bisect_left(arrivals, at + 60) - index for index, at in enumerate(arrivals))
    first = bisect.bisect_left(arrivals, arrivals[0] + 1)
    # When the batches of each node should have come, counted from when they came on average.
    order = sorted(batches, key=lambda key: int(key.rsplit(".", 1)[1]))
    late = [batches[key] - index // nodes * nodes * size / rate * 60 for index, key in enumerate(order)]
    middle = statistics.median(late)
    jitter = sorted(abs(each - middle) * 1000 for each in late)
    most, most_at_once = rate + burst, rate * 0.02 + burst
    if achieved < 0.99 * rate or fullest > most or first > most_at_once:
        missed.append(str(rate))
    print(f"| {rate:,} | {achieved:,.1f} | {achieved / rate:.2%} | {fullest:,} | {most:,} | {first:,} | {most_at_once:,.0f} "
          f"| {jitter[len(jitter) // 2]:.0f} ms | {jitter[len(jitter) * 99 // 100]:.0f} ms |")
sys.exit(f"missed: {', '.join(missed)}" if missed else 0)
PY
