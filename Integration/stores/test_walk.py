"""The commands of docs/stores.md, word for word, against servers under the addresses that stand there."""

import contextlib
import os
import re
import ssl
import subprocess

import pytest

from harness import more_servers
from harness.cli import BINARY, ROOT
from harness.oss_standin import oss
from harness.trees import assert_same, make_checkpoint

DOCUMENT = ROOT / "docs/stores.md"


def commands(heading):
    """The first shell block below a heading."""
    section = DOCUMENT.read_text().partition(f"## {heading}\n")[2]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]


@contextlib.contextmanager
def minio(directory):
    with more_servers.gateway(directory, port=9000) as endpoint:
        yield endpoint, {}


@contextlib.contextmanager
def alibaba(directory):
    """Under its own name and behind TLS, by a proxy that takes every name to the stand-in."""
    directory.mkdir()
    name = "s3.oss-cn-hangzhou.aliyuncs.com"
    certificate, key, authority = more_servers.make_certificate(directory, f"*.{name}")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with oss(tls, name) as (endpoint, _):
        yield endpoint, {"https_proxy": f"http://127.0.0.1:{endpoint.port}", "AWS_CA_BUNDLE": authority}


@pytest.mark.parametrize(("heading", "serve"), [("MinIO", minio), ("Alibaba OSS", alibaba)], ids=["minio", "oss"])
def test_the_commands_of_the_document_work(tmp_path, heading, serve):
    text = commands(heading)
    sources = {step: make_checkpoint(tmp_path / f"out/llama-sft/checkpoint-{step}", size=40, step=step, change=change)
               for step, change in ((1000, None), (1500, "10%"))}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ckbackup").symlink_to(BINARY)
    with serve(tmp_path / "server") as (endpoint, variables):
        endpoint.request("PUT", "/backups")
        text = text.replace("AWS_ACCESS_KEY_ID=…", f"AWS_ACCESS_KEY_ID={endpoint.access_key}")
        text = text.replace("AWS_SECRET_ACCESS_KEY=…", f"AWS_SECRET_ACCESS_KEY={endpoint.secret_key}")
        assert "…" not in text
        environment = {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(["bash", "-e", "-c", text], cwd=tmp_path, env=environment | variables, capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert_same(tmp_path / "checkpoint-1500", sources[1500])
