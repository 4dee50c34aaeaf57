#!/usr/bin/env bash
# Prints the changelog's section for a tag, v1.2.3. Fails where the tag is not the version in Cargo.toml, or there is
# no such section.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?a tag, for instance v1.2.3}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[ "$tag" = "v$version" ] || { echo "the tag is $tag, Cargo.toml has version $version" >&2; exit 1; }

notes=$(awk -v version="$version" '/^## / { on = $2 == version; next } on' CHANGELOG.md)
[[ $notes =~ [^[:space:]] ]] || { echo "CHANGELOG.md has no section for $version" >&2; exit 1; }
# Without the empty lines at both ends.
printf '%s\n' "$notes" | sed '/./,$!d'
