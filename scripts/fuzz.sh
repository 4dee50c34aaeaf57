#!/usr/bin/env bash
# Runs the fuzz targets in fuzz/, one after the other, and ends with a table of what each did. Fails when one finds something.
#
#   scripts/fuzz.sh [--seconds N | --runs N] [TARGET…]     60 seconds each, of all targets, where nothing is said
#
# Needs a nightly compiler (`rustup toolchain install nightly`) and a C++ compiler; installs cargo-fuzz where it is missing.
# What is found stands in fuzz/artifacts/TARGET; to run it again: `scripts/fuzz.sh --again FILE TARGET`.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=-max_total_time=60 again=
case ${1:-} in
--seconds) limit=-max_total_time=$2 && shift 2 ;;
--runs) limit=-runs=$2 && shift 2 ;;
--again) again=$(realpath "$2") && shift 2 ;;
--*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac

cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked --version 0.13.2
host=$(rustup run nightly rustc --print host-tuple)
target=${FUZZ_TARGET_DIR:-fuzz/target}
mapfile -t all < <(sed -n 's|^path = "targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)
[ $# -gt 0 ] || set -- "${all[@]}"

# No sanitizer: our own code is safe Rust throughout, and would run at a third of the speed.
build() { CARGO_TARGET_DIR=$target rustup run nightly cargo fuzz build --fuzz-dir fuzz --sanitizer none "$@"; }
if [ $# -eq 1 ]; then build "$1"; else build; fi

table=$(printf '%-16s %11s %8s %9s %s' target runs seconds runs/s result) failed=0
for name; do
  corpus=fuzz/corpus/$name artifacts=fuzz/artifacts/$name log=$target/$name.log
  mkdir -p "$corpus" "$artifacts"
  options=(-rss_limit_mb=1024 -timeout=10 -print_final_stats=1 -artifact_prefix="$artifacts/")
  case $name in
  # Longer than a row and a cell may be here (`MAX_ROW`, `MAX_CELL`), or long enough for a story.
  input_*) options+=(-max_len=1200) ;;
  *_machine | table_roundtrip) options+=(-max_len=400) ;;
  *) options+=(-max_len=800) ;;
  esac
  for words in "fuzz/dictionaries/$name.dict" "fuzz/dictionaries/${name#input_}.dict" fuzz/dictionaries/json.dict; do
    [ ! -e "$words" ] || { options+=(-dict="$words") && break; }
  done
  if [ -n "$again" ]; then
    "$target/$host/release/$name" "${options[@]}" "$again"
    continue
  fi
  printf '\n== %s\n' "$name"
  start=$SECONDS result=ok
  "$target/$host/release/$name" "${options[@]}" "$limit" "$corpus" "fuzz/seeds/$name" >"$log" 2>&1 || {
    result="FOUND SOMETHING: $log" failed=1
    grep -A8 -E 'panicked|ERROR: libFuzzer|SUMMARY|Test unit written' "$log" >&2 || tail -n 20 "$log" >&2
  }
  took=$((SECONDS - start)) runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  line=$(printf '%-16s %11d %8d %9d %s' "$name" "${runs:-0}" "$took" $((${runs:-0} / (took > 0 ? took : 1))) "$result")
  echo "$line"
  table+=$'\n'$line
done
[ -n "$again" ] || printf '\n%s\n' "$table"
exit "$failed"
