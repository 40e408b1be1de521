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

# The repository of each command, and nothing from the caller's own configuration.
unset CKBACKUP_CONFIG
cd "$place"
: >ckbackup.toml
ckbackup() { "$program" "$@" --config ckbackup.toml --repo "$PWD/repository"; }

explain() { printf '\n# %s\n' "$*"; }
run() {
  printf '$ %s\n' "$*"
  "$@"
}

explain 'Two checkpoints of one training job; between them, a tenth of the bytes has changed.'
run python3 "$OLDPWD/scripts/make_checkpoint.py" --out checkpoint-1000 --size 64 --step 1000
run python3 "$OLDPWD/scripts/make_checkpoint.py" --out checkpoint-1500 --size 64 --step 1500 --change 10%

explain 'A repository in a directory. For a bucket: --repo s3://BUCKET/PREFIX and the usual AWS_… variables.'
run ckbackup init

explain 'Back both up. The second push sends only what the repository does not have yet.'
run ckbackup push checkpoint-1000 --run demo
run ckbackup push checkpoint-1500 --run demo --tag good

explain 'What is there?'
run ckbackup list demo
run ckbackup show demo@latest

explain 'Read everything back and compare it with its digests.'
run ckbackup verify --deep

explain 'Restore by step (or by tag, demo@good, or demo@latest).'
run ckbackup restore demo@1500 restored

explain 'The same bytes? The digest list is a plain object of the repository: coreutils can check it.'
sums=$(echo repository/records/demo/*1500-*/SHA256SUMS)
printf '$ cd restored && sha256sum --check ../%s\n' "$sums"
(cd restored && sha256sum --check --strict "../$sums")
run diff --recursive checkpoint-1500 restored

printf '\nIt works. Everything of this run is below %s.\n' "$place"
