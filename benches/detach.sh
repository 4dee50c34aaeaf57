#!/usr/bin/env bash
# Compares two ways to hand a run over to the cluster, each on a fresh three-node cluster with a service on the same machine:
#
#   benches/detach.sh pages      # what the product does: batches in pages, an object that submits them
#   benches/detach.sh delayed    # every batch sent at once, each with its own delay
#
# Prints how long handing BATCHES over takes, what it leaves on the nodes' disks and in their memory, how well RPM is kept by the
# service's own record of arrivals, how soon a pause works, and what arrives when the service was away for 20 s.
# BATCHES (default 40000), ROWS (indicators a batch, default 5) and RPM (default 5000) can be set. Only the ratios mean
# anything beyond this machine. Needs `cargo build --release --bin classify --example handover`.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
how=$1
batches=${BATCHES:-40000} rows=${ROWS:-5} rpm=${RPM:-5000}
work=$(mktemp -d)
binary=$PWD/${TARGET:-target/release}/classify handover=$PWD/${TARGET:-target/release}/examples/handover
export CLASSIFY_HOME=$work/home CLASSIFY_CLUSTER=bench CLASSIFY_RUNTIME=native
audit=$work/audit.jsonl

finish() {
  [ ! -f "$work/service.pid" ] || kill "$(<"$work/service.pid")" 2>/dev/null || true
  "$binary" -q cluster clean --yes --name bench || true
  rm -rf "$work"
}
trap finish EXIT

start_service() {
  "$binary" -q serve --bind "127.0.0.1:$port" --audit-log "$audit" "$@" 2>>"$work/service.log" &
  echo $! >"$work/service.pid"
}
nodes() { "$binary" cluster status --json --name bench | python3 -c "import json, sys; print($1)"; }
urls() { nodes '",".join(node["ingress_url"] for node in json.load(sys.stdin)["nodes"])'; }
memory() { nodes '*[node["memory_bytes"] >> 20 for node in json.load(sys.stdin)["nodes"]]'; }
disk() { du -sm "$work/home/cluster/bench" | cut -f1; }
now() { date -u +%Y-%m-%dT%H:%M:%S.%6NZ; }

# How many indicators arrived from one moment to another, in the fullest second and in the fullest minute.
arrivals() { # what from to
  python3 - "$audit" "$@" <<'PY'
import bisect, datetime, json, sys
audit, what, since, until = sys.argv[1:]
moment = lambda text: datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()
seen, times = set(), []
for line in open(audit):
    entry = json.loads(line)
    at = moment(entry["at"])
    if moment(since) <= at < moment(until):
        times.append(at)
        seen.add((entry["batch"], entry["id"]))
times.sort()
fullest = lambda length: max((bisect.bisect_left(times, at + length) - index for index, at in enumerate(times)), default=0)
length = times[-1] - times[0] if len(times) > 1 else 0
rate = f"{(len(times) - 1) / length * 60:.0f}/min" if length else "-"
print(f"{what}: {len(times)} arrivals ({len(times) - len(seen)} repeated), {rate}; fullest second {fullest(1)}, fullest minute {fullest(60)}; last {times[-1] - moment(since) if times else 0:.1f} s after its beginning")
PY
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$binary" -q cluster start --ports auto --name bench
CLASSIFY_CLUSTER_SECRET=$(<"$CLASSIFY_HOME/cluster/bench/secret")
export CLASSIFY_CLUSTER_SECRET
start_service --register
nodes=$(urls)
for ((try = 0; ; try++)); do
  "$binary" -q --mode max -o "$work/warm-up.jsonl" examples/indicators.csv 2>/dev/null && break
  [ "$try" -lt 100 ] || { echo "the service does not come up" >&2; exit 1; }
  sleep 0.2
done

if [ "$how" = pages ]; then later=(); else later=(later); fi
read -r before <<<"$(disk)"
echo "memory before: $(memory) MiB a node"
echo "handing over $batches batches of $rows: $("$handover" "$how" HAND "$nodes" "$batches" "$rows" "$rpm" "${later[@]}") s"
[ "$how" = delayed ] || "$handover" pause HAND "$nodes" >/dev/null
echo "memory after:  $(memory) MiB a node"
after=$(disk)
echo "disk: $((after - before)) MiB on three nodes, $(((after - before) * 1048576 / batches)) bytes a batch"

# Two and a half minutes of work; a minute of it is looked at, then a pause, then an outage.
some=$((rpm * 5 / 2 / rows))
"$handover" "$how" PACE "$nodes" "$some" "$rows" "$rpm" >/dev/null
sleep 3
from=$(now)
sleep 60
arrivals "a minute at $rpm/min" "$from" "$(now)"
echo "memory:        $(memory) MiB a node"

if [ "$how" = pages ]; then
  "$handover" pause PACE "$nodes" >/dev/null
  from=$(now)
  sleep 6
  arrivals "from the pause on, 6 s" "$from" "$(now)"
  "$handover" resume PACE "$nodes" >/dev/null
  sleep 4
else
  echo "from the pause on: there is none"
fi

kill -9 "$(<"$work/service.pid")"
sleep 20
from=$(now)
start_service
sleep 10
arrivals "the 10 s after an outage of 20 s" "$from" "$(now)"
sleep 20
arrivals "the 30 s after an outage of 20 s" "$from" "$(now)"
