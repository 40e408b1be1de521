"""Kills pushes, restores and prunes at random instants, again and again, and looks at what is left each time.

    python Integration/crash_rounds.py --rounds 100 [--seed N] [--store directory|seaweedfs|both] [--commands push,restore,prune]

A round starts a command, kills it with SIGKILL after a random part of the time that it takes, checks that every committed snapshot
verifies and restores bit for bit, runs the same command again, which must end well without sending again what is in the repository,
and checks once more. Prints how many kills landed where; exit code 1 where a round failed.
"""

import argparse
import contextlib
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

from harness import servers
from harness.cli import Ckbackup
from harness.promises import Promises
from harness.stores import DirectoryObjects, S3Objects
from harness.trees import assert_nothing_but, assert_same, make_checkpoint

LARGE, SMALL = 500, (100, 200, 300, 400)
COMMANDS = ("push", "restore", "prune")
# The least memory makes the push read 16 MiB at a time, so that several packs come of some tens of MB: packs of one part, which
# are put whole, and packs of several.
PACK_SIZES = ("4MiB", "20MiB")
# A pack's table and its frame, at most, where it has some tens of chunks.
TABLE = 16 << 10


class Rounds:
    """The rounds on one kind of store. `endpoint` is None for directories."""

    def __init__(self, directory, endpoint, rng):
        self.directory, self.endpoint, self.rng = directory, endpoint, rng
        self.places = {command: Counter() for command in COMMANDS}
        sources = {step: make_checkpoint(directory / f"sources/checkpoint-{step}", size=2, step=step, seed=step)
                   for step in SMALL}
        sources[LARGE] = make_checkpoint(directory / f"sources/checkpoint-{LARGE}", size=40, step=LARGE, seed=LARGE)
        self.promises = Promises(sources)
        self.templates = {"push": self.template(SMALL[-1:]), "restore": self.template([LARGE]),
                          "prune": self.template(SMALL)}
        # Condemned already, so that the prune of a round has a second phase too.
        self.ck("prune", self.templates["prune"])("prune", "--keep-last", "3", "--yes", "--grace", "24h")
        self.durations = {command: self.measure(command) for command in COMMANDS}

    def new_objects(self):
        name = uuid.uuid4().hex[:12]
        if self.endpoint is None:
            return DirectoryObjects(self.directory / f"repositories/{name}")
        return S3Objects(self.endpoint, "first-bucket", f"crash/{name}")

    def ck(self, name, objects, **settings):
        return Ckbackup(self.directory / f"homes/{name}", objects.url, self.endpoint, memory="192MiB", **settings)

    def template(self, steps):
        objects = self.new_objects()
        ck = self.ck("template", objects)
        ck("init", "--chunk-size", "1MiB")
        for step in steps:
            ck.push(self.promises.sources[step], "--run", "demo")
        return objects

    def copy(self, template):
        """A repository of a round's own with the same objects."""
        objects = self.new_objects()
        if self.endpoint is None:
            shutil.copytree(template.root, objects.root)
        else:
            for key in template.keys():
                objects.write(key, template.read(key))
        return objects

    def prepare(self, command):
        """A fresh repository, the program, the words of the command, and the steps that must be there before and after."""
        settings = {"pack_size": self.rng.choice(PACK_SIZES)}
        # A restore changes nothing in the repository.
        template = self.templates[command]
        objects = template if command == "restore" else self.copy(template)
        shutil.rmtree(self.directory / "homes/round", ignore_errors=True)
        ck = self.ck("round", objects, **settings)
        if command == "push":
            words = ["push", self.promises.sources[LARGE], "--run", "demo", "--json"]
            return objects, ck, words, SMALL[-1:], (*SMALL[-1:], LARGE)
        if command == "restore":
            return objects, ck, ["restore", f"demo@{LARGE}", self.place / "checkpoint"], [LARGE], [LARGE]
        return objects, ck, ["prune", "--keep-last", "1", "--grace", "0s", "--yes"], SMALL[-1:], SMALL[-1:]

    @property
    def place(self):
        return self.directory / "place"

    @contextlib.contextmanager
    def scene(self, command):
        self.place.mkdir()
        prepared = self.prepare(command)
        try:
            yield prepared
        finally:
            shutil.rmtree(self.place)
            if prepared[0] is not self.templates[command]:
                self.throw_away(prepared[0])

    def throw_away(self, objects):
        if self.endpoint is None:
            shutil.rmtree(objects.root)
        else:
            for key in objects.keys():
                objects.delete(key)

    def measure(self, command):
        """Seconds that the command takes: the least of three runs, so that few kills come too late."""
        seconds = []
        for _ in range(3):
            with self.scene(command) as (_, ck, words, _, _):
                start = time.monotonic()
                ck(*words)
                seconds.append(time.monotonic() - start)
        return min(seconds)

    def round(self, command):
        with self.scene(command) as (objects, ck, words, before, after):
            found = objects.keys()
            seconds = self.rng.random() * self.durations[command]
            process = ck.start(*words)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=seconds)
            process.kill()
            ended = process.wait() == 0
            assert process.returncode in (0, -9), f"it ended with {process.returncode} before it was killed"

            left = self.settled(objects)
            where = "after its end" if ended else getattr(self, f"place_of_{command}")(objects, found, left)
            self.places[command][where] += 1
            if command == "restore" and (self.place / "checkpoint").exists():
                assert_same(self.place / "checkpoint", self.promises.trees[LARGE])
                words.append("--overwrite")
            committed = after if ended and command == "push" else before
            self.promises.check(ck, objects, self.directory / "scratch", committed)
            again = ck(*words)
            if command == "push":
                new = [size for key, size in left.items() if key.startswith("packs/") and key not in found]
                pushed = again.json
                done = sum(size - TABLE for size in new)
                assert pushed["uploaded_bytes"] <= pushed["bytes"] - done, f"{new} were there, and yet: {again}"
            elif command == "restore":
                assert_same(self.place / "checkpoint", self.promises.trees[LARGE])
                assert_nothing_but(self.place, "checkpoint")
            else:
                ck(*words)  # what the second run condemned
                if set(objects.packs()) != needed_packs(objects) and self.endpoint is not None:
                    # Objects that the dead prune alone knew to be unused wait until they are older than the grace period, and
                    # S3 tells times in whole seconds.
                    time.sleep(2)
                    ck(*words)
                    ck(*words)
                assert set(objects.packs()) == needed_packs(objects), f"packs that nothing needs are left; killed {where}"
            standing = self.promises.check(ck, objects, self.directory / "scratch", after, deep=True)
            assert standing == set(after)
            return where, seconds

    def settled(self, objects):
        """The objects, when the server has carried out what it still had of the dead process."""
        found = objects.keys()
        while self.endpoint is not None:
            time.sleep(0.05)
            before, found = found, objects.keys()
            if found == before:
                break
        return found

    def place_of_push(self, objects, found, left):
        new = {key.partition("/")[0] for key in left.keys() - found.keys()}
        if "snapshots" in new:
            return "after the marker"
        if "manifests" in new or "records" in new:
            return "between manifest and marker"
        if "packs" in new:
            return "after a pack"
        # A directory shows what is on its way as files.
        begun = bool(new) if self.endpoint is None else bool(objects.uploads())
        return "in the first pack" if begun else "before the first upload"

    def place_of_restore(self, objects, found, left):
        if (self.place / "checkpoint").exists():
            return "after the rename"
        wrote = any(path.is_file() for path in self.place.rglob("*"))
        return "while it wrote" if wrote else "before the first file"

    def place_of_prune(self, objects, found, left):
        def gone(prefix):
            return any(key.startswith(prefix) for key in found.keys() - left.keys())

        if any(key.startswith("deletions/") for key in left.keys() - found.keys()):
            return "after the new record of deletions"
        if gone("snapshots/"):
            return "after the first marker was removed"
        if gone("deletions/"):
            return "between the phases"
        return "while it deleted" if gone("") else "before the first deletion"


def needed_packs(objects):
    return {pack["key"] for marker in objects.snapshots().values() for pack in objects.manifest(marker["id"])["packs"]}


def say_now(line):
    print(line, flush=True)


def run(rounds, seed, kinds, commands, say=say_now):
    """Runs so many rounds on each kind of store, the commands in turn; gives the number of those that failed."""
    failures = 0
    for kind in kinds:
        rng = random.Random(f"{seed} {kind}")
        with contextlib.ExitStack() as held:
            directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="ckbackup-crash-")))
            endpoint = (None if kind == "directory" else
                        held.enter_context(servers.seaweedfs(directory / "seaweedfs")))
            (directory / "scratch").mkdir()
            (directory / "repositories").mkdir()
            stage = Rounds(directory, endpoint, rng)
            start = time.monotonic()
            for number in range(rounds):
                command = commands[number % len(commands)]
                try:
                    stage.round(command)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    failures += 1
                    say(f"FAILED: seed {seed}, {kind}, round {number}, {command}: {error}")
                    shutil.rmtree(directory / "scratch")
                    (directory / "scratch").mkdir()
            seconds = time.monotonic() - start
            say(f"{kind}: {rounds} rounds in {seconds:.0f} s, seed {seed}, failures so far: {failures}")
            for command in commands:
                for where, count in stage.places[command].most_common():
                    say(f"  {command:8} killed {where:36} {count:5}")
    return failures


def commands_of(text):
    commands = text.split(",")
    if not set(commands) <= set(COMMANDS):
        raise argparse.ArgumentTypeError(f"the commands are {', '.join(COMMANDS)}")
    return commands


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="rounds on each store")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--store", choices=["directory", "seaweedfs", "both"], default="directory")
    parser.add_argument("--commands", type=commands_of, default=list(COMMANDS))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    chosen = ["directory", "seaweedfs"] if given.store == "both" else [given.store]
    sys.exit(1 if run(given.rounds, given.seed, chosen, given.commands) else 0)
