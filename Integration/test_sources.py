"""What is pushed is looked at first: torn checkpoints are refused, odd files are told, anything else is backed up."""

import json
import os
import socket

import pytest

from harness.trees import FIXTURES, assert_same, copy_fixture

EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
# What headers, zip directories, JSON and Hugging Face's file names tell. A flipped byte among a tensor's is none of these.
FOUND = tuple(f"broken/{kind}_" for kind in (
    "optimizer", "safetensors", "trainer_state", "shard", "plain", "lightning"))
BROKEN = {name: facts for name, facts in EXPECTED.items() if name.startswith(FOUND) and "flip_data" not in name}


@pytest.mark.parametrize("name", BROKEN)
def test_a_torn_or_incomplete_checkpoint_is_refused_unless_told_otherwise(directory_repository, tmp_path, name):
    facts, ck = BROKEN[name], directory_repository.ck
    source = copy_fixture(name, tmp_path)
    for command in ("check", "push"):
        said = ck(command, source, *(["--run", "torn"] if command == "push" else []), expect=3)
        for file in facts["torn"]:
            assert file in said.err + said.out, f"{file} is not named\n{said}"
    assert not directory_repository.objects.snapshots()

    pushed = ck.push(source, "--run", "torn", "--allow-incomplete")
    assert pushed["warnings"]
    ck.restore(pushed["snapshot"], tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


def test_a_directory_that_is_no_checkpoint_is_backed_up_and_said_so(directory_repository, tmp_path):
    source = tmp_path / "notes"
    source.mkdir()
    (source / "notes.txt").write_text("learning rate was too high\n")
    pushed = directory_repository.ck.push(source, "--run", "notes", "--step", "1")
    assert pushed["warnings"], "nothing was said"
    directory_repository.ck.restore("notes@1", tmp_path / "restored")
    assert_same(tmp_path / "restored", source)


def test_a_source_that_is_missing_is_named(directory_repository, tmp_path):
    assert "nowhere" in directory_repository.ck("push", tmp_path / "nowhere", "--run", "x", expect=(1, 2)).err


@pytest.fixture
def odd_source(tmp_path):
    """A directory with what cannot be backed up; gives the names of those files."""
    source = tmp_path / "odd"
    source.mkdir()
    (source / "fine").write_bytes(b"fine")
    os.mkfifo(source / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(source)  # the path of a socket has to be short
    listener.bind("socket")
    os.chdir(here)
    names = ["pipe", "socket"]
    if os.getuid() != 0:
        (source / "unreadable").write_bytes(b"secret")
        (source / "unreadable").chmod(0)
        names.append("unreadable")
    yield source, names
    listener.close()


def test_pipes_sockets_and_unreadable_files_are_skipped_with_a_warning(directory_repository, odd_source, tmp_path):
    source, names = odd_source
    pushed = directory_repository.ck.push(source, "--run", "odd", "--step", "1")
    for name in names:
        assert any(name in str(warning) for warning in pushed["warnings"]), f"{name} is not named"
    directory_repository.ck.restore("odd@1", tmp_path / "restored")
    assert os.listdir(tmp_path / "restored") == ["fine"]


def test_with_strict_they_fail_the_push(directory_repository, odd_source):
    source, _ = odd_source
    directory_repository.ck("push", source, "--run", "odd", "--step", "1", "--strict", expect=1)
    assert not directory_repository.objects.snapshots()
