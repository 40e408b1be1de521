"""Packs in an archive class: a server between ckbackup and SeaweedFS plays Amazon's GLACIER, as S3's reference describes it."""

import contextlib
import http.client
import http.server
import threading

import pytest

from harness.trees import assert_same


class Archive(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        server = self.server
        is_frozen = "/packs/" in path and server.is_frozen
        if self.command == "POST" and query.startswith("restore"):
            server.asked.append((path, body))
            return self.reply(202, b"", {})
        if self.command == "GET" and is_frozen:
            return self.reply(403, b"<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the object's "
                                   b"storage class</Message><StorageClass>GLACIER</StorageClass></Error>", {})
        connection = http.client.HTTPConnection("127.0.0.1", server.behind, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        data = answer.read()
        fields = {name: value for name, value in answer.getheaders()
                  if name.lower() not in ("transfer-encoding", "connection", "x-amz-storage-class")}
        connection.close()
        if self.command == "HEAD" and is_frozen:
            fields["x-amz-storage-class"] = "GLACIER"
            if path in [asked for asked, _ in server.asked]:
                fields["x-amz-restore"] = 'ongoing-request="true"'
        self.reply(answer.status, data, fields)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def reply(self, status, data, fields):
        self.send_response_only(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in fields) and status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextlib.contextmanager
def archive(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    server.behind, server.is_frozen, server.asked = port, False, []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("command", ["restore", "export", "resume", "verify"])
def test_frozen_packs_are_asked_for_once_and_read_when_they_are_back(new_repository, seaweedfs, checkpoint, tmp_path, command):
    repository = new_repository("seaweedfs")
    ck = repository.ck
    ck("push", checkpoint, "--run", "demo", "--step", "1000")
    packs = [f"/{repository.objects.bucket}/{repository.objects.prefix}/{key}" for key in repository.objects.packs()]
    words = {"restore": ["restore", "demo@1000", tmp_path / "out"], "export": ["export", "demo@1000", tmp_path / "out"],
             "resume": ["resume", tmp_path / "out", "--run", "demo"], "verify": ["verify", "--deep"]}[command]
    with archive(seaweedfs.port) as server:
        ck.config.write_text(ck.config.read_text().replace(f":{seaweedfs.port}", f":{server.server_port}"))
        server.is_frozen = True
        said = ck(*words, "--thaw-tier", "bulk", expect=1)
        assert "asked for" in said.err and "5h 00m to 12h 00m" in said.err and "GLACIER" in said.err
        asked = [path for path, _ in server.asked]
        assert asked and len(set(asked)) == len(asked) and set(asked) <= set(packs)
        assert all(b"<Tier>Bulk</Tier>" in body and b"<Days>7</Days>" in body for _, body in server.asked)
        # They are on their way, so nothing is asked for again.
        ck(*words, expect=1)
        assert len(server.asked) == len(asked)
        server.is_frozen = False
        ck(*words)
    if command == "restore":
        assert_same(tmp_path / "out", checkpoint)
