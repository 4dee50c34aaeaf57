#!/usr/bin/env bash
# Where the time goes at full speed: one run of `--mode max` under `perf`, with nodes, service and client on this machine. Prints the share
# of each program, and what costs most in the service and in the client. Needs perf, and builds a binary with symbols (target/profile).
#
#   benches/profile.sh               # PUBLISH=1 writes the tables into docs/performance.md
#
# ROWS (default 120000) can be set.
set -euo pipefail
cd "$(dirname "$0")"
. support/cluster.sh
command -v perf >/dev/null || { echo "no perf: apt-get install linux-perf" >&2; exit 1; }
CARGO_TARGET_DIR=target/profile cargo build --quiet --locked --release --bin classify --config profile.release.strip=false
binary=$PWD/target/profile/release/classify
indicators "${ROWS:-120000}" >"$work/input.jsonl"
start
job -o "$work/out.jsonl" "$work/input.jsonl" >/dev/null
# perf ends with the client, and sees everything there is on the machine meanwhile.
perf record --quiet --all-cpus --freq 499 --output "$work/perf" -- \
  "$binary" -q --mode max --force -o "$work/out.jsonl" "$work/input.jsonl" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
service=$(<"$work/service.pid")
perf script --input "$work/perf" --fields pid,comm,ip,sym 2>/dev/null >"$work/samples"
python3 - "$work/samples" "$service" "$CLASSIFY_HOME/cluster/bench/cluster.json" <<'PY' | publish benches/profile.sh
import collections, json, re, sys
samples, service, state = sys.argv[1], int(sys.argv[2]), json.load(open(sys.argv[3]))
nodes = {int(pid) for pid in re.findall(r'"pid":\s*(\d+)', json.dumps(state))}
programs, symbols = collections.Counter(), collections.defaultdict(collections.Counter)
for line in open(samples, errors="replace"):
    found = re.match(r"\s*(.*?)\s+(\d+)\s+([0-9a-f]+)\s+(.*)", line)
    if not found:
        continue
    comm, pid, address, symbol = found[1], int(found[2]), found[3], found[4]
    program = "nodes" if pid in nodes else "service" if pid == service else "idle" if pid == 0 else "client" if comm in ("classify", "input", "rows", "tokio-rt-worker") else "others"
    programs[program] += 1
    # The kernel's half of the addresses begins with ffff.
    name = "the kernel" if address.startswith("ffff") else re.sub(r"::h[0-9a-f]{16}$|\+0x[0-9a-f]+$", "", symbol.split(" (")[0])
    symbols[program][name] += 1
busy = sum(number for program, number in programs.items() if program != "idle")
print("| program | share of the time the cores were busy |")
print("|---|---|")
for program in ("nodes", "service", "client", "others"):
    print(f"| {program} | {programs[program] / busy:.0%} |")
kinds = [
    ("the kernel", r"^the kernel$"), ("allocating and copying memory", r"malloc|free|calloc|unlink_chunk|memmove|memcpy|memset|realloc|alloc::"),
    ("regular expressions", r"regex|aho_corasick|memchr"), ("the rest of the rules", r"taxonomy"), ("SHA-256", r"sha2|sha256"),
    ("compression", r"ZSTD|HUF_|FSE_|HIST_|zstd"), ("JSON", r"serde|indexmap|ryu|itoa|utf8"), ("checking the input", r"classify::input|sip"), ("spans and logs", r"tracing|sharded_slab"),
    ("HTTP/2, runtime, SDK", r"h2::|hyper|tokio|http|restate_sdk|shared_core|prost|bytes|futures|std::|core::|parking"),
]
for program in ("service", "client"):
    of, total = collections.Counter(), programs[program]
    for name, number in symbols[program].items():
        of[next((kind for kind, pattern in kinds if re.search(pattern, name)), "everything else")] += number
    print(f"\n| {program}: what | share of its time |")
    print("|---|---|")
    for kind, number in of.most_common():
        print(f"| {kind} | {number / total:.0%} |")
PY
