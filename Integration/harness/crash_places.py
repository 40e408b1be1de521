"""Where in its work a command was when it was killed, as its repository tells, or the place of a restore.

`found` and `left` are the objects before the command and after its death.
"""


def of(command, objects, found, left, place):
    if command == "restore":
        return of_restore(place)
    new = left.keys() - found.keys()
    if command == "prune":
        return of_prune(new, found.keys() - left.keys())
    begun = bool(new) or bool(objects.uploads())
    if command == "copy":
        return of_copy(objects, new, begun)
    return of_push(new, begun)


def of_push(new, begun):
    if any_of("snapshots/", new):
        return "after the marker"
    if any_of("manifests/", new) or any_of("records/", new):
        return "between manifest and marker"
    if any_of("packs/", new):
        return "after a pack"
    return "in the first pack" if begun else "before the first upload"


def of_copy(objects, new, begun):
    # Two snapshots are new.
    committed = sum(key.startswith("snapshots/") for key in new)
    if committed == 2:
        return "after the last marker"
    inside = any_of("packs/", objects.uploads())
    if committed:
        return "in a pack after the first marker" if inside else "after the first marker"
    return "in a pack" if inside else of_push(new, begun)


def of_restore(place):
    if (place / "checkpoint").exists():
        return "after the rename"
    wrote = any(path.is_file() for path in place.rglob("*"))
    return "while it wrote" if wrote else "before the first file"


def of_prune(new, gone):
    if any_of("deletions/", new):
        return "after the new record of deletions"
    if any_of("snapshots/", gone):
        return "after the first marker was removed"
    if any_of("deletions/", gone):
        return "between the phases"
    return "while it deleted" if gone else "before the first deletion"


def any_of(prefix, keys):
    return any(key.startswith(prefix) for key in keys)
