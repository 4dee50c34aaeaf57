# Steps of CI: named, timed, one after the other or beside each other. Sourced by .ci/run and .ci/slow.
#
#   step NAME COMMAND…      runs it; its failure ends everything
#   beside NAME COMMAND…    runs it in the background at the lowest priority; tests of times wait for its end
#   join                    waits for all that runs beside, shows what it said, and fails if one of them failed
#
# Caches lie outside of the clone and are keyed by what they depend on, so that an old one is never taken for a new one: in
# $CI_CACHE (default ~/.cache/classify-ci). CI_COLD=1 takes an empty folder instead, downloads everything anew and deletes it.

set -euo pipefail
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 DEBIAN_FRONTEND=noninteractive PIP_ROOT_USER_ACTION=ignore
logs=$(mktemp -d)
running=
declare -A pids=()

if [ "${CI_COLD:-}" = 1 ]; then
  CI_CACHE=$(mktemp -d)
  mkdir "$CI_CACHE/cargo"
  # Where its registry is, is no cache.
  cp "${CARGO_HOME:-$HOME/.cargo}"/config.toml "$CI_CACHE/cargo/" 2>/dev/null || true
  export CARGO_HOME=$CI_CACHE/cargo npm_config_cache=$CI_CACHE/npm PIP_NO_CACHE_DIR=1
  export GOMODCACHE=$CI_CACHE/go/mod GOCACHE=$CI_CACHE/go/build
fi
export CI_CACHE=${CI_CACHE:-$HOME/.cache/classify-ci}
mkdir -p "$CI_CACHE"

hash_of() { sha256sum | cut -c 1-16; }

# The folder of the cache for $1 that belongs to the text on standard input. Those of other texts are deleted.
cached() {
  local folder
  folder=$CI_CACHE/$1-$(hash_of)
  find "$CI_CACHE" -maxdepth 1 -name "$1-*" ! -path "$folder" -exec rm -rf {} +
  mkdir -p "$folder"
  echo "$folder"
}

log_of() { echo "$logs/${1//[^A-Za-z0-9]/-}"; }
note_time() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$((SECONDS - $2))" "${3:-}" >>"$logs/steps"; }

step() {
  local name=$1 begun=$SECONDS
  shift
  printf '\n== %s (after %d s)\n' "$name" "$SECONDS"
  running=$name
  "$@"
  running=
  note_time "$name" "$begun"
}

beside() {
  local name=$1 begun=$SECONDS
  shift
  # A process group of its own, so that it can be ended with all that it started.
  set -m
  (
    set +m
    trap - EXIT
    exec 9>"$CLASSIFY_TEST_LOCK"
    flock --shared 9
    renice -n 19 "$BASHPID" >/dev/null
    "$@"
    note_time "$name" "$begun" beside
  ) >"$(log_of "$name")" 2>&1 </dev/null &
  pids[$name]=$!
  set +m
}

join() {
  local name status failed='' begun=$SECONDS
  for name in "${!pids[@]}"; do
    status=0
    wait "${pids[$name]}" || status=$?
    unset "pids[$name]"
    printf '\n== %s (beside)\n' "$name"
    cat "$(log_of "$name")"
    [ "$status" -eq 0 ] || failed+="${failed:+, }$name"
  done
  [ "$begun" -eq "$SECONDS" ] || note_time "waiting for what runs beside" "$begun"
  [ -z "$failed" ] || { running=$failed; return 1; }
}

table() {
  [ -s "$logs/steps" ] || return 0
  printf '\n%-46s %8s %8s\n' step began took
  sort -t $'\t' -k 2,2n "$logs/steps" | awk -F '\t' '{ printf "%-46s %6d s %6d s  %s\n", $1, $2, $3, $4 }'
  printf '%-46s %17d s\n' all "$SECONDS"
}

ended() {
  local status=$? name
  trap - EXIT
  for name in "${!pids[@]}"; do
    kill -- "-${pids[$name]}" 2>/dev/null || true
    printf '\n== %s (cut off)\n' "$name"
    tail -n 40 "$(log_of "$name")" || true
  done
  if declare -F cleanup >/dev/null; then cleanup || status=1; fi
  table
  [ "$status" -eq 0 ] || printf '\nFAILED%s (exit code %d)\n' "${running:+ at $running}" "$status" >&2
  rm -rf "$logs"
  [ "${CI_COLD:-}" != 1 ] || { chmod -R u+w "$CI_CACHE" && rm -rf "$CI_CACHE"; }
  exit "$status"
}
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Installs the Debian packages of programs that are missing, each given as PROGRAM:PACKAGE.
wanted() {
  local packages=() item
  for item in "$@"; do
    command -v "${item%%:*}" >/dev/null || packages+=("${item#*:}")
  done
  [ ${#packages[@]} -gt 0 ] || return 0
  echo "apt-get install ${packages[*]}"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$logs/apt" 2>&1 ||
    { tail -n 20 "$logs/apt" >&2; return 1; }
}

# One build of the dependencies for README, tests, benchmarks and slow suites, and one for lints.
toolchain() {
  rustc --version
  cat Cargo.lock rust-toolchain.toml
  sed -n '/^\[profile/,/^\[lints/p; /^\[dependencies/,/^\[\[/p' Cargo.toml
}
CARGO_TARGET_DIR=$(toolchain | cached target)
lints=$(toolchain | cached lints)
export CARGO_TARGET_DIR CLASSIFY_CACHE=$CI_CACHE/restate CLASSIFY_TEST_LOCK=$logs/quiet CLASSIFY_TEST_STRICT=1

# The files that suite $1 depends on, by .ci/rules, as one hash of their names and contents.
state_of() {
  local paths
  paths=$(sed -n "s/^$1: *//p" .ci/rules)
  [ -n "$paths" ] || { echo "no suite \`$1\` in .ci/rules" >&2; return 2; }
  # shellcheck disable=SC2086 # One word a path.
  git ls-files -z -- $paths | xargs -0 sha256sum | hash_of
}

# Whether suite $1 passed with these files: .ci/passed has a line that says so.
has_passed() { grep -q "^$1 $(state_of "$1") " .ci/passed; }
