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

/// A stream and the bytes that it takes next, in order. The memory belongs to the caller and is only read. `ck_job_of` makes one.
typedef struct {
  ck_stream *stream;
  // How far the stream has come.
  const ck_segment *next, *end;
  const uint8_t *rest;  // what is left of the segment before `next`
  size_t rest_count;
  const uint8_t *run;  // whole blocks to hash now: in the segment, or the carried one
  size_t blocks;
} ck_job;

ck_job ck_job_of(ck_stream *stream, const ck_segment *segments, size_t count);

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

/// The ways to hash blocks of MD5 and of twice as many streams of SHA-256 at once.
typedef enum {
  CK_JOINT_NONE,
  CK_JOINT_1_LANE,
  CK_JOINT_4_LANES_AVX512,
  CK_JOINT_8_LANES_AVX512,
  CK_JOINT_COUNT,
} ck_joint;

/// Whether this processor can run a kernel.
bool ck_kernel_works(ck_kernel kernel);
/// The fastest kernel of this processor for so many streams at once.
ck_kernel ck_md5_kernel(size_t streams);
ck_kernel ck_sha256_kernel(size_t streams);
bool ck_joint_works(ck_joint kernel);
/// The joint kernel that is faster here than the two digests one after the other, for so many streams of MD5 and twice as many
/// of SHA-256, all of about the same length; CK_JOINT_NONE where none is.
ck_joint ck_joint_kernel(size_t md5_streams);

/// Streams that have taken nothing yet.
ck_stream ck_md5_start(void);
ck_stream ck_sha256_start(void);

/// Takes every job's stream to the job's end. The jobs enter the kernel's lanes in their order, a new one as soon as a lane is
/// free; no two may share a stream. `kernel` must be one of the streams' digest that works here.
void ck_advance(ck_job *jobs, size_t count, ck_kernel kernel);

/// The same for jobs of both digests, as far as there are enough of each to fill most lanes; CK_JOINT_NONE has none. The rest is
/// for `ck_advance`.
void ck_advance_jointly(ck_job *md5, size_t md5_count, ck_job *sha256, size_t sha256_count, ck_joint kernel);

/// The digest of what a stream has taken so far. The stream is not changed and may go on.
void ck_md5_finish(const ck_stream *stream, uint8_t digest[16]);
void ck_sha256_finish(const ck_stream *stream, uint8_t digest[32]);
