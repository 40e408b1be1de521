"""Writes a repository of format 1 by hand, so that recover.py is held to the format and not to ckbackup."""

import base64
import gzip
import hashlib
import json
import os
import stat
from pathlib import Path
from urllib.parse import quote

CHUNK = 1000


def write_repository(root):
    root.mkdir()
    (root / "ckbackup.json").write_text(json.dumps({"format": 1, "id": "00" * 16}))


def write_snapshot(root, source, run="demo", step=7, tags=(), edit=None, chunk=CHUNK, complete=True):
    """Backs `source` up in one pack and returns the id; `edit` may change the manifest before it is written."""
    pack, files, links, directories, sums = bytearray(), [], [], [], []
    source = os.fsencode(source)
    paths = [b""] if os.path.isfile(source) else relative_paths(source)
    for path in paths:
        place = os.path.join(source, path) if path else source
        status = os.lstat(place)
        common = {**text("path", path or os.path.basename(source)), "mtime": status.st_mtime_ns}
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        if stat.S_ISLNK(status.st_mode):
            links.append({**common, **text("target", os.readlink(place))})
        elif stat.S_ISDIR(status.st_mode):
            directories.append({**common, "mode": mode})
        else:
            data = Path(os.fsdecode(place)).read_bytes()
            pieces = [data[start:start + chunk] for start in range(0, len(data), chunk)]
            digest = hashlib.sha256(data).hexdigest()
            files.append({**common, "mode": mode, "size": len(data), "sha256": digest,
                          "md5": hashlib.md5(data).hexdigest(), "class": "weights", "chunks": {
                              "id": [hashlib.sha256(piece).hexdigest() for piece in pieces],
                              "pack": [0] * len(pieces),
                              "offset": [len(pack) + chunk * index for index in range(len(pieces))],
                              "length": [len(piece) for piece in pieces]}})
            pack += data
            sums.append(f"{digest}  {path!r}\n")
    identity = hashlib.sha256("".join(sums).encode()).hexdigest()[:16]
    pack_key = f"packs/weights/ab/ab{identity}"
    name = f"{step:012}-{identity}"
    status = os.stat(source)
    manifest = {
        "format": 1, "id": identity, "run": run, "step": step, "time": "2026-11-24T00:00:00Z",
        "kind": "directory" if os.path.isdir(source) else "file",
        "packs": [{"key": pack_key, "size": len(pack), "part_size": 16 << 20, "etag": None, "class": "weights"}],
        "root": {"mode": f"{stat.S_IMODE(status.st_mode):04o}", "mtime": status.st_mtime_ns},
        "files": files, "links": links, "directories": directories,
    }
    if edit:
        edit(manifest)
    packed = gzip.compress(json.dumps(manifest).encode())
    folder = quote(run, safe="")
    manifest_key = f"manifests/{folder}/{name}.json.gz"
    put(root, pack_key, bytes(pack))
    put(root, manifest_key, packed)
    put(root, f"snapshots/{folder}/{name}.json", json.dumps({
        "format": 1, "id": identity, "run": run, "step": step, "time": "2026-11-24T00:00:00Z",
        "complete": complete, "tags": list(tags), "milestone": False, "manifest": {
            "key": manifest_key, "sha256": hashlib.sha256(packed).hexdigest(), "size": len(packed)}}).encode())
    return identity


def relative_paths(source):
    return sorted(os.path.relpath(os.path.join(directory, name), source)
                  for directory, folders, files in os.walk(source) for name in folders + files)


def text(name, value):
    try:
        return {name: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def put(root, key, data):
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
