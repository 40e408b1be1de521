#pragma once
#include <immintrin.h>

#include "kernels.h"

// SHA-256 (FIPS 180-4) on the processor's SHA instructions, four rounds at a time.

#define SHA256_TARGET "sha,ssse3,sse4.1"
#define SHA256_INLINE __attribute__((always_inline, target(SHA256_TARGET))) static inline

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t ROOTS[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/// Two streams whose rounds alternate: those of one wait for each other, and the other's run in the gaps at next to no cost.
typedef struct {
  // The instructions want the eight words of a state as ABEF and CDGH, the first named in the highest element.
  __m128i abef[2], cdgh[2];
  /// The newest 16 words of each message schedule, four to a vector.
  __m128i schedule[2][4];
} sha256_pair;

SHA256_INLINE void sha256_load(sha256_pair *pair, const int n, const uint32_t state[8]) {
  const __m128i abcd = _mm_loadu_si128((const __m128i *)state), efgh = _mm_loadu_si128((const __m128i *)(state + 4));
  const __m128i badc = _mm_shuffle_epi32(abcd, 0xb1), hgfe = _mm_shuffle_epi32(efgh, 0x1b);
  pair->abef[n] = _mm_alignr_epi8(badc, hgfe, 8);
  pair->cdgh[n] = _mm_blend_epi16(hgfe, badc, 0xf0);
}

SHA256_INLINE void sha256_store(const sha256_pair *pair, const int n, uint32_t state[8]) {
  const __m128i feba = _mm_shuffle_epi32(pair->abef[n], 0x1b), dchg = _mm_shuffle_epi32(pair->cdgh[n], 0xb1);
  _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/// Four of the 64 rounds of the block at `bytes[n] + offset`, of the first `chains` (1 or 2) streams: rounds 4 · `four` and those
/// after it. Both numbers are constants where this is inlined, so that no branch is left.
SHA256_INLINE void sha256_four_rounds(
    const int chains, sha256_pair *pair, const uint8_t *const bytes[], size_t offset, const int four) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  for (int n = 0; n < chains; n++) {
    __m128i *const schedule = pair->schedule[n];
    __m128i words;
    if (four < 4) {
      words = _mm_loadu_si128((const __m128i *)(bytes[n] + offset + 16 * four));
      words = _mm_shuffle_epi8(words, big_endian);
    } else {
      const __m128i w16 = schedule[four % 4], w12 = schedule[(four + 1) % 4], w8 = schedule[(four + 2) % 4];
      const __m128i w4 = schedule[(four + 3) % 4];
      words = _mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), _mm_alignr_epi8(w4, w8, 4));
      words = _mm_sha256msg2_epu32(words, w4);
    }
    schedule[four % 4] = words;
    const __m128i sum = _mm_add_epi32(words, _mm_load_si128((const __m128i *)&ROOTS[4 * four]));
    pair->cdgh[n] = _mm_sha256rnds2_epu32(pair->cdgh[n], pair->abef[n], sum);
    pair->abef[n] = _mm_sha256rnds2_epu32(pair->abef[n], pair->cdgh[n], _mm_shuffle_epi32(sum, 0x0e));
  }
}

/// Ends a block: adds the chaining values from before it.
SHA256_INLINE void sha256_add(const int chains, sha256_pair *pair, const sha256_pair *before) {
  for (int n = 0; n < chains; n++) {
    pair->abef[n] = _mm_add_epi32(pair->abef[n], before->abef[n]);
    pair->cdgh[n] = _mm_add_epi32(pair->cdgh[n], before->cdgh[n]);
  }
}
