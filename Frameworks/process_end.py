"""How a process of a distributed training ends."""

import os
import sys


def exit_without_teardown():
    """Ends this process as a success, without the interpreter's finalization.

    A model that is sharded holds its process group beyond destroy_process_group(). A thread of Gloo that frees its last
    broadcast while the interpreter is finalized asks for the GIL, and its process is aborted: "terminate called without an
    active exception" (torch 2.13, https://github.com/pytorch/pytorch/issues/190489).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
