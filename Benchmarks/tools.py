"""The programs that are measured beside each other: how each sends a directory to a place of its own, and brings it back."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Integration"))

from harness import servers  # noqa: E402 (the path to it is set above)

GIB = 1 << 30


@dataclass(frozen=True)
class Run:
    """What one child process took: seconds, seconds of CPU in user mode and in the kernel, bytes of the largest resident set."""

    wall: float
    user: float
    system: float
    peak: int
    out: str

    @property
    def cpu(self):
        return self.user + self.system

    @property
    def json(self):
        return json.loads(self.out)


def measured(command, environment=None):
    """Runs a program to its end; one that fails ends the benchmark."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, \
            tempfile.NamedTemporaryFile("r") as figures:
        launcher = [sys.executable, str(ROOT / "Benchmarks/child.py"), figures.name]
        subprocess.run(launcher + command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment,
                       check=True)
        took = json.load(figures)
        output.seek(0)
        errors.seek(0)
        said = errors.read()[-2000:].decode(errors="replace")
        if took["code"] != 0:
            raise Failure(f"{' '.join(command)} ended with {took['code']}: {said}")
        return Run(took["wall"], took["user"], took["system"], took["peak"], output.read().decode(errors="replace"))


class Failure(Exception):
    """A program that did not do its work."""


class Tool:
    """A program with its environment. A place is an S3 bucket by its name, or a directory by its path."""

    name = ""

    def __init__(self, home, endpoint):
        home.mkdir()
        self.home, self.endpoint = home, endpoint
        self.environment = {
            **os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"),
            "AWS_ACCESS_KEY_ID": endpoint.access_key, "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "AWS_REGION": endpoint.region, "RESTIC_PASSWORD": "bench", "CKBACKUP_ENDPOINT": endpoint.url,
        }

    @property
    def program(self):
        return servers.program(self.name)

    def run(self, *arguments):
        return measured([self.program, *arguments], self.environment)

    def prepare(self, place):
        """What has to be there before the first upload; not measured."""


class Ckbackup(Tool):
    name = "ckbackup"
    program = Path(os.environ.get("CKBACKUP_BIN", ROOT / ".build/release/ckbackup")).absolute()

    def place(self, place):
        return ["--repo", place if isinstance(place, Path) else f"s3://{place}/bench"]

    def prepare(self, place):
        self.run("init", *self.place(place))

    def upload(self, source, place, *arguments, step=1):
        return self.run("push", source, "--run", "bench", "--step", step, "--json", "--no-environment",
                        *self.place(place), *arguments)

    def download(self, place, target, *arguments, step=1):
        return self.run("restore", f"bench@{step}", target, "--json", *self.place(place), *arguments)


class S5cmd(Tool):
    name = "s5cmd"

    def s5cmd(self, *arguments):
        return self.run("--endpoint-url", self.endpoint.url, "--log", "error", "cp", *arguments)

    def upload(self, source, place):
        return self.s5cmd(f"{source}/", f"s3://{place}/bench/")

    def download(self, place, target):
        return self.s5cmd(f"s3://{place}/bench/*", f"{target}/")


class Rclone(Tool):
    name = "rclone"

    def rclone(self, source, target):
        return self.run(
            "copy", "--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth", "--s3-region",
            self.endpoint.region, "--s3-endpoint", self.endpoint.url, source, target)

    def upload(self, source, place):
        return self.rclone(source, f":s3:{place}/bench")

    def download(self, place, target):
        return self.rclone(f":s3:{place}/bench", target)


class Restic(Tool):
    name = "restic"

    def restic(self, place, *arguments):
        repository = place if isinstance(place, Path) else f"s3:{self.endpoint.url}/{place}/bench"
        return self.run("--repo", repository, "--quiet", "--compression", "off", *arguments)

    def prepare(self, place):
        self.restic(place, "init")

    def upload(self, source, place):
        return self.restic(place, "backup", source)

    def download(self, place, target):
        return self.restic(place, "restore", "latest", "--target", target)


TOOLS = (Ckbackup, S5cmd, Rclone, Restic)
