#!/usr/bin/env python3
"""Measures ckbackup against its goals, beside s5cmd, rclone and restic: the same files, the same server, the same machine.

A SeaweedFS server is started on the loopback interface, and files of random bytes are written to disk; what is sent
stays in the page cache, and writes are flushed before each measurement. Where several programs do the same work they
take turns, in an order that moves on by one each round. Of each child process the wall time, the CPU time (user and
kernel) and the largest resident set are taken. Figures are minimum / median. ckbackup makes and checks every digest;
the others do not.
"""

import argparse
import contextlib
import filecmp
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from delay import DelayingProxy
from synthetic import write_marker, write_repository, write_snapshot
from tools import GIB, ROOT, TOOLS, Ckbackup, Failure, measured, servers

from harness.faulty_proxy import FaultyProxy

MIB = 1 << 20
TENSORS = 40  # of a shard, where some of them change


@dataclass
class Row:
    """One line of the table: what was done, what is aimed at, what came out, and whether that is reached (None: no goal)."""

    work: str
    goal: str
    result: str
    reached: object = None


class Figures:
    """The same figure of several runs."""

    def __init__(self, values, digits=2):
        self.values, self.digits = list(values), digits
        self.least, self.median = min(self.values), statistics.median(self.values)

    def __str__(self):
        if len(self.values) == 1:
            return f"{self.median:.{self.digits}f}"
        return f"{self.least:.{self.digits}f} / {self.median:.{self.digits}f}"


class Bench:
    """The machine, the server and the data that the scenarios share."""

    def __init__(self, place, endpoint, options):
        self.place, self.endpoint, self.options = place, endpoint, options
        self.tools = {tool.name: tool(place / tool.name, endpoint) for tool in TOOLS}
        self.ck = self.tools["ckbackup"]
        self.buckets = 0

    @property
    def rounds(self):
        return range(self.options.rounds)

    def size(self, mebibytes):
        """Sizes as they are, or smaller ones to try the program out."""
        return max(1, mebibytes // self.options.shrink)

    @contextlib.contextmanager
    def bucket(self, tool):
        """A bucket of its own, ready for a tool; its volumes go with it, so that the disk never holds more than a few copies."""
        self.buckets += 1
        name = f"bucket-{self.buckets}"
        self.endpoint.request("PUT", f"/{name}", timeout=120)
        tool.prepare(name)
        try:
            yield name
        finally:
            self.endpoint.request("DELETE", f"/{name}", timeout=120)

    @contextlib.contextmanager
    def directory(self, name, parent=None):
        path = (parent or self.place) / name
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def files(self, name, count, size):
        """A directory with so many files of random bytes."""
        with self.directory(name) as path:
            write_files(path, count, size)
            yield path

    def turns(self, names, number):
        """The tools of a round in their turn."""
        tools = [self.tools[name] for name in names]
        turn = number % len(tools)
        return tools[turn:] + tools[:turn]


def write_files(directory, count, size):
    directory.mkdir()
    block = 1 << 20
    for number in range(count):
        source = random.Random(number)
        with open(directory / f"shard-{number:05}.data", "wb") as file:
            for start in range(0, size, block):
                file.write(source.randbytes(min(block, size - start)))


def write_shards(directory, count, size, tensors):
    """safetensors files with so many tensors of random bytes."""
    directory.mkdir()
    each = size // tensors // 64 * 64
    header = {f"layers.{number:03}.weight": {"dtype": "U8", "shape": [each], "data_offsets": [each * number, each * (number + 1)]}
              for number in range(tensors)}
    text = json.dumps(header).encode()
    for number in range(count):
        source = random.Random(number)
        with open(directory / f"model-{number + 1:05}-of-{count:05}.safetensors", "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _ in range(tensors):
                file.write(source.randbytes(each))


def demand_same_files(source, target, contents):
    for path in source.iterdir():
        [restored] = target.rglob(path.name)
        if restored.stat().st_size != path.stat().st_size or (
                contents and not filecmp.cmp(path, restored, shallow=False)):
            raise Failure(f"{restored} is not what was sent")


def run(bench, what, action, *arguments, **how):
    os.sync()
    result = action(*arguments, **how)
    note(f"{what}: {result.wall:.2f} s, CPU {result.cpu:.2f} s, {result.peak / MIB:.0f} MiB")
    return result


# The scenarios: each gives rows of the table.

def digests(bench):
    """How fast this processor makes digests on one core: what follows can be no faster."""
    program = helper("digest-speed")
    rates = {name: Figures(map(float, values), 1) for name, values in gather(
        line.split() for _ in bench.rounds for line in measured([program]).out.splitlines()).items()}
    for kind, title in (("md5", "MD5, by streams side by side"), ("sha256", "SHA-256, by streams side by side"),
                        ("joint", "MD5 of a file with SHA-256 of file and chunk, by files side by side")):
        found = [f"{name.removeprefix(kind + '-')}: {max(rate.values):.2f}" for name, rate in rates.items()
                 if name.startswith(kind)]
        yield Row(f"{title}, GB/s on one core", "", ", ".join(found))


def helper(name):
    """A program of Benchmarks/ in Swift."""
    program = ROOT / ".build/release" / name
    if not program.exists():
        raise Failure(f"{program} is not there: make bench builds it")
    return program


def gather(pairs):
    """Values by their names."""
    found = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def big(bench):
    """8 files of 512 MiB, by all programs."""
    size = bench.size(512)
    total = 8 * size * MIB / GIB
    up, down = {}, {}
    with bench.files("big", 8, size * MIB), bench.directory("restored") as target:
        source = bench.place / "big"
        for number in bench.rounds:
            for tool in bench.turns(["ckbackup", "s5cmd", "rclone", "restic"], number):
                with bench.bucket(tool) as bucket:
                    up.setdefault(tool.name, []).append(run(bench, f"{tool.name} up", tool.upload, source, bucket))
                    down.setdefault(tool.name, []).append(
                        run(bench, f"{tool.name} down", tool.download, bucket, target))
                demand_same_files(source, target, contents=number == 0)
                shutil.rmtree(target)
    yield from beside(f"push, 8 files of {size} MiB", up, total, most_cpu=1.8, most_ratio=0.55)
    yield from beside(f"restore, 8 files of {size} MiB, all of it verified", down, total, most_cpu=1.0, most_ratio=0.8)
    peak = max(run.peak for runs in (up, down) for run in runs["ckbackup"]) / MIB
    yield Row("peak memory of these, by default", "≤ 512 MiB", f"{peak:.0f} MiB", peak <= 512)


def beside(work, runs, total, most_cpu, most_ratio):
    """ckbackup's figures beside s5cmd's, and those of the others."""
    cpu = {name: Figures(run.cpu / total for run in of) for name, of in runs.items()}
    wall = {name: Figures((run.wall for run in of), 1) for name, of in runs.items()}
    ours, base = cpu["ckbackup"], cpu["s5cmd"]
    yield Row(work, f"≤ {most_cpu} CPU s/GiB", f"{ours} CPU s/GiB", ours.median <= most_cpu)
    if most_ratio:
        ratio = ours.median / base.median
        yield Row("", f"≤ {most_ratio} × s5cmd's CPU", f"{ratio:.2f} × ({base})", ratio <= most_ratio)
    longer = wall["ckbackup"].median / wall["s5cmd"].median
    yield Row("", "no longer than s5cmd", f"{wall['ckbackup']} s, {longer:.2f} × its {wall['s5cmd']} s", longer <= 1)
    others = [f"{name} {cpu[name]} CPU s/GiB in {wall[name]} s" for name in runs if name not in ("ckbackup", "s5cmd")]
    if others:
        yield Row("", "", "; ".join(others))


def single(bench):
    """One file of 4 GiB: the MD5 of a file cannot be split."""
    size = bench.size(4096)
    up = {}
    with bench.files("single", 1, size * MIB):
        for number in bench.rounds:
            for tool in bench.turns(["ckbackup", "s5cmd"], number):
                with bench.bucket(tool) as bucket:
                    up.setdefault(tool.name, []).append(
                        run(bench, f"{tool.name} up", tool.upload, bench.place / "single", bucket))
    yield from beside(f"push, one file of {size} MiB", up, size * MIB / GIB, most_cpu=3.0, most_ratio=None)


def again(bench):
    """What a run's next checkpoints cost, and bringing one back beside one that is there: 8 shards of 40 tensors each, some of which
    change, as where layers are frozen."""
    size = bench.size(512)
    total = 8 * size * MIB / GIB
    runs = {}
    with bench.directory("again") as source, bench.directory("restored") as target, bench.directory("seed") as seed:
        write_shards(seed, 8, size * MIB, TENSORS)
        shutil.copytree(seed, source)
        for _ in bench.rounds:
            with bench.bucket(bench.ck) as bucket:
                bench.ck.upload(seed, bucket)
                for step, (name, share) in enumerate((("same", 0), ("5 %", 20), ("10 %", 10)), 2):
                    change(source, seed, TENSORS // share if share else 0)
                    runs.setdefault(name, []).append(
                        run(bench, f"push, {name} changed", bench.ck.upload, source, bucket, step=step))
                runs.setdefault("seed", []).append(
                    run(bench, "restore with a seed", bench.ck.download, bucket, target, "--seed", seed, step=4))
                demand_same_files(source, target, contents=False)
                shutil.rmtree(target)
                runs.setdefault("deep", []).append(
                    run(bench, "verify --deep", bench.ck.run, "verify", "--deep", "--json", *bench.ck.place(bucket)))
    stored = total * 1.15
    for name, goal in (("same", 0.9), ("5 %", 1.1)):
        cpu = Figures(run.cpu / total for run in runs[name])
        what = "nothing changed" if name == "same" else "5 % changed"
        yield Row(f"push again, {what}", f"≤ {goal} CPU s/GiB read", f"{cpu} CPU s/GiB", cpu.median <= goal)
    sent = max(run.json["uploaded_bytes"] for run in runs["5 %"])
    most = 0.05 * total * GIB + 8 * (16 << 20)
    yield Row("", "sends ≤ 5 % and a chunk a border", f"{sent / (total * GIB) * 100:.1f} %", sent <= most)
    cpu = Figures(run.cpu / total for run in runs["seed"])
    fetched = max(run.json["fetched_bytes"] for run in runs["seed"]) / (total * GIB)
    yield Row("restore with --seed of a checkpoint that shares 90 %", "≤ 1.0 CPU s/GiB", f"{cpu} CPU s/GiB",
              cpu.median <= 1.0)
    yield Row("", "fetches ≤ 12 %", f"{fetched * 100:.1f} %", fetched <= 0.12)
    cpu = Figures(run.cpu / stored for run in runs["deep"])
    yield Row("verify --deep", "≤ 0.8 CPU s/GiB", f"{cpu} CPU s/GiB", cpu.median <= 0.8)


def change(source, original, tensors):
    """Makes `source` the original again, but for so many tensors of each shard."""
    for path in original.iterdir():
        shutil.copyfile(path, source / path.name)
        with open(source / path.name, "r+b") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            start = file.tell()
            for name in sorted(header)[TENSORS // 3:][:tensors]:
                begin, end = header[name]["data_offsets"]
                file.seek(start + begin)
                file.write(os.urandom(end - begin))


def memory(bench):
    """With a quarter of the memory that is the default."""
    size = bench.size(512)
    runs = {"default": [], "less": []}
    with bench.files("memory", 8, size * MIB):
        for _ in bench.rounds:
            for name, words in (("default", []), ("less", ["--memory", "128MiB"])):
                with bench.bucket(bench.ck) as bucket:
                    runs[name].append(
                        run(bench, f"push, {name} memory", bench.ck.upload, bench.place / "memory", bucket, *words))
    peak = max(run.peak for run in runs["less"]) / MIB
    ratio = statistics.median(run.cpu for run in runs["less"]) / statistics.median(run.cpu for run in runs["default"])
    yield Row("push with --memory 128MiB", "≤ 128 MiB", f"{peak:.0f} MiB", peak <= 128)
    yield Row("", "≤ 1.3 × the CPU", f"{ratio:.2f} ×", ratio <= 1.3)


def small(bench):
    """A directory of many small files, and the requests that it takes."""
    count = max(100, 20_000 // bench.options.shrink)
    up, down = [], []
    with bench.directory("small") as source, bench.directory("restored") as target:
        source.mkdir()
        for number in range(count):
            folder = source / f"{number % 50:02}"
            folder.mkdir(exist_ok=True)
            (folder / f"{number:05}.bin").write_bytes(random.Random(number).randbytes(3000))
        target.mkdir()
        for number in bench.rounds:
            with bench.bucket(bench.ck) as bucket:
                up.append(run(bench, "push of small files", bench.ck.upload, source, bucket))
                # They stay to the end: for minutes ext4 steps over each inode that was freed, at every file that is made.
                down.append(run(bench, "restore of small files", bench.ck.download, bucket, target / str(number)))
        with bench.bucket(bench.ck) as bucket, FaultyProxy(bench.endpoint.port) as proxy:
            words = ["--endpoint", f"http://127.0.0.1:{proxy.port}"]
            bench.ck.upload(source, bucket, *words)
            sent, proxy.requests = proxy.requests, 0
            bench.ck.download(bucket, target / "counted", *words)
            fetched = proxy.requests
    for name, runs, requests in (("push", up, sent), ("restore", down, fetched)):
        wall = Figures((run.wall for run in runs), 1)
        yield Row(f"{name} of {count:,} small files", "≤ 10 s", f"{wall} s", wall.median <= 10)
        yield Row("", "≤ 60 requests", str(requests), requests <= 60)


def directory(bench):
    """A repository in a directory in memory, beside restic."""
    size = bench.size(512)
    memory = Path("/dev/shm")
    total = 8 * size * MIB
    free = shutil.disk_usage(memory).free
    if free < 3 * total:
        yield Row("directory repository", "", f"not measured: {memory} has {free / GIB:.1f} GiB free")
        return
    up, down = {}, {}
    with bench.files("local", 8, size * MIB):
        for number in bench.rounds:
            for tool in bench.turns(["ckbackup", "restic"], number):
                with bench.directory("ckbackup-bench-repository", memory) as place, \
                        bench.directory("ckbackup-bench-restored", memory) as target:
                    tool.prepare(place)
                    up.setdefault(tool.name, []).append(
                        run(bench, f"{tool.name} to a directory", tool.upload, bench.place / "local", place))
                    down.setdefault(tool.name, []).append(
                        run(bench, f"{tool.name} from a directory", tool.download, place, target))
    for name, runs, least in (("push", up, 1.5), ("restore", down, 2)):
        rate = {tool: Figures((total / MIB / run.wall for run in of), 0) for tool, of in runs.items()}
        ratio = rate["ckbackup"].median / rate["restic"].median
        yield Row(f"{name}, directory repository in memory, 8 files of {size} MiB",
                  f"≥ {least} × restic's MiB/s", f"{ratio:.1f} × ({rate['ckbackup']} to {rate['restic']} MiB/s)",
                  ratio >= least)


def quick(bench):
    """Proving that everything is there: 1,000 snapshots with 20,000 packs."""
    snapshots = max(20, 1000 // bench.options.shrink)
    with bench.directory("quick") as root:
        write_repository(root)
        for step in range(snapshots):
            write_snapshot(root, f"run-{step % 10}", step, packs=20, chunks_in_each=2)
        yield from cold_and_warm(
            bench, root, f"verify --quick of {snapshots:,} snapshots, {20 * snapshots:,} packs",
            ["verify", "--quick"], cold=5, warm=1, most=40)


def listing(bench):
    """Many snapshots in many runs."""
    snapshots = max(100, 10_000 // bench.options.shrink)
    with bench.directory("list") as root:
        write_repository(root)
        for step in range(snapshots):
            write_marker(root, f"run-{step % 50}", step, f"{step:016x}", f"{step}".encode())
        # Only the markers are looked at.
        shutil.rmtree(root / "records")
        yield from cold_and_warm(
            bench, root, f"list of {snapshots:,} snapshots in 50 runs", ["list"], cold=3, warm=0.3, most=None)


def cold_and_warm(bench, root, work, words, cold, warm, most):
    cache = bench.ck.home / "cache"
    bench.buckets += 1
    bucket = f"bucket-{bench.buckets}"
    bench.endpoint.request("PUT", f"/{bucket}")
    note(f"uploading the repository for {work}")
    bench.tools["s5cmd"].run("--endpoint-url", bench.endpoint.url, "--log", "error", "cp", f"{root}/", f"s3://{bucket}/bench/")
    command = [*words, "--json", *bench.ck.place(bucket)]
    first, second = [], []
    for _ in bench.rounds:
        shutil.rmtree(cache, ignore_errors=True)
        first.append(run(bench, f"{work}, cold", bench.ck.run, *command))
        second.append(run(bench, f"{work}, warm", bench.ck.run, *command))
    with FaultyProxy(bench.endpoint.port) as proxy:
        bench.ck.run(*command, "--endpoint", f"http://127.0.0.1:{proxy.port}")
        requests = proxy.requests
    bench.endpoint.request("DELETE", f"/{bucket}", timeout=600)
    for name, runs, goal in (("cold", first, cold), ("warm", second, warm)):
        wall = Figures(run.wall for run in runs)
        yield Row(f"{work}, {name}" if name == "cold" else f"the same, {name}", f"≤ {goal} s", f"{wall} s",
                  wall.median <= goal)
    if most:
        yield Row("", f"≤ {most} requests", str(requests), requests <= most)


def manifest(bench):
    """A checkpoint of 640,000 chunks, 10 TB."""
    chunks = max(1000, 640_000 // bench.options.shrink)
    reads, writes = [], []
    for _ in bench.rounds:
        with bench.directory("manifest") as root:
            write_repository(root)
            write_snapshot(root, "large", 1, packs=100, chunks_in_each=chunks // 100, chunk=16 << 20, is_stored=False)
            reads.append(run(bench, "show", bench.ck.run, "show", "large@1", "--json", "--repo", root))
            [path] = root.glob("manifests/large/*")
            writes.append(run(bench, "writing a manifest", measured, [helper("manifest-speed"), path]))
    wall = Figures(run.wall for run in reads)
    yield Row(f"a manifest of {chunks:,} chunks is read", "≤ 2 s", f"{wall} s", wall.median <= 2)
    peak = max(run.peak for run in reads) / MIB
    yield Row("", "≤ 400 MiB", f"{peak:.0f} MiB", peak <= 400)
    wall = Figures(float(run.out) for run in writes)
    yield Row("it is written", "≤ 3 s", f"{wall} s", wall.median <= 3)
    peak = max(run.peak for run in writes) / MIB
    yield Row("", "≤ 400 MiB", f"{peak:.0f} MiB, with its reading before", peak <= 400)


def startup(bench):
    """What every command costs at least."""
    runs = [measured([Ckbackup.program, "--version"]) for _ in range(50)]
    wall = Figures((run.wall * 1000 for run in runs), 1)
    yield Row("ckbackup --version, 50 times", "≤ 10 ms", f"{wall} ms", wall.median <= 10)


def latency(bench):
    """A store that answers 50 ms later."""
    size = bench.size(512)
    total = 8 * size
    rates = {}
    with bench.files("far", 8, size * MIB), bench.directory("restored") as target:
        for _ in bench.rounds:
            for delay in (0, 0.05):
                with bench.bucket(bench.ck) as bucket, DelayingProxy(bench.endpoint.port, delay) as proxy:
                    words = ["--endpoint", f"http://127.0.0.1:{proxy.port}"]
                    up = run(bench, f"push, {delay} s away", bench.ck.upload, bench.place / "far", bucket, *words)
                    down = run(bench, f"restore, {delay} s away", bench.ck.download, bucket, target, *words)
                    shutil.rmtree(target)
                rates.setdefault(("push", delay), []).append(total / up.wall)
                rates.setdefault(("restore", delay), []).append(total / down.wall)
    for name in ("push", "restore"):
        near, far = (Figures(rates[name, delay], 0) for delay in (0, 0.05))
        share = far.median / near.median
        yield Row(f"{name} of 8 files of {size} MiB, 50 ms added to each request", "≥ 80 % of the MiB/s without",
                  f"{share * 100:.0f} % ({far} of {near} MiB/s)", share >= 0.8)


def neighbour(bench):
    """A training job beside a push: a process that reads a file of 2 GiB from the page cache again and again. What a plain copy of the
    same files does to it is there to compare."""
    size = bench.size(2048)
    rates = {"alone": [], "cp": [], "ckbackup": []}
    gentle = ["nice", "-n", "19", "ionice", "-c", "3"]
    with bench.files("hot", 1, size * MIB), bench.files("cold", 8, bench.size(512) * MIB), \
            bench.directory("repository") as repository, bench.directory("copy") as copy:
        hot = next((bench.place / "hot").iterdir())
        push = [bench.ck.program, "push", bench.place / "cold", "--run", "bench", "--step", "1", "--quiet", "--threads",
                "1", "--limit-upload", "200MiB", "--repo", repository]
        for _ in bench.rounds:
            for name, command in (("alone", ["sleep", "6"]), ("cp", ["cp", "-r", bench.place / "cold", copy]),
                                  ("ckbackup", push)):
                for place in (repository, copy):
                    shutil.rmtree(place, ignore_errors=True)
                bench.ck.prepare(repository)
                os.sync()
                work = subprocess.Popen([*gentle, *command], env=bench.ck.environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
                time.sleep(1)
                rates[name].append(read_rate(hot, seconds=5))
                if work.wait() != 0:
                    raise Failure(f"{name} beside the reader failed")
    rates = {name: Figures(values) for name, values in rates.items()}
    slower = {name: 1 - rates[name].median / rates["alone"].median for name in ("cp", "ckbackup")}
    yield Row("a neighbour that re-reads 2 GiB, beside `nice ionice ckbackup push --threads 1 --limit-upload 200MiB`",
              "≤ 10 % slower", f"{slower['ckbackup'] * 100:.0f} % ({rates['ckbackup']} of {rates['alone']} GiB/s)",
              slower["ckbackup"] <= 0.10)
    yield Row("", "", f"beside `nice ionice cp -r` {slower['cp'] * 100:.0f} % ({rates['cp']} GiB/s)")


def read_rate(path, seconds):
    """How fast a process reads a file that is in the page cache, in GiB a second."""
    program = ("import sys, time\n"
               "end = time.monotonic() + float(sys.argv[2]); count = 0; buffer = bytearray(1 << 20)\n"
               "start = time.monotonic()\n"
               "while time.monotonic() < end:\n"
               "    with open(sys.argv[1], 'rb', buffering=0) as file:\n"
               "        while (n := file.readinto(buffer)) and time.monotonic() < end: count += n\n"
               "print(count / (time.monotonic() - start) / (1 << 30))")
    return float(subprocess.check_output([sys.executable, "-c", program, path, str(seconds)]))


SCENARIOS = {scenario.__name__: scenario for scenario in (
    digests, big, single, again, memory, small, directory, quick, listing, manifest, startup, latency, neighbour)}


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="ckbackup-bench-", dir=options.directory) as place:
        place = Path(place)
        needed = 20 * GIB // options.shrink
        if (free := shutil.disk_usage(place).free) < needed:
            sys.exit(f"bench: error: {place} has {free / GIB:.0f} GiB free, and {needed / GIB:.0f} GiB are needed")
        rows = []
        with servers.seaweedfs(place / "server") as endpoint:
            bench = Bench(place, endpoint, options)
            for name in options.only:
                note(f"--- {name}: {SCENARIOS[name].__doc__}")
                try:
                    rows += SCENARIOS[name](bench)
                except Failure as error:
                    note(f"{name} failed: {error}")
                    reason = str(error).strip().splitlines()[-1].rpartition("error: ")[2]
                    rows.append(Row(SCENARIOS[name].__doc__, "", f"failed: {reason}", False))
    text = table(rows, options)
    print(text)
    if options.write:
        write_between_marks(ROOT / "docs/performance.md", text)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each program does each work (default 3)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SCENARIOS), metavar="A,B",
                        help=f"which scenarios, of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--shrink", type=int, default=1, metavar="N",
                        help="with an N-th of the sizes, to try the program out; goals do not count then")
    parser.add_argument("--directory", metavar="DIR", help="on which disk to work (default: that of TMPDIR)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    if min(options.rounds, options.shrink) < 1:
        parser.error("--rounds and --shrink must be at least 1")
    for name in options.only:
        if name not in SCENARIOS:
            parser.error(f"there is no scenario {name}: there are {', '.join(SCENARIOS)}")
    return options


def table(rows, options):
    machine = f"{cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}"
    shrunk = f" Sizes are a {options.shrink}th of what the goals mean." if options.shrink > 1 else ""
    lines = [f"{time.strftime('%Y-%m-%d')}, {machine}; {options.rounds} rounds; minimum / median.{shrunk}", "",
             "| work | goal | result | |", "| --- | --- | --- | --- |"]
    marks = {True: "reached", False: "**not reached**", None: ""}
    lines += [f"| {row.work} | {row.goal} | {row.result} | {marks[row.reached]} |" for row in rows]
    return "\n".join(lines)


def write_between_marks(path, text):
    before, _, rest = path.read_text().partition("<!-- figures -->\n")
    _, _, after = rest.partition("<!-- end of figures -->")
    path.write_text(f"{before}<!-- figures -->\n{text}\n<!-- end of figures -->{after}")


def cpu_model():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
