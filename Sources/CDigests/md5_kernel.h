// The body of an MD5 kernel, included once a kernel with these parameters set:
//   NAME    the function's name
//   LANES   how many streams lie side by side in a vector: 1, 4, 8 or 16
//   GROUPS  how many vectors alternate, so that one's steps fill the time in which another's wait for each other
//   TARGET  function attributes that allow the instructions

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define WORDS PASTE(words, LANES)
#define LOAD PASTE(LOAD_, LANES)

/// The assembler's constraint for registers that hold WORDS.
#if LANES == 1
#define REGISTER "r"
#elif defined(__aarch64__)
#define REGISTER "w"
#else
#define REGISTER "v"
#endif

TARGET void NAME(uint32_t *const states[], const uint8_t *const bytes[], size_t blocks) {
  uint32_t columns[GROUPS][4][LANES];
  const uint8_t *from[GROUPS][LANES];
  WORDS a[GROUPS], b[GROUPS], c[GROUPS], d[GROUPS];
  for (int g = 0; g < GROUPS; g++) {
    for (int lane = 0; lane < LANES; lane++) {
      for (int i = 0; i < 4; i++) columns[g][i][lane] = states[g * LANES + lane][i];
      from[g][lane] = bytes[g * LANES + lane];
    }
    memcpy(&a[g], columns[g][0], sizeof a[g]);
    memcpy(&b[g], columns[g][1], sizeof b[g]);
    memcpy(&c[g], columns[g][2], sizeof c[g]);
    memcpy(&d[g], columns[g][3], sizeof d[g]);
  }

  for (size_t offset = 0; offset < blocks * BLOCK; offset += BLOCK) {
    WORDS words[GROUPS][16];
    WORDS a0[GROUPS], b0[GROUPS], c0[GROUPS], d0[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
      LOAD(words[g], from[g], offset);
      a0[g] = a[g], b0[g] = b[g], c0[g] = c[g], d0[g] = d[g];
    }
#pragma clang loop unroll(full)
    for (int step = 0; step < 64; step++) {
#pragma clang loop unroll(full)
      for (int g = 0; g < GROUPS; g++) {
        WORDS sum = a[g] + SINES[step], mix;
        switch (step / 16) {
          case 0:
            sum += words[g][step];
            mix = d[g] ^ (b[g] & (c[g] ^ d[g]));
            break;
          case 1:
            // (b & d) | (c & ~d) as a sum, the half without b first.
            sum += words[g][(5 * step + 1) % 16];
            sum += c[g] & ~d[g];
            mix = b[g] & d[g];
            break;
          case 2:
            sum += words[g][(3 * step + 5) % 16];
            mix = b[g] ^ c[g] ^ d[g];
            break;
          default:
            sum += words[g][7 * step % 16];
            mix = c[g] ^ (b[g] | ~d[g]);
            break;
        }
        // Only `mix` waits for b, the newest word, so it is added last; the empty instruction keeps the compiler from
        // sorting the sum otherwise, which costs a sixth of the speed.
        __asm__("" : "+" REGISTER(sum));
        sum += mix;
        const int turn = TURNS[step / 16][step % 4];
        a[g] = d[g];
        d[g] = c[g];
        c[g] = b[g];
        // Masked, so that the compiler knows a rotation although `turn` is no constant before the loop is unrolled.
        b[g] += sum << (turn & 31) | sum >> (-turn & 31);
      }
    }
    for (int g = 0; g < GROUPS; g++) a[g] += a0[g], b[g] += b0[g], c[g] += c0[g], d[g] += d0[g];
  }

  for (int g = 0; g < GROUPS; g++) {
    memcpy(columns[g][0], &a[g], sizeof a[g]);
    memcpy(columns[g][1], &b[g], sizeof b[g]);
    memcpy(columns[g][2], &c[g], sizeof c[g]);
    memcpy(columns[g][3], &d[g], sizeof d[g]);
    for (int lane = 0; lane < LANES; lane++) {
      for (int i = 0; i < 4; i++) states[g * LANES + lane][i] = columns[g][i][lane];
    }
  }
}

#undef NAME
#undef LANES
#undef GROUPS
#undef TARGET
#undef WORDS
#undef LOAD
#undef REGISTER
#undef PASTE
#undef PASTE_
