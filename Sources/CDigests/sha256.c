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
#include "sha256_ni.h"

/// `chains` streams, 1 or 2; a constant where this is inlined.
SHA256_INLINE void sha256_chains(
    const int chains, uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  sha256_pair pair;
  for (int n = 0; n < chains; n++) sha256_load(&pair, n, states[n]);
  for (size_t offset = 0; offset < blocks * BLOCK; offset += BLOCK) {
    const sha256_pair before = pair;
#pragma clang loop unroll(full)
    for (int four = 0; four < 16; four++) sha256_four_rounds(chains, &pair, bytes, offset, four);
    sha256_add(chains, &pair, &before);
  }
  for (int n = 0; n < chains; n++) sha256_store(&pair, n, states[n]);
}

__attribute__((target(SHA256_TARGET))) void ck_sha256_ni(
    uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  sha256_chains(1, states, bytes, blocks);
}

__attribute__((target(SHA256_TARGET))) void ck_sha256_ni_pair(
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
