"""A small S3 client on Python's standard library, for looking at a repository behind ckbackup's back."""

import datetime
import hashlib
import hmac
import http.client
import ssl
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass


class S3Error(Exception):
    """An answer that is no success."""

    def __init__(self, method, path, status, body):
        super().__init__(f"{method} {path}: {status} {body[:300]!r}")
        self.status = status
        code = body.partition(b"<Code>")[2].partition(b"</Code>")[0]
        self.code = code.decode(errors="replace")


@dataclass(frozen=True)
class Endpoint:
    """A server on the loopback interface, and who we are there. AWS Signature Version 4."""

    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    # The name that it is reached by: 127.0.0.1, or one below localhost.
    name: str = "127.0.0.1"
    # Whether the bucket stands in the host's name instead of the path.
    virtual: bool = False
    # The certificates to trust, where the server speaks TLS.
    ca_file: str | None = None

    @property
    def host(self):
        return f"{self.name}:{self.port}"

    @property
    def url(self):
        return f"{'https' if self.ca_file else 'http'}://{self.host}"

    def address(self, path):
        """Host and path of `/bucket/key`."""
        if not self.virtual:
            return self.host, path
        bucket, slash, key = path[1:].partition("/")
        return f"{bucket}.{self.host}", f"/{key}"

    def connection(self, timeout):
        if not self.ca_file:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        trust = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection(self.name, self.port, timeout=timeout, context=trust)

    def request(self, method, path, query=None, body=b"", timeout=30, headers=None):
        """The body of a 2xx answer; `path` and `query` are given unencoded."""
        host, path = self.address(path)
        path = urllib.parse.quote(path, safe="/-_.~")
        pairs = sorted((query or {}).items())
        query_string = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
        connection = self.connection(timeout)
        try:
            connection.request(method, f"{path}?{query_string}" if query_string else path, body,
                               self.signed_headers(method, host, path, query_string, body, headers or {}))
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise S3Error(method, path, answer.status, data)
        return data

    def signed_headers(self, method, host, path, query_string, body, more):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now} | more
        names = ";".join(sorted(headers))
        canonical = "\n".join([
            method, path, query_string, *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, "
                                    f"SignedHeaders={names}, Signature={signature}")
        return headers

    def bucket_exists(self, bucket):
        try:
            self.request("HEAD", f"/{bucket}")
        except S3Error as error:
            if error.status == 404:
                return False
            raise
        return True

    def list(self, bucket, prefix):
        """Every key below the prefix with its size."""
        found, token = {}, {}
        while True:
            page = ElementTree.fromstring(self.request(
                "GET", f"/{bucket}", {"list-type": "2", "prefix": prefix, "encoding-type": "url", **token}))
            for entry in page.iterfind("{*}Contents"):
                found[urllib.parse.unquote_plus(entry.findtext("{*}Key"))] = int(entry.findtext("{*}Size"))
            if page.findtext("{*}IsTruncated") != "true":
                return found
            token = {"continuation-token": page.findtext("{*}NextContinuationToken")}

    def uploads(self, bucket, prefix):
        """The keys of the multipart uploads that are open below the prefix."""
        page = ElementTree.fromstring(self.request("GET", f"/{bucket}", {"uploads": "", "prefix": prefix}))
        return [entry.findtext("{*}Key") for entry in page.iterfind("{*}Upload")]


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")
