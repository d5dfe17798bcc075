#!/usr/bin/env bash
# cluster.sh [flags of nodes]: measures three nodes of weir on this machine beside one, and beside three of Centrifugo on Redis, and writes
# the section of docs/benchmarks.md about several nodes. Takes ten minutes on a machine that has nothing else to do.
#
#   QUICK=1   a minute, prints instead of writing: to see that everything works
#   TOOLS=DIR where centrifugo and redis-server are, or are to be put; a temporary directory
#   WRAP=CMD  runs the measurements by a command: nice, chrt, or flock on a shared machine
#
# Needs Go. Centrifugo is built from its module, outside of this one; Redis is Debian's, by apt-get as root or with sudo. A peer that
# cannot be had is left out, and the section says so.
set -euo pipefail

centrifugo=v6.9.1 # newest that the proxy has for major version 6
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
tools=${TOOLS:-$work/tools}
driver=

cleanup() {
  local status=$?
  trap - EXIT
  if [[ -n $driver ]] && kill "$driver" 2>/dev/null; then
    wait "$driver" || true
  fi
  if [[ -n ${KEEP:-} ]]; then echo "bench-cluster: logs are kept in $work" >&2; else rm -rf "$work"; fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$tools" "$work/bin" "$work/run"
echo "bench-cluster: building" >&2
(cd "$root" && go build -trimpath -o "$work/bin/weir" ./cmd/weir)
(cd "$root/loadtest/peers/nodes" && go build -trimpath -o "$work/nodes" .)
[[ -x $tools/centrifugo ]] || GOFLAGS= GOBIN="$tools" go install "github.com/centrifugal/centrifugo/v6@$centrifugo" || echo "bench-cluster: centrifugo cannot be built: it is left out" >&2
if [[ ! -x $tools/redis-server ]]; then
  if ! command -v redis-server >/dev/null; then
    sudo=()
    (($(id -u))) && sudo=(sudo -n)
    "${sudo[@]}" apt-get update -qq && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null ||
      echo "bench-cluster: redis-server cannot be installed: what needs it is left out" >&2
  fi
  redis=$(command -v redis-server || true)
  [[ -n $redis ]] && ln -s "$redis" "$tools/redis-server"
fi
for peer in centrifugo redis-server; do
  [[ -x $tools/$peer ]] && ln -s "$(realpath "$tools/$peer")" "$work/bin/$peer"
done
ulimit -n "$(ulimit -Hn)"

args=(-bin "$work/bin" -dir "$work/run")
if [[ -n ${QUICK:-} ]]; then args+=(-quick); else args+=(-out "$work/section.md"); fi
# shellcheck disable=SC2086 # a command and its flags
${WRAP:-} "$work/nodes" "${args[@]}" "$@" &
driver=$!
wait "$driver"
driver=
[[ -n ${QUICK:-} ]] && exit 0
cp "$work/section.md" "$root/loadtest/peers/compare/nodes.md"
# The page has the section before the last ones, which are written by hand.
awk -v section="$work/section.md" '
  /^## Several nodes$/ {skip = 1; next}
  /^## Goals and results$/ {while ((getline line < section) > 0) print line; print ""; skip = 0}
  !skip' "$root/docs/benchmarks.md" >"$work/page.md"
cp "$work/page.md" "$root/docs/benchmarks.md"
