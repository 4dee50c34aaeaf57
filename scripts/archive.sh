#!/usr/bin/env bash
# Packs a program with its licence and notices into target/archives/NAME.tar.gz, with NAME.tar.gz.sha256 beside it:
#
#   scripts/archive.sh target/dist/classify classify-v1.2.3-x86_64-unknown-linux-gnu
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:?the program}
name=${2:?the name of the archive}

folder=target/archives/$name
rm -rf "$folder"
mkdir -p "$folder"
cp "$program" README.md CHANGELOG.md LICENSE THIRD-PARTY-NOTICES.txt "$folder/"
cd target/archives
tar -czf "$name.tar.gz" "$name"
rm -r "$name"
# Linux has the one, macOS the other.
sum=$(command -v sha256sum || echo "shasum -a 256")
$sum "$name.tar.gz" >"$name.tar.gz.sha256"
cat "$name.tar.gz.sha256"
