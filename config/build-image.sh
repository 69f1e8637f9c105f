#!/usr/bin/env bash
# Builds the Dockerfile where there is neither a Docker engine nor a registry, and tries the image.
#
#   sudo config/build-image.sh [FOLDER]
#
# Needs root, Debian's packages buildah and debootstrap, a mirror of Debian, an index of Python
# packages, and as PYTHON the Python that Debian's SUITE has (3.11 for bookworm). FOLDER keeps
# the base and the logs between two runs; without it they are in one that is removed at a good end.
#
# 1. debootstrap makes a base of SUITE with python3 and python3-venv; buildah imports it, and it
#    is passed as the build argument BASE. With BASE set, that image is taken instead.
# 2. Wheels are made here, into wheels/, so that the build itself asks nobody (PIP_NO_INDEX).
# 3. buildah builds the Dockerfile, with chroot for isolation.
# 4. The image's files are run as its user, without capabilities, on a root that is mounted
#    read-only, with one volume: the bridge starts, is healthy by its own health check, takes a
#    recorded session, shows it, and stops on SIGTERM. Nothing but the volume was written to.
#
# What this cannot show: how Docker itself mounts, restarts and counts the health check, and the
# pinned base of the Dockerfile, which needs a registry.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
SUITE="${SUITE:-bookworm}"
MIRROR="${MIRROR:-http://deb.debian.org/debian}"
PYTHON="${PYTHON:-python3}"
TAG="${TAG:-localhost/langfuse-bridge}"
BASE="${BASE:-}"
USER_ID=10001
DATA=/var/lib/langfuse-bridge
COMPILERS=(gcc cc g++ c++ clang tcc)
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

say() { printf '%s\n' "build-image: $*"; }
fail() { say "$*" >&2; exit 1; }

[[ $EUID -eq 0 ]] || fail "needs root, to make a base and to mount; run it with sudo"
for tool in buildah debootstrap setpriv unshare; do
  command -v "$tool" >/dev/null || fail "$tool is missing; apt install buildah debootstrap util-linux"
done

WORK="${1:-$(mktemp -d)}"
mkdir -p "$WORK"
cleanup=()
finish() { for step in "${cleanup[@]}"; do eval "$step" || true; done; }
trap finish EXIT

import_base() {
  if [[ ! -x $WORK/base/usr/bin/python3 ]]; then
    say "base: debootstrap $SUITE"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
      "$SUITE" "$WORK/base" "$MIRROR" >"$WORK/debootstrap.log" 2>&1 ||
      fail "debootstrap failed, see $WORK/debootstrap.log"
    rm -rf "$WORK"/base/var/cache/apt/archives/*.deb "$WORK"/base/var/lib/apt/lists/*
  fi
  local ours base
  ours="$("$PYTHON" -c 'import sys; print(*sys.version_info[:2], sep=".")')"
  base="$(chroot "$WORK/base" python3 -c 'import sys; print(*sys.version_info[:2], sep=".")')"
  [[ $ours == "$base" ]] || fail "$PYTHON is $ours, the base has $base; set PYTHON=python$base"
  local container
  container="$(buildah from scratch)"
  buildah copy --quiet "$container" "$WORK/base" / >/dev/null
  buildah commit --quiet --rm "$container" "localhost/langfuse-bridge-base:$SUITE" >/dev/null
  BASE="localhost/langfuse-bridge-base:$SUITE"
}

make_wheels() {
  say "wheels: $("$PYTHON" --version)"
  cleanup+=("rm -rf '$HERE/wheels'")
  "$PYTHON" -m pip wheel --quiet --wheel-dir "$HERE/wheels" "$HERE" 'hatchling>=1.26' \
    >"$WORK/wheels.log" 2>&1 || fail "wheels could not be made, see $WORK/wheels.log"
  rm "$HERE"/wheels/langfuse_bridge-*.whl # the Dockerfile builds this one
}

build() {
  say "build: $TAG on $BASE"
  buildah build --pull-never --format docker --isolation chroot \
    --build-arg "BASE=$BASE" --build-arg PIP_NO_INDEX=1 \
    --build-arg "REVISION=$(git -C "$HERE" rev-parse HEAD 2>/dev/null || echo unknown)" \
    --tag "$TAG" "$HERE" >"$WORK/build.log" 2>&1 || fail "the build failed, see $WORK/build.log"
}

# The image's files, its user, its environment; a root that cannot be written to, and one volume.
enter() {
  local root="$1" volume="$2"
  shift 2
  exec unshare --mount --propagation private bash -euc '
    root="$1" volume="$2" data="$3" user="$4"; shift 4
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount --bind "$volume" "$root$data"
    mount --rbind /proc "$root/proc"
    mount --rbind /dev "$root/dev"
    cd "$root"
    exec chroot . setpriv --reuid="$user" --regid="$user" --clear-groups \
      --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
  ' bash "$root" "$volume" "$DATA" "$USER_ID" /usr/bin/env -i "${SET[@]}" "$@"
}
inside() (enter "$@")

try() {
  local container root volume found
  container="$(buildah from --pull-never "$TAG")"
  cleanup+=("buildah rm '$container' >/dev/null")
  root="$(buildah mount "$container")"
  mapfile -t SET < <(buildah inspect --type image --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$TAG" | sed '/^$/d')
  volume="$WORK/volume"
  rm -rf "$volume"
  install --directory --owner=$USER_ID --group=$USER_ID --mode=0700 "$volume"

  say "user: $(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$TAG")"
  [[ "$(inside "$root" "$volume" id -u)" == "$USER_ID" ]] || fail "it does not run as $USER_ID"
  for found in "${COMPILERS[@]}"; do
    ! inside "$root" "$volume" sh -c "command -v $found" >/dev/null || fail "$found is in the image"
  done
  ! inside "$root" "$volume" touch /opt/langfuse-bridge/x 2>/dev/null || fail "the root can be written to"
  say "no compiler; the root is read-only"

  found=0
  inside "$root" "$volume" langfuse-bridge run >"$WORK/refused.log" 2>&1 || found=$?
  [[ $found -eq 2 ]] && grep -q 'no tokens' "$WORK/refused.log" || fail "it starts without tokens"
  say "without tokens it does not start"

  local token
  token="$(inside "$root" "$volume" langfuse-bridge token new try --tags department=try 2>/dev/null)"
  SET+=(BRIDGE_PORT=14318 BRIDGE_GRPC_PORT=14317)
  enter "$root" "$volume" langfuse-bridge run >"$WORK/run.log" 2>&1 & # execs: its id is the bridge's
  local bridge=$!
  cleanup+=("kill $bridge 2>/dev/null")
  for _ in {1..100}; do
    inside "$root" "$volume" langfuse-bridge health >"$WORK/health.log" 2>&1 && break
    kill -0 "$bridge" || fail "it ended, see $WORK/run.log"
  done
  kill -0 "$bridge" || fail "something else answers on its port, see $WORK/run.log"
  say "health: $(inside "$root" "$volume" langfuse-bridge health)"

  cp -r "$HERE/bridge/app/demo_session" "$volume/session"
  SET+=("OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer $token")
  inside "$root" "$volume" langfuse-bridge send "$DATA/session"
  rm -r "$volume/session"
  for _ in {1..60}; do
    found="$(inside "$root" "$volume" langfuse-bridge sessions 2>/dev/null | grep ac4cd316)" && break
  done
  [[ -n $found ]] || fail "the recorded session was not assembled, see $WORK/run.log"
  say "session: $found"
  kill -TERM "$bridge"
  wait "$bridge" || fail "it did not stop cleanly, see $WORK/run.log"
  say "stopped on SIGTERM with 0; the volume holds: $(cd "$volume" && echo *)"
  ! inside "$root" "$volume" langfuse-bridge health >/dev/null 2>&1 || fail "healthy, though stopped"
  say "size: $(du -sm "$root" | cut -f1) MiB, of which /opt/langfuse-bridge $(du -sm "$root/opt/langfuse-bridge" | cut -f1) MiB"
}

[[ -n $BASE ]] || import_base
make_wheels
build
try
[[ -n ${1:-} ]] || cleanup+=("rm -rf '$WORK'")
say "done: $TAG"
