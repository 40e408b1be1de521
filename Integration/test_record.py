"""The archive record for people and programs: show, diff, and what a push finds out of its surroundings."""

import shutil
import subprocess

from harness.trees import FIXTURES


def test_a_record_tells_the_commit_and_the_packages_and_leaves_them_out_on_demand(repository, tmp_path):
    shutil.copytree(FIXTURES / "hf_full", tmp_path / "hf_full")
    git = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    ck = repository.ck
    packages = tmp_path / "venv/lib/python3.12/site-packages"
    (packages / "torch-2.9.0.dist-info").mkdir(parents=True)
    ck.environment |= {"VIRTUAL_ENV": str(tmp_path / "venv"), "WORLD_SIZE": "4", "NCCL_TOKEN": "hf_secret"}
    ck("push", tmp_path / "hf_full/checkpoint-10")
    ck("push", tmp_path / "hf_full/checkpoint-20", "--no-environment")
    shown = ck("show", "hf_full@10", "--json")
    environment = shown.json["record"]["environment"]
    assert environment["code"]["commit"] == commit and environment["code"]["dirty"] is False
    assert environment["packages"] == {"torch": "2.9.0"}
    assert environment["variables"]["WORLD_SIZE"] == "4" and "hf_secret" not in shown.out
    assert "requirements.txt" in [file["name"] for file in shown.json["record"]["files"]]
    assert "environment" not in ck("show", "hf_full@20", "--json").json["record"]


def test_show_fits_a_screen_and_diff_names_what_differs(repository):
    ck = repository.ck
    for step in (10, 20):
        ck("push", FIXTURES / f"hf_full/checkpoint-{step}")
    page = ck("show", "hf_full@20").out
    assert len(page.splitlines()) <= 50
    for words in ("how trained", "loss curve", "training can go on exactly", "weights (1 file)", "best so far"):
        assert words in page, page
    text = ck("diff", "hf_full@10", "hf_full@20").out
    assert "METRICS" in text and "model.safetensors" in text and "config.json" not in text
    diff = ck("diff", "hf_full@10", "hf_full@20", "--json").json["diff"]
    assert {"eval_loss", "loss"} <= {change["name"] for change in diff["metrics"]}
    assert diff["shared_bytes"] < diff["bytes_after"]
    same = ck("diff", "hf_full@10", "hf_full@10", "--json").json["diff"]
    assert same["files"] == [] and same["metrics"] == [] and same["shared_bytes"] == same["bytes_after"]
    ck("diff", "hf_full@10", "hf_full@30", expect=4)
