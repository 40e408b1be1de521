#!/usr/bin/env python3
"""Breaks the engine in one place after the other and shows that the simulation notices.

    scripts/mutations.py [--episodes N] [--only WORD] [--table]

Each mutation is an edit of the sources that takes one rule away, or several where one rule stands behind another. In a copy of the
repository below .build/mutations it is applied, the simulation is built and run, and the first seeds that broke a promise are told; a
mutation that nothing notices is an error. `--table` prints the
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
class Edit:
    """In which file which text, that stands there just once, becomes which other."""

    file: str
    before: str
    after: str


@dataclass(frozen=True)
class Mutation:
    """What is broken, and by which edits: more than one where one rule stands behind another."""

    what: str
    edits: list


def one(what, file, before, after):
    return Mutation(what, [Edit(file, before, after)])


COMMIT = "Sources/Engine/Commit.swift"
PRUNE = "Sources/Engine/Prune.swift"
FETCHER = "Sources/Engine/ChunkFetcher.swift"
VERIFY = "Sources/Engine/Verify.swift"
KNOWN = "Sources/Engine/KnownChunks.swift"
JOIN = "Sources/Engine/Ranks/RankJoin.swift"

MUTATIONS = [
    one("the last look may be of any age", COMMIT,
        "guard repository.surroundings.now().seconds(since: looked) <= max(grace / 2, 60) else { return false }\n",
        "_ = looked\n"),
    one("a completion is believed, and the marker is put without a look at the packs", COMMIT,
        "let object = stored[pack.key], object.size == pack.size else {\n        return false\n      }",
        "let object = Optional(stored[pack.key] ?? .init(key: pack.key, size: pack.size, etag: nil, "
        "modified: repository.surroundings.now())) else {\n        return false\n      }"),
    one("the labels of a snapshot that is there are overwritten", COMMIT,
        "snapshot.milestone = snapshot.milestone || present.milestone", "snapshot.milestone = false"),
    one("the marker is put before manifest and record", "Sources/Engine/Push.swift",
        "let reference = try await repository.write(manifest)\n",
        "let reference = try await repository.write(manifest)\n"
        "    try await repository.write(source.snapshot(of: manifest, addedBytes: added, at: reference, replacing: former))\n"),
    one("a push relies on condemned and damaged packs", KNOWN,
        "Set(try await deletions().records.flatMap(\\.objects)).union(try await ledger().ledger.damaged)",
        "Set<String>()"),
    one("a push relies on packs whatever their size and ETag", KNOWN,
        "stored.size == size && (etag == nil || stored.etag == nil || etag == stored.etag) ? self : nil", "self"),
    one("a prune deletes what was condemned without a look whether it is needed again", PRUNE,
        "record.objects.filter { !isNeeded($0) && isRemovable($0)",
        "record.objects.filter { isRemovable($0)"),
    one("a prune waits for no grace period", PRUNE,
        "in now.seconds(since: record.written) >= grace }",
        "in now.seconds(since: record.written) >= -.infinity }"),
    one("a prune counts snapshots with unreadable manifests as gone", PRUNE,
        "        throw EngineError.unsafeToDelete(\n"
        "          reason: \"the manifest of \\(snapshot.label) cannot be read: \\(error.objectAndDetail)\")",
        "        _ = error"),
    one("a prune counts snapshots with unreadable markers as gone", PRUNE,
        "if let broken = listing.unreadable.first {",
        "if let broken = listing.unreadable.first, broken.objectAndDetail.isEmpty {"),
    one("chunks are given out without a look at their digests", FETCHER,
        "guard let digest = digests.next(), ChunkID(digest) == chunk.id else {",
        "guard digests.next() != nil else {"),
    one("a restore puts its result in place although chunks are lost", "Sources/Engine/Restore.swift",
        "if !losses.isEmpty { throw EngineError.damaged(Damage.of(losses, in: [(snapshot, manifest)])) }",
        "_ = losses"),
    one("a verify does not tell of packs that are not there", VERIFY,
        "guard let stored else { return .missing }", "guard let stored else { return nil }"),
    one("a verify does not tell of chunks that do not match", VERIFY,
        "      report.damages += Damage.of(losses, in: manifests)\n", ""),
    one("files that no rank has sent are not missed", JOIN,
        "if gaps.isEmpty { return nil }", "if !gaps.isEmpty || gaps.isEmpty { return nil }"),
    one("a rank takes a snapshot that has its share for its own", "Sources/Engine/Ranks/RankPush.swift",
        "guard Set(manifest.files.map(RankView.File.init)).isSuperset(of: view.files) else { continue }\n",
        "_ = manifest\n"),
    one("a copy puts the marker without the packs", "Sources/Engine/Copy.swift",
        "guard let key = try await packs.place(pack, state) else { return false }",
        "guard let key = Optional(pack.key) else { return false }"),
]


def fail(message):
    sys.exit(f"mutations: {message}")


def copy_sources():
    """The repository's files as they are now; what was built before stays, so that little is compiled again."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    kept = set()
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout
    for name in names.decode().split("\0"):
        source = ROOT / name
        # Only what the simulation is built of.
        if not name or not source.is_file() or re.match("Tests/(Fixtures|[A-Za-z]+Tests)/", name):
            continue
        put(COPY / name, source.read_bytes())
        kept.add(COPY / name)
    # SwiftPM wants the folders of the targets that it is not asked to build.
    for folder in (ROOT / "Tests").glob("*Tests"):
        put(COPY / "Tests" / folder.name / "Empty.swift", b"")
        kept.add(COPY / "Tests" / folder.name / "Empty.swift")
    # What was renamed or removed since the last run must not be compiled beside what replaced it.
    for path in COPY.rglob("*.swift"):
        if path.relative_to(COPY).parts[0] != ".build" and path not in kept:
            path.unlink()


def put(path, content):
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def apply(mutation):
    for edit in mutation.edits:
        path = COPY / edit.file
        text = path.read_text()
        if text.count(edit.before) != 1:
            fail(f"{edit.file} does not have this text just once: {edit.before}")
        put(path, text.replace(edit.before, edit.after).encode())


def build():
    done = subprocess.run(["swift", "build", "--product", "simulate"], cwd=COPY, capture_output=True, text=True)
    if done.returncode != 0:
        fail("it does not compile:\n" + "\n".join(re.findall(r".*error:.*", done.stdout + done.stderr)[:5]))


def failures(episodes):
    """The seeds that broke a promise, in growing rounds so that most mutations are over soon, and the first that was told."""
    first = 1
    for count in (100, 200, episodes):
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
        apply(mutation)
        build()
        episodes, told = failures(options.episodes)
        copy_sources()
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
