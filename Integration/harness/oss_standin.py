"""A stand-in for Alibaba Cloud's Object Storage Service as its S3-compatible endpoint is documented to be; nobody here has reached
the real one. What it holds requests to comes from these pages of help.aliyun.com (also www.alibabacloud.com/help/en/oss), read in
November 2026:

- developer-reference/compatibility-with-amazon-s3: virtual-hosted addresses only, and the list of operations, in which those for
  lists of uploads, versions, object lock and tags are missing;
- user-guide/0017-00000804: aws-chunked only with STREAMING-AWS4-HMAC-SHA256-PAYLOAD;
- user-guide/0016-00000606 and 0016-00000610: DeleteObjects needs Content-MD5, and has no body to answer in its quiet mode;
- user-guide/0002-00000501: a clock may be 15 minutes off;
- user-guide/0026-00000002: x-oss-forbid-overwrite and FileAlreadyExists;
- developer-reference/completemultipartupload: parts of 100 KB at least, numbers with gaps; the ETag of joined parts is a unique value
  and no MD5, though it looks like S3's;
- user-guide/data-verification: Content-MD5, InvalidDigest, x-oss-hash-crc64ecma;
- how-to-obtain-oss-resources-by-segmenting-http-range-requests: a range that is not in the object brings the whole object, with 200.

501 for If-None-Match and If-Match is what others report (github.com/tobi/walgit/issues/67); ETags in capitals too
(github.com/s3ql/s3ql/issues/402). Not known, and answered here as seemed likeliest: what a region in a signature must be (both
forms are taken), the status of operations that the list lacks (501), how listings encode keys.
"""

import base64
import contextlib
import ctypes
import ctypes.util
import datetime
import hashlib
import hmac
import http.server
import secrets
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from email.utils import formatdate
from xml.sax.saxutils import escape

from harness.s3 import Endpoint

REGION = "cn-hangzhou"
LEAST_PART = 100 << 10
# What the operations of the compatibility list need; a request with any other sub-resource is none of them.
SUBRESOURCES = {"uploads", "uploadId", "partNumber", "delete", "location", "acl", "lifecycle", "logging", "list-type", "prefix",
                "delimiter", "max-keys", "encoding-type", "continuation-token", "start-after", "marker", "fetch-owner",
                "max-parts", "part-number-marker"}


@dataclass
class Stored:
    """An object, or a part of one."""

    body: bytes
    etag: str
    time: float = field(default_factory=time.time)


@dataclass
class Upload:
    key: str
    parts: dict = field(default_factory=dict)


@dataclass
class Bucket:
    objects: dict = field(default_factory=dict)
    uploads: dict = field(default_factory=dict)
    # The document as it came, or None.
    lifecycle: bytes | None = None


class Refusal(Exception):
    """An error answer; `more` are further elements of its document."""

    def __init__(self, status, code, message="", ec="", **more):
        super().__init__(code)
        self.status, self.code, self.message, self.ec, self.more = status, code, message, ec, more


NO_KEY = (404, "NoSuchKey", "The specified key does not exist.", "0026-00000001")
NO_UPLOAD = (404, "NoSuchUpload", "The specified upload does not exist.", "0042-00000002")
NOT_IMPLEMENTED = (501, "NotImplemented", "A header you provided implies functionality that is not implemented.", "")
CHUNKED = (400, "InvalidArgument", "aws-chunked encoding is not supported with the specified x-amz-content-sha256 value.", "0017-00000804")


class Standin(http.server.ThreadingHTTPServer):
    """The server and what it holds. `elsewhere` names buckets of other regions with their endpoints."""

    daemon_threads = True

    def __init__(self, access_key, secret_key, name, tls=None, elsewhere=()):
        super().__init__(("127.0.0.1", 0), Request)
        self.access_key, self.secret_key, self.name, self.tls = access_key, secret_key, name, tls
        self.elsewhere = dict(elsewhere)
        self.buckets, self.lock = {}, threading.RLock()
        # What was refused, by code: tests look at what a client dared to ask for.
        self.refused = []


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "AliyunOSS", ""

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        """As a proxy before the real names: whatever host is asked for is this server, behind TLS where it has a certificate."""
        self.send_response_only(200)
        self.end_headers()
        if self.server.tls and self.path.endswith(":443"):
            self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb", self.rbufsize)
            self.wfile = self.connection.makefile("wb", 0)

    def finish(self):
        super().finish()
        # The server closes the socket that it knows, which is no longer the one behind TLS.
        self.connection.close()

    def answer(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]
        self.raw_path, _, self.raw_query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(self.raw_query, keep_blank_values=True))
        self.key = urllib.parse.unquote(self.raw_path)[1:]
        try:
            with self.server.lock:
                self.check_host()
                self.check_signature()
                self.check_headers()
                self.handle_operation()
        except Refusal as refusal:
            self.server.refused.append(refusal.code)
            more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in refusal.more.items())
            self.reply(refusal.status, f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
                       f"<RequestId>{secrets.token_hex(12).upper()}</RequestId><HostId>{escape(self.headers.get('Host', ''))}"
                       f"</HostId><EC>{refusal.ec}</EC>{more}</Error>")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def reply(self, status, document="", body=None, **fields):
        data = body if body is not None else (b'<?xml version="1.0" encoding="UTF-8"?>\n' + document.encode() if document else b"")
        self.send_response(status)
        self.send_header("x-oss-request-id", secrets.token_hex(12).upper())
        self.send_header("x-oss-server-time", "1")
        length = fields.pop("length", len(data))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if document:
            self.send_header("Content-Type", "application/xml")
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # Who asks, and where

    def check_host(self):
        host = self.headers.get("Host", "").partition(":")[0]
        if not host.endswith("." + self.server.name):
            raise Refusal(403, "SecondLevelDomainForbidden", "Please use virtual hosted style to access.", "0003-00000201")
        self.bucket_name = host.removesuffix("." + self.server.name)

    def check_signature(self):
        authorization = self.headers.get("Authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            raise Refusal(403, "AccessDenied", "Anonymous user has no right to access this bucket.", "0003-00000001")
        fields = dict(part.strip().split("=", 1) for part in authorization[17:].split(","))
        access_key, *scope = fields["Credential"].split("/")
        if access_key != self.server.access_key:
            raise Refusal(403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.",
                          "0002-00000902", OSSAccessKeyId=access_key)
        moment = self.headers.get("x-amz-date", "")
        then = datetime.datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if abs(time.time() - then) > 900:
            raise Refusal(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.",
                          "0002-00000501")
        signed = fields["SignedHeaders"].split(";")
        digest = self.headers.get("x-amz-content-sha256", "")
        pairs = sorted(pair if "=" in pair else pair + "=" for pair in self.raw_query.split("&") if pair)
        canonical = "\n".join([self.command, self.raw_path, "&".join(pairs),
                               *(f"{name}:{' '.join((self.headers.get(name) or '').split())}" for name in signed), "",
                               ";".join(signed), digest])
        text = "\n".join(["AWS4-HMAC-SHA256", moment, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.server.secret_key}".encode()
        for part in scope:
            key = hmac.digest(key, part.encode(), "sha256")
        right = hmac.new(key, text.encode(), "sha256").hexdigest()
        unsigned = [name for name in self.headers if name.lower().startswith("x-amz-") and name.lower() not in signed]
        if (scope[1:] not in ([REGION, "s3", "aws4_request"], [f"oss-{REGION}", "s3", "aws4_request"]) or unsigned
                or "host" not in signed or not hmac.compare_digest(right, fields["Signature"])):
            raise Refusal(403, "SignatureDoesNotMatch",
                          "The request signature we calculated does not match the signature you provided. Check your key and "
                          "signing method.", "0002-00000040")
        if len(digest) == 64 and digest != hashlib.sha256(self.body).hexdigest():
            raise Refusal(400, "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 does not match.")

    def check_headers(self):
        digest = self.headers.get("x-amz-content-sha256", "")
        if "aws-chunked" in self.headers.get("Content-Encoding", "") or digest.startswith("STREAMING-"):
            if digest != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
                raise Refusal(*CHUNKED)
            self.body = unchunked(self.body)
        if self.query.keys() - SUBRESOURCES or self.command == "GET" and "uploads" in self.query:
            raise Refusal(*NOT_IMPLEMENTED)
        if self.command in ("PUT", "POST") and (self.headers.get("If-None-Match") or self.headers.get("If-Match")):
            raise Refusal(*NOT_IMPLEMENTED)
        if any(name.lower().startswith("x-amz-object-lock") for name in self.headers):
            raise Refusal(*NOT_IMPLEMENTED)
        md5 = self.headers.get("Content-MD5")
        if md5 is not None and md5 != base64.b64encode(hashlib.md5(self.body).digest()).decode():
            raise Refusal(400, "InvalidDigest", "The Content-MD5 you specified was invalid.", "0015-00000001")
        endpoint = self.server.elsewhere.get(self.bucket_name)
        if endpoint:
            raise Refusal(403, "AccessDenied", "The bucket you are attempting to access must be addressed using the specified "
                          "endpoint. Please send all future requests to this endpoint.", "0003-00001403",
                          Bucket=self.bucket_name, Endpoint=endpoint)

    # What is asked

    def handle_operation(self):
        if not self.key and self.command == "PUT" and not self.query:
            self.server.buckets.setdefault(self.bucket_name, Bucket())
            return self.reply(200)
        self.bucket = self.server.buckets.get(self.bucket_name)
        if self.bucket is None:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist.", "0015-00000101", BucketName=self.bucket_name)
        kind = "upload" if "uploadId" in self.query else "uploads" if "uploads" in self.query else ""
        name = f"{self.command.lower()}_{kind or ('object' if self.key else 'bucket')}"
        operation = getattr(self, name, None)
        if operation is None:
            raise Refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        return operation()

    def head_bucket(self):
        self.reply(200)

    def get_bucket(self):
        if "location" in self.query:
            return self.reply(200, f"<LocationConstraint>oss-{REGION}</LocationConstraint>")
        if "lifecycle" in self.query:
            if self.bucket.lifecycle is None:
                raise Refusal(404, "NoSuchLifecycle", "No Row found in Lifecycle Table.")
            return self.reply(200, body=self.bucket.lifecycle)
        prefix, encode = self.query.get("prefix", ""), "encoding-type" in self.query
        after = self.query.get("continuation-token") or self.query.get("start-after") or self.query.get("marker") or ""
        most = min(int(self.query.get("max-keys", 100)), 1000)
        keys = sorted((key for key in self.bucket.objects if key.startswith(prefix) and key.encode() > after.encode()),
                      key=str.encode)
        page, more = keys[:most], len(keys) > most

        def name(key):
            return urllib.parse.quote(key, safe="") if encode else escape(key)

        entries = "".join(
            f"<Contents><Key>{name(key)}</Key><LastModified>{when(item.time)}</LastModified><ETag>&quot;{item.etag}&quot;</ETag>"
            f"<Type>Normal</Type><Size>{len(item.body)}</Size><StorageClass>Standard</StorageClass></Contents>"
            for key, item in ((key, self.bucket.objects[key]) for key in page))
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        self.reply(200, f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{self.bucket_name}</Name>'
                   f"<Prefix>{name(prefix)}</Prefix><MaxKeys>{most}</MaxKeys>"
                   f"{'<EncodingType>url</EncodingType>' if encode else ''}<IsTruncated>{str(more).lower()}</IsTruncated>"
                   f"{token}{entries}<KeyCount>{len(page)}</KeyCount></ListBucketResult>")

    def put_bucket(self):
        if "lifecycle" not in self.query:
            raise Refusal(*NOT_IMPLEMENTED)
        rules = ElementTree.fromstring(self.body).findall("Rule")
        elements = {element.tag for rule in rules for element in rule}
        if not rules or elements - {"ID", "Prefix", "Status", "Expiration", "Transition", "AbortMultipartUpload", "Tag", "Filter"}:
            raise Refusal(400, "MalformedXML", "The XML you provided was not well-formed or did not validate.")
        self.bucket.lifecycle = self.body
        self.reply(200)

    def delete_bucket(self):
        if "lifecycle" not in self.query:
            raise Refusal(*NOT_IMPLEMENTED)
        self.bucket.lifecycle = None
        self.reply(204)

    def post_bucket(self):
        if "delete" not in self.query:
            raise Refusal(*NOT_IMPLEMENTED)
        if not self.headers.get("Content-MD5"):
            raise Refusal(400, "MissingArgument", "Missing Some Required Arguments.", "0016-00000606", ArgumentName="Content-MD5")
        root = ElementTree.fromstring(self.body)
        keys = [entry.findtext("{*}Key") for entry in root.iterfind("{*}Object")]
        for key in keys:
            self.bucket.objects.pop(key, None)
        if root.findtext("{*}Quiet") == "true":
            return self.reply(200)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self.reply(200, f"<DeleteResult>{deleted}</DeleteResult>")

    def put_object(self):
        source = self.headers.get("x-amz-copy-source")
        self.check_overwrite()
        stored = self.put_part(source) if source else Stored(self.body, md5_of(self.body))
        self.bucket.objects[self.key] = stored
        if source:
            return self.reply(200, f"<CopyObjectResult><ETag>&quot;{stored.etag}&quot;</ETag>"
                              f"<LastModified>{when(stored.time)}</LastModified></CopyObjectResult>")
        self.reply(200, ETag=f'"{stored.etag}"', x_oss_hash_crc64ecma=crc64(stored.body))

    def check_overwrite(self):
        if self.headers.get("x-oss-forbid-overwrite", "").lower() == "true" and self.key in self.bucket.objects:
            raise Refusal(409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.",
                          "0026-00000002")

    def put_part(self, source):
        name, _, key = urllib.parse.unquote(source).lstrip("/").partition("/")
        bucket = self.server.buckets.get(name)
        if bucket is None or key not in bucket.objects:
            raise Refusal(*NO_KEY)
        body = bucket.objects[key].body
        span = self.headers.get("x-amz-copy-source-range")
        if span:
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            body = body[first:last + 1]
        return Stored(body, md5_of(body))

    def get_object(self):
        stored = self.bucket.objects.get(self.key)
        if stored is None:
            raise Refusal(*NO_KEY)
        fields = {"ETag": f'"{stored.etag}"', "Last_Modified": formatdate(stored.time, usegmt=True), "Accept_Ranges": "bytes",
                  "x_oss_object_type": "Normal", "x_oss_storage_class": "Standard", "x_oss_hash_crc64ecma": crc64(stored.body)}
        span = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if span[0] and span[2] and int(span[0]) <= int(span[2]) < len(stored.body):
            part = stored.body[int(span[0]):int(span[2]) + 1]
            return self.reply(206, body=part, Content_Range=f"bytes {span[0]}-{span[2]}/{len(stored.body)}", **fields)
        self.reply(200, body=stored.body, **fields)

    head_object = get_object

    def delete_object(self):
        self.bucket.objects.pop(self.key, None)
        self.reply(204)

    def post_uploads(self):
        identity = secrets.token_hex(16).upper()
        self.bucket.uploads[identity] = Upload(self.key)
        self.reply(200, f"<InitiateMultipartUploadResult><Bucket>{self.bucket_name}</Bucket><Key>{escape(self.key)}</Key>"
                   f"<UploadId>{identity}</UploadId></InitiateMultipartUploadResult>")

    def upload(self):
        upload = self.bucket.uploads.get(self.query["uploadId"])
        if upload is None or upload.key != self.key:
            raise Refusal(*NO_UPLOAD)
        return upload

    def put_upload(self):
        upload, number = self.upload(), int(self.query["partNumber"])
        if not 1 <= number <= 10_000:
            raise Refusal(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive.")
        source = self.headers.get("x-amz-copy-source")
        part = upload.parts[number] = self.put_part(source) if source else Stored(self.body, md5_of(self.body))
        if source:
            return self.reply(200, f"<CopyPartResult><ETag>&quot;{part.etag}&quot;</ETag>"
                              f"<LastModified>{when(part.time)}</LastModified></CopyPartResult>")
        self.reply(200, ETag=f'"{part.etag}"', x_oss_hash_crc64ecma=crc64(part.body))

    def get_upload(self):
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag><Size>{len(part.body)}</Size>"
                        f"<LastModified>{when(part.time)}</LastModified></Part>" for number, part in sorted(self.upload().parts.items()))
        self.reply(200, f"<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>")

    def post_upload(self):
        upload = self.upload()
        named = [(int(part.findtext("{*}PartNumber")), part.findtext("{*}ETag").strip('"'))
                 for part in ElementTree.fromstring(self.body).iterfind("{*}Part")]
        if [number for number, _ in named] != sorted({number for number, _ in named}):
            raise Refusal(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        for number, etag in named:
            if number not in upload.parts or upload.parts[number].etag.lower() != etag.lower():
                raise Refusal(400, "InvalidPart", "One or more of the specified parts could not be found.")
        parts = [upload.parts[number] for number, _ in named]
        if any(len(part.body) < LEAST_PART for part in parts[:-1]):
            raise Refusal(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.")
        self.check_overwrite()
        stored = Stored(b"".join(part.body for part in parts), f"{secrets.token_hex(16).upper()}-{len(parts)}")
        self.bucket.objects[self.key] = stored
        del self.bucket.uploads[self.query["uploadId"]]
        self.reply(200, f"<CompleteMultipartUploadResult><Bucket>{self.bucket_name}</Bucket><Key>{escape(self.key)}</Key>"
                   f"<ETag>&quot;{stored.etag}&quot;</ETag></CompleteMultipartUploadResult>", ETag=f'"{stored.etag}"',
                   x_oss_hash_crc64ecma=crc64(stored.body))

    def delete_upload(self):
        self.upload()
        del self.bucket.uploads[self.query["uploadId"]]
        self.reply(204)


def md5_of(body):
    return hashlib.md5(body).hexdigest().upper()


def when(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def unchunked(body):
    """The bytes of a body in signed chunks; their signatures are not looked at."""
    whole = b""
    while body:
        line, _, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        whole, body = whole + body[:size], body[size + 2:]
    return whole


def crc64(body):
    """CRC-64 as OSS has it: ECMA-182, reflected, which is that of xz too."""
    library = ctypes.CDLL(ctypes.util.find_library("lzma") or "liblzma.so.5")
    library.lzma_crc64.restype = ctypes.c_uint64
    library.lzma_crc64.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return str(library.lzma_crc64(body, len(body), 0))


@contextlib.contextmanager
def oss(tls=None, name=f"s3.oss-{REGION}.localhost", **how):
    """Runs the stand-in in this process; gives its endpoint and the server itself."""
    server = Standin(f"LTAI{secrets.token_hex(8)}", secrets.token_hex(15), name, tls, **how)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    endpoint = Endpoint(server.server_port, server.access_key, server.secret_key, REGION, name, virtual=True)
    try:
        endpoint.request("PUT", "/first-bucket")
        yield endpoint, server
    finally:
        server.shutdown()
        server.server_close()
