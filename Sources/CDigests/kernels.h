#pragma once
#include "CDigests.h"

enum { BLOCK = 64, MAX_LANES = 16 };

/// Hashes `blocks` blocks of 64 bytes of each of a fixed number of streams: lane i reads at `bytes[i]` and updates
/// `states[i]`.
typedef void block_function(uint32_t *const states[], const uint8_t *const bytes[], size_t blocks);

// MD5 kernels read and write the first four words of a state, SHA-256 kernels all eight.
block_function ck_md5_scalar, ck_md5_4_lanes;
block_function ck_sha256_openssl;
#if defined(__x86_64__)
block_function ck_md5_8_lanes_avx2, ck_md5_8_lanes_avx512, ck_md5_16_lanes_avx512;
block_function ck_sha256_ni, ck_sha256_ni_pair;
#endif

/// Hashes `blocks` blocks of each of n streams of MD5 and 2 n streams of SHA-256.
typedef void joint_function(
    uint32_t *const md5_states[], const uint8_t *const md5_bytes[], uint32_t *const sha256_states[],
    const uint8_t *const sha256_bytes[], size_t blocks);

#if defined(__x86_64__)
joint_function ck_joint_1_lane, ck_joint_4_lanes_avx512, ck_joint_8_lanes_avx512;
#endif

/// A way to hash blocks of `lanes` streams at once.
typedef struct {
  size_t lanes;
  block_function *run;
  block_function *alone;  // the kernel of one lane that goes on when one stream is left
} kernel;

const kernel *ck_kernel_of(ck_kernel name);

/// A way to hash blocks of both digests at once.
typedef struct {
  size_t lanes;  // of MD5, and half of those of SHA-256
  joint_function *run;
} joint_kernel;

const joint_kernel *ck_joint_kernel_of(ck_joint name);

/// Both digests end alike: what a stream carries, a byte 0x80, zeros, and the length in bits in the last eight bytes,
/// which the caller writes. Gives one or two blocks in `tail` and returns their bytes.
size_t ck_pad(const ck_stream *stream, uint8_t tail[2 * BLOCK]);
