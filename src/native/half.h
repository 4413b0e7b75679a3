// The encoder's product in half precision, where the processor multiplies it faster than float32, and the k largest
// pre-activations as float32 has them. Included by ops.cc.
//
//   p̃ = W_enc·x + b_enc     in half precision, summed in float32: the k + MARGIN largest of a row are its candidates
//   p                        of the candidates in float32: the k largest are chosen, ties by smaller index
//
// A latent among the k largest would have to be overtaken, by rounding alone, by more than MARGIN others to be missed.
//
// "tiles"  AMX: 16 × 32 bfloat16 times 32 × 16 in one instruction, sums in float32
// "fp16"   AVX512-FP16: sums of CHUNK products in half precision, those in float32. A row is scaled by a power of two, so that
//          its largest number is at most 64: no sum overflows for weights up to 16
// "bf16"   AVX512-BF16: products of pairs, sums in float32
//
// x is packed once; W_enc by strips of latents that stay in the second cache, the next one while the present one is multiplied.

#if defined(__AVX512F__) && (defined(__AMX_BF16__) || defined(SAE_EMULATED_TILES))
#define SAE_TILES
#endif
#if defined(__AVX512F__) && defined(__AVX512BF16__)
#define SAE_BF16
#endif
#if defined(__AVX512F__) && defined(__AVX512FP16__)
#define SAE_FP16
#endif

#if defined(SAE_TILES) || defined(SAE_BF16) || defined(SAE_FP16)
#define SAE_HALF
#if defined(__linux__) && !defined(SAE_EMULATED_TILES)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sae {

constexpr int64_t GROUP = 16;                    // latents whose numbers lie side by side in a panel
constexpr int64_t HALF_ROWS = 96;                // rows a task, at most
constexpr int64_t HALF_PRE = 1 << 17;            // pre-activations of a task: they stay in the second cache
constexpr int64_t HALF_STRIP_BYTES = 1 << 20;    // of packed latents, at most: half of a second cache
constexpr int64_t HALF_STRIP = 4096;             // latents, at most

static int margin(int k) { return 8 + k / 8; }

// ---- bfloat16: a row of x and the pairs of a panel

#if defined(SAE_TILES) || defined(SAE_BF16)
// 32 floats to the nearest bfloat16, ties to even.
static inline __m512i rounded(const float *from) {
  const auto half = [](const float *p) {
    const __m512i bits = _mm512_loadu_si512(p);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __m512i nan = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40)); // stays NaN
    const __mmask16 isNan = _mm512_cmp_ps_mask(_mm512_castsi512_ps(bits), _mm512_castsi512_ps(bits), _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(up, isNan, nan));
  };
  return _mm512_inserti64x4(_mm512_castsi256_si512(half(from)), half(from + 16), 1);
}

constexpr int64_t DEPTH = 32; // numbers of a row that a tile holds
constexpr int64_t BF16_PANEL = 64;

// Whole tiles, and rows that do not fall into the same sets of the first cache.
static int64_t bfloatDepth(int64_t d) {
  const int64_t whole = (d + DEPTH - 1) / DEPTH * DEPTH;
  return whole % 2048 == 0 ? whole + DEPTH : whole;
}
static inline __m512i roundedOr0(const float *from, int64_t count) {
  if (count >= DEPTH) return rounded(from);
  float part[DEPTH] = {};
  for (int64_t j = 0; j < count; j++) part[j] = from[j];
  return rounded(part);
}

struct Bfloat {
  static constexpr int64_t PANEL = BF16_PANEL;
  static int64_t rowBytes(int64_t d) { return bfloatDepth(d) * 2; }
  static int64_t panelBytes(int64_t d) { return PANEL * bfloatDepth(d) * 2; }

  static void packRow(const float *x, int64_t d, void *out, float *) {
    const int64_t depth = bfloatDepth(d);
    for (int64_t j = 0; j < depth; j += DEPTH) _mm512_storeu_si512(static_cast<uint16_t *>(out) + j, roundedOr0(x + j, d - j));
  }
  // [PANEL/16 groups][depth/2 pairs][16 latents][2]; zeros beyond F.
  static void packPanel(const float *wEnc, int64_t from, int64_t F, int64_t d, void *out) {
    const int64_t depth = bfloatDepth(d);
    for (int64_t g = 0; g < PANEL / GROUP; g++) {
      uint16_t *const group = static_cast<uint16_t *>(out) + g * depth * GROUP;
      for (int64_t j = 0; j < depth; j += DEPTH) {
        Lanes pairs[WIDTH]; // of bits
        for (int64_t r = 0; r < GROUP; r++) {
          const int64_t f = from + g * GROUP + r;
          pairs[r] = reinterpret_cast<Lanes>(f < F && j < d ? roundedOr0(wEnc + f * d + j, d - j) : _mm512_setzero_si512());
        }
        transpose(pairs);
        for (int64_t p = 0; p < DEPTH / 2; p++) *reinterpret_cast<Lanes *>(group + (j + 2 * p) * GROUP) = pairs[p];
      }
    }
  }
};
#endif

// ---- AMX

#if defined(SAE_TILES)
#if defined(SAE_EMULATED_TILES)
// The tile instructions in plain loops: for tests on processors that have none.
namespace emulated {
struct Tile { unsigned char rows[16][64]; };
static thread_local Tile tiles[8];
static void load(int t, const void *from, int64_t stride) {
  for (int r = 0; r < 16; r++) std::memcpy(tiles[t].rows[r], static_cast<const char *>(from) + r * stride, 64);
}
static void store(int t, void *to, int64_t stride) {
  for (int r = 0; r < 16; r++) std::memcpy(static_cast<char *>(to) + r * stride, tiles[t].rows[r], 64);
}
static float widened(const unsigned char *bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, 2);
  const uint32_t bits = uint32_t(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
static void multiply(int c, int a, int b) {
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < 16; n++) {
      float sum;
      std::memcpy(&sum, &tiles[c].rows[m][4 * n], 4);
      for (int k = 0; k < 16; k++)
        for (int s = 0; s < 2; s++) sum += widened(&tiles[a].rows[m][4 * k + 2 * s]) * widened(&tiles[b].rows[k][4 * n + 2 * s]);
      std::memcpy(&tiles[c].rows[m][4 * n], &sum, 4);
    }
}
} // namespace emulated
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) (void)(config)
#define _tile_release() (void)0
#define _tile_zero(t) std::memset(&emulated::tiles[t], 0, sizeof(emulated::Tile))
#define _tile_loadd(t, from, stride) emulated::load(t, from, stride)
#define _tile_stored(t, to, stride) emulated::store(t, to, stride)
#define _tile_dpbf16ps(c, a, b) emulated::multiply(c, a, b)
#endif

struct Tiles : Bfloat {
  static constexpr int64_t ROWS = 32;

  // The system gives a process tiles when it asks for them.
  static bool allowed() {
#if defined(SAE_EMULATED_TILES)
    return true;
#else
    static const bool given = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XFEATURE_XTILEDATA */) == 0;
    return given;
#endif
  }
  static void begin() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    _tile_loadconfig(&config);
  }
  static void end() { _tile_release(); }

  // 32 rows times 64 latents: a tile of each of two row groups and two latent groups feeds four sums.
  static void multiply(const void *x, const void *panel, int64_t d, const float *, float *out, int64_t stride) {
    const int64_t depth = bfloatDepth(d), bytes = depth * 2;
    const uint16_t *const upper = static_cast<const uint16_t *>(x), *const lower = upper + 16 * depth;
    for (int64_t g = 0; g < PANEL / GROUP; g += 2) {
      const uint16_t *const left = static_cast<const uint16_t *>(panel) + g * depth * GROUP, *const right = left + depth * GROUP;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t j = 0; j < depth; j += DEPTH) {
        _tile_loadd(4, upper + j, bytes);
        _tile_loadd(6, left + j * GROUP, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right + j * GROUP, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, lower + j, bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      float *const at = out + g * GROUP;
      _tile_stored(0, at, stride * 4);
      _tile_stored(1, at + GROUP, stride * 4);
      _tile_stored(2, at + 16 * stride, stride * 4);
      _tile_stored(3, at + 16 * stride + GROUP, stride * 4);
    }
  }
};
#endif

// ---- AVX512-BF16

#if defined(SAE_BF16)
struct Pairwise : Bfloat {
  static constexpr int64_t ROWS = 6;
  static bool allowed() { return true; }
  static void begin() {}
  static void end() {}

  static void multiply(const void *x, const void *panel, int64_t d, const float *, float *out, int64_t stride) {
    const int64_t depth = bfloatDepth(d);
    const uint16_t *const rows = static_cast<const uint16_t *>(x), *const w = static_cast<const uint16_t *>(panel);
    __m512 sum[ROWS][4] = {};
    for (int64_t j = 0; j < depth; j += 2) {
      __m512bh latents[4];
#pragma GCC unroll 4
      for (int p = 0; p < 4; p++) latents[p] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(w + p * depth * GROUP + j * GROUP));
#pragma GCC unroll 6
      for (int r = 0; r < ROWS; r++) {
        int32_t pair;
        std::memcpy(&pair, rows + r * depth + j, 4);
        const __m512bh value = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], value, latents[p]);
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
      for (int p = 0; p < 4; p++) _mm512_storeu_ps(out + r * stride + p * GROUP, sum[r][p]);
  }
};
#endif

// ---- AVX512-FP16

#if defined(SAE_FP16)
struct Halves {
  static constexpr int64_t PANEL = 128, ROWS = 6;
  static constexpr int64_t CHUNK = 64; // products summed in half precision: its rounding is then about bfloat16's own
  static bool allowed() { return true; }
  static void begin() {}
  static void end() {}
  static int64_t rowBytes(int64_t d) { return d * 4; }
  static int64_t panelBytes(int64_t d) { return d * PANEL * 2; }

  // Each number twice, as the processor spreads 32 bits over a register, not 16.
  static void packRow(const float *x, int64_t d, void *out, float *unit) {
    float largest = 0;
    for (int64_t j = 0; j < d; j++) largest = std::max(largest, std::abs(x[j]));
    int exponent = 0;
    if (largest > 0 && largest <= std::numeric_limits<float>::max()) std::frexp(largest, &exponent);
    exponent = std::min(100, std::max(-100, exponent)); // largest < 2^exponent
    const float scale = std::ldexp(1.0f, 6 - exponent);
    *unit = std::ldexp(1.0f, exponent - 6);
    uint32_t *const pairs = static_cast<uint32_t *>(out);
    int64_t j = 0;
    for (; j + 16 <= d; j += 16) {
      const __m512i half = _mm512_cvtepu16_epi32(_mm512_cvtps_ph(_mm512_mul_ps(_mm512_loadu_ps(x + j), _mm512_set1_ps(scale)), _MM_FROUND_TO_NEAREST_INT));
      _mm512_storeu_si512(pairs + j, _mm512_or_si512(half, _mm512_slli_epi32(half, 16)));
    }
    for (; j < d; j++) {
      const uint32_t half = uint16_t(_cvtss_sh(x[j] * scale, _MM_FROUND_TO_NEAREST_INT));
      pairs[j] = half | half << 16;
    }
  }
  // [d][PANEL]; zeros beyond F.
  static void packPanel(const float *wEnc, int64_t from, int64_t F, int64_t d, void *out) {
    uint16_t *const panel = static_cast<uint16_t *>(out);
    for (int64_t g = 0; g < PANEL; g += GROUP) {
      int64_t j = 0;
      if (from + g + GROUP <= F) {
        for (; j + WIDTH <= d; j += WIDTH) {
          Lanes rows[WIDTH];
          for (int r = 0; r < WIDTH; r++) rows[r] = load(wEnc + (from + g + r) * d + j);
          transpose(rows);
          for (int r = 0; r < WIDTH; r++) {
            const __m256i halves = _mm512_cvtps_ph(reinterpret_cast<__m512>(rows[r]), _MM_FROUND_TO_NEAREST_INT);
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(panel + (j + r) * PANEL + g), halves);
          }
        }
      }
      for (; j < d; j++)
        for (int64_t r = 0; r < GROUP; r++) {
          const int64_t f = from + g + r;
          panel[j * PANEL + g + r] = f < F ? uint16_t(_cvtss_sh(wEnc[f * d + j], _MM_FROUND_TO_NEAREST_INT)) : 0;
        }
    }
  }

  static void multiply(const void *x, const void *panel, int64_t d, const float *units, float *out, int64_t stride) {
    const uint32_t *const rows = static_cast<const uint32_t *>(x);
    const uint16_t *const w = static_cast<const uint16_t *>(panel);
    for (int64_t from = 0; from < d; from += CHUNK) {
      const int64_t to = std::min(d, from + CHUNK);
      __m512h sum[ROWS][4] = {};
      for (int64_t j = from; j < to; j++) {
        __m512h latents[4];
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) latents[p] = _mm512_loadu_ph(w + j * PANEL + p * 32);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) {
          const __m512h value = _mm512_castsi512_ph(_mm512_set1_epi32(int32_t(rows[r * d + j])));
#pragma GCC unroll 4
          for (int p = 0; p < 4; p++) sum[r][p] = _mm512_fmadd_ph(value, latents[p], sum[r][p]);
        }
      }
#pragma GCC unroll 6
      for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
          float *const at = out + r * stride + p * 32;
          const __m512i bits = _mm512_castph_si512(sum[r][p]);
          __m512 low = _mm512_cvtph_ps(_mm512_castsi512_si256(bits)), high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(bits, 1));
          if (from) {
            low = _mm512_add_ps(low, _mm512_loadu_ps(at));
            high = _mm512_add_ps(high, _mm512_loadu_ps(at + 16));
          }
          if (to == d) {
            low = _mm512_mul_ps(low, _mm512_set1_ps(units[r]));
            high = _mm512_mul_ps(high, _mm512_set1_ps(units[r]));
          }
          _mm512_storeu_ps(at, low);
          _mm512_storeu_ps(at + 16, high);
        }
    }
  }
};
#endif

// ---- the k largest by float32 among the candidates

static void rescore(Candidates &row, const float *x, const float *wEnc, const float *bEnc, int64_t d, int k, float *v, int32_t *i) {
  int64_t c = 0;
  const float *rows[4];
  float sums[4];
  for (; c + 4 <= row.count; c += 4) {
    for (int q = 0; q < 4; q++) rows[q] = wEnc + int64_t(row.columns[c + q]) * d;
    dot4(sums, x, rows, d);
    for (int q = 0; q < 4; q++) row.keys[c + q] = keyOf(sums[q] + bEnc[row.columns[c + q]]);
  }
  for (; c < row.count; c++) row.keys[c] = keyOf(dot(x, wEnc + int64_t(row.columns[c]) * d, d) + bEnc[row.columns[c]]);
  row.bound = std::numeric_limits<int32_t>::min();
  row.finish(k, v, i);
}

template <class Kernel>
static void encodeHalf(const float *x, const float *wEnc, const float *bEnc, int64_t n, int64_t d, int64_t F, int k, float *v, int32_t *i) {
  const int candidates = int(std::min<int64_t>(F, k + margin(k)));
  const int64_t limit = Candidates::limit(candidates), panelBytes = (Kernel::panelBytes(d) + 63) / 64 * 64, rowBytes = Kernel::rowBytes(d);
  const int64_t panels = std::max<int64_t>(1, std::min((std::min(F, HALF_STRIP) + Kernel::PANEL - 1) / Kernel::PANEL, HALF_STRIP_BYTES / panelBytes));
  const int64_t strip = panels * Kernel::PANEL, strips = (F + strip - 1) / strip;
  const int64_t taskRows = std::max<int64_t>(1, std::min(HALF_ROWS, HALF_PRE / strip) / Kernel::ROWS) * Kernel::ROWS;
  const int64_t padded = (n + Kernel::ROWS - 1) / Kernel::ROWS * Kernel::ROWS; // rows of zeros make up the last tile
  thread_local std::vector<char> packed, packedRows; // two strips: the next one is packed while this one is multiplied
  packed.resize(2 * panels * panelBytes + 64);
  packedRows.resize(padded * rowBytes + 64);
  const auto aligned = [](std::vector<char> &bytes) { return reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64); };
  char *const halves[2] = {aligned(packed), aligned(packed) + panels * panelBytes}, *const xs = aligned(packedRows);
  std::vector<float> units(padded, 1.0f);
  thread_local std::vector<int32_t> kept;
  if (int64_t(kept.size()) < 2 * n * limit) kept.resize(2 * n * limit);
  std::vector<Candidates> rows;
  for (int64_t b = 0; b < n; b++) rows.push_back({&kept[2 * b * limit], &kept[(2 * b + 1) * limit]});
  const auto pack = [&](int64_t s, int64_t p) {
    const int64_t from = s * strip + p * Kernel::PANEL;
    if (from < F) Kernel::packPanel(wEnc, from, F, d, halves[s % 2] + p * panelBytes);
  };
  const auto multiply = [&](int64_t s, int64_t from, int64_t to) {
    const int64_t first = s * strip, columns = std::min(strip, F - first);
    thread_local std::vector<float> pre;
    pre.resize(taskRows * strip);
    Kernel::begin();
    for (int64_t p = 0; p * Kernel::PANEL < columns; p++)
      for (int64_t b = from; b < to; b += Kernel::ROWS)
        Kernel::multiply(xs + b * rowBytes, halves[s % 2] + p * panelBytes, d, &units[b], &pre[(b - from) * strip + p * Kernel::PANEL], strip);
    Kernel::end();
    for (int64_t b = from; b < to; b++) {
      rows[b].offer(&pre[(b - from) * strip], bEnc + first, columns, first, candidates);
      if (s < strips - 1) {
        if (rows[b].count > 2 * candidates) rows[b].reduce(candidates);
        continue;
      }
      rows[b].reduce(candidates);
      rescore(rows[b], x + b * d, wEnc, bEnc, d, k, v + b * k, i + b * k);
    }
  };
  const Blocks packing(padded, BLOCKS);
  parallel(packing.number + int(panels), [&](int task) {
    if (task >= packing.number) return pack(0, task - packing.number);
    for (int64_t b = task * packing.size; b < std::min(padded, (task + 1) * packing.size); b++) {
      if (b < n) Kernel::packRow(x + b * d, d, xs + b * rowBytes, &units[b]);
      else std::memset(xs + b * rowBytes, 0, rowBytes);
    }
  });
  const int64_t blocks = (n + taskRows - 1) / taskRows;
  for (int64_t s = 0; s < strips; s++) {
    const int64_t ahead = s + 1 < strips ? panels : 0;
    parallel(int(ahead + blocks), [&](int task) {
      if (task < ahead) return pack(s + 1, task);
      const int64_t from = (task - ahead) * taskRows;
      multiply(s, from, std::min(n, from + taskRows));
    });
  }
}

} // namespace sae
#endif

namespace sae {

using EncodeHalf = void (*)(const float *x, const float *wEnc, const float *bEnc, int64_t n, int64_t d, int64_t F, int k, float *v, int32_t *i);

// The half-precision product of this name, or nullptr where the processor has not got it.
static EncodeHalf halfOf([[maybe_unused]] const char *name) {
#if defined(SAE_TILES)
  if (!std::strcmp(name, "tiles") && Tiles::allowed()) return encodeHalf<Tiles>;
#endif
#if defined(SAE_FP16)
  if (!std::strcmp(name, "fp16")) return encodeHalf<Halves>;
#endif
#if defined(SAE_BF16)
  if (!std::strcmp(name, "bf16")) return encodeHalf<Pairwise>;
#endif
  return nullptr;
}

constexpr const char *HALF_NAMES[] = {"tiles", "fp16", "bf16"};

} // namespace sae
