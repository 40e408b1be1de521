#!/usr/bin/env python3
"""Restores checkpoints from a directory copy of a ckbackup repository, without ckbackup.

It needs Python 3.8 or newer and nothing else. Get the repository onto a disk first, by any means that copies
objects to files of the same names (`aws s3 sync`, `rclone copy`, `s5cmd cp`, a mounted disk), then:

    python3 recover.py REPOSITORY list
    python3 recover.py REPOSITORY restore llama-sft@1000 ./checkpoint-1000

For one checkpoint, these are enough: snapshots/RUN/STEP-ID.json, the manifest that it names, and the
packs that the manifest names. Every chunk must match its SHA-256 before it is written, and every file its own; the
target appears only when all of them did. A checkpoint that was a single file is restored as a file named TARGET.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 damage found, 4 nothing matched.
"""

import argparse
import base64
import binascii
import gzip
import hashlib
import json
import os
import shutil
import stat
import sys
from urllib.parse import unquote

FORMAT = 1
# Bounds on what a damaged or hostile repository can make this script hold in memory.
LARGEST_CHUNK = 256 << 20
LARGEST_MANIFEST = 2 << 30


class Failure(Exception):
    """Ends the program with a sentence and an exit code."""

    code = 1


class Damage(Failure):
    code = 3


class NothingMatched(Failure):
    code = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", metavar="REPOSITORY", help="the directory that holds snapshots, manifests and packs")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="print the snapshots, oldest step first")
    listing.add_argument("run", metavar="RUN", nargs="?", help="only those of this run")
    restoring = commands.add_parser("restore", help="restore one snapshot to a new directory or file")
    restoring.add_argument("snapshot", metavar="SNAPSHOT", help="RUN@STEP, RUN@latest, RUN@TAG, or the start of an id")
    restoring.add_argument("target", metavar="TARGET", help="where to; it must not exist yet")
    options = parser.parse_args()
    try:
        repository = Repository(options.repository)
        if options.command == "list":
            list_snapshots(repository, options.run)
        else:
            restore(repository, options.snapshot, options.target)
    except Failure as failure:
        sys.exit(complain(failure, failure.code))
    except OSError as error:
        sys.exit(complain(error, 1))
    except KeyboardInterrupt:
        sys.exit(complain("interrupted", 130))


def complain(what, code):
    print(f"error: {what}", file=sys.stderr)
    return code


# The repository: markers, manifests, packs.

class Repository:
    """A repository's objects as files under one directory."""

    def __init__(self, directory):
        self.directory = directory
        path = os.path.join(directory, "ckbackup.json")
        if os.path.isfile(path):
            self.demand_format(self.json(path), path)
        elif not os.path.isdir(os.path.join(directory, "snapshots")):
            raise Failure(f"{directory} is not a ckbackup repository: it has neither ckbackup.json nor snapshots")
        self.damaged = []

    def snapshots(self):
        """All markers that can be read, by run and step. The others are named in `damaged`."""
        found = []
        root = os.path.join(self.directory, "snapshots")
        for directory, _, names in os.walk(root):
            for name in names:
                path = os.path.join(directory, name)
                if not name.endswith(".json"):
                    continue
                try:
                    marker = self.json(path)
                    self.demand_format(marker, path)
                    found.append(Snapshot(marker, unquote(os.path.relpath(directory, root)), path))
                except Damage as damage:
                    self.damaged.append(damage)
        return sorted(found, key=lambda snapshot: (snapshot.run, snapshot.step, snapshot.id))

    def manifest(self, snapshot):
        path = self.path(snapshot.manifest_key)
        try:
            with open(path, "rb") as file:
                packed = file.read()
        except FileNotFoundError:
            raise Damage(f"the manifest {snapshot.manifest_key} is missing") from None
        if hashlib.sha256(packed).hexdigest() != snapshot.manifest_digest:
            raise Damage(f"the manifest {snapshot.manifest_key} is not the one that was written: its SHA-256 differs")
        try:
            with gzip.open(path) as file:
                text = file.read(LARGEST_MANIFEST + 1)
            if len(text) > LARGEST_MANIFEST:
                raise Failure(f"the manifest {snapshot.manifest_key} is larger than {LARGEST_MANIFEST >> 30} GiB")
            manifest = json.loads(text)
        except (OSError, EOFError, ValueError) as error:
            raise Damage(f"the manifest {snapshot.manifest_key} cannot be read: {error}") from None
        self.demand_format(manifest, snapshot.manifest_key)
        if (manifest.get("id"), manifest.get("run"), manifest.get("step")) != (
                snapshot.id, snapshot.run, snapshot.step):
            raise Damage(f"the manifest {snapshot.manifest_key} belongs to another snapshot")
        return manifest

    def path(self, key):
        """The file of an object; a key can never lead out of the repository."""
        return os.path.join(os.fsencode(self.directory), safe_path(key))

    def json(self, path):
        try:
            with open(path, "rb") as file:
                value = json.load(file)
        except ValueError as error:
            raise Damage(f"{path} cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise Damage(f"{path} is not what it should be: no JSON object")
        return value

    def demand_format(self, value, where):
        number = value.get("format") if isinstance(value, dict) else None
        if number != FORMAT:
            raise Failure(f"{where} has format {number!r}, and this script reads format {FORMAT} only: "
                          "use the ckbackup that wrote it, or its recover.py")


class Snapshot:
    """One marker: what it commits, and how it is addressed."""

    def __init__(self, marker, run, path):
        try:
            self.id, self.run, self.step = marker["id"], marker["run"], marker["step"]
            self.time, self.tags = marker["time"], marker.get("tags") or []
            self.complete = marker.get("complete") is not False
            self.manifest_key, self.manifest_digest = marker["manifest"]["key"], marker["manifest"]["sha256"]
        except (KeyError, TypeError) as error:
            raise Damage(f"{path} is not a snapshot's marker: {error} is missing") from None
        if self.run != run or not isinstance(self.step, int) or not isinstance(self.id, str):
            raise Damage(f"{path} does not belong where it is")
        if os.path.basename(path) != f"{self.step:012}-{self.id}.json":
            raise Damage(f"{path} has another snapshot's name")

    def __str__(self):
        return f"{self.run}@{self.step} ({self.id})"

    def answers(self, address):
        run, at, which = address.rpartition("@")
        if not at:
            return bool(address) and self.id.startswith(address)
        return self.run == run and (which == "latest" or which in self.tags or which == str(self.step))


def list_snapshots(repository, run):
    snapshots = [snapshot for snapshot in repository.snapshots() if run in (None, snapshot.run)]
    for snapshot in snapshots:
        incomplete = [] if snapshot.complete else ["incomplete"]
        print(f"{snapshot.run}@{snapshot.step}", snapshot.id, snapshot.time, *snapshot.tags, *incomplete)
    if repository.damaged:
        raise Damage("; ".join(map(str, repository.damaged)))
    if not snapshots:
        raise NothingMatched(f"no snapshots of run {run}" if run else "the repository holds no snapshot")


def choose(repository, address):
    """The one snapshot that `address` means. A marker that is damaged may be the latest."""
    matches = [snapshot for snapshot in repository.snapshots() if snapshot.answers(address)]
    if address.endswith("@latest"):
        matches = [match for match in matches if match.complete]
        matches = [match for match in matches if match.step == matches[-1].step]
        matches = sorted(matches, key=lambda match: match.time)[-1:]
    if not matches or address.endswith("@latest"):
        for damage in repository.damaged:
            print(f"warning: {damage}", file=sys.stderr)
    if not matches:
        raise NothingMatched(f"no snapshot is called {address}; see the list command")
    if len(matches) > 1:
        raise Failure(f"{address} means any of {', '.join(map(str, matches))}: name one by its id")
    return matches[0]


# The restore.

def restore(repository, address, target):
    snapshot = choose(repository, address)
    manifest = repository.manifest(snapshot)
    try:
        tree = Tree(manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damage(f"the manifest of {snapshot} is not as format {FORMAT} has it: {error!r}") from None
    target = os.fsencode(target).rstrip(b"/")
    if os.path.lexists(target):
        raise Failure(f"{os.fsdecode(target)} exists already; name a new target")
    parent, name = os.path.split(os.path.abspath(target))
    os.makedirs(parent, exist_ok=True)
    staging = os.path.join(parent, b".%s.recovering-%d" % (name[:200], os.getpid()))
    try:
        tree.write(repository, staging)
        os.rename(staging, target)
    finally:
        if os.path.isdir(staging):
            shutil.rmtree(staging)
        elif os.path.lexists(staging):
            os.unlink(staging)
    size = sum(file.size for file in tree.files)
    print(f"restored {snapshot}: {len(tree.files)} files, {size} bytes, to {os.fsdecode(target)}")


class Tree:
    """What a manifest says is to be made: checked as a whole before anything is written."""

    def __init__(self, manifest):
        self.packs = [pack["key"] for pack in manifest["packs"]]
        for key in self.packs:
            safe_path(key)
        self.files = [File(entry, len(self.packs)) for entry in manifest["files"]]
        self.links = [(entry_path(entry), encoded(entry, "target"), integer(entry["mtime"]))
                      for entry in manifest.get("links", [])]
        self.directories = [(entry_path(entry), entry_mode(entry), integer(entry["mtime"]))
                            for entry in manifest.get("directories", [])]
        self.kind = manifest["kind"]
        if self.kind == "directory":
            root = manifest["root"]
            self.directories.append((b"", entry_mode(root), integer(root["mtime"])))
        elif self.kind != "file" or len(self.files) != 1 or self.links or self.directories:
            raise ValueError(f"kind {self.kind!r} with {len(self.files)} files")
        self.demand_one_entry_a_path()

    def demand_one_entry_a_path(self):
        """No path twice, and nothing below a file or a link: so no link of the tree is ever followed."""
        leaves = [file.path for file in self.files] + [path for path, _, _ in self.links]
        folders = [path for path, _, _ in self.directories]
        if len(set(leaves + folders)) != len(leaves) + len(folders):
            raise ValueError("a path is there twice")
        below = set()
        for path in leaves + folders:
            while b"/" in path:
                path = path.rpartition(b"/")[0]
                below.add(path)
        if not below.isdisjoint(leaves):
            raise ValueError(f"something lies below {min(below.intersection(leaves))!r}, which is no directory")

    def write(self, repository, staging):
        if self.kind == "file":
            self.files[0].write(repository, self.packs, staging)
            return
        os.mkdir(staging, 0o700)
        for path, _, _ in self.directories:
            os.makedirs(os.path.join(staging, path), 0o700, exist_ok=True)
        for file in self.files:
            place = os.path.join(staging, file.path)
            os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
            file.write(repository, self.packs, place)
        for path, link, mtime in self.links:
            place = os.path.join(staging, path)
            os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
            os.symlink(link, place)
            os.utime(place, ns=(mtime, mtime), follow_symlinks=False)
        # The deepest first: what is made inside a directory changes its mtime, and its mode may forbid it.
        for path, mode, mtime in sorted(self.directories, reverse=True):
            place = os.path.join(staging, path)
            os.chmod(place, mode & ~stat.S_ISUID)
            os.utime(place, ns=(mtime, mtime))


class File:
    """One file of a manifest: its chunks in order, and where they lie."""

    def __init__(self, entry, packs):
        self.path, self.mode, self.mtime = entry_path(entry), entry_mode(entry), integer(entry["mtime"])
        self.size, self.digest = natural(entry["size"]), entry["sha256"]
        self.holes = [(natural(offset), natural(length)) for offset, length in entry.get("holes", [])]
        chunks = entry["chunks"]
        if "encoding" in chunks:
            raise Failure("this snapshot's chunks are encoded, which this script cannot read: use ckbackup")
        columns = [chunks[name] for name in ("id", "pack", "offset", "length")]
        if len(set(map(len, columns))) != 1:
            raise ValueError(f"{self} has chunks without an id, pack, offset or length")
        self.chunks = list(zip(*columns))
        for _, pack, offset, length in self.chunks:
            natural(offset)
            if natural(pack) >= packs or natural(length) > LARGEST_CHUNK:
                raise ValueError(f"{self} has a chunk that cannot be")
        self.data = self.data_ranges()

    def __str__(self):
        return os.fsdecode(self.path)

    def data_ranges(self):
        """Where the chunks' bytes go: everywhere, or where the holes leave room when the chunks leave them out."""
        stored = sum(length for _, _, _, length in self.chunks)
        if stored == self.size:
            return [(0, self.size)]
        ranges, position = [], 0
        for offset, length in self.holes + [(self.size, 0)]:
            if offset < position:
                raise ValueError(f"{self} has holes out of order")
            ranges.append((position, offset))
            position = offset + length
        if position != self.size or sum(end - start for start, end in ranges) != stored:
            raise ValueError(f"{self} has {stored} bytes of chunks for {self.size} bytes")
        return ranges

    def write(self, repository, packs, place):
        digest = hashlib.sha256()
        position = 0
        # O_EXCL: it is new, whatever the manifest said.
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb", buffering=0) as out:
            bytes_left = self.bytes(repository, packs)
            for start, end in self.data:
                feed_zeros(digest, start - position)
                out.seek(start)
                position = start
                while position < end:
                    piece = bytes_left.take(end - position)
                    digest.update(piece)
                    write_all(out, piece)
                    position += len(piece)
            feed_zeros(digest, self.size - position)
            if digest.hexdigest() != self.digest:
                raise Damage(f"{self} came out with another SHA-256 than it was backed up with")
            out.truncate(self.size)
            os.fchmod(descriptor, self.mode & 0o777)
            os.utime(descriptor, ns=(self.mtime, self.mtime))
            os.fsync(descriptor)

    def bytes(self, repository, packs):
        return Pieces(verified(repository, packs[pack], offset, length, name, self)
                      for name, pack, offset, length in self.chunks)


class Pieces:
    """A stream of blocks that can be taken in other sizes than they come in."""

    def __init__(self, blocks):
        self.blocks, self.block = blocks, memoryview(b"")

    def take(self, most):
        """The next bytes, at least one and at most `most`."""
        while not self.block:
            self.block = memoryview(next(self.blocks))
        piece, self.block = self.block[:most], self.block[most:]
        return piece


def verified(repository, key, offset, length, digest, file):
    """A chunk's bytes, read from its pack and equal to its name."""
    try:
        with open(repository.path(key), "rb") as pack:
            pack.seek(offset)
            data = pack.read(length)
    except FileNotFoundError:
        raise Damage(f"{file}: the pack {key} is missing") from None
    if len(data) != length:
        raise Damage(f"{file}: the pack {key} ends before byte {offset + length}")
    if hashlib.sha256(data).hexdigest() != digest:
        raise Damage(f"{file}: the pack {key} is damaged within the {length} bytes from {offset}")
    return data


def feed_zeros(digest, count):
    zeros = bytes(min(count, 1 << 20))
    while count > 0:
        digest.update(zeros[:count])
        count -= len(zeros)


def write_all(file, data):
    while data:
        data = data[file.write(data):]


# Values of a manifest.

def integer(value):
    """A 64-bit integer; JSON's true, 1.0 and "1" are none."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{value!r} is no integer")
    return value


def natural(value):
    if integer(value) < 0:
        raise ValueError(f"{value} is negative")
    return value


def entry_mode(entry):
    return int(entry["mode"], 8) & 0o7777


def encoded(entry, name):
    """A path or link target as bytes: in UTF-8, or in base64 where it was not UTF-8."""
    if name in entry:
        return entry[name].encode("utf-8")
    try:
        return base64.b64decode(entry[f"{name}_base64"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name}_base64: {error}") from None


def entry_path(entry):
    return safe_path(encoded(entry, "path"))


def safe_path(path):
    """The path as bytes, if it is relative and stays below where it starts."""
    path = path if isinstance(path, bytes) else path.encode("utf-8")
    if b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise Damage(f"the path {path!r} would lead elsewhere: refused")
    return path


if __name__ == "__main__":
    main()
