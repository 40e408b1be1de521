#include <string.h>

#include "kernels.h"

// How jobs go through lanes. A job's segments are cut into runs of whole blocks; the lanes' shortest run decides how many
// blocks the kernel hashes before lanes are refilled.

ck_job ck_job_of(ck_stream *stream, const ck_segment *segments, size_t count) {
  return (ck_job){.stream = stream, .next = segments, .end = segments + count};
}

/// Finds the next run, or puts what is left (less than a block) into the stream's carry and returns false.
static bool find_run(ck_job *job) {
  for (;;) {
    if (job->rest_count == 0) {
      if (job->next == job->end) return false;
      job->rest = job->next->bytes;
      job->rest_count = job->next->count;
      job->next++;
      continue;
    }
    size_t carried = job->stream->total % BLOCK, taken;
    if (carried == 0 && job->rest_count >= BLOCK) {
      job->run = job->rest;
      job->blocks = job->rest_count / BLOCK;
      taken = job->blocks * BLOCK;
    } else {
      taken = BLOCK - carried < job->rest_count ? BLOCK - carried : job->rest_count;
      memcpy(job->stream->carry + carried, job->rest, taken);
      job->run = job->stream->carry;
      job->blocks = (carried + taken) / BLOCK;
    }
    job->stream->total += taken;
    job->rest += taken;
    job->rest_count -= taken;
    if (job->blocks > 0) return true;
  }
}

static void skip(ck_job *job, size_t blocks) {
  job->run += blocks * BLOCK;
  job->blocks -= blocks;
}

/// Takes one job to its end with a kernel of one lane.
static void advance_alone(ck_job *job, block_function *alone) {
  while (job->blocks > 0 || find_run(job)) {
    alone((uint32_t *const[]){job->stream->state}, &job->run, job->blocks);
    skip(job, job->blocks);
  }
}

/// The jobs of one digest on their way through a kernel's lanes.
typedef struct {
  size_t count;
  ck_job *lane[MAX_LANES];  // null in a lane without a job
  ck_job *next, *end;       // jobs that wait for a lane
} lanes;

/// Gives each lane whose job is at its end the next one. Returns how many lanes have one.
static size_t refill(lanes *l) {
  size_t live = 0;
  for (ck_job **job = l->lane; job < l->lane + l->count; job++) {
    while (!*job || ((*job)->blocks == 0 && !find_run(*job))) {
      *job = l->next < l->end ? l->next++ : NULL;
      if (!*job) break;
    }
    if (*job) live++;
  }
  return live;
}

/// The job with the shortest run; null where no lane has one.
static ck_job *shortest(const lanes *l) {
  ck_job *least = NULL;
  for (size_t i = 0; i < l->count; i++) {
    if (l->lane[i] && (!least || l->lane[i]->blocks < least->blocks)) least = l->lane[i];
  }
  return least;
}

/// What a kernel is given. A lane without a job reads the run of `other`, the shortest, and what comes of it is dropped.
static void arguments(
    const lanes *l, const ck_job *other, uint32_t unused[8], uint32_t *states[], const uint8_t *bytes[]) {
  for (size_t i = 0; i < l->count; i++) {
    states[i] = l->lane[i] ? l->lane[i]->stream->state : unused;
    bytes[i] = l->lane[i] ? l->lane[i]->run : other->run;
  }
}

static void skip_all(lanes *l, size_t blocks) {
  for (size_t i = 0; i < l->count; i++) {
    if (l->lane[i]) skip(l->lane[i], blocks);
  }
}

void ck_advance(ck_job *jobs, size_t count, ck_kernel name) {
  const kernel *k = ck_kernel_of(name);
  lanes l = {.count = k->lanes, .next = jobs, .end = jobs + count};
  uint32_t unused[8] = {0};
  for (size_t live; (live = refill(&l)) > 0;) {
    ck_job *least = shortest(&l);
    if (live == 1 && l.next == l.end) return advance_alone(least, k->alone);
    const size_t blocks = least->blocks;
    uint32_t *states[MAX_LANES];
    const uint8_t *bytes[MAX_LANES];
    arguments(&l, least, unused, states, bytes);
    k->run(states, bytes, blocks);
    skip_all(&l, blocks);
  }
}

void ck_advance_jointly(ck_job *md5, size_t md5_count, ck_job *sha256, size_t sha256_count, ck_joint name) {
  const joint_kernel *k = ck_joint_kernel_of(name);
  if (k->lanes == 0) return;
  lanes m = {.count = k->lanes, .next = md5, .end = md5 + md5_count};
  lanes s = {.count = 2 * k->lanes, .next = sha256, .end = sha256 + sha256_count};
  uint32_t unused[8] = {0};
  while (4 * refill(&m) >= 3 * m.count && 4 * refill(&s) >= 3 * s.count) {
    const ck_job *m_least = shortest(&m), *s_least = shortest(&s);
    const ck_job *least = m_least->blocks < s_least->blocks ? m_least : s_least;
    const size_t blocks = least->blocks;
    uint32_t *md5_states[MAX_LANES], *sha256_states[MAX_LANES];
    const uint8_t *md5_bytes[MAX_LANES], *sha256_bytes[MAX_LANES];
    arguments(&m, least, unused, md5_states, md5_bytes);
    arguments(&s, least, unused, sha256_states, sha256_bytes);
    k->run(md5_states, md5_bytes, sha256_states, sha256_bytes, blocks);
    skip_all(&m, blocks);
    skip_all(&s, blocks);
  }
}

size_t ck_pad(const ck_stream *stream, uint8_t tail[2 * BLOCK]) {
  const size_t carried = stream->total % BLOCK;
  memset(tail, 0, 2 * BLOCK);
  memcpy(tail, stream->carry, carried);
  tail[carried] = 0x80;
  return carried + 1 + 8 <= BLOCK ? BLOCK : 2 * BLOCK;
}
