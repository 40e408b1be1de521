#!/usr/bin/env python3
"""Breaks the engine in one place after the other and shows that the simulation notices.

    scripts/mutations.py [--episodes N] [--only WORD] [--table]

Each mutation is one edit of the sources. In a copy of the repository below .build/mutations it is applied, the simulation is
built and run, and the first seeds that broke a promise are told; a mutation that nothing notices is an error. `--table` prints the
rows of docs/reliability.md.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / ".build/mutations"


@dataclass(frozen=True)
class Mutation:
    """An edit: what it breaks, in which file, and the text before and after."""

    what: str
    file: str
    before: str
    after: str


MUTATIONS = [
    Mutation("the marker is put without a look at deletions", "Sources/Engine/Commit.swift",
             "let looked = repository.surroundings.now()\n    let condemned = Set(try await repository.deletions().records.flatMap(\\.objects))",
             "let looked = repository.surroundings.now()\n    let condemned = Set<String>()"),
    Mutation("the marker is put without a look at the packs, and a completion is believed", "Sources/Engine/Commit.swift",
             "let object = stored[pack.key], object.size == pack.size else {\n        return false\n      }",
             "let object = Optional(stored[pack.key] ?? .init(key: pack.key, size: pack.size, etag: nil, modified: repository.surroundings.now())) else {\n        return false\n      }"),
    Mutation("the labels of a snapshot that is there are overwritten", "Sources/Engine/Commit.swift",
             "snapshot.milestone = snapshot.milestone || present.milestone", "snapshot.milestone = false"),
    Mutation("the marker is put before manifest and record", "Sources/Engine/Push.swift",
             "let reference = try await repository.write(manifest)\n",
             "let reference = try await repository.write(manifest)\n    try await repository.write(source.snapshot(of: manifest, addedBytes: added, at: reference, replacing: former))\n"),
    Mutation("a prune lists the packs after the markers", "Sources/Engine/Prune.swift",
             "    let packs = try await repository.store.list(ObjectKey.packs)\n"
             "    let manifests = try await repository.store.list(ObjectKey.manifests)\n"
             "    let records = try await repository.store.list(ObjectKey.records)\n"
             "    let listing = try await repository.snapshots()\n",
             "    let listing = try await repository.snapshots()\n"
             "    let manifests = try await repository.store.list(ObjectKey.manifests)\n"
             "    let records = try await repository.store.list(ObjectKey.records)\n"
             "    let packs = try await repository.store.list(ObjectKey.packs)\n"),
    Mutation("a prune takes its record back before it deletes", "Sources/Engine/Prune.swift",
             "      try await repository.store.delete(unused)\n",
             "      try await repository.store.delete([record.key])\n      try await repository.store.delete(unused)\n"),
    Mutation("chunks are given out without a look at their digests", "Sources/Engine/ChunkFetcher.swift",
             "guard let digest = digests.next(), ChunkID(digest) == chunk.id else {",
             "guard digests.next() != nil else {"),
    Mutation("ranks are joined although one is missing", "Sources/Engine/Ranks/RankJoin.swift",
             "guard missing.isEmpty else { return .awaiting(missing.sorted()) }",
             "guard !shares.isEmpty else { return .awaiting(missing.sorted()) }"),
    Mutation("files that no rank has sent are not missed", "Sources/Engine/Ranks/RankJoin.swift",
             "if gaps.isEmpty { return nil }", "if !gaps.isEmpty || gaps.isEmpty { return nil }"),
    Mutation("a rank takes a snapshot that has its share for its own", "Sources/Engine/Ranks/RankPush.swift",
             "guard Set(manifest.files.map(RankView.File.init)).isSuperset(of: view.files) else { continue }\n", "_ = manifest\n"),
    Mutation("a copy puts the marker without the packs", "Sources/Engine/Copy.swift",
             "guard let key = try await packs.place(pack, state) else { return false }",
             "guard let key = Optional(pack.key) else { return false }"),
]


def fail(message):
    sys.exit(f"mutations: {message}")


def copy_sources():
    """The repository's files as they are now; what was built before stays, so that little is compiled again."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in names.decode().split("\0"):
        source = ROOT / name
        # Only what the simulation is built of.
        if not name or not source.is_file() or re.match("Tests/(Fixtures|[A-Za-z]+Tests)/", name):
            continue
        put(COPY / name, source.read_bytes())
    # SwiftPM wants the folders of the targets that it is not asked to build.
    for folder in (ROOT / "Tests").glob("*Tests"):
        put(COPY / "Tests" / folder.name / "Empty.swift", b"")


def put(path, content):
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def build():
    done = subprocess.run(["swift", "build", "--product", "simulate"], cwd=COPY, capture_output=True, text=True)
    if done.returncode != 0:
        fail("it does not compile:\n" + "\n".join(re.findall(r".*error:.*", done.stdout + done.stderr)[:5]))


def failures(episodes):
    """The seeds that broke a promise, in growing rounds so that most mutations are over soon, and the first that was told."""
    first = 1
    for count in (100, 300, episodes):
        done = subprocess.run([COPY / ".build/debug/simulate", str(count), str(first)], cwd=COPY,
                              capture_output=True, text=True)
        told = re.findall(r"^seed (\d+): (.*)$", done.stderr, re.M)
        if told:
            return first + count - 1, told
        if done.returncode != 0:
            return first + count - 1, [("?", "the simulation itself ended")]
        first += count
    return first - 1, []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--episodes", type=int, default=1600, help="episodes of the last round for one mutation")
    parser.add_argument("--only", default="", help="only mutations with this word")
    parser.add_argument("--table", action="store_true", help="print rows for docs/reliability.md")
    options = parser.parse_args()
    copy_sources()
    missed = []
    for mutation in MUTATIONS:
        if options.only not in mutation.what:
            continue
        path = COPY / mutation.file
        original = (ROOT / mutation.file).read_text()
        if original.count(mutation.before) != 1:
            fail(f"{mutation.file} does not have this text just once: {mutation.before}")
        put(path, original.replace(mutation.before, mutation.after).encode())
        build()
        episodes, told = failures(options.episodes)
        put(path, original.encode())
        if not told:
            missed.append(mutation.what)
        example = re.sub(r"[0-9a-f]{8,}", "…", told[0][1].split(";")[0]) if told else "nothing"
        if options.table:
            print(f"| {mutation.what} | {len(told)} of {episodes} | {example[:90]} |", flush=True)
        else:
            print(f"{mutation.what}: {len(told)} of {episodes} episodes, first seed {told[0][0] if told else '-'}: "
                  f"{example[:150]}", flush=True)
    if missed:
        fail("nothing noticed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
