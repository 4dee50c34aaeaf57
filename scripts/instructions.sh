#!/usr/bin/env bash
# Counts the instructions of each stage of a run. Fails where one takes 2 % more than its baseline, or 5 % less:
# benches/instructions/baseline.toml. To accept what a stage takes now: scripts/instructions.sh --accept
#
# The profile is that of the README and the tests, so the dependencies are there.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends valgrind >/dev/null; }
cargo bench --locked --bench instructions -- "$@"
