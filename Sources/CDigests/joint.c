#include <string.h>

#include "md5_words.h"

// Joint kernels: MD5 and SHA-256 at once. SHA-256 waits for the one unit that has its instructions and MD5 for its own chain of
// dependent operations, so that alone each leaves most of the core idle; together they take little longer than the slower one.

#if defined(__x86_64__)
#include "sha256_ni.h"

#define NAME ck_joint_1_lane
#define LANES 1
#define TARGET __attribute__((target(SHA256_TARGET)))
#define JOINT
#include "md5_kernel.h"

#define NAME ck_joint_4_lanes_avx512
#define LANES 4
#define TARGET __attribute__((target("avx2,avx512f,avx512vl," SHA256_TARGET)))
#define JOINT
#include "md5_kernel.h"

#define NAME ck_joint_8_lanes_avx512
#define LANES 8
#define TARGET __attribute__((target("avx2,avx512f,avx512vl," SHA256_TARGET)))
#define JOINT
#include "md5_kernel.h"
#endif
