#!/usr/bin/env bash
# A Docker engine and Compose for the container tests, on a Debian machine that has neither.
#
#   engine.sh start    installs what is missing and starts an engine, unless one answers already
#   engine.sh stop     ends the engine that `start` started, and waits for its end
#
# The engine's data, log and process id are in $WORK (default target/containers); Compose v2 goes to the plugins of $DOCKER_CONFIG. What is
# there already is used as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mkdir -p "${WORK:-target/containers}" && cd "${WORK:-target/containers}" && pwd)
plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
pid_file=$work/dockerd.pid

# Debian's own build of Compose v2; bookworm itself has only v1. Needs no more than the C library.
compose_url=http://deb.debian.org/debian/pool/main/d/docker-compose/docker-compose_2.26.1-4_amd64.deb
compose_sha256=47681197cb2b1ab88206b42a1a92fc75f50d9530a6322d03494a473eed0408ea

answers() { docker info >/dev/null 2>&1; }
say() { printf -- '-- %s\n' "$*"; }

# Program, or the word `engine`, and the Debian package that has it.
wanted() {
  answers || printf '%s\n' dockerd:docker.io iptables:iptables
  printf '%s\n' debootstrap:debootstrap docker-compose:docker-compose
}

install() {
  local packages=() item
  for item in $(wanted); do
    command -v "${item%%:*}" >/dev/null || packages+=("${item#*:}")
  done
  if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
      echo "the container tests need ${packages[*]}: install them, or run this as root on Debian" >&2
      exit 1
    fi
    say "apt-get install ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$work/apt.log" 2>&1 ||
      { tail -n 20 "$work/apt.log" >&2; exit 1; }
  fi
  if ! docker compose version >/dev/null 2>&1; then
    say "Compose v2 as a plugin in $plugins"
    local package=$work/compose.deb
    curl --fail --silent --show-error --output "$package" "$compose_url"
    echo "$compose_sha256  $package" | sha256sum --check --quiet
    mkdir -p "$plugins"
    dpkg-deb --fsys-tarfile "$package" |
      tar -x -C "$plugins" --strip-components=5 ./usr/libexec/docker/cli-plugins/docker-compose
  fi
  say "$(docker compose version)"
}

start() {
  install
  if answers; then
    say "an engine answers: $(docker version --format '{{.Server.Version}}')"
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "no Docker engine answers: start one, or run this as root" >&2
    exit 1
  fi
  # A session of its own: it outlives this script, and no Ctrl-C meant for a test reaches it.
  setsid dockerd --data-root "$work/engine" --pidfile "$pid_file" </dev/null >"$work/dockerd.log" 2>&1 &
  local engine=$!
  for _ in $(seq 300); do
    if answers; then
      say "started an engine: $(docker version --format '{{.Server.Version}}')"
      return
    fi
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.1
  done
  echo "dockerd did not start; its last lines, from $work/dockerd.log:" >&2
  tail -n 20 "$work/dockerd.log" >&2
  exit 1
}

stop() {
  local engine
  engine=$(cat "$pid_file" 2>/dev/null) || return 0
  # A process id may have gone to somebody else since.
  if [ "$(cat "/proc/$engine/comm" 2>/dev/null)" != dockerd ]; then
    rm -f "$pid_file"
    return 0
  fi
  kill "$engine"
  timeout 60 tail --pid="$engine" -f /dev/null || { echo "dockerd ($engine) does not end" >&2; exit 1; }
  say "ended the engine"
}

case ${1-} in
  start | stop) "$1" ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
