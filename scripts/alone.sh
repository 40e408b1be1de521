#!/usr/bin/env bash
# Runs a command where there is no network but a loopback interface of its own: some servers for tests listen on all interfaces.
#
#   scripts/alone.sh COMMAND…
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
as_root=()
[ "$(id -u)" = 0 ] || as_root=(--map-root-user)
exec unshare --net "${as_root[@]}" sh -c 'ip link set lo up && exec "$@"' alone "$@"
