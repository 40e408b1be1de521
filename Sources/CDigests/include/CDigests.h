#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MD5 (RFC 1321) and SHA-256 (FIPS 180-4) over many streams at once.
//
// One stream of either digest is a serial chain of dependent operations that leaves most of a core idle. Several
// independent streams fill it: MD5 streams lie side by side in the elements of vectors, SHA-256 streams alternate
// on the processor's SHA instructions.

/// A digest on its way: everything that was hashed so far, as a plain value that may be copied.
typedef struct {
  /// Bytes taken so far. The last `total % 64` of them wait in `carry` for the rest of their block.
  uint64_t total;
  uint8_t carry[64];
  /// The chaining value; MD5 uses the first four words.
  uint32_t state[8];
} ck_stream;

/// A run of bytes in memory; `bytes` may be null where `count` is 0.
typedef struct {
  const void *bytes;
  size_t count;
} ck_segment;

/// A stream and the bytes that it takes next, in order. The memory belongs to the caller and is only read.
typedef struct {
  ck_stream *stream;
  const ck_segment *segments;
  size_t segment_count;
} ck_job;

/// The ways to hash blocks. All ways of one digest give the same chaining values, so a stream may change between them.
typedef enum {
  CK_MD5_SCALAR,
  CK_MD5_4_LANES,
  CK_MD5_8_LANES_AVX2,
  CK_MD5_8_LANES_AVX512,
  CK_MD5_16_LANES_AVX512,
  CK_SHA256_OPENSSL,
  CK_SHA256_NI,
  CK_SHA256_NI_PAIR,
  CK_KERNEL_COUNT,
} ck_kernel;

/// Whether this processor can run a kernel.
bool ck_kernel_works(ck_kernel kernel);
/// The fastest kernel of this processor for so many streams at once.
ck_kernel ck_md5_kernel(size_t streams);
ck_kernel ck_sha256_kernel(size_t streams);

/// Streams that have taken nothing yet.
ck_stream ck_md5_start(void);
ck_stream ck_sha256_start(void);

/// Takes every job's stream over all its segments. The jobs enter the kernel's lanes in their order, a new one as soon
/// as a lane is free; no two may share a stream. `kernel` must be one of the streams' digest that works here.
void ck_advance(const ck_job *jobs, size_t count, ck_kernel kernel);

/// The digest of what a stream has taken so far. The stream is not changed and may go on.
void ck_md5_finish(const ck_stream *stream, uint8_t digest[16]);
void ck_sha256_finish(const ck_stream *stream, uint8_t digest[32]);
