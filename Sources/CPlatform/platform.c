#define _GNU_SOURCE
#include "platform.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int ck_o_direct(void) { return O_DIRECT; }
int ck_seek_data(void) { return SEEK_DATA; }
int ck_seek_hole(void) { return SEEK_HOLE; }

int64_t ck_read_cached(int descriptor, void *target, size_t count, int64_t offset) {
  struct iovec whole = {.iov_base = target, .iov_len = count};
  return preadv2(descriptor, &whole, 1, offset, RWF_NOWAIT);
}

int ck_openat(int directory, const char *path, int flags, unsigned mode) {
  return openat(directory, path, flags, (mode_t)mode);
}

int ck_rename_exchange(const char *a, const char *b) {
  return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

int ck_rename_no_replace(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int ck_set_mtime(int directory, const char *path, int64_t seconds, int64_t nanoseconds) {
  struct timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = nanoseconds}};
  return utimensat(directory, path, times, AT_SYMLINK_NOFOLLOW);
}

int ck_terminal_columns(int descriptor) {
  struct winsize size;
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int ck_parse_time(const char *text, const char *pattern, int64_t *seconds) {
  struct tm parts = {0};
  const char *end = strptime(text, pattern, &parts);
  if (end == NULL) return -1;
  *seconds = (int64_t)timegm(&parts);
  return (int)(end - text);
}

void ck_forbid_dumps(void) {
  // The limit does not count where dumps go to a pipe (core(5)).
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void ck_allow_many_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int ck_syncfs(int descriptor) { return syncfs(descriptor); }
