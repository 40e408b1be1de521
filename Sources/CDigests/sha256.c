#include <string.h>

#include "kernels.h"

// OpenSSL 3 marks its one-block functions as deprecated in favour of contexts on the heap, which cannot be copied as a
// value; nothing else in it goes on from a bare chaining value.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

// SHA-256 (FIPS 180-4).

/// Whatever OpenSSL has for this processor: ARM's SHA instructions, AVX2, or plain C.
void ck_sha256_openssl(uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  SHA256_CTX context;
  SHA256_Init(&context);
  memcpy(context.h, states[0], sizeof context.h);
  SHA256_Update(&context, bytes[0], blocks * BLOCK);
  memcpy(states[0], context.h, sizeof context.h);
}

#if defined(__x86_64__)
#include <immintrin.h>

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

/// `chains` streams (1 or 2) whose steps alternate. The rounds of one chain wait for each other, so that a second one
/// runs in the gaps at next to no cost. `chains` is a constant where this is inlined, and the inner loops vanish.
__attribute__((always_inline, target("sha,ssse3,sse4.1"))) static inline void sha256_chains(
    const int chains, uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instructions want the eight words of the state as ABEF and CDGH, the first named in the highest element.
  __m128i abef[2], cdgh[2];
  for (int n = 0; n < chains; n++) {
    const __m128i abcd = _mm_loadu_si128((const __m128i *)states[n]);
    const __m128i efgh = _mm_loadu_si128((const __m128i *)(states[n] + 4));
    const __m128i badc = _mm_shuffle_epi32(abcd, 0xb1), hgfe = _mm_shuffle_epi32(efgh, 0x1b);
    abef[n] = _mm_alignr_epi8(badc, hgfe, 8);
    cdgh[n] = _mm_blend_epi16(hgfe, badc, 0xf0);
  }

  for (size_t offset = 0; offset < blocks * BLOCK; offset += BLOCK) {
    __m128i abef0[2], cdgh0[2];
    for (int n = 0; n < chains; n++) {
      abef0[n] = abef[n];
      cdgh0[n] = cdgh[n];
    }
    // Four rounds a step. The newest 16 words of the message schedule are kept, four to a vector.
    __m128i schedule[2][4];
#pragma clang loop unroll(full)
    for (int step = 0; step < 16; step++) {
#pragma clang loop unroll(full)
      for (int n = 0; n < chains; n++) {
        __m128i words;
        if (step < 4) {
          words = _mm_loadu_si128((const __m128i *)(bytes[n] + offset + 16 * step));
          words = _mm_shuffle_epi8(words, big_endian);
        } else {
          const __m128i *old = schedule[n];
          const __m128i w16 = old[step % 4], w12 = old[(step + 1) % 4], w8 = old[(step + 2) % 4];
          const __m128i w4 = old[(step + 3) % 4];
          words = _mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), _mm_alignr_epi8(w4, w8, 4));
          words = _mm_sha256msg2_epu32(words, w4);
        }
        schedule[n][step % 4] = words;
        const __m128i sum = _mm_add_epi32(words, _mm_load_si128((const __m128i *)&ROOTS[4 * step]));
        cdgh[n] = _mm_sha256rnds2_epu32(cdgh[n], abef[n], sum);
        abef[n] = _mm_sha256rnds2_epu32(abef[n], cdgh[n], _mm_shuffle_epi32(sum, 0x0e));
      }
    }
    for (int n = 0; n < chains; n++) {
      abef[n] = _mm_add_epi32(abef[n], abef0[n]);
      cdgh[n] = _mm_add_epi32(cdgh[n], cdgh0[n]);
    }
  }

  for (int n = 0; n < chains; n++) {
    const __m128i feba = _mm_shuffle_epi32(abef[n], 0x1b), dchg = _mm_shuffle_epi32(cdgh[n], 0xb1);
    _mm_storeu_si128((__m128i *)states[n], _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(states[n] + 4), _mm_alignr_epi8(dchg, feba, 8));
  }
}

__attribute__((target("sha,ssse3,sse4.1"))) void ck_sha256_ni(
    uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  sha256_chains(1, states, bytes, blocks);
}

__attribute__((target("sha,ssse3,sse4.1"))) void ck_sha256_ni_pair(
    uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  sha256_chains(2, states, bytes, blocks);
}
#endif

ck_stream ck_sha256_start(void) {
  return (ck_stream){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                               0x5be0cd19}};
}

void ck_sha256_finish(const ck_stream *stream, uint8_t digest[32]) {
  ck_stream last = *stream;
  const uint64_t bits = __builtin_bswap64(stream->total * 8);
  uint8_t tail[2 * BLOCK];
  const size_t count = ck_pad(&last, tail);
  memcpy(tail + count - 8, &bits, 8);
  ck_kernel_of(ck_sha256_kernel(1))->run(
      (uint32_t *const[]){last.state}, (const uint8_t *const[]){tail}, count / BLOCK);
  for (int i = 0; i < 8; i++) {
    const uint32_t word = __builtin_bswap32(last.state[i]);
    memcpy(digest + 4 * i, &word, 4);
  }
}
