"""recover.py restores from a copy of a repository with nothing but Python."""

import json
import os
import subprocess
import sys

import pytest

from harness.cli import ROOT
from harness.tiny_repository import write_repository, write_snapshot
from harness.trees import PAST, assert_nothing_but, assert_same, data_ranges, set_times

SCRIPT = ROOT / "Sources/Repository/Recovery/recover.py"


@pytest.fixture
def copy(tmp_path):
    """An empty repository, written by hand."""
    write_repository(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def tree(tmp_path):
    """One of each: sizes around the chunk's, names that are not UTF-8, links, empty directories, modes."""
    root = tmp_path / "tree"
    (root / "a/b").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o700)
    for size in (0, 1, 999, 1000, 1001, 2500):
        (root / f"a/b/{size}").write_bytes(os.urandom(size))
    (root / "read-only").write_bytes(b"x")
    (root / "read-only").chmod(0o440)
    (root / os.fsdecode(b"\xff\xfe name\n")).write_bytes(b"bytes")
    (root / "last").symlink_to("a/b")
    (root / "dangling").symlink_to("/nowhere/at/all")
    set_times(root)
    (root / "a").chmod(0o555)
    return root


def recover(*arguments, expect=0, script=SCRIPT):
    # -S and -I: not even site-packages, as on a machine with a bare interpreter.
    done = subprocess.run([sys.executable, "-I", "-S", script, *arguments], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def test_restores_a_tree_exactly(copy, tree, tmp_path):
    identity = write_snapshot(copy, tree)
    for number, address in enumerate(["demo@7", "demo@latest", identity, identity[:6]]):
        target = tmp_path / f"out/{number}/ckpt"
        recover(copy, "restore", address, target)
        assert_same(target, tree)
        assert_nothing_but(target.parent, "ckpt")


def test_restores_a_single_file_as_the_target(copy, tree, tmp_path):
    write_snapshot(copy, tree / "a/b/2500", run="one file/per run")
    recover(copy, "restore", "one file/per run@7", tmp_path / "model.pt")
    assert_same(tmp_path / "model.pt", tree / "a/b/2500")


def test_lists_the_snapshots_by_run_and_step(copy, tree):
    ids = [write_snapshot(copy, tree, run=run, step=step, tags=tags) for run, step, tags in
           (("b", 2, []), ("a", 100, ["best", "kept"]), ("a", 20, []))]
    lines = recover(copy, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["a@20", "a@100", "b@2"]
    assert lines[1].split() == ["a@100", ids[1], "2026-11-24T00:00:00Z", "best", "kept"]
    assert len(recover(copy, "list", "b").stdout.splitlines()) == 1
    recover(copy, "list", "c", expect=4)


def test_finds_a_snapshot_by_tag_and_the_newest_by_latest(copy, tree, tmp_path):
    write_snapshot(copy, tree / "a", step=5, tags=["best"])
    write_snapshot(copy, tree, step=40)
    recover(copy, "restore", "demo@best", tmp_path / "best")
    assert_same(tmp_path / "best", tree / "a")
    recover(copy, "restore", "demo@latest", tmp_path / "latest")
    assert_same(tmp_path / "latest", tree)


def test_knows_a_marker_by_its_name_and_warns_where_the_latest_may_be_damaged(copy, tree, tmp_path):
    identity = write_snapshot(copy, tree, step=40)
    markers = copy / "snapshots/demo"
    marker = markers / f"{40:012}-{identity}.json"
    (markers / f"{40:012}-{identity} (1).json").write_bytes(marker.read_bytes())
    (markers / f"{50:012}-{identity}.json").write_text("{")
    said = recover(copy, "restore", "demo@latest", tmp_path / "latest")
    assert_same(tmp_path / "latest", tree)
    assert "(1).json" in said.stderr and f"{50:012}" in said.stderr
    recover(copy, "restore", identity, tmp_path / "by-id")


def test_passes_over_incomplete_snapshots_for_latest_as_ckbackup_does(copy, tree, tmp_path):
    write_snapshot(copy, tree, step=40)
    write_snapshot(copy, tree / "a", step=50, complete=False)
    recover(copy, "restore", "demo@latest", tmp_path / "latest")
    assert_same(tmp_path / "latest", tree)
    recover(copy, "restore", "demo@50", tmp_path / "torn")
    assert_same(tmp_path / "torn", tree / "a")
    assert recover(copy, "list").stdout.splitlines()[1].endswith("incomplete")


@pytest.mark.parametrize("address", ["demo@8", "other@7", "demo@", "@7", "ffffffffffffffffff", ""])
def test_says_when_nothing_matches(copy, tree, tmp_path, address):
    write_snapshot(copy, tree)
    recover(copy, "restore", address, tmp_path / "out", expect=4)


def test_asks_for_the_id_when_two_snapshots_share_a_step(copy, tree, tmp_path):
    ids = {write_snapshot(copy, tree), write_snapshot(copy, tree / "a")}
    said = recover(copy, "restore", "demo@7", tmp_path / "out", expect=1).stderr
    assert all(identity in said for identity in ids)


def test_sparse_files_come_back_with_their_holes(copy, tree, tmp_path):
    sparse = tree / "sparse"
    with open(sparse, "wb") as file:
        for offset in (1 << 20, 5 << 20):
            file.seek(offset)
            file.write(os.urandom(4096))
        file.truncate(9 << 20)
    ranges = data_ranges(sparse)
    if len(ranges) != 2:
        pytest.skip("this file system has no holes")

    def leave_holes_out(manifest):
        [entry] = [entry for entry in manifest["files"] if entry.get("path") == "sparse"]
        chunks = entry["chunks"]
        kept = [index for index in range(len(chunks["id"]))
                if any(start <= index * 4096 < end for start, end in ranges)]
        entry["chunks"] = {name: [column[index] for index in kept] for name, column in chunks.items()}
        borders = [0, *[border for start_end in ranges for border in start_end], entry["size"]]
        entry["holes"] = [[start, end - start] for start, end in zip(borders[::2], borders[1::2])]

    write_snapshot(copy, tree, edit=leave_holes_out, chunk=4096)
    recover(copy, "restore", "demo@7", tmp_path / "out")
    assert_same(tmp_path / "out", tree)
    assert data_ranges(tmp_path / "out/sparse") == ranges


@pytest.mark.parametrize("damage", ["flipped byte", "short pack", "missing pack", "manifest", "missing manifest"])
def test_damage_is_told_and_leaves_nothing_behind(copy, tree, tmp_path, damage):
    write_snapshot(copy, tree)
    [pack] = copy.glob("packs/*/*/*")
    [manifest] = copy.glob("manifests/*/*")
    data = bytearray(pack.read_bytes())
    if damage == "flipped byte":
        data[1234] ^= 1
        pack.write_bytes(data)
    elif damage == "short pack":
        pack.write_bytes(data[:-1])
    elif damage == "missing pack":
        pack.unlink()
    elif damage == "manifest":
        manifest.write_bytes(manifest.read_bytes() + b"\0")
    else:
        manifest.unlink()
    (tmp_path / "out").mkdir()
    said = recover(copy, "restore", "demo@7", tmp_path / "out/ckpt", expect=3).stderr
    assert ("manifests/" if "manifest" in damage else "packs/") in said
    assert_nothing_but(tmp_path / "out")


def test_a_file_that_does_not_match_its_digest_is_refused(copy, tree, tmp_path):
    def swap_two_chunks(manifest):
        [entry] = [entry for entry in manifest["files"] if entry.get("path") == "a/b/2500"]
        for column in entry["chunks"].values():
            column[0], column[1] = column[1], column[0]

    write_snapshot(copy, tree, edit=swap_two_chunks)
    recover(copy, "restore", "demo@7", tmp_path / "out", expect=3)
    assert not (tmp_path / "out").exists()


def test_a_damaged_marker_hides_only_its_own_snapshot(copy, tree, tmp_path):
    write_snapshot(copy, tree)
    (copy / "snapshots/demo/000000000009-0123456789abcdef.json").write_text('{"format": 1, "id"')
    recover(copy, "restore", "demo@7", tmp_path / "out")
    listed = recover(copy, "list", expect=3)
    assert "demo@7" in listed.stdout and "000000000009" in listed.stderr


def set_path(path):
    return lambda manifest: manifest["files"][0].update(path=path)


def link_over_a_directory(manifest):
    manifest["links"].append({"path": "a", "target": "/tmp", "mtime": PAST})
    manifest["directories"] = [entry for entry in manifest["directories"] if not entry["path"].startswith("a")]


def outside_pack(manifest):
    manifest["packs"][0]["key"] = "packs/../../outside"


def directory_outside(manifest):
    manifest["directories"].append({"path": "../made", "mode": "0755", "mtime": PAST})


def link_outside(manifest):
    manifest["links"].append({"path": "../made", "target": "x", "mtime": PAST})


def negative_offset(manifest):
    manifest["files"][-1]["chunks"]["offset"] = [-1] * len(manifest["files"][-1]["chunks"]["offset"])


def huge_chunk(manifest):
    manifest["files"][-1]["chunks"]["length"] = [1 << 50] * len(manifest["files"][-1]["chunks"]["length"])


def size_that_is_no_number(manifest):
    manifest["files"][0]["size"] = "many"


# The first file of the tree is a/b/0.
HOSTILE = {
    "a path above": set_path("../escaped"),
    "an absolute path": set_path("/tmp/escaped"),
    "a path through above": set_path("a/../../escaped"),
    "an empty component": set_path("a//b"),
    "a dot": set_path("."),
    "no name": set_path(""),
    "a NUL": set_path("nul\0"),
    "half a surrogate pair": set_path("\ud800"),
    "a path through a link": set_path("last/escaped"),
    "the same path twice": set_path("read-only"),
    "a link in a directory's place": link_over_a_directory,
    "a directory outside": directory_outside,
    "a link outside": link_outside,
    "a pack outside": outside_pack,
    "a negative offset": negative_offset,
    "a huge chunk": huge_chunk,
    "a size that is no number": size_that_is_no_number,
    "no files": lambda manifest: manifest.pop("files"),
    "a number of files": lambda manifest: manifest.update(files=7),
    "one file of many": lambda manifest: manifest.update(kind="file"),
    "another run's": lambda manifest: manifest.update(run="other"),
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_manifest_is_refused_and_writes_nothing(copy, tree, tmp_path, edit):
    write_snapshot(copy, tree, edit=edit)
    before = sorted(tmp_path.rglob("*"))
    recover(copy, "restore", "demo@7", tmp_path / "out", expect=3)
    assert sorted(tmp_path.rglob("*")) == before


def encode_chunks(manifest):
    for entry in manifest["files"]:
        entry["chunks"]["encoding"] = ["zstd"] * len(entry["chunks"]["id"])


@pytest.mark.parametrize("edit", [encode_chunks, lambda manifest: manifest.update(format=2)])
def test_what_it_cannot_read_is_refused_clearly(copy, tree, tmp_path, edit):
    write_snapshot(copy, tree, edit=edit)
    said = recover(copy, "restore", "demo@7", tmp_path / "out", expect=1).stderr
    assert "use ckbackup" in said or "format 2" in said
    assert not (tmp_path / "out").exists()


def test_another_format_and_another_directory_are_refused(copy, tmp_path):
    recover(tmp_path, "list", expect=1)
    (copy / "ckbackup.json").write_text(json.dumps({"format": 2, "id": "00"}))
    assert "format 2" in recover(copy, "list", expect=1).stderr


def test_an_existing_target_is_never_touched(copy, tree, tmp_path):
    write_snapshot(copy, tree)
    (tmp_path / "out").mkdir()
    recover(copy, "restore", "demo@7", tmp_path / "out", expect=1)
    assert_nothing_but(tmp_path / "out")


def test_wrong_use_and_help(copy):
    recover(copy, expect=2)
    recover(copy, "restore", "demo@7", expect=2)
    assert "restore llama-sft@1000" in recover("--help").stdout


def test_the_script_in_a_repository_restores_what_ckbackup_pushed(repository, checkpoint, tmp_path):
    repository.ck.push(checkpoint, "--run", "demo")
    repository.objects.copy_to(tmp_path / "copy")
    script = tmp_path / "copy/recover.py"
    assert script.read_bytes() == SCRIPT.read_bytes()
    recover(tmp_path / "copy", "restore", "demo@1000", tmp_path / "out", script=script)
    assert_same(tmp_path / "out", checkpoint)
