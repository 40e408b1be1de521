#include <string.h>

#include "kernels.h"

// How jobs go through lanes. A cursor cuts a job's segments into runs of whole blocks; the lanes' shortest run decides
// how many blocks the kernel hashes before lanes are refilled.

/// The way of one job through its segments.
typedef struct {
  ck_stream *stream;  // null in a lane without a job
  const ck_segment *next, *end;
  const uint8_t *rest;  // what is left of the current segment
  size_t rest_count;
  const uint8_t *run;  // whole blocks that are next: in the segment, or the carried one
  size_t blocks;
} cursor;

static cursor cursor_of(const ck_job *job) {
  return (cursor){.stream = job->stream, .next = job->segments, .end = job->segments + job->segment_count};
}

/// Finds the next run, or puts what is left (less than a block) into the stream's carry and returns false.
static bool find_run(cursor *c) {
  for (;;) {
    if (c->rest_count == 0) {
      if (c->next == c->end) return false;
      c->rest = c->next->bytes;
      c->rest_count = c->next->count;
      c->next++;
      continue;
    }
    size_t carried = c->stream->total % BLOCK, taken;
    if (carried == 0 && c->rest_count >= BLOCK) {
      c->run = c->rest;
      c->blocks = c->rest_count / BLOCK;
      taken = c->blocks * BLOCK;
    } else {
      taken = BLOCK - carried < c->rest_count ? BLOCK - carried : c->rest_count;
      memcpy(c->stream->carry + carried, c->rest, taken);
      c->run = c->stream->carry;
      c->blocks = (carried + taken) / BLOCK;
    }
    c->stream->total += taken;
    c->rest += taken;
    c->rest_count -= taken;
    if (c->blocks > 0) return true;
  }
}

static void skip(cursor *c, size_t blocks) {
  c->run += blocks * BLOCK;
  c->blocks -= blocks;
}

/// Takes one stream to its end with a kernel of one lane.
static void advance_alone(cursor *c, block_function *alone) {
  while (c->blocks > 0 || find_run(c)) {
    alone((uint32_t *const[]){c->stream->state}, &c->run, c->blocks);
    skip(c, c->blocks);
  }
}

/// Gives each lane that has no run the next of its own, or a new job. Returns how many lanes have one.
static size_t refill(cursor lane[], size_t lanes, const ck_job **next, const ck_job *end) {
  size_t live = 0;
  for (cursor *c = lane; c < lane + lanes; c++) {
    while (c->blocks == 0) {
      if (c->stream && find_run(c)) break;
      c->stream = NULL;
      if (*next == end) break;
      *c = cursor_of((*next)++);
    }
    if (c->stream) live++;
  }
  return live;
}

void ck_advance(const ck_job *jobs, size_t count, ck_kernel name) {
  const kernel *k = ck_kernel_of(name);
  const ck_job *next = jobs, *end = jobs + count;
  cursor lane[MAX_LANES] = {0};
  uint32_t unused[8] = {0};
  for (size_t live; (live = refill(lane, k->lanes, &next, end)) > 0;) {
    cursor *shortest = NULL;
    for (cursor *c = lane; c < lane + k->lanes; c++) {
      if (c->stream && (!shortest || c->blocks < shortest->blocks)) shortest = c;
    }
    if (live == 1 && next == end) return advance_alone(shortest, k->alone);

    // A lane without a job reads another's bytes; what comes of it is dropped.
    const size_t blocks = shortest->blocks;
    uint32_t *states[MAX_LANES];
    const uint8_t *bytes[MAX_LANES];
    for (size_t i = 0; i < k->lanes; i++) {
      states[i] = lane[i].stream ? lane[i].stream->state : unused;
      bytes[i] = lane[i].stream ? lane[i].run : shortest->run;
    }
    k->run(states, bytes, blocks);
    for (size_t i = 0; i < k->lanes; i++) {
      if (lane[i].stream) skip(&lane[i], blocks);
    }
  }
}

size_t ck_pad(const ck_stream *stream, uint8_t tail[2 * BLOCK]) {
  const size_t carried = stream->total % BLOCK;
  memset(tail, 0, 2 * BLOCK);
  memcpy(tail, stream->carry, carried);
  tail[carried] = 0x80;
  return carried + 1 + 8 <= BLOCK ? BLOCK : 2 * BLOCK;
}
