#!/usr/bin/env bash
# Writes THIRD-PARTY-NOTICES.txt: the licences of all packages in the released program. `--check` only compares, and
# fails where the file is stale. What is written is set by about.toml and about.hbs.
#
# Needs the registry once, to build cargo-about (some five minutes); it stays in $CI_CACHE (default ~/.cache/classify-ci).
# A run takes one to two minutes. Without all this tests/checks/repository.rs compares names and versions.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in '' | --check) ;; *) echo "usage: scripts/notices.sh [--check]" >&2; exit 2 ;; esac

version=0.9.3
about=${CI_CACHE:-$HOME/.cache/classify-ci}/cargo-about-$version
[ -x "$about/bin/cargo-about" ] ||
  cargo install --quiet --locked --version "$version" --features cli --root "$about" cargo-about

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# All packages have to be there, those of other platforms as well; after that nothing is asked for over the network.
cargo fetch --quiet --locked
"$about/bin/cargo-about" generate --locked --offline --fail about.hbs >"$work/written"
sed 's/[[:space:]]*$//' "$work/written" | cat -s >"$work/notices"

if [ "${1:-}" = --check ]; then
  diff -u THIRD-PARTY-NOTICES.txt "$work/notices" >"$work/diff" ||
    { head -n 40 "$work/diff"; echo "THIRD-PARTY-NOTICES.txt is stale: run scripts/notices.sh" >&2; exit 1; }
else
  cp "$work/notices" THIRD-PARTY-NOTICES.txt
fi
echo "THIRD-PARTY-NOTICES.txt names $(grep -c '^  \* ' THIRD-PARTY-NOTICES.txt) packages"
