#!/usr/bin/env python3
"""Measures ckbackup beside s5cmd, rclone and restic: the same files, the same server, the same machine, in turn.

A SeaweedFS server is started on the loopback interface and files of random bytes are written to disk. Each round
then lets every tool send them to a bucket of its own and bring them back, in an order that moves on by one each
round. Of each child process the wall time, the CPU time (user and system apart, its own children included) and the
largest resident set are taken. The files to send stay in the page cache; writes are flushed before each
measurement. ckbackup checks what it restores, s5cmd does not.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Integration"))

from harness import servers  # noqa: E402 (the path to it is set above)

GIB = 1 << 30
BASELINE = "s5cmd"


def main():
    options = parse()
    total = options.files * options.size << 20
    with tempfile.TemporaryDirectory(prefix="ckbackup-bench-", dir=options.directory) as place:
        place = Path(place)
        free = shutil.disk_usage(place).free
        if free < 4 * total:
            sys.exit(f"bench: error: {place} has {free / GIB:.0f} GiB free, and {4 * total / GIB:.0f} GiB are needed")
        note(f"writing {options.files} files of {options.size} MiB below {place}")
        source = place / "source"
        write_files(source, options.files, options.size << 20)
        with servers.seaweedfs(place / "server") as endpoint:
            tools = [TOOLS[name](place / name, endpoint) for name in options.tools]
            runs = measure(tools, source, place / "restored", options.rounds)
    summary = summarise(runs, total)
    print_table(summary, options)
    if options.json:
        machine = {"cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release()}
        document = {"machine": machine, "bytes": total, "files": options.files, "summary": summary, "runs": runs}
        Path(options.json).write_text(json.dumps(document, indent=2) + "\n")


def parse():
    available = [name for name, tool in TOOLS.items() if tool.is_installed()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=8, help="how many files (default 8)")
    parser.add_argument("--size", type=int, default=512, metavar="MIB", help="the size of each (default 512)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each tool runs (default 3)")
    parser.add_argument("--tools", type=lambda text: text.split(","), default=available, metavar="A,B",
                        help=f"which to run, of {', '.join(TOOLS)} (default: those installed)")
    parser.add_argument("--directory", metavar="DIR", help="on which disk to work (default: that of TMPDIR)")
    parser.add_argument("--json", metavar="FILE", help="write all measurements there")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    if min(options.files, options.size, options.rounds) < 1:
        parser.error("--files, --size and --rounds must be at least 1")
    for name in options.tools:
        if name not in TOOLS:
            parser.error(f"no tool is called {name}: there are {', '.join(TOOLS)}")
        if name not in available:
            parser.error(f"{name} is not installed")
    return options


def write_files(directory, count, size):
    directory.mkdir()
    # Small: a child starts with the peak resident set of this process as its own.
    block = 1 << 20
    for number in range(count):
        source = random.Random(number)
        with open(directory / f"shard-{number}.data", "wb") as file:
            for start in range(0, size, block):
                file.write(source.randbytes(min(block, size - start)))


# The tools: how each sends a directory to a fresh bucket, and brings it back.

class Tool:
    """One program with its environment; `bucket` is new for each round."""

    name = ""

    def __init__(self, home, endpoint):
        home.mkdir()
        self.home, self.endpoint = home, endpoint
        self.program = self.path()
        self.environment = {
            **os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"),
            "AWS_ACCESS_KEY_ID": endpoint.access_key, "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "AWS_REGION": endpoint.region,
        }

    @classmethod
    def path(cls):
        return servers.program(cls.name)

    @classmethod
    def is_installed(cls):
        with contextlib.suppress(FileNotFoundError):
            return os.access(cls.path(), os.X_OK)
        return False

    def prepare(self, bucket):
        """What has to be there before the first upload; not measured."""

    def run(self, *arguments):
        """Runs the program to its end and measures it."""
        command = [self.program, *map(str, arguments)]
        with tempfile.TemporaryFile() as output:
            start = time.monotonic()
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                     env=self.environment)
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                output.seek(0)
                said = output.read()[-2000:].decode(errors="replace")
                sys.exit(f"bench: error: {' '.join(command)} ended with {child.returncode}:\n{said}")
        return {"wall": wall, "user": usage.ru_utime, "system": usage.ru_stime, "peak_rss": usage.ru_maxrss << 10}


class Ckbackup(Tool):
    name = "ckbackup"

    def __init__(self, home, endpoint):
        super().__init__(home, endpoint)
        config = home / "ckbackup.toml"
        config.write_text(f'endpoint = "{endpoint.url}"\nregion = "{endpoint.region}"\n')
        self.environment["CKBACKUP_CONFIG"] = str(config)

    @classmethod
    def path(cls):
        return str(program_under_test())

    def prepare(self, bucket):
        self.run("init", "--repo", f"s3://{bucket}/bench")

    def upload(self, source, bucket):
        return self.run("push", source, "--run", "bench", "--step", 1, "--quiet", "--repo", f"s3://{bucket}/bench")

    def download(self, bucket, target):
        return self.run("restore", "bench@1", target, "--quiet", "--repo", f"s3://{bucket}/bench")


class S5cmd(Tool):
    name = "s5cmd"

    def s5cmd(self, *arguments):
        return self.run("--endpoint-url", self.endpoint.url, "--log", "error", "cp", *arguments)

    def upload(self, source, bucket):
        return self.s5cmd(f"{source}/", f"s3://{bucket}/bench/")

    def download(self, bucket, target):
        return self.s5cmd(f"s3://{bucket}/bench/*", f"{target}/")


class Rclone(Tool):
    name = "rclone"

    def rclone(self, source, target):
        return self.run(
            "copy", "--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth", "--s3-region",
            self.endpoint.region, "--s3-endpoint", self.endpoint.url, source, target)

    def upload(self, source, bucket):
        return self.rclone(source, f":s3:{bucket}/bench")

    def download(self, bucket, target):
        return self.rclone(f":s3:{bucket}/bench", target)


class Restic(Tool):
    name = "restic"

    def restic(self, bucket, *arguments):
        self.environment["RESTIC_PASSWORD"] = "bench"
        return self.run("--repo", f"s3:{self.endpoint.url}/{bucket}/bench", "--quiet", *arguments)

    def prepare(self, bucket):
        self.restic(bucket, "init")

    def upload(self, source, bucket):
        return self.restic(bucket, "backup", source)

    def download(self, bucket, target):
        return self.restic(bucket, "restore", "latest", "--target", target)


TOOLS = {tool.name: tool for tool in (Ckbackup, S5cmd, Rclone, Restic)}


def program_under_test():
    return Path(os.environ.get("CKBACKUP_BIN", ROOT / ".build/release/ckbackup")).absolute()


# Measuring.

def measure(tools, source, target, rounds):
    runs = []
    for number in range(rounds):
        turn = number % len(tools)
        for tool in tools[turn:] + tools[:turn]:
            bucket = f"{tool.name}-{number}"
            tool.endpoint.request("PUT", f"/{bucket}")
            tool.prepare(bucket)
            for direction, action in (("up", lambda: tool.upload(source, bucket)),
                                      ("down", lambda: tool.download(bucket, target))):
                os.sync()
                run = {"tool": tool.name, "round": number + 1, "direction": direction, **action()}
                note(f"round {number + 1}: {tool.name} {direction} {run['wall']:.1f} s, "
                     f"CPU {run['user'] + run['system']:.1f} s")
                runs.append(run)
            demand_same_files(source, target, contents=number == 0)
            shutil.rmtree(target)
            # A bucket's volumes go with it, so that the disk never holds more than one copy.
            tool.endpoint.request("DELETE", f"/{bucket}")
    return runs


def demand_same_files(source, target, contents):
    for path in source.iterdir():
        [restored] = target.rglob(path.name)
        if restored.stat().st_size != path.stat().st_size or (
                contents and not filecmp.cmp(path, restored, shallow=False)):
            sys.exit(f"bench: error: {restored} is not what was sent")


def summarise(runs, total):
    """For each direction and tool, the figures of the table."""
    summary = []
    for direction in ("up", "down"):
        rows = {}
        for run in runs:
            if run["direction"] == direction:
                rows.setdefault(run["tool"], []).append(run)
        for name, measured in rows.items():
            def figures(value):
                values = [value(run) for run in measured]
                return {"minimum": min(values), "median": statistics.median(values)}

            summary.append({
                "direction": direction, "tool": name,
                "wall": figures(lambda run: run["wall"]),
                "cpu_per_gib": figures(lambda run: (run["user"] + run["system"]) * GIB / total),
                "user_per_gib": figures(lambda run: run["user"] * GIB / total),
                "system_per_gib": figures(lambda run: run["system"] * GIB / total),
                "peak_rss": max(run["peak_rss"] for run in measured),
            })
    return summary


def print_table(summary, options):
    header = ["", "tool", "wall s", "MiB/s", "CPU s/GiB", "user", "system", "peak MiB", f"wall/{BASELINE}",
              f"CPU/{BASELINE}"]
    baselines = {row["direction"]: row for row in summary if row["tool"] == BASELINE}
    rows = []
    for row in summary:
        baseline = baselines.get(row["direction"])

        def ratio(figure):
            return f"{row[figure]['median'] / baseline[figure]['median']:.2f}" if baseline else "-"

        rows.append([
            row["direction"], row["tool"], pair(row["wall"], 1),
            f"{options.files * options.size / row['wall']['median']:.0f}", pair(row["cpu_per_gib"], 2),
            pair(row["user_per_gib"], 2), pair(row["system_per_gib"], 2), f"{row['peak_rss'] / (1 << 20):.0f}",
            ratio("wall"), ratio("cpu_per_gib")])
    print(f"{options.files} files of {options.size} MiB, {options.rounds} rounds; figures are minimum / median; "
          f"{cpu_model()}, {os.cpu_count()} cores\n")
    if options.markdown:
        for line in [header, ["---"] * len(header), *rows]:
            print(f"| {' | '.join(line)} |")
        return
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    for line in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def pair(figures, digits):
    return f"{figures['minimum']:.{digits}f} / {figures['median']:.{digits}f}"


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
