"""Making repositories: with their buckets, by questions on a terminal, and several in one configuration."""

import os
import secrets
import signal
import time
import tomllib

import pytest

from harness.cli import BINARY, Ckbackup
from harness.terminal import Session
from harness.trees import assert_same


@pytest.fixture
def bucket():
    return f"new-{secrets.token_hex(4)}"


@pytest.fixture
def ask(seaweedfs, tmp_path):
    """Starts the questions in a directory of their own."""
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    sessions = []

    def start(*arguments, **variables):
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                       "AWS_ACCESS_KEY_ID": seaweedfs.access_key, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_key}
        environment = {key: value for key, value in (environment | variables).items() if value}
        sessions.append(Session([str(BINARY), "init", "--interactive", *arguments], environment, home / "work"))
        return sessions[-1]

    start.work = home / "work"
    yield start
    for session in sessions:
        session.__exit__()


def answer_place(session, endpoint, bucket, prefix=""):
    session.answer("Kind of store", "2")
    session.answer("Endpoint", endpoint)
    session.answer("Region", "")
    session.answer("Bucket", bucket)
    session.answer("Prefix", prefix)


def test_a_bucket_is_made_where_that_is_asked_for(seaweedfs, bucket, tmp_path, checkpoint):
    ck = Ckbackup(tmp_path / "home", f"s3://{bucket}/p", seaweedfs)
    error = ck("init", expect=1).err
    assert f"there is no bucket {bucket} at {seaweedfs.url}" in error
    [command] = [line.partition("make it: ckbackup ")[2] for line in error.splitlines() if "make it: " in line]
    assert command == f"init --create-bucket --config {ck.config}"
    ck("init", "--create-bucket")
    assert seaweedfs.bucket_exists(bucket)
    assert ck("init", "--create-bucket", expect=1).err.startswith("error: there is a repository")
    ck.push(checkpoint, "--run", "demo")


def test_a_directory_has_no_bucket(tmp_path):
    assert "s3://" in Ckbackup(tmp_path / "home", str(tmp_path / "r"))("init", "--create-bucket", expect=2).err


def test_questions_lead_to_a_repository_and_its_configuration(seaweedfs, ask, bucket, checkpoint):
    session = ask()
    answer_place(session, "http://127.0.0.1:1x", bucket)
    # What cannot be is said, and asked again.
    session.answer("Begin again?", "")
    answer_place(session, seaweedfs.url, bucket)
    session.read_until("Credentials: ")
    shown = session.read_until("Enter to use these")
    assert seaweedfs.access_key[:4] in shown and "AWS_ACCESS_KEY_ID" in shown
    assert seaweedfs.access_key not in shown
    session.answer("", "")
    session.answer("There is no bucket", "y")
    session.answer("Write the configuration to", "")
    session.read_until("wrote ./ckbackup.toml")
    assert session.end() == 0
    assert seaweedfs.secret_key not in session.text
    text = (ask.work / "ckbackup.toml").read_text()
    written = tomllib.loads(text)
    assert written["repository"] == f"s3://{bucket}/ckbackup" and written["endpoint"] == seaweedfs.url
    assert seaweedfs.secret_key not in text and seaweedfs.access_key not in text
    home = Ckbackup(ask.work.parent / "other", "unused", seaweedfs)
    home.config = ask.work / "ckbackup.toml"
    home.push(checkpoint, "--run", "demo")


def test_a_file_is_not_replaced_without_a_yes_and_a_repository_that_is_there_is_used(ask, tmp_path):
    (ask.work / "ckbackup.toml").write_text("# mine\n")
    for number, answers in enumerate(([("Replace it?", ""), ("Write the configuration to", "other.toml")],
                                      [("Replace it?", "y")])):
        session = ask()
        session.answer("Kind of store", "4")
        session.answer("Directory", str(tmp_path / "repository"))
        if number:
            session.answer("There is a repository", "")
        session.answer("Write the configuration to", "")
        for question, line in answers:
            session.answer(question, line)
        assert session.end() == 0, session.text
        mine = (ask.work / "ckbackup.toml").read_text() == "# mine\n"
        assert mine == (number == 0) and (ask.work / "other.toml").exists()


def test_missing_credentials_are_told_where_to_go_and_ctrl_c_leaves(seaweedfs, ask, bucket):
    session = ask(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    answer_place(session, seaweedfs.url, bucket)
    session.read_until("no credentials were found")
    session.read_until("aws configure --profile NAME")
    session.answer("name of a profile", "nobody")
    session.read_until("nobody")
    session.read_until("name of a profile")
    start = time.monotonic()
    session.process.send_signal(signal.SIGINT)
    assert session.end() == 130 and time.monotonic() - start < 5
    assert not (ask.work / "ckbackup.toml").exists()


def test_questions_need_a_terminal(tmp_path):
    assert "terminal" in Ckbackup(tmp_path / "home", "s3://b")("init", "--interactive", expect=2).err


def test_repositories_are_chosen_by_name(seaweedfs, checkpoint, tmp_path):
    ck = Ckbackup(tmp_path / "home", "bucket", seaweedfs)
    prefix = secrets.token_hex(6)
    ck.config.write_text(f"""
repository = "bucket"
[repositories.bucket]
repository = "s3://first-bucket/team/{prefix}"
endpoint = "{seaweedfs.url}"
[repositories.nas]
repository = "{tmp_path / "nas"}"
""")
    ck.environment |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "nowhere-1"}
    ck("init")
    ck("init", "--repo", "nas")
    ck.push(checkpoint, "--run", "demo")
    ck("copy", "--to", "nas")
    ck("repair", "--deep", "--from", "nas")
    ck.restore("demo@1000", tmp_path / "out", "--repo", "nas")
    assert_same(tmp_path / "out", checkpoint)
    assert "it has bucket, nas" in ck("list", "--repo", "nsa", expect=2).err
    assert "is the repository itself" in ck("copy", "--repo", "nas", "--to", "nas", expect=2).err
