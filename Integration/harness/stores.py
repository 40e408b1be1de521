"""A repository's objects, as the tests see and damage them without ckbackup's help."""

import gzip
import hashlib
import json
from pathlib import Path


class Objects:
    """What the two kinds of store share. Keys are relative to the repository."""

    def packs(self):
        return sorted(key for key in self.keys() if key.startswith("packs/"))

    def snapshots(self):
        """The markers, by key."""
        return {key: json.loads(self.read(key)) for key in sorted(self.keys()) if key.startswith("snapshots/")}

    def snapshot(self, identity):
        [marker] = [marker for marker in self.snapshots().values() if marker["id"] == identity]
        return marker

    def manifest(self, identity):
        packed = self.read(self.snapshot(identity)["manifest"]["key"])
        return json.loads(gzip.decompress(packed))

    def replace_manifest(self, identity, manifest):
        """Writes another manifest, and a marker that vouches for it: what somebody with write access could do."""
        packed = gzip.compress(json.dumps(manifest).encode())
        [key] = [key for key, marker in self.snapshots().items() if marker["id"] == identity]
        marker = json.loads(self.read(key))
        digest = hashlib.sha256(packed).hexdigest()
        name = marker["manifest"]["key"].removesuffix(".json.gz").rpartition("-")[0] + f"-{digest[:8]}.json.gz"
        marker["manifest"].update(key=name, sha256=digest, size=len(packed))
        self.write(name, packed)
        self.write(key, json.dumps(marker).encode())

    def record(self, identity, name):
        """An object of the archive record, such as SHA256SUMS."""
        [manifest] = [marker["manifest"]["key"] for marker in self.snapshots().values() if marker["id"] == identity]
        return self.read(manifest.replace("manifests/", "records/", 1).removesuffix(".json.gz") + f"/{name}")

    def flip_byte(self, key):
        data = bytearray(self.read(key))
        data[len(data) // 3] ^= 0x10
        self.write(key, bytes(data))

    def stored_bytes(self, prefix=""):
        return sum(size for key, size in self.keys().items() if key.startswith(prefix))

    def copy_to(self, directory):
        for key in self.keys():
            path = directory / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(key))


class DirectoryObjects(Objects):
    def __init__(self, root: Path):
        self.root = root
        self.url = str(root)

    def keys(self):
        """Every object with its size; what a writer has not renamed into place yet may be among them."""
        found = {}
        for path in self.root.rglob("*"):
            try:
                if path.is_file():
                    found[path.relative_to(self.root).as_posix()] = path.stat().st_size
            except FileNotFoundError:
                pass  # renamed or deleted since it was listed
        return found

    def read(self, key):
        return (self.root / key).read_bytes()

    def write(self, key, data):
        (self.root / key).write_bytes(data)

    def delete(self, key):
        (self.root / key).unlink()

    def uploads(self):
        """The keys of what a writer began and has not renamed into place."""
        return [path.read_text() for path in self.root.glob(".ckbackup-tmp/*.key")]


class S3Objects(Objects):
    def __init__(self, endpoint, bucket, prefix):
        self.endpoint, self.bucket, self.prefix = endpoint, bucket, prefix
        self.url = f"s3://{bucket}/{prefix}"

    def path(self, key):
        return f"/{self.bucket}/{self.prefix}/{key}"

    def keys(self):
        """Every object with its size; folders that a server makes up are none."""
        cut = len(self.prefix) + 1
        return {key[cut:]: size for key, size in self.endpoint.list(self.bucket, f"{self.prefix}/").items()
                if not key.endswith("/")}

    def read(self, key):
        return self.endpoint.request("GET", self.path(key))

    def write(self, key, data):
        self.endpoint.request("PUT", self.path(key), body=data)

    def delete(self, key):
        self.endpoint.request("DELETE", self.path(key))

    def uploads(self):
        return self.endpoint.uploads(self.bucket, f"{self.prefix}/")
