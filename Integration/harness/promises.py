"""What must hold of a repository whatever failed or died before: every snapshot that is committed is there, whole."""

import shutil

from harness.trees import assert_same, describe


class Promises:
    """The checkpoints of one repository, each under `demo@STEP`, as they were before they were pushed."""

    def __init__(self, sources):
        self.sources = sources
        self.trees = {step: describe(source) for step, source in sources.items()}

    def check(self, ck, objects, scratch, committed, deep=False):
        """Fails unless the snapshots of the steps `committed` stand and every marker that stands verifies and restores."""
        standing = {marker["step"] for marker in objects.snapshots().values()}
        assert standing >= set(committed), f"committed: {sorted(committed)}; in the repository: {sorted(standing)}"
        ck("verify", *(["--deep"] if deep else []))
        for step in sorted(standing):
            target = scratch / f"restored-{step}"
            ck.restore(f"demo@{step}", target)
            assert_same(target, self.trees[step])
            shutil.rmtree(target)
        return standing
