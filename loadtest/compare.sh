#!/usr/bin/env bash
# compare.sh [flags of compare]: measures weir and its peers on this machine, one after the other, and writes
# docs/benchmarks.md. Takes some 40 minutes on two cores that have nothing else to do.
#
#   QUICK=1   two minutes, no ceilings, prints instead of writing: to see that everything works
#   CORES="0 1"  the core of the servers and the core of weir bench
#   -curves   instead: tables of how weir's cost grows on one core and on two, printed; some fifteen minutes
#   -client  instead: what weir bench and a client in C see and use side by side, printed; two minutes. Fails if they do not agree
#   -only RE, -servers RE, -skip RE, -runs N, -duration TIME, -out FILE: see peers/compare
#   -known FILE keeps outcomes in a file, and does not measure again what it has
#   -wrap CMD   runs the measurements by a command, a minute or two at a time: nice, chrt, or flock on a shared machine
#
# Needs Go. What else it needs on Debian it installs with apt-get, as root or with sudo: nginx with nchan,
# Node.js and npm, taskset, a C compiler. A peer that cannot be had is left out, and the page says so.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
peers=$root/loadtest/peers
work=$(mktemp -d)
driver=

# cleanup ends the driver, which ends what it started, and removes programs and raw results.
cleanup() {
  local status=$?
  trap - EXIT
  if [[ -n $driver ]] && kill "$driver" 2>/dev/null; then
    wait "$driver" || true
  fi
  [[ -n ${KEEP:-} ]] && echo "compare: raw results are kept in $work/raw" >&2 || rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

has() { command -v "$1" >/dev/null; }

alone= # no other servers take part
[[ " $* " == *" -client "* ]] && alone=1

install_packages() {
  local want=()
  has taskset || want+=(util-linux)
  if [[ $alone ]]; then
    has cc || want+=(gcc libc6-dev)
  else
    has node || want+=(nodejs)
    has npm || want+=(npm)
    [[ -x /usr/sbin/nginx ]] || want+=(nginx)
    [[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]] || want+=(libnginx-mod-nchan)
  fi
  ((${#want[@]})) || return 0
  local sudo=()
  if (($(id -u))); then
    sudo=(sudo -n)
  fi
  if ! has apt-get || ! "${sudo[@]}" true 2>/dev/null; then
    echo "compare: cannot install ${want[*]}: whatever needs them is left out" >&2
    return 0
  fi
  echo "compare: installing ${want[*]}" >&2
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}" >/dev/null ||
    echo "compare: apt-get failed: whatever needs ${want[*]} is left out" >&2
}

build() {
  local revision
  revision=$(git -C "$root" describe --match= --always --abbrev=12 --dirty 2>/dev/null) || echo "compare: without git the page cannot name the commit" >&2
  (cd "$root" && go build -trimpath -buildvcs=auto -ldflags "-X weir/internal/buildinfo.stamped=$revision" -o "$work/weir" ./cmd/weir)
  (cd "$peers/compare" && go build -trimpath -o "$work/compare" .)
  if [[ $alone ]]; then
    local flags=(-O2)
    [[ $(uname -m) == x86_64 ]] && flags+=(-msse4.2) # CRC-32C in hardware, as Go has it
    cc "${flags[@]}" -o "$work/reader" "$peers/reader/reader.c"
    return
  fi
  for peer in centrifuge gws; do
    (cd "$peers/$peer" && go build -trimpath -o "$work/$peer" .)
  done
  if has npm; then
    (cd "$peers/ws" && npm ci --silent --no-audit --no-fund) || echo "compare: npm ci failed: ws is left out" >&2
  fi
}

install_packages
has taskset || { echo "compare: no taskset" >&2; exit 2; }
echo "compare: building" >&2
build
mkdir "$work/raw"

# 5000 connections on both sides, and some
ulimit -n "$(ulimit -Hn)"
[[ $(ulimit -n) == unlimited ]] || (($(ulimit -n) >= 8192)) || {
  echo "compare: $(ulimit -n) open files are too few: raise the hard limit to 8192 (ulimit -Hn)" >&2
  exit 2
}

read -r server client <<<"${CORES:-0 1}"
args=(-root "$root" -bin "$work" -dir "$work/raw" -server-core "$server" -client-core "$client")
if [[ -n ${QUICK:-} ]]; then
  args+=(-quick)
else
  mkdir -p "$root/docs"
  args+=(-out "$root/docs/benchmarks.md")
fi
"$work/compare" "${args[@]}" "$@" &
driver=$!
status=0
wait "$driver" || status=$?
driver=
exit "$status"
