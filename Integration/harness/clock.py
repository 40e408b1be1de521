"""A clock that is wrong for one program: its CLOCK_REALTIME is moved by a preloaded library."""

import subprocess

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(clock, time);
  if (code == 0 && clock == CLOCK_REALTIME) time->tv_sec += SECONDS;
  return code;
}
"""


def moved_clock(directory, seconds):
    """The environment variables of a program whose clock is so many seconds ahead."""
    library = directory / f"clock{seconds}.so"
    subprocess.run(["cc", "-shared", "-fPIC", f"-DSECONDS=({seconds})", "-x", "c", "-", "-o", library, "-ldl"],
                   input=SOURCE.encode(), check=True)
    return {"LD_PRELOAD": str(library)}
