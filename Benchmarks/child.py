"""Runs a program and writes what it took to a file: `child.py FIGURES PROGRAM ARGUMENTS…`.

A process begins with the peak memory of the one that started it (getrusage(2): it outlives execve), so that a benchmark which has grown
itself cannot start what it measures: this small one does.
"""

import json
import os
import subprocess
import sys
import time

start = time.monotonic()
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
figures = {"wall": time.monotonic() - start, "user": usage.ru_utime, "system": usage.ru_stime,
           "peak": usage.ru_maxrss << 10, "code": os.waitstatus_to_exitcode(status)}
with open(sys.argv[1], "w") as file:
    json.dump(figures, file)
