#include "kernels.h"

// Which kernels there are and which of them this processor can run.

static const kernel table[CK_KERNEL_COUNT] = {
    [CK_MD5_SCALAR] = {1, ck_md5_scalar, ck_md5_scalar},
    [CK_MD5_4_LANES] = {4, ck_md5_4_lanes, ck_md5_scalar},
    [CK_SHA256_OPENSSL] = {1, ck_sha256_openssl, ck_sha256_openssl},
#if defined(__x86_64__)
    [CK_MD5_8_LANES_AVX2] = {8, ck_md5_8_lanes_avx2, ck_md5_scalar},
    [CK_MD5_8_LANES_AVX512] = {8, ck_md5_8_lanes_avx512, ck_md5_scalar},
    [CK_MD5_16_LANES_AVX512] = {16, ck_md5_16_lanes_avx512, ck_md5_scalar},
    [CK_SHA256_NI] = {1, ck_sha256_ni, ck_sha256_ni},
    [CK_SHA256_NI_PAIR] = {2, ck_sha256_ni_pair, ck_sha256_ni},
#endif
};

static const joint_kernel joint_table[CK_JOINT_COUNT] = {
#if defined(__x86_64__)
    [CK_JOINT_1_LANE] = {1, ck_joint_1_lane},
    [CK_JOINT_4_LANES_AVX512] = {4, ck_joint_4_lanes_avx512},
    [CK_JOINT_8_LANES_AVX512] = {8, ck_joint_8_lanes_avx512},
#else
    {0},
#endif
};

const kernel *ck_kernel_of(ck_kernel name) { return &table[name]; }
const joint_kernel *ck_joint_kernel_of(ck_joint name) { return &joint_table[name]; }

static bool avx2, avx512, sha;

#if defined(__x86_64__)
#include <cpuid.h>

// Once, at the program's start: under a hypervisor a cpuid takes longer than hashing a few kilobytes.
__attribute__((constructor)) static void look(void) {
  __builtin_cpu_init();
  avx2 = __builtin_cpu_supports("avx2");
  avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
  // The SHA instructions (CPUID leaf 7, EBX bit 29) and the shuffles that stand beside them in the kernels.
  unsigned eax, ebx, ecx, edx;
  sha = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx >> 29 & 1) && __builtin_cpu_supports("ssse3") &&
        __builtin_cpu_supports("sse4.1");
}
#endif

bool ck_kernel_works(ck_kernel name) {
  switch (name) {
    case CK_MD5_SCALAR:
    case CK_MD5_4_LANES:
    case CK_SHA256_OPENSSL: return true;
    case CK_MD5_8_LANES_AVX2: return avx2;
    case CK_MD5_8_LANES_AVX512:
    case CK_MD5_16_LANES_AVX512: return avx512;
    case CK_SHA256_NI:
    case CK_SHA256_NI_PAIR: return sha;
    default: return false;
  }
}

ck_kernel ck_md5_kernel(size_t streams) {
  if (streams < 2) return CK_MD5_SCALAR;
  if (avx512) return streams > 8 ? CK_MD5_16_LANES_AVX512 : CK_MD5_8_LANES_AVX512;
  return avx2 ? CK_MD5_8_LANES_AVX2 : CK_MD5_4_LANES;
}

ck_kernel ck_sha256_kernel(size_t streams) {
  if (!sha) return CK_SHA256_OPENSSL;
  return streams < 2 ? CK_SHA256_NI : CK_SHA256_NI_PAIR;
}

bool ck_joint_works(ck_joint name) {
  switch (name) {
    case CK_JOINT_1_LANE: return sha;
    case CK_JOINT_4_LANES_AVX512:
    case CK_JOINT_8_LANES_AVX512: return sha && avx512;
    default: return false;
  }
}

// A joint kernel is bound by SHA-256, and an idle lane costs as much as another: where more than a quarter of them would be idle,
// MD5 in its own vectors is faster. So it is without AVX-512: the SHA instructions of AMD's Zen 3 stall for 100 ns after each use
// of a 256-bit vector, and 128-bit vectors gain too little.
ck_joint ck_joint_kernel(size_t md5_streams) {
  if (avx512 && sha && md5_streams >= 6) return CK_JOINT_8_LANES_AVX512;
  if (avx512 && sha && (md5_streams == 3 || md5_streams == 4)) return CK_JOINT_4_LANES_AVX512;
  return sha && md5_streams == 1 ? CK_JOINT_1_LANE : CK_JOINT_NONE;
}
