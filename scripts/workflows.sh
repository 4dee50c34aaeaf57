#!/usr/bin/env bash
# Checks .github/workflows without running them: against GitHub's schema, and with actionlint, which also knows
# expressions, contexts and runners. Then breaks one, and wants it to be refused.
#
# Needs Python with venv, Go, and their registries once; what they bring stays in the folder given (default
# ~/.cache/classify-ci/workflows).
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-${CI_CACHE:-$HOME/.cache/classify-ci}/workflows}
mkdir -p "$work"
work=$(cd "$work" && pwd)

schemas=0.39.0
actionlint=v1.7.12

if [ ! -x "$work/$schemas/bin/check-jsonschema" ]; then
  python3 -m venv "$work/$schemas"
  "$work/$schemas/bin/pip" install --quiet --disable-pip-version-check "check-jsonschema==$schemas"
fi
[ -x "$work/$actionlint/actionlint" ] ||
  GOBIN="$work/$actionlint" go install "github.com/rhysd/actionlint/cmd/actionlint@$actionlint"

schema() { "$work/$schemas/bin/check-jsonschema" --builtin-schema vendor.github-workflows "$@"; }
lint() { "$work/$actionlint/actionlint" "$@"; }

schema .github/workflows/*.yml
lint .github/workflows/*.yml

broken=$(mktemp -d)
trap 'rm -rf "$broken"' EXIT
sed 's/runs-on:/run-on:/' .github/workflows/check.yml >"$broken/key.yml"
sed 's/github\.ref /github.reff /' .github/workflows/check.yml >"$broken/context.yml"
! schema "$broken/key.yml" >/dev/null || { echo "the schema check finds nothing" >&2; exit 1; }
! lint "$broken/context.yml" >/dev/null || { echo "actionlint finds nothing" >&2; exit 1; }
echo "the workflows are as GitHub wants them"
