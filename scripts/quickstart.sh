#!/usr/bin/env bash
# The main job once through, on small real checkpoints and a repository in a directory, with every command shown:
# push two checkpoints, look at them, verify them, restore one and compare it with sha256sum.
#
#   scripts/quickstart.sh [PROGRAM [DIRECTORY]]     default: .build/release/ckbackup, build/quickstart
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-.build/release/ckbackup}")
place=${2:-build/quickstart}
if [ -e "$place" ] && [ ! -e "$place/.quickstart" ] && [ -n "$(ls -A "$place")" ]; then
  echo "quickstart: error: $place is not empty and was not made by the quickstart" >&2
  exit 2
fi
rm -rf "$place"
mkdir -p "$place"
touch "$place/.quickstart"

tools=$PWD/scripts
cd "$place"
# An empty configuration: the caller's own must not decide what happens here.
: >ckbackup.toml
export CKBACKUP_CONFIG=$PWD/ckbackup.toml

ckbackup() { "$program" "$@"; }
explain() { printf '\n# %s\n' "$*"; }
run() {
  printf '$ %s\n' "$*"
  "$@"
}

printf '# To repeat any of this: ckbackup is %s, and the commands run in %s.\n' "$program" "$PWD"

explain 'Two checkpoints of one training job; between them, a tenth of the bytes has changed.'
run python3 "$tools/make_checkpoint.py" --out checkpoint-1000 --size 256 --step 1000
run python3 "$tools/make_checkpoint.py" --out checkpoint-1500 --size 256 --step 1500 --change 10%

explain 'A repository in a directory. For a bucket: --repo s3://BUCKET/PREFIX and the usual AWS_… variables.'
run ckbackup init --repo ./repository

explain 'Back both up. The second push sends only what the repository does not have yet.'
run ckbackup push checkpoint-1000 --run demo --repo ./repository
run ckbackup push checkpoint-1500 --run demo --tag good --repo ./repository

explain 'What is there?'
run ckbackup list demo --repo ./repository
run ckbackup show demo@latest --repo ./repository

explain 'Read everything back and compare it with its digests.'
run ckbackup verify --deep --repo ./repository

explain 'Restore by step (or by tag, demo@good, or demo@latest).'
run ckbackup restore demo@1500 restored --repo ./repository

explain 'The same bytes? The digest list is a plain object of the repository: coreutils can check it.'
sums=$(echo repository/records/demo/*1500-*/SHA256SUMS)
printf '$ cd restored && sha256sum --check ../%s\n' "$sums"
(cd restored && sha256sum --check --strict "../$sums")
run diff --recursive checkpoint-1500 restored

printf '\nIt works. Everything of this run is below %s.\n' "$place"
