import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Integration"))
# Nothing may be fetched, and runs must repeat bit for bit.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")

from harness.cli import Ckbackup  # noqa: E402


@pytest.fixture
def ck(tmp_path):
    """The program, told of a fresh repository in a directory."""
    program = Ckbackup(tmp_path, str(tmp_path / "repository"), None)
    program("init")
    return program


@pytest.fixture(scope="session")
def fixtures():
    """Small checkpoints that the real frameworks wrote."""
    return ROOT / "Tests/Fixtures"
