"""Trees of files: making them, and telling whether two are the same."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from harness.cli import ROOT

FIXTURES = ROOT / "Tests/Fixtures"
# An old time with nanoseconds that no rounding to micro- or milliseconds would keep.
PAST = 1_700_000_000_123_456_789


def make_checkpoint(out, *, size=4, step=1000, seed=7, change=None):
    """A Hugging Face Trainer checkpoint of about `size` MiB."""
    command = [sys.executable, ROOT / "scripts/make_checkpoint.py", "--out", out, "--size", str(size),
               "--step", str(step), "--seed", str(seed), *(["--change", change] if change else [])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Path(out)


def copy_fixture(name, out):
    """A copy of a checkpoint of Tests/Fixtures that looks as if it was saved long ago, one file after the other."""
    source, target = FIXTURES / name, out / Path(name).name
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    set_times(target)
    return target


def set_times(root):
    for number, path in enumerate(sorted([root, *Path(root).rglob("*")], reverse=True)):
        time = PAST + number * 1_001
        os.utime(path, ns=(time, time), follow_symlinks=False)


def describe(root):
    """Everything about a tree that a restore must bring back, by path; a single file is a tree with the path ''."""
    root = os.fsencode(root)
    found = {b"": entry(root)}
    if os.path.isdir(root):
        for directory, folders, files in os.walk(root):
            for name in folders + files:
                path = os.path.join(directory, name)
                found[os.path.relpath(path, root)] = entry(path)
    return found


def entry(path):
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(path), status.st_mtime_ns)
    if stat.S_ISDIR(status.st_mode):
        return ("directory", oct(status.st_mode), status.st_mtime_ns)
    return ("file", oct(status.st_mode), status.st_mtime_ns, status.st_size, digest(path))


def digest(path):
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def assert_same(restored, original):
    """Fails with the paths that differ; `original` is a path or an earlier description."""
    expected = original if isinstance(original, dict) else describe(original)
    found = describe(restored)
    differences = {path: (expected.get(path), found.get(path))
                   for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)}
    some = dict(list(differences.items())[:5])
    assert not differences, f"{len(differences)} paths differ, as (expected, found): {some}"


def assert_nothing_but(directory, *names):
    """Fails if a directory holds more than these: no staging is left, and nothing escaped from a target."""
    assert sorted(os.listdir(directory)) == sorted(names)


def data_ranges(path):
    """Where a file has data, as SEEK_DATA and SEEK_HOLE tell."""
    ranges, size = [], os.path.getsize(path)
    with open(path, "rb") as file:
        end = 0
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                break  # a hole up to the end
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            ranges.append((start, end))
    return ranges
