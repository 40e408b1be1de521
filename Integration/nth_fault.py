"""Lets the n-th system call of a command fail, or be its last, for every n, and looks at what is left each time.

    python Integration/nth_fault.py [--scenarios push,resume,verify,restore,prune,copy] [--calls fsync,…]
                                    [--whats EIO,KILL,…] [--every N] [--sample N] [--seconds N] [--seed N]

strace injects the faults: an error at the n-th call of its kind, once or from then on, or SIGKILL. It counts each thread's calls
by themselves, so a fault may hit several threads; n goes on until no thread gets so far, and a kill that no thread came to, as they
share the work differently each time, is tried again. After each fault the command has either
done its work or failed with a sentence and a documented exit code, every committed snapshot restores bit for bit, and the same
command without a fault succeeds. Prints the faults by kind and how the commands ended; exit code 1 where a promise was broken.
"""

import argparse
import random
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from harness.cli import Ckbackup
from harness.promises import Promises
from harness.stores import DirectoryObjects
from harness.trees import assert_nothing_but, assert_same, make_checkpoint

SCENARIOS = ("push", "resume", "verify", "restore", "prune", "copy")
WHATS = ("EIO", "ENOSPC", "EINTR", "KILL")
# These the C library makes too when the program starts, on files that are none of ours: counted on ours alone.
ON_PATHS = ("openat", "newfstatat", "pread64", "close")
CALLS = (*ON_PATHS, "pwrite64", "fsync", "ftruncate", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "linkat",
         "symlinkat", "unlinkat", "getdents64", "fchmod", "fchmodat", "utimensat", "flock", "fstatfs", "syncfs")
TAKE_SPACE = ("openat", "pwrite64", "fsync", "ftruncate", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "linkat",
              "symlinkat")
# Where POSIX has EINTR.
INTERRUPTIBLE = ("openat", "pread64", "pwrite64", "fsync", "ftruncate", "close", "flock", "fstatfs")
CRASH_POINTS = ("fsync", "ftruncate", "renameat", "rename", "renameat2", "linkat", "symlinkat", "pwrite64", "mkdir", "mkdirat",
                "unlinkat", "fchmod", "utimensat")
KILL_TRIES = 3
# README.md, Exit codes; a directory refuses nobody's credentials, and nobody interrupts.
DOCUMENTED = (0, 1, 2, 3, 4)
OLD, NEW, GOING = 200, 300, 100


@dataclass(frozen=True)
class Fault:
    scenario: str
    call: str
    what: str  # EIO and others, or KILL
    when: str  # 3, or 3+ for the third and all that follow

    @property
    def injection(self):
        how = "signal=KILL" if self.what == "KILL" else f"error={self.what}"
        return f"inject={self.call}:{how}:when={self.when}"

    def __str__(self):
        return f"{self.scenario}, {self.injection}"


class Stage:
    """A repository with snapshots, one for each scenario, which every fault gets anew."""

    def __init__(self, directory):
        self.directory = directory
        sources = {step: make_checkpoint(directory / f"sources/checkpoint-{step}", size=1, step=step, seed=step)
                   for step in (GOING, OLD, NEW)}
        # What a restore makes besides files, and names that are not in every checkpoint.
        (sources[OLD] / "extra").mkdir()
        (sources[OLD] / "extra/notes.txt").write_text("loss went down\n")
        (sources[OLD] / "latest").symlink_to("extra")
        self.promises = Promises(sources)
        self.case = directory / "case"
        for scenario in SCENARIOS:
            self.make_template(scenario)

    def template(self, scenario):
        return self.directory / f"templates/{scenario}"

    @property
    def place(self):
        return self.case / "place"

    @property
    def objects(self):
        return DirectoryObjects(self.case / "repository")

    @property
    def ck(self):
        return self.program(self.objects)

    @property
    def target(self):
        """What a copy goes to."""
        return DirectoryObjects(self.case / "target")

    def program(self, objects):
        # Small packs, so that a push makes several.
        return Ckbackup(self.case / f"home/{objects.root.name}", objects.url, memory="128MiB", pack_size="1MiB")

    def make_template(self, scenario):
        self.case.mkdir()
        self.place.mkdir()
        ck = self.ck
        ck("init", "--chunk-size", "256KiB")
        for step in (GOING, OLD):
            ck.push(self.promises.sources[step], "--run", "demo")
        if scenario == "resume":
            # What a push leaves that dies right before its manifest: packs that no manifest names.
            before = self.objects.keys()
            ck(*self.words("push"))
            for key in self.objects.keys() - before.keys():
                if not key.startswith("packs/"):
                    self.objects.delete(key)
        if scenario == "prune":
            # Something to delete at once, and a marker to remove.
            ck("remove", f"demo@{GOING}", "--yes")
            ck("prune", "--keep-last", "5", "--yes")
            ck.push(self.promises.sources[GOING], "--run", "demo", "--step", "50")
            ck("remove", "demo@50", "--yes")
            ck.push(self.promises.sources[GOING], "--run", "demo")
        if scenario == "copy":
            # One of the two is there already.
            self.program(self.target)("init", "--chunk-size", "256KiB")
            ck("copy", f"demo@{GOING}", "--to", self.target.url)
        shutil.rmtree(self.case / "home", ignore_errors=True)
        self.template(scenario).parent.mkdir(exist_ok=True)
        self.case.rename(self.template(scenario))

    def reset(self, scenario):
        shutil.rmtree(self.case, ignore_errors=True)
        shutil.copytree(self.template(scenario), self.case, symlinks=True)

    def words(self, scenario):
        return {
            "push": ["push", self.promises.sources[NEW], "--run", "demo", "--json"],
            "resume": ["push", self.promises.sources[NEW], "--run", "demo", "--json"],
            "verify": ["verify", "--deep"],
            "restore": ["restore", f"demo@{OLD}", self.place / "checkpoint"],
            "prune": ["prune", "--keep-last", "1", "--grace", "0s", "--yes"],
            "copy": ["copy", "--to", self.target.url],
        }[scenario]

    def our_paths(self, scenario):
        """What strace is to look at where calls of the program's start must not count: files and directories, one by one."""
        repository = self.case / "repository"
        paths = [self.case, self.place, *self.place.rglob("*"), repository, *repository.rglob("*"),
                 repository / ".ckbackup-tmp", repository / "deletions", repository / "ledger"]
        paths += [repository / f"packs/{kind}/{number:02x}" for kind in ("weights", "training") for number in range(256)]
        if scenario == "copy":
            # The packs come under the names that they have.
            paths += [self.target.root, *self.target.root.rglob("*"), self.target.root / ".ckbackup-tmp",
                      *(self.target.root / path.relative_to(repository) for path in repository.rglob("*"))]
        for source in self.promises.sources.values():
            paths += [source, *source.rglob("*")]
        if scenario == "restore":
            identity = next(marker["id"] for marker in self.objects.snapshots().values() if marker["step"] == OLD)
            partial = self.place / f".checkpoint.ckbackup-{identity}"
            paths += [partial, *(partial / path.relative_to(self.promises.sources[OLD])
                                 for path in self.promises.sources[OLD].rglob("*"))]
        return paths

    def traced(self, fault, words, trace=None):
        """Runs a command under strace; gives its exit code, its output and the log."""
        log = self.directory / "strace.log"
        calls = trace or [fault.call]
        command = ["strace", "-f", "-qqq", "-o", str(log), "-e", f"trace={','.join(calls)}"]
        # With its filter, strace 6.1 sends no signal at any call but a thread's first.
        if not (fault and fault.what == "KILL"):
            command.append("--seccomp-bpf")
        if fault:
            command += ["-e", fault.injection]
        if calls[0] in ON_PATHS:
            for path in self.our_paths(fault.scenario if fault else words[0]):
                command += ["-P", str(path)]
        done = subprocess.run([*command, *self.ck.command(*words)], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=300, env=self.ck.environment)
        return (done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"),
                log.read_text(errors="replace"))

    def reaches(self, scenario):
        """By call, how many of it the thread with the most of them makes."""
        threads = Counter()
        for calls in (ON_PATHS, [call for call in CALLS if call not in ON_PATHS]):
            self.reset(scenario)
            code, _, err, log = self.traced(None, self.words(scenario), calls)
            assert code == 0, err
            threads.update(re.findall(r"^(\d+) +(\w+)\(", log, re.MULTILINE))
        most = Counter()
        for (_, call), count in threads.items():
            most[call] = max(most[call], count)
        return most

    def committed(self, scenario):
        return {"prune": [OLD]}.get(scenario, [GOING, OLD])

    def play(self, fault):
        """Runs a command with a fault and checks everything; gives its exit code, or None where no call was hit."""
        words = self.words(fault.scenario)
        for _ in range(KILL_TRIES if fault.what == "KILL" else 1):
            self.reset(fault.scenario)
            code, out, err, log = self.traced(fault, words)
            killed = fault.what == "KILL" and code in (-9, 137)
            if "INJECTED" in log or killed:
                break
        else:
            return None
        said = f"exit code {code}\n{out[-2000:]}\n{err[-2000:]}"
        if not killed:
            assert code in DOCUMENTED, said
            sentences = re.findall(r"^error: .+", err, re.MULTILINE)
            assert bool(sentences) == (code not in (0, 3)) or code == 3, said
            assert len(sentences) <= 10 and "Fatal error" not in err, said
        self.check(fault.scenario, code, said)
        again = words + (["--overwrite"] if (self.place / "checkpoint").exists() else [])
        self.ck(*again)
        self.check(fault.scenario, 0, "run again")
        return code

    def check(self, scenario, code, said):
        scratch = self.directory / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        committed = list(self.committed(scenario))
        if scenario in ("push", "resume") and code == 0:
            committed.append(NEW)
        self.promises.check(self.ck, self.objects, scratch, committed)
        if scenario == "copy":
            there = [GOING, OLD] if code == 0 else [GOING]
            self.promises.check(self.program(self.target), self.target, scratch, there)
        if scenario == "restore":
            target = self.place / "checkpoint"
            assert target.exists() or code != 0, said
            if target.exists():
                assert_same(target, self.promises.trees[OLD])
            if said == "run again":
                assert_nothing_but(self.place, "checkpoint")


def kinds(call):
    """What can go wrong with a call: errors once and from then on, and a crash."""
    errors = ["EIO"] + ["ENOSPC"] * (call in TAKE_SPACE) + ["EINTR"] * (call in INTERRUPTIBLE)
    # A call that is interrupted every time is not one that fails.
    found = [(error, more) for error in errors for more in ("", "+") if (error, more) != ("EINTR", "+")]
    return found + [("KILL", "")] * (call in CRASH_POINTS)


def cases(stage, scenarios, calls, whats, every):
    for scenario in scenarios:
        reaches = stage.reaches(scenario)
        for call in calls:
            for what, more in kinds(call):
                for n in range(1, reaches[call] + 1, every) if what in whats else ():
                    yield Fault(scenario, call, what, f"{n}{more}")


def say_now(line):
    print(line, flush=True)


def run(scenarios=SCENARIOS, calls=CALLS, whats=WHATS, every=1, sample=None, seed=0, seconds=None, say=say_now):
    """Plays all faults or every so many-th, or a sample of them, for so many seconds; gives the number of broken promises."""
    failures, missed, played, ended = 0, 0, Counter(), defaultdict(Counter)
    with tempfile.TemporaryDirectory(prefix="ckbackup-fault-") as directory:
        stage = Stage(Path(directory))
        chosen = list(cases(stage, scenarios, calls, whats, every))
        if sample is not None:
            chosen = random.Random(seed).sample(chosen, min(sample, len(chosen)))
        say(f"{len(chosen)} faults to try")
        start = time.monotonic()
        for fault in chosen:
            if seconds is not None and time.monotonic() - start > seconds:
                break
            try:
                code = stage.play(fault)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                failures += 1
                say(f"FAILED: {fault}: {error}")
                continue
            if code is None:
                missed += 1
            else:
                played[fault.what + ("+" if fault.when.endswith("+") else "")] += 1
                ended[fault.scenario][code] += 1
        say(f"{sum(played.values())} faults in {time.monotonic() - start:.0f} s, {failures} failures, "
            f"{missed} that no call came to; seed {seed}")
        say("  by kind: " + ", ".join(f"{kind} {count}" for kind, count in sorted(played.items())))
        for scenario, codes in ended.items():
            say(f"  {scenario:8} ended with " + ", ".join(f"{code}: {count}" for code, count in sorted(codes.items())))
    return failures


def listed(known):
    def parse(text):
        names = text.split(",")
        if not set(names) <= set(known):
            raise argparse.ArgumentTypeError(f"known are {', '.join(known)}")
        return names
    return parse


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=listed(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--calls", type=listed(CALLS), default=list(CALLS))
    parser.add_argument("--whats", type=listed(WHATS), default=list(WHATS), help="errors, and KILL")
    parser.add_argument("--every", type=int, default=1, help="of each kind the first fault, and every so many-th after it")
    parser.add_argument("--seconds", type=float, help="begin no fault after so long")
    parser.add_argument("--sample", type=int, help="so many of the faults, chosen by the seed, instead of all")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    failed = run(given.scenarios, given.calls, given.whats, given.every, given.sample, given.seed, given.seconds)
    sys.exit(1 if failed else 0)
