#!/usr/bin/env bash
# Installs what a goal needs and is not there yet; says what it installs, and nothing when all is there.
#
#   scripts/setup.sh build    the libraries that ckbackup links, make, python3
#   scripts/setup.sh test     those, strace, openssl, and .venv with pytest and the S3 servers of the integration tests
#   scripts/setup.sh stores   those of build, Ceph's gateway, and .venv-stores with more S3 servers
#   scripts/setup.sh frameworks  those of build, g++, and .venv-frameworks with torch, transformers and DeepSpeed
#   scripts/setup.sh bench    those of build, restic, and .venv with the other tools that ckbackup is measured against
#
# Debian 12, Ubuntu 22.04 and 24.04; on other systems it names what is needed and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

goal=${1:-build}
case $goal in build | test | stores | frameworks | bench) ;; *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# The Debian packages among the arguments that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

install_packages() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "this is no Debian or Ubuntu: please make sure of what these packages hold: $*"
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "as root, install: ${missing[*]}"
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" \
    </dev/null >/dev/null
}

command -v swift >/dev/null || die "no Swift toolchain: install Swift 6.2 or newer (swift.org/install) and run this again"

packages=(libcurl4-openssl-dev libssl-dev zlib1g-dev libexpat1-dev libtomlplusplus-dev)
command -v pkg-config >/dev/null || packages+=(pkg-config)
command -v make >/dev/null || packages+=(make)
command -v python3 >/dev/null || packages+=(python3)
if [ "$goal" != build ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  packages+=(python3 python3-venv)
fi
[ "$goal" != test ] || packages+=(strace openssl)
# DeepSpeed compiles the part by which its processes speak to each other.
[ "$goal" != frameworks ] || packages+=(g++)
[ "$goal" != stores ] || packages+=(openssl iproute2 radosgw ceph-mon ceph-osd ceph-common)
[ "$goal" != bench ] || packages+=(restic)
install_packages "${packages[@]}"

case $goal in
  test) requirements=Integration/requirements.txt ;;
  stores) requirements=Integration/stores-requirements.txt ;;
  frameworks) requirements=Frameworks/requirements.txt ;;
  bench) requirements=Benchmarks/requirements.txt ;;
  *) exit 0 ;;
esac
# torch is large, the servers bring many packages, and their versions must not decide what the other tools get.
venv=.venv
case $goal in frameworks | stores) venv=.venv-$goal ;; esac
done_mark=$venv/$goal.installed
if ! cmp -s "$requirements" "$done_mark"; then
  say "installing into $venv: $(tr '\n' ' ' <"$requirements")"
  [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
  cp "$requirements" "$done_mark"
fi
