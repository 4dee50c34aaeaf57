#!/usr/bin/env bash
# Checks deploy/kubernetes without a cluster: renders the kustomization and holds every object against the schemas of Kubernetes and
# of the operator. Then breaks them one by one, and wants each to be refused. Needs Go, Python with venv, and their registries once;
# what they bring stays in the folder given (default target/kubernetes).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mkdir -p "${1:-target/kubernetes}" && cd "${1:-target/kubernetes}" && pwd)

# Its schemas reach from Kubernetes 1.25 to 1.37.
validate=1.37.0
kustomize=v5.7.1

[ -x "$work/kustomize" ] || GOBIN="$work" go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize"
if [ ! -x "$work/venv/bin/kubernetes-validate" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$validate"
fi

"$work/kustomize" build deploy/kubernetes >"$work/manifests.yaml"
"$work/venv/bin/python" scripts/kubernetes/check.py "$work/manifests.yaml" deploy/kubernetes/schema/restatecluster.json
