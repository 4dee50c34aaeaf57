# Sourced by the measurements: a three-node cluster of its own, the service, an input. Everything goes when the script ends.
# Needs a release build (`cargo build --release`) and RESTATE_SERVER, or `restate-server` on the PATH.
# shellcheck shell=bash
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
binary=$PWD/target/release/classify
examples=$PWD/target/release/examples
RESTATE_SERVER=${RESTATE_SERVER:-$(command -v restate-server || true)}
[ -n "$RESTATE_SERVER" ] || { echo "no restate-server on the PATH; name one: RESTATE_SERVER=/path/to/it" >&2; exit 1; }
export RESTATE_SERVER CLASSIFY_HOME=$work/home CLASSIFY_CLUSTER=bench CLASSIFY_RUNTIME=native
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

finish() {
  stop_service
  "$binary" -q cluster clean --yes --name bench || true
  rm -rf "$work"
}
trap finish EXIT

cluster=() # options of `cluster start`
start() { # [option of `serve`]... -> the cluster is up and serves
  # At ports: wrk and the bare driver know no sockets, and a guard would be in the way of those only.
  "$binary" -q cluster start --ports auto --listen tcp --name bench "${cluster[@]}"
  # For who drives it without the product.
  if [ -n "${open:-}" ]; then
    rm "$CLASSIFY_HOME/cluster/bench/secret"
  else
    CLASSIFY_CLUSTER_SECRET=$(<"$CLASSIFY_HOME/cluster/bench/secret")
    export CLASSIFY_CLUSTER_SECRET
  fi
  "$binary" -q serve --bind "127.0.0.1:$port" --register "$@" &
  echo $! >"$work/service.pid"
  for ((try = 0; ; try++)); do
    "$binary" -q --mode max -o "$work/warm-up.jsonl" examples/indicators.csv 2>/dev/null && break
    [ "$try" -lt 100 ] || { echo "the service does not come up" >&2; exit 1; }
    sleep 0.2
  done
}

stop_service() {
  [ -f "$work/service.pid" ] || return 0
  kill "$(<"$work/service.pid")" 2>/dev/null || true
  wait "$(<"$work/service.pid")" || true
  rm "$work/service.pid"
}

stop() {
  stop_service
  unset CLASSIFY_CLUSTER_SECRET
  "$binary" -q cluster clean --yes --name bench
}

ingress() { # -> the URL of each node, one a line
  "$binary" cluster status --json --name bench |
    python3 -c 'import json, sys; [print(node["ingress_url"]) for node in json.load(sys.stdin)["nodes"]]'
}

indicators() { # ROWS -> JSON Lines
  [ -x "$examples/generate" ] || cargo build --quiet --locked --release --example generate
  "$examples/generate" "$1"
}

job() { # [argument]... -> seconds; every row must be classified
  "$binary" -q --mode max --force --json "$@" |
    python3 -c 'import json, sys; r = json.load(sys.stdin); assert r["totals"]["pending"] == r["totals"]["failed"] == 0; print(r["elapsed_s"])'
}

publish() { # NAME: stdin goes to stdout, and between the marks `<!-- NAME -->` and `<!-- end -->` of docs/performance.md
  local text
  text=$(cat)
  printf '%s\n' "$text"
  [ -n "${PUBLISH:-}" ] || return 0
  NAME=$1 TEXT=$text python3 - docs/performance.md <<'PY'
import os, re, sys
page = open(sys.argv[1], encoding="utf-8").read()
begin = f"<!-- {os.environ['NAME']} -->\n"
assert begin in page, f"no {begin.strip()} in {sys.argv[1]}"
page = re.sub(re.escape(begin) + ".*?<!-- end -->", lambda _: begin + os.environ["TEXT"] + "\n<!-- end -->", page, flags=re.S)
open(sys.argv[1], "w", encoding="utf-8").write(page)
PY
}
