// The body of an MD5 kernel, included once a kernel with these parameters set:
//   NAME    the function's name
//   LANES   how many streams lie side by side: 1, 4, 8 or 16
//   TARGET  function attributes that allow the instructions
//   JOINT   (optional) makes it a joint kernel: it hashes as many blocks of 2 · LANES streams of SHA-256 meanwhile

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

TARGET void NAME(
    uint32_t *const states[], const uint8_t *const bytes[],
#ifdef JOINT
    uint32_t *const sha256_states[], const uint8_t *const sha256_bytes[],
#endif
    size_t blocks) {
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
#ifdef JOINT
  sha256_pair pairs[LANES], pair;
  for (int i = 0; i < 2 * LANES; i++) sha256_load(&pairs[i / 2], i % 2, sha256_states[i]);
#endif

  for (size_t offset = 0; offset < blocks * BLOCK; offset += BLOCK) {
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
          // (b & d) | (c & ~d) as a sum, the half without b first.
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
      // Only `mix` waits for b, the newest word, so it is added last; the empty instruction keeps the compiler from
      // sorting the sum otherwise, which costs a sixth of the speed. Volatile, it also keeps its place among the rounds of a
      // joint kernel.
      __asm__ volatile("" : "+" REGISTER(sum));
      sum += mix;
      const int turn = TURNS[step / 16][step % 4];
      a = d;
      d = c;
      c = b;
      // Masked, so that the compiler knows a rotation although `turn` is no constant before the loop is unrolled.
      b += sum << (turn & 31) | sum >> (-turn & 31);
#ifdef JOINT
      // A block of each pair takes 16 times four rounds, spread evenly over the 64 steps.
#pragma clang loop unroll(full)
      for (int n = step * LANES / 4; n < (step + 1) * LANES / 4; n++) {
        const int i = n / 16, four = n % 16;
        if (four == 0) pair = pairs[i];
        sha256_four_rounds(2, &pair, sha256_bytes + 2 * i, offset, four);
        // Keeps the compiler from moving the rounds together, which costs up to a third of the speed.
        __asm__ volatile("" : "+x"(pair.abef[0]), "+x"(pair.cdgh[0]), "+x"(pair.abef[1]), "+x"(pair.cdgh[1]));
        if (four == 15) sha256_add(2, &pairs[i], &pair);
      }
#endif
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
#ifdef JOINT
  for (int i = 0; i < 2 * LANES; i++) sha256_store(&pairs[i / 2], i % 2, sha256_states[i]);
#endif
}

#undef NAME
#undef LANES
#undef TARGET
#undef JOINT
#undef WORDS
#undef LOAD
#undef REGISTER
#undef PASTE
#undef PASTE_
