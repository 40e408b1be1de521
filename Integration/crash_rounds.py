"""Kills pushes, restores, prunes and copies at random instants, again and again, and looks at what is left each time.

    python Integration/crash_rounds.py --rounds 100 [--seed N] [--store directory|seaweedfs|both] [--seconds N]
                                       [--commands push,restore,prune,copy]

A round starts a command, kills it with SIGKILL after a random part of the time that it takes, checks that every committed snapshot
verifies and restores bit for bit, runs the same command again, which must end well without sending again what is in the repository,
and checks once more; a copy's two repositories are both held to this. Prints how many kills landed where; exit code 1 where a round
failed.
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
from dataclasses import dataclass
from pathlib import Path

from harness import crash_places, servers
from harness.cli import Ckbackup
from harness.promises import Promises
from harness.stores import DirectoryObjects, Objects, S3Objects
from harness.trees import assert_nothing_but, assert_same, make_checkpoint

LARGE, SMALL = 500, (100, 200, 300, 400)
COMMANDS = ("push", "restore", "prune", "copy")
# The least memory makes the push read 16 MiB at a time, so that several packs come of some tens of MB: packs of one part, which
# are put whole, and packs of several.
PACK_SIZES = ("4MiB", "20MiB")
# A pack's table and its frame, at most, where it has some tens of chunks.
TABLE = 16 << 10


@dataclass
class Scene:
    """What a round is played with: the repository that the command works on, and the steps that must be in it before and after."""

    objects: Objects
    ck: Ckbackup
    words: list
    before: tuple
    after: tuple
    # Of a copy: the repository that it reads, with the steps in it.
    source: Objects = None
    source_steps: tuple = ()


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
                          "prune": self.template(SMALL), "copy": self.template(SMALL[-1:])}
        # A copy meets a target that is not empty, and packs of one part and of several, which a server may copy by itself.
        self.sources = {size: self.template((SMALL[-2], LARGE), pack_size=size) for size in PACK_SIZES}
        # Condemned already, so that the prune of a round has a second phase too.
        self.ck("prune", self.templates["prune"])("prune", "--keep-last", "3", "--yes", "--grace", "24h")
        self.durations = {command: self.measure(command) for command in COMMANDS}

    def new_objects(self):
        name = uuid.uuid4().hex[:12]
        if self.endpoint is None:
            return DirectoryObjects(self.directory / f"repositories/{name}")
        return S3Objects(self.endpoint, "first-bucket", f"crash/{name}")

    def ck(self, name, objects, **settings):
        return Ckbackup(self.directory / f"homes/{name}", objects.url, self.endpoint, memory="128MiB", **settings)

    def template(self, steps, **settings):
        objects = self.new_objects()
        ck = self.ck("template", objects, **settings)
        ck("init", "--chunk-size", "1MiB")
        for step in steps:
            ck.push(self.promises.sources[step], "--run", "demo")
        return objects

    def fresh(self, template):
        """A repository of a round's own with the same objects."""
        objects = self.new_objects()
        if self.endpoint is None:
            shutil.copytree(template.root, objects.root)
        else:
            for key in template.keys():
                objects.write(key, template.read(key))
        return objects

    def prepare(self, command):
        pack_size = self.rng.choice(PACK_SIZES)
        template = self.templates[command]
        # A restore changes nothing in the repository.
        objects = template if command == "restore" else self.fresh(template)
        shutil.rmtree(self.directory / "homes", ignore_errors=True)
        if command == "copy":
            source = self.sources[pack_size]
            return Scene(objects, self.ck("round", source), ["copy", "--to", objects.url, "--json"], SMALL[-1:],
                         (*SMALL[-2:], LARGE), source, (SMALL[-2], LARGE))
        ck = self.ck("round", objects, pack_size=pack_size)
        if command == "push":
            words = ["push", self.promises.sources[LARGE], "--run", "demo", "--json"]
            return Scene(objects, ck, words, SMALL[-1:], (*SMALL[-1:], LARGE))
        if command == "restore":
            return Scene(objects, ck, ["restore", f"demo@{LARGE}", self.place / "checkpoint"], (LARGE,), (LARGE,))
        return Scene(objects, ck, ["prune", "--keep-last", "1", "--grace", "0s", "--yes"], SMALL[-1:], SMALL[-1:])

    @property
    def place(self):
        return self.directory / "place"

    @contextlib.contextmanager
    def scene(self, command):
        self.place.mkdir()
        scene = self.prepare(command)
        try:
            yield scene
        finally:
            shutil.rmtree(self.place)
            if scene.objects is not self.templates[command]:
                self.throw_away(scene.objects)

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
            with self.scene(command) as scene:
                start = time.monotonic()
                scene.ck(*scene.words)
                seconds.append(time.monotonic() - start)
        return min(seconds)

    def round(self, command):
        with self.scene(command) as scene:
            found = scene.objects.keys()
            seconds = self.rng.random() * self.durations[command]
            process = scene.ck.start(*scene.words)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=seconds)
            process.kill()
            ended = process.wait() == 0
            assert process.returncode in (0, -9), f"it ended with {process.returncode} before it was killed"

            left = self.settled(scene.objects)
            where = "after its end" if ended else crash_places.of(command, scene.objects, found, left, self.place)
            self.places[command][where] += 1
            if command == "restore" and (self.place / "checkpoint").exists():
                assert_same(self.place / "checkpoint", self.promises.trees[LARGE])
                scene.words.append("--overwrite")
            self.check(scene, scene.after if ended and command in ("push", "copy") else scene.before)
            again = scene.ck(*scene.words)
            if command == "push":
                new = [size for key, size in left.items() if key.startswith("packs/") and key not in found]
                pushed = again.json
                done = sum(size - TABLE for size in new)
                assert pushed["uploaded_bytes"] <= pushed["bytes"] - done, f"{new} were there, and yet: {again}"
            elif command == "copy":
                self.check_copy(scene, left, again)
            elif command == "restore":
                assert_same(self.place / "checkpoint", self.promises.trees[LARGE])
                assert_nothing_but(self.place, "checkpoint")
            else:
                self.check_prune(scene, where)
            standing = self.check(scene, scene.after, deep=True)
            assert standing == set(scene.after)
            return where, seconds

    def check(self, scene, committed, deep=False):
        """Holds the repository to the promises, and a copy's source too; gives the steps that stand in it."""
        scratch = self.directory / "scratch"
        if scene.source is None:
            return self.promises.check(scene.ck, scene.objects, scratch, committed, deep)
        standing = self.promises.check(scene.ck, scene.source, scratch, scene.source_steps, deep)
        assert standing == set(scene.source_steps)
        return self.promises.check(self.ck("target", scene.objects), scene.objects, scratch, committed, deep)

    def check_copy(self, scene, left, again):
        """A copy sends no pack that was there, whichever way it goes, and the target has all of the source's then."""
        packs = {key: size for key, size in scene.source.keys().items() if key.startswith("packs/")}
        missing = {key: size for key, size in packs.items() if key not in left}
        report = again.json
        sent = report["sent_bytes"] + report["server_side_bytes"]
        # A server may have carried out a request of the dead process since.
        assert report["packs"] <= len(missing) and sent <= sum(missing.values()), f"only {missing} were missing, and yet: {again}"
        there = scene.objects.keys()
        assert packs.items() <= there.items(), f"of {packs} some are not in the target: {there}"

    def check_prune(self, scene, where):
        scene.ck(*scene.words)  # what the second run condemned
        if set(scene.objects.packs()) != needed_packs(scene.objects) and self.endpoint is not None:
            # Objects that the dead prune alone knew to be unused wait until they are older than the grace period, and
            # S3 tells times in whole seconds.
            time.sleep(2)
            scene.ck(*scene.words)
            scene.ck(*scene.words)
        assert set(scene.objects.packs()) == needed_packs(scene.objects), f"packs that nothing needs are left; killed {where}"

    def settled(self, objects):
        """The objects, when the server has carried out what it still had of the dead process."""
        found = objects.keys()
        while self.endpoint is not None:
            time.sleep(0.05)
            before, found = found, objects.keys()
            if found == before:
                break
        return found


def needed_packs(objects):
    return {pack["key"] for marker in objects.snapshots().values() for pack in objects.manifest(marker["id"])["packs"]}


def say_now(line):
    print(line, flush=True)


def run(rounds, seed, kinds, commands, seconds=None, say=say_now):
    """Runs so many rounds on each kind of store, the commands in turn, none after so many seconds; gives how many failed."""
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
            played = 0
            for number in range(rounds):
                if seconds is not None and time.monotonic() - start > seconds:
                    break
                played += 1
                command = commands[number % len(commands)]
                try:
                    stage.round(command)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    failures += 1
                    say(f"FAILED: seed {seed}, {kind}, round {number}, {command}: {error}")
                    shutil.rmtree(directory / "scratch")
                    (directory / "scratch").mkdir()
            took = time.monotonic() - start
            say(f"{kind}: {played} rounds in {took:.0f} s, seed {seed}, failures so far: {failures}")
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
    parser.add_argument("--seconds", type=float, help="begin no round on a store after so long")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--store", choices=["directory", "seaweedfs", "both"], default="directory")
    parser.add_argument("--commands", type=commands_of, default=list(COMMANDS))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    chosen = ["directory", "seaweedfs"] if given.store == "both" else [given.store]
    sys.exit(1 if run(given.rounds, given.seed, chosen, given.commands, given.seconds) else 0)
