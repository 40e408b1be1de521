"""A checkpoint that is still being written is told from a torn one, and can be waited for."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest

from harness.trees import assert_same, copy_fixture

MIB = 1 << 20
GIB = 1 << 30

# Opens a file as a framework does, says so, and keeps it open until its standard input ends.
WRITER = """
import sys
with open(sys.argv[1], "ab") as file:
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer():
    """Starts processes that keep a file open for writing: `writer(path)`; they end with the test, or when their stdin is closed."""
    started = []

    def start(path):
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"open\n"
        return process

    yield start
    for process in started:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@pytest.fixture
def source(tmp_path):
    return copy_fixture("hf_full/checkpoint-10", tmp_path)


def test_a_file_that_a_process_has_open_for_writing_is_refused_with_its_pid(directory_repository, source, writer):
    ck = directory_repository.ck
    process = writer(source / "model.safetensors")
    for command in (("check",), ("push",)):
        said = ck(*command, source, expect=3)
        assert "still being written" in said.out + said.err
        assert f"pid {process.pid}, has model.safetensors open" in said.out + said.err, said
        assert "--wait" in said.out + said.err
    answer = ck("check", source, "--json", expect=3).json
    assert str(process.pid) in answer["saving"] and not answer["complete"] and not answer["defects"]
    assert not directory_repository.objects.snapshots()


def test_push_waits_for_the_end_of_a_save_and_then_pushes_all_of_it(directory_repository, source, tmp_path, writer):
    state = (source / "trainer_state.json").read_bytes()
    (source / "trainer_state.json").unlink()
    process = writer(source / "optimizer.pt")

    def finish():
        time.sleep(2)
        (source / "trainer_state.json").write_bytes(state)
        process.stdin.close()

    saver = threading.Thread(target=finish)
    saver.start()
    pushed = directory_repository.ck.push(source, "--wait", "60s", "--run", "demo")
    saver.join()
    assert pushed["complete"] and not pushed["warnings"]
    directory_repository.ck.restore("demo@10", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


def test_after_the_limit_of_the_wait_it_is_refused_as_without(directory_repository, source):
    (source / "trainer_state.json").unlink()
    began = time.monotonic()
    said = directory_repository.ck("push", source, "--wait=2s", expect=3)
    assert 1.9 < time.monotonic() - began < 30
    assert "trainer_state.json is missing" in said.err and "still being written" in said.err, said


def test_a_wait_can_be_interrupted(directory_repository, source):
    (source / "trainer_state.json").unlink()
    push = directory_repository.ck.start("push", source, "--wait")
    time.sleep(1.5)
    assert push.poll() is None
    push.send_signal(signal.SIGINT)
    assert push.wait(timeout=10) == 130


def test_what_is_torn_beside_the_end_of_its_save_is_torn(directory_repository, source):
    os.truncate(source / "optimizer.pt", 1000)
    said = directory_repository.ck("check", source, expect=3)
    assert "optimizer.pt is torn" in said.out and "being written" not in said.out + said.err, said


def test_check_deep_finds_what_headers_do_not_tell(directory_repository, tmp_path):
    source = copy_fixture("broken/optimizer_flip_data", tmp_path) / "checkpoint-10"
    ck = directory_repository.ck
    assert ck("check", source, "--json").json["complete"]
    answer = ck("check", source, "--deep", "--json", expect=3).json
    assert [defect["file"] for defect in answer["defects"]] == ["optimizer.pt"]
    assert "CRC-32" in answer["defects"][0]["message"]
    assert answer["bytes_read"] == answer["bytes"] and answer["sums_checked"] > 0
    said = ck("check", source, "--deep", expect=3)
    assert "NOT complete" in said.out


def make_sparse_checkpoint(root, shards=25, size=4 * GIB):
    """A sharded model of `shards` files of `size` bytes without a block of data besides the headers."""
    root.mkdir()
    weights = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        header, offset = {}, 0
        for tensor in range(200):
            length = size // 200 // 8192 * 8192
            key = f"model.layers.{shard}.{tensor}.weight"
            header[key] = {"dtype": "BF16", "shape": [4096, length // 8192], "data_offsets": [offset, offset + length]}
            weights[key], offset = name, offset + length
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(root / name, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + offset)
    (root / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))
    (root / "config.json").write_text('{"model_type": "llama"}')
    return root


@pytest.mark.skipif(not shutil.which("strace"), reason="strace counts what is read")
def test_the_check_of_100_gb_reads_a_few_megabytes(directory_repository, tmp_path):
    source = make_sparse_checkpoint(tmp_path / "checkpoint-1000")
    size = sum(path.stat().st_size for path in source.iterdir())
    assert size > 99 * GIB
    ck, trace = directory_repository.ck, tmp_path / "trace"
    began = time.monotonic()
    answer = ck("check", source, "--json").json
    seconds = time.monotonic() - began
    assert answer["complete"] and answer["bytes"] == size

    command = ["strace", "-f", "-qq", "-e", "trace=read,pread64,readv,preadv,preadv2,mmap", "-o", trace,
               *ck.command("check", source, "--json")]
    assert subprocess.run(command, env=ck.environment, capture_output=True).returncode == 0
    calls = re.findall(r"(?:p?readv?(?:64|2)?)\(.* = (\d+)$", trace.read_text(), re.MULTILINE)
    total = sum(map(int, calls))
    print(f"check of {size / GIB:.0f} GiB: {seconds:.2f} s, {len(calls)} reads of {total / MIB:.1f} MiB")
    # Each header is read twice and, since the files are new, once more; the program and its libraries are read too.
    assert 0 < total < 32 * MIB and len(calls) < 5000
