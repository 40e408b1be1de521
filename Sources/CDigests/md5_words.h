#pragma once
#include "kernels.h"

// What the bodies of MD5 kernels (md5_kernel.h) need: the constants of RFC 1321, and vectors of words of many streams.

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the words of a block are read as little-endian memory"
#endif

/// floor(2^32 · |sin(i + 1)|).
static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

/// How far each of a round's steps rotates; they repeat every four.
static const int TURNS[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

/// One word of each of 1, 4, 8 or 16 streams.
typedef uint32_t words1;
typedef uint32_t words4 __attribute__((vector_size(16)));
typedef uint32_t words8 __attribute__((vector_size(32)));
typedef uint32_t words16 __attribute__((vector_size(64)));
/// Words at any address, in memory that may be of another type.
typedef uint32_t words1_in_memory __attribute__((aligned(1), may_alias));
typedef uint32_t words4_in_memory __attribute__((vector_size(16), aligned(1), may_alias));

#define SHUFFLE __builtin_shufflevector

// LOAD_n(words, from, at) declares `words`, the 16 words of the block at from[lane] + at, of all n lanes.
//
// One lane reads them where they are. Otherwise a row of 128 bits holds four words of one lane, and four rows, of four
// lanes, are transposed to four vectors that hold one word of each lane. Wide vectors do so in each of their 128-bit
// parts: part g holds lanes 4g to 4g + 3.
#define LOAD_1(words, from, at) const words1_in_memory *words = (const words1_in_memory *)((from)[0] + (at))

/// Four words of lane i of each part, `at` bytes into the block's memory.
#define ROW_4(from, i, at) (*(const words4_in_memory *)((from)[i] + (at)))
#define ROW_8(from, i, at) SHUFFLE(ROW_4(from, i, at), ROW_4(from, (i) + 4, at), 0, 1, 2, 3, 4, 5, 6, 7)
#define ROW_16(from, i, at)                                                                                       \
  SHUFFLE(ROW_8(from, i, at), ROW_8(from, (i) + 8, at), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

/// Of each part a0 b0 a1 b1, or a2 b2 a3 b3 where h is 2.
#define PAIR_4(a, b, h) SHUFFLE(a, b, 0 + h, 4 + h, 1 + h, 5 + h)
#define PAIR_8(a, b, h) SHUFFLE(a, b, 0 + h, 8 + h, 1 + h, 9 + h, 4 + h, 12 + h, 5 + h, 13 + h)
#define PAIR_16(a, b, h)                                                                                          \
  SHUFFLE(a, b, 0 + h, 16 + h, 1 + h, 17 + h, 4 + h, 20 + h, 5 + h, 21 + h, 8 + h, 24 + h, 9 + h, 25 + h, 12 + h, \
          28 + h, 13 + h, 29 + h)

/// Of each part a0 a1 b0 b1, or a2 a3 b2 b3 where h is 2.
#define HALF_4(a, b, h) SHUFFLE(a, b, 0 + h, 1 + h, 4 + h, 5 + h)
#define HALF_8(a, b, h) SHUFFLE(a, b, 0 + h, 1 + h, 8 + h, 9 + h, 4 + h, 5 + h, 12 + h, 13 + h)
#define HALF_16(a, b, h)                                                                                          \
  SHUFFLE(a, b, 0 + h, 1 + h, 16 + h, 17 + h, 4 + h, 5 + h, 20 + h, 21 + h, 8 + h, 9 + h, 24 + h, 25 + h, 12 + h, \
          13 + h, 28 + h, 29 + h)

#define LOAD_TRANSPOSED(N, result, from, at)                                                               \
  words##N result[16];                                                                                     \
  for (int i = 0; i < 16; i += 4) {                                                                        \
    const words##N r0 = ROW_##N(from, 0, (at) + 4 * i), r1 = ROW_##N(from, 1, (at) + 4 * i);               \
    const words##N r2 = ROW_##N(from, 2, (at) + 4 * i), r3 = ROW_##N(from, 3, (at) + 4 * i);               \
    const words##N low01 = PAIR_##N(r0, r1, 0), low23 = PAIR_##N(r2, r3, 0);                               \
    const words##N high01 = PAIR_##N(r0, r1, 2), high23 = PAIR_##N(r2, r3, 2);                             \
    result[i] = HALF_##N(low01, low23, 0);                                                                 \
    result[i + 1] = HALF_##N(low01, low23, 2);                                                             \
    result[i + 2] = HALF_##N(high01, high23, 0);                                                           \
    result[i + 3] = HALF_##N(high01, high23, 2);                                                           \
  }
#define LOAD_4(words, from, at) LOAD_TRANSPOSED(4, words, from, at)
#define LOAD_8(words, from, at) LOAD_TRANSPOSED(8, words, from, at)
#define LOAD_16(words, from, at) LOAD_TRANSPOSED(16, words, from, at)
