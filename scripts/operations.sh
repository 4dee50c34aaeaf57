#!/usr/bin/env bash
# Follows docs/operations.md line by line: its blocks marked `sh run`, those for one runtime with `native` or `docker` behind it.
#
#   scripts/operations.sh native      # and the blocks that need no cluster
#   scripts/operations.sh docker      # needs Docker Engine and the images
#
# State, home and project are its own; what was started is stopped and deleted, whatever happens. The ports are the ones that the
# document names, so nothing else may have them. $CLASSIFY is the binary (default target/release/classify).
set -euo pipefail
cd "$(dirname "$0")/.."
runtime=${1:?native or docker}
case $runtime in native | docker) ;; *) echo "native or docker, not $runtime" >&2; exit 2 ;; esac

home=$(mktemp -d)
classify=$(realpath "${CLASSIFY:-target/release/classify}")
mkdir "$home/bin"
ln -s "$classify" "$home/bin/classify"
export PATH="$home/bin:$PATH" CLASSIFY_HOME="$home/state" COMPOSE_PROJECT_NAME="${COMPOSE_PROJECT_NAME:-operations}"
[ "$runtime" = docker ] || export CLASSIFY_CACHE="${CLASSIFY_CACHE:-$PWD/target/restate-cache}" HOME="$home"

finish() {
  case $runtime in
    native) classify -q cluster clean --yes || true ;;
    docker) docker compose -f docker-compose.cluster.yml down --volumes --timeout 10 >/dev/null 2>&1 || true ;;
  esac
  rm -rf "$home"
}
trap finish EXIT

commands=$(awk -v here="$runtime" '
  /^```sh run$/ { on = here == "native"; next }
  /^```sh run / { on = $3 == here; next }
  /^```/ { on = 0 }
  on' docs/operations.md)
[ -n "$commands" ] || { echo "docs/operations.md has no commands to run" >&2; exit 1; }
count=0
while IFS= read -r command; do
  echo "\$ $command"
  bash -euo pipefail -c "$command" </dev/null
  count=$((count + 1))
done <<<"$commands"
echo "$count commands of docs/operations.md did what they say"
