"""The program on a pseudo-terminal, as somebody who types sees it."""

import contextlib
import os
import pty
import select
import subprocess
import time


class Session:
    """A command on a terminal of its own: `session.answer("Bucket", "backups")`."""

    def __init__(self, command, environment, cwd):
        self.terminal, side = pty.openpty()
        self.process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=environment, cwd=cwd)
        os.close(side)
        self.text = ""
        self.seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def read_until(self, words, seconds=30):
        """What is shown up to these words, from where the last call ended."""
        deadline = time.monotonic() + seconds
        while (place := self.text.find(words, self.seen)) < 0:
            assert time.monotonic() < deadline, f"no {words!r} in\n{self.text[self.seen:]}"
            assert self.more(0.2) or self.process.poll() is None, f"ended without {words!r}\n{self.text}"
        found = self.text[self.seen:place + len(words)]
        self.seen = place + len(words)
        return found

    def more(self, seconds):
        if not select.select([self.terminal], [], [], seconds)[0]:
            return False
        try:
            block = os.read(self.terminal, 1 << 16)
        except OSError:  # EIO: the program has ended
            return False
        self.text += block.decode(errors="replace")
        return bool(block)

    def answer(self, question, line):
        """Waits for a question and types a line."""
        self.read_until(question)
        self.read_until(": ")
        os.write(self.terminal, f"{line}\n".encode())

    def end(self, seconds=30):
        """The exit code; all output is in `text` then."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on\n{self.text}"
            self.more(0.1)
        with contextlib.suppress(OSError):
            while self.more(0.1):
                pass
        return self.process.returncode
