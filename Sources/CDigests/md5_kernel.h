// The body of an MD5 kernel, included once a kernel with these parameters set:
//   NAME    the function's name
//   LANES   how many streams lie side by side
//   WORDS   a vector type of LANES 32-bit elements (or uint32_t), one element a stream
//   LOAD    LOAD(words, bytes): fills `WORDS words[16]` with the next block of each stream
//   TARGET  function attributes that allow the instructions

TARGET void NAME(uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  uint32_t columns[4][LANES];
  const uint8_t *from[LANES];
  for (int lane = 0; lane < LANES; lane++) {
    for (int i = 0; i < 4; i++) columns[i][lane] = states[lane][i];
    from[lane] = bytes[lane];
  }
  WORDS a, b, c, d;
  memcpy(&a, columns[0], sizeof a);
  memcpy(&b, columns[1], sizeof b);
  memcpy(&c, columns[2], sizeof c);
  memcpy(&d, columns[3], sizeof d);

  for (size_t offset = 0; offset < blocks * BLOCK; offset += BLOCK) {
    WORDS words[16];
    LOAD(words, from, offset);
    const WORDS a0 = a, b0 = b, c0 = c, d0 = d;
#pragma clang loop unroll(full)
    for (int step = 0; step < 64; step++) {
      WORDS sum = a + SINES[step], mix;
      switch (step / 16) {
        case 0:
          sum += words[step];
          mix = d ^ (b & (c ^ d));
          break;
        case 1:
          // (b & d) | (c & ~d) as a sum, so that only one `and` waits for b, the newest word.
          sum += words[(5 * step + 1) % 16];
          sum += c & ~d;
          mix = b & d;
          break;
        case 2:
          sum += words[(3 * step + 5) % 16];
          mix = b ^ c ^ d;
          break;
        default:
          sum += words[7 * step % 16];
          mix = c ^ (b | ~d);
          break;
      }
      sum += mix;
      const int turn = TURNS[step / 16][step % 4];
      a = d;
      d = c;
      c = b;
      // Masked, so that the compiler knows a rotation although `turn` is no constant before the loop is unrolled.
      b += sum << (turn & 31) | sum >> (-turn & 31);
    }
    a += a0;
    b += b0;
    c += c0;
    d += d0;
  }

  memcpy(columns[0], &a, sizeof a);
  memcpy(columns[1], &b, sizeof b);
  memcpy(columns[2], &c, sizeof c);
  memcpy(columns[3], &d, sizeof d);
  for (int lane = 0; lane < LANES; lane++) {
    for (int i = 0; i < 4; i++) states[lane][i] = columns[i][lane];
  }
}

#undef NAME
#undef LANES
#undef WORDS
#undef LOAD
#undef TARGET
