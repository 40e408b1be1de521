#pragma once
#include <stddef.h>
#include <stdint.h>

// Constants and variadic calls of Linux that Swift's importer leaves out or that differ by processor.

/// O_DIRECT of this processor's kernel interface.
int ck_o_direct(void);
/// lseek's SEEK_DATA and SEEK_HOLE.
int ck_seek_data(void);
int ck_seek_hole(void);

/// preadv2(2) with RWF_NOWAIT: reads what the page cache has of a range, without waiting for a disk. As pread(2), with EAGAIN where it
/// has nothing, and EOPNOTSUPP where the file system cannot tell.
int64_t ck_read_cached(int descriptor, void *target, size_t count, int64_t offset);

/// openat(2) with a mode: the call is variadic.
int ck_openat(int directory, const char *path, int flags, unsigned mode);

/// renameat2(2) with RENAME_EXCHANGE and RENAME_NOREPLACE. 0, or -1 with errno (EINVAL where the file system lacks it).
int ck_rename_exchange(const char *a, const char *b);
int ck_rename_no_replace(const char *from, const char *to);

/// Sets a mtime to the nanosecond without following links; the access time stays.
int ck_set_mtime(int directory, const char *path, int64_t seconds, int64_t nanoseconds);

/// The width of the terminal behind a descriptor in columns, or 0 where there is none.
int ck_terminal_columns(int descriptor);

/// strptime(3) in the C locale read as UTC, which glibc's module hides. Seconds since 1970 in `seconds`; returns the number of
/// characters that were read, or -1 where the text does not fit.
int ck_parse_time(const char *text, const char *pattern, int64_t *seconds);

/// Keeps this process's memory, credentials among it, out of core dumps and from other processes of the same user (prctl(2),
/// PR_SET_DUMPABLE).
void ck_forbid_dumps(void);

/// Raises the number of files that this process may have open to the most that it is allowed: a checkpoint of a thousand processes is
/// put together from a thousand files.
void ck_allow_many_files(void);

/// syncfs(2), which glibc's module hides: makes everything on a descriptor's file system durable.
int ck_syncfs(int descriptor);
