#!/usr/bin/env bash
# Counts the instructions of each stage of a run and fails where one takes over a tenth more than its baseline,
# benches/instructions/baseline.toml. To accept what a stage takes now: scripts/instructions.sh --accept
#
# The profile is the one that is shipped: what is counted is what runs, and most dependencies are there from the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends valgrind >/dev/null; }
cargo bench --locked --bench instructions -- "$@"
# The bench was built with what tests need of the dependencies; what is shipped goes back to its place.
cargo build --locked --release --quiet
