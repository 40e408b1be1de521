"""Runs the ckbackup program as a user would, away from the configuration and caches of whoever runs the tests."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("CKBACKUP_BIN", ROOT / ".build/release/ckbackup")).absolute()


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    command: list
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"$ {' '.join(map(str, self.command))}\nexit code {self.code}\n{self.out[-3000:]}\n{self.err[-3000:]}"


class Ckbackup:
    """The program with one repository: `ck("push", path, "--run", "demo")`."""

    def __init__(self, home: Path, url, endpoint=None, **settings):
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        if endpoint:
            settings |= {"endpoint": endpoint.url, "region": endpoint.region}
            if endpoint.virtual:
                settings["addressing"] = "virtual"
            if endpoint.ca_file:
                settings["ca_file"] = endpoint.ca_file
            self.environment |= {
                "AWS_ACCESS_KEY_ID": endpoint.access_key, "AWS_SECRET_ACCESS_KEY": endpoint.secret_key}
        settings |= {"repository": url}
        self.config = home / "ckbackup.toml"
        # JSON's strings, numbers and booleans are TOML's too.
        self.config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))

    def command(self, *arguments):
        return [str(BINARY), str(arguments[0]), "--config", str(self.config), *arguments[1:]]

    def __call__(self, *arguments, expect=0, timeout=120, cwd=None):
        """Runs a command to its end; `expect` is its exit code, or several that are right."""
        command = self.command(*arguments)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, cwd=cwd,
                              env=self.environment)
        result = Result(command, done.returncode, done.stdout.decode(errors="replace"),
                        done.stderr.decode(errors="replace"))
        codes = expect if isinstance(expect, tuple) else (expect,)
        assert result.code in codes, f"expected exit code {expect}\n{result}"
        if result.code != 0:
            assert result.err.strip() or (result.code == 3 and result.out.strip()), f"it failed without a word\n{result}"
        return result

    def start(self, *arguments):
        """Starts a command and leaves it running; nothing of its output is kept."""
        return subprocess.Popen(self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, env=self.environment)

    def push(self, path, *arguments, **how):
        """The JSON answer of a push."""
        return self("push", path, "--json", *arguments, **how).json

    def restore(self, snapshot, target, *arguments, **how):
        return self("restore", snapshot, target, *arguments, **how)
