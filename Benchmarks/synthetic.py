"""Repositories of format 1 (docs/format.md) that would take days to push, written by hand: many snapshots, packs or chunks."""

import gzip
import hashlib
import json
import os

TIME = "2026-01-01T00:00:00Z"


def write_repository(root):
    root.mkdir()
    put(root, "ckbackup.json", json.dumps(
        {"format": 1, "id": "00" * 16, "created": TIME, "chunk_size": 16 << 20}).encode())


def write_snapshot(root, run, step, packs, chunks_in_each, chunk=64, is_stored=True):
    """A snapshot of one file a pack; with `is_stored` false its packs are named and are not there."""
    entries, files, sums = [], [], []
    for number in range(packs):
        content = b"" if not is_stored else os.urandom(chunk * chunks_in_each)
        seed = hashlib.sha256(f"{run} {step} {number}".encode()).hexdigest()
        key = f"packs/weights/{seed[:2]}/{seed[:26]}"
        if is_stored:
            put(root, key, content)
            ids = [hashlib.sha256(content[at:at + chunk]).hexdigest() for at in range(0, len(content), chunk)]
        else:
            ids = [hashlib.sha256(f"{seed} {index}".encode()).hexdigest() for index in range(chunks_in_each)]
        size = chunk * chunks_in_each
        digest = hashlib.sha256(content or seed.encode()).hexdigest()
        entries.append({"key": key, "size": size, "part_size": 16 << 20, "etag": None, "class": "weights"})
        files.append({
            "path": f"shard-{number:05}.bin", "mtime": 0, "mode": "0644", "size": size, "sha256": digest,
            "md5": hashlib.md5(content).hexdigest(), "class": "weights", "chunks": {
                "id": ids, "pack": [number] * chunks_in_each, "length": [chunk] * chunks_in_each,
                "offset": list(range(0, size, chunk))}})
        sums.append(f"{digest}  shard-{number:05}.bin\n")
    identity = hashlib.sha256("".join(sums).encode()).hexdigest()[:16]
    manifest = gzip.compress(json.dumps({
        "format": 1, "id": identity, "run": run, "step": step, "time": TIME, "kind": "directory", "packs": entries,
        "root": {"mode": "0755", "mtime": 0}, "files": files, "links": [], "directories": []}).encode(), 1)
    write_marker(root, run, step, identity, manifest, len(files), sum(file["size"] for file in files))


def write_marker(root, run, step, identity, manifest, files=1, size=1):
    digest = hashlib.sha256(manifest).hexdigest()
    name = f"{step:012}-{identity}-{digest[:8]}"
    key = f"manifests/{run}/{name}.json.gz"
    put(root, key, manifest)
    for record in ("record.json", "SHA256SUMS", "MD5SUMS"):
        put(root, f"records/{run}/{name}/{record}", b"{}")
    put(root, f"snapshots/{run}/{step:012}-{identity}.json", json.dumps({
        "format": 1, "id": identity, "run": run, "step": step, "time": TIME, "kind": "directory",
        "layout": "plain", "complete": True, "files": files, "bytes": size, "added_bytes": size, "metrics": {},
        "tags": [], "milestone": False,
        "manifest": {"key": key, "sha256": digest, "size": len(manifest)}}).encode())


def put(root, key, data):
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
