"""A sample of the faults of nth_fault.py; `make nth-fault` plays all of them."""

import secrets
import shutil

import pytest

from nth_fault import run


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: run scripts/setup.sh test")
def test_what_was_committed_survives_a_failing_system_call():
    said = []
    assert run(sample=200, seed=secrets.randbelow(1 << 32), seconds=25, say=said.append) == 0, "\n".join(said)
