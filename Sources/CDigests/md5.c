#include <string.h>

#include "md5_words.h"

// MD5 (RFC 1321). One body, md5_kernel.h, serves one stream in a general register and 4, 8 or 16 streams in vectors.

#define NAME ck_md5_scalar
#define LANES 1
#define TARGET
#include "md5_kernel.h"

#define NAME ck_md5_4_lanes
#define LANES 4
#define TARGET
#include "md5_kernel.h"

#if defined(__x86_64__)
#define NAME ck_md5_8_lanes_avx2
#define LANES 8
#define TARGET __attribute__((target("avx2")))
#include "md5_kernel.h"

// The same 8 lanes with AVX-512's rotations and three-way logic.
#define NAME ck_md5_8_lanes_avx512
#define LANES 8
#define TARGET __attribute__((target("avx2,avx512f,avx512vl")))
#include "md5_kernel.h"

#define NAME ck_md5_16_lanes_avx512
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512vl")))
#include "md5_kernel.h"
#endif

ck_stream ck_md5_start(void) { return (ck_stream){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}}; }

void ck_md5_finish(const ck_stream *stream, uint8_t digest[16]) {
  ck_stream last = *stream;
  const uint64_t bits = stream->total * 8;
  uint8_t tail[2 * BLOCK];
  const size_t count = ck_pad(&last, tail);
  memcpy(tail + count - 8, &bits, 8);
  ck_md5_scalar((uint32_t *const[]){last.state}, (const uint8_t *const[]){tail}, count / BLOCK);
  memcpy(digest, last.state, 16);
}
