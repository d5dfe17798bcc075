#!/usr/bin/env bash
# start.sh ADDRESS DIR: runs nginx with nchan on a loopback address, its files in DIR, until it is ended.
# Needs the Debian packages nginx and libnginx-mod-nchan.
set -euo pipefail
[[ $# == 2 && $1 =~ ^127\.[0-9.]+:[0-9]+$ ]] || {
  echo "usage: start.sh 127.0.0.1:PORT DIR" >&2
  exit 2
}
module=/usr/lib/nginx/modules/ngx_nchan_module.so
[[ -e $module ]] || { echo "start.sh: no $module: install libnginx-mod-nchan" >&2; exit 2; }
mkdir -p "$2"
dir=$(cd "$2" && pwd)
sed -e "s|@ADDRESS@|$1|g" -e "s|@DIR@|$dir|g" -e "s|@MODULE@|$module|g" "$(dirname "$0")/nginx.conf.in" >"$dir/nginx.conf"
exec "$(command -v nginx || echo /usr/sbin/nginx)" -c "$dir/nginx.conf" -e "$dir/error.log"
