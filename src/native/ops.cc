// The step of a sparse autoencoder as TensorFlow ops: only what the chosen latents of a row need is computed, and it stays in
// the cache from one use to the next.
//
// n rows of width d in and D out, F latents, at most k of them chosen in a row. Row-major, float32. An SAE: x is the row less
// b_dec, and t = x. A transcoder: x is the row, t another place's row less b_dec (and less what a skip connection gives); y has
// the variance of that row.
//
//   pre = W_enc·x + b_enc                 [n, F]   never whole in memory; SaeTopK takes it from TensorFlow's MatMul instead
//   i, v = the k largest of pre, ReLU     [n, k]   larger first, ties by smaller index; other choices come from the caller
//   V = Σ_b ‖y_b − ȳ‖²
//
// The loss has L levels, one but for multi-top-k and matryoshka: level l rebuilds t from the pairs whose level is l or less.
//
//   r_l = Σ_{level_j ≤ l} v_j·W_dec[i_j] − t     FVU_l = Σ_b ‖r_l‖² / V      loss = Σ_l w_l·FVU_l
//   e_l = 2/V · Σ_{m ≥ l} w_m·r_m         [n, L, D]   the loss' gradient in what a pair of level l adds
//   g_j = e_l·W_dec[i_j] where v_j > 0    [n, k]      the loss' gradient in pre, l the pair's level
//
// Gradients of latent f; the sums go over the pairs (row b, place j) that chose it, i_bj = f:
//
//   ∂W_dec[f] = Σ v_bj·e_bl    ∂W_enc[f] = Σ g_bj·x_b     ∂b_enc[f] = Σ g_bj
//   ∂b_dec    = Σ_b e_b0 − Σ_f ∂b_enc[f]·W_enc[f]          the second sum only where b_dec is subtracted before the encoder
//
// Update of latent f: what comes from the auxiliary loss is added, the part of ∂W_dec[f] along W_dec[f] taken away; Adam:
//
//   m ← β₁m + (1 − β₁)∂    w ← β₂w + (1 − β₂)∂²    θ ← θ − lr/(1 − β₁ᵗ) · m / (√w/√(1 − β₂ᵗ) + ε)
//
// and W_dec[f] goes back to unit norm. A latent's gradients, moments and weights are thus in the cache once a step.
//
// Top-k of a row. Floats are compared as ordered integers. Column c belongs to group c mod 512; the k-th largest of the
// groups' maxima is a bound that at least k columns reach. It is found by bisection, few columns pass it, and those are
// cut to k by bisection too. With the product in one, 1024 columns at a time: what reaches the k-th largest so far is kept.
//
// Product. W_enc is packed into panels of 64 latents; 6 rows of x times a panel are 24 registers of sums (AVX-512; with AVX2
// 16 latents and 12 registers), for which 10 loads feed 24 multiplications. Each sum runs over the width in order.
//
// Threads. Work is cut into blocks whose number does not depend on the threads, which take them as they come; sums over
// blocks are made in the blocks' order. So the bits are the same for any number of threads.
//
// SaeEncodeTopK(x [n, d], W_enc [F, d], b_enc [F], k [])             → v [n, k], i [n, k]
// SaeEncodeTopKHalf(x, W_enc, b_enc, k, half [])                     → v, i; half.h: the number of a half-precision product
// SaeTopK(pre [n, F], b_enc [F], k [])                               → v, i
// SaeGroupMax(pre, b_enc, k)                                         → v, i: the largest of each of k groups of F/k neighbours
// SaeDecode(t [n, D], v, i, levels [n, k], y [n, D], w [L], W_dec [F, D])
//                                              → e [n, L, D], g [n, k], Σ_b e_b0 [D], (FVU_0 …, V) [L + 1]
// SaeGrads(x [n, d], v, i, levels, e, g, Σe, tied [], W_enc)         → ∂W_enc, ∂b_enc, ∂W_dec, ∂b_dec
// SaeUpdate(x, v, i, levels, e, g, Σe, tied, hyper [5], t [], at [m], aux ∂W_enc [m, d], aux ∂b_enc [m], aux ∂W_dec [m, D],
//           W_enc, b_enc, W_dec, b_dec, their m, their w)            → pairs of each latent [F]; changes the last 12 in place
//   levels: [1, 1] where there is one; tied: 1 where b_dec is subtracted before the encoder, else 0
//   hyper: lr/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ), β₁, β₂, ε; at: latents of the auxiliary gradients, ascending; −1 for none
//   T: the matrices' m and w are float32 as they are, or of bfloat16 two in each int32 [⌈F·d/2⌉], [⌈F·D/2⌉]
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace sae {

// ---- threads

// Parameters of dead latents become denormal, which costs a hundred times a product: flushed to 0 here, and only here.
struct FlushDenormals {
  const unsigned before = _mm_getcsr();
  FlushDenormals() { _mm_setcsr(before | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before); }
};

struct Pool {
  std::mutex entry, mutex;
  std::condition_variable wake, done;
  int threads = 1, started = 0, helping = 0, running = 0;
  uint64_t round = 0;
  const std::function<void(int)> *body = nullptr;
  int blocks = 0;
  std::atomic<int> next{0};
  std::exception_ptr failure; // the first block's that failed, which is for want of memory

  void work() {
    FlushDenormals flush;
    try {
      for (int b; (b = next.fetch_add(1)) < blocks;) (*body)(b);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }
  void helper(int number, uint64_t seen) {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      wake.wait(lock, [&] { return round != seen; });
      seen = round;
      if (number >= helping) continue;
      lock.unlock();
      work();
      lock.lock();
      if (--running == 0) done.notify_one();
    }
  }
  void start(int wanted) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main thread's
    try {
      for (; started < wanted; started++) std::thread(&Pool::helper, this, started, round).detach();
    } catch (const std::system_error &) {
      // no more threads to be had: those that run do the work
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
};

// Never destroyed: its threads wait until the process ends.
static Pool &pool() {
  static Pool *one = new Pool;
  return *one;
}

static void setThreads(int threads) {
  std::lock_guard<std::mutex> one(pool().entry);
  pool().threads = std::max(1, threads);
}

// body(0) … body(blocks − 1), each once, on any thread.
static void parallel(int blocks, const std::function<void(int)> &body) {
  Pool &p = pool();
  std::lock_guard<std::mutex> one(p.entry);
  const int wanted = std::min(p.threads, blocks) - 1;
  if (wanted > p.started) p.start(wanted);
  {
    std::lock_guard<std::mutex> lock(p.mutex);
    p.body = &body;
    p.blocks = blocks;
    p.next = 0;
    p.failure = nullptr;
    p.helping = p.running = std::max(0, std::min(wanted, p.started));
    p.round++;
  }
  if (p.helping) p.wake.notify_all();
  p.work();
  std::unique_lock<std::mutex> lock(p.mutex);
  p.done.wait(lock, [&] { return p.running == 0; });
  if (p.failure) std::rethrow_exception(p.failure);
}

// Rows or latents [0, count) in at most `most` blocks: body(block, from, to).
struct Blocks {
  int64_t size;
  int number;
  Blocks(int64_t count, int64_t most) : size(std::max<int64_t>(1, (count + most - 1) / most)), number(int((count + size - 1) / size)), count_(count) {}
  void run(const std::function<void(int, int64_t, int64_t)> &body) const {
    parallel(number, [&](int b) { body(b, b * size, std::min(count_, (b + 1) * size)); });
  }

 private:
  int64_t count_;
};
constexpr int64_t BLOCKS = 128;

// ---- rows of floats

using Row = float *__restrict;
using Const = const float *__restrict;

#if defined(__AVX512F__)
constexpr int WIDTH = 16, PIECES = 4;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int WIDTH = 8, PIECES = 2;
#else
#error "The fused ops are for x86-64-v3 processors: AVX2 and FMA"
#endif
typedef float Lanes __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));

static inline Lanes load(const float *from) { return *reinterpret_cast<const Lanes *>(from); }

// y += a₀r₀ + a₁r₁ + a₂r₂ + a₃r₃: four rows at a time, as loading and storing y would cost as much as the products.
static void add4(Row y, const float *a, const float *const *r, int64_t d) {
  Const r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];
  const float a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
  for (int64_t j = 0; j < d; j++) y[j] += (a0 * r0[j] + a1 * r1[j]) + (a2 * r2[j] + a3 * r3[j]);
}
static void add(Row y, float a, Const r, int64_t d) {
  for (int64_t j = 0; j < d; j++) y[j] += a * r[j];
}
// Σ over `count` rows a[i]·r[i] added to y.
static void addRows(Row y, const float *a, const float *const *r, int64_t count, int64_t d) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) add4(y, a + i, r + i, d);
  for (; i < count; i++) add(y, a[i], r[i], d);
}
static float dot(Const x, Const y, int64_t d) {
  float sum = 0;
  for (int64_t j = 0; j < d; j++) sum += x[j] * y[j];
  return sum;
}
static void dot4(float *out, Const x, const float *const *r, int64_t d) {
  Const r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];
  float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int64_t j = 0; j < d; j++) {
    s0 += x[j] * r0[j];
    s1 += x[j] * r1[j];
    s2 += x[j] * r2[j];
    s3 += x[j] * r3[j];
  }
  out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
}

// ---- top-k

// Order of int32 = order of floats; its own inverse. NaN is above infinity or below −infinity, by its sign.
static inline int32_t ordered(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

static inline Ints keysOf(Const pre, Const bias) {
  const Ints bits = reinterpret_cast<Ints>(load(pre) + load(bias));
  return bits ^ ((bits >> 31) & 0x7fffffff);
}
static inline int32_t keyOf(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, 4);
  return ordered(bits);
}

// One bit a lane: key ≥ bound. Of 16 bits, as GCC 12 spills a mask register by 16 bits even where 32 are read back.
static inline uint16_t reaching(Ints keys, int32_t bound) {
#if defined(__AVX512F__)
  return _mm512_cmpge_epi32_mask(reinterpret_cast<__m512i>(keys), _mm512_set1_epi32(bound));
#else
  return ~_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(bound), reinterpret_cast<__m256i>(keys)))) & 0xff;
#endif
}

static inline float floatOf(int32_t key) {
  const int32_t bits = ordered(key);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// One bit a lane: value ≥ bound, or either is NaN. As keys, −0 is below 0 and a negative NaN below all: a few more pass here.
static inline uint16_t notBelow(Lanes values, float bound) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(reinterpret_cast<__m512>(values), _mm512_set1_ps(bound), _CMP_NLT_UQ);
#else
  return uint16_t(_mm256_movemask_ps(_mm256_cmp_ps(reinterpret_cast<__m256>(values), _mm256_set1_ps(bound), _CMP_NLT_UQ)));
#endif
}

constexpr int GROUPS = 512;

// How many of the keys [count], a multiple of WIDTH, reach a bound.
static inline int64_t reached(const int32_t *keys, int64_t count, int32_t bound) {
  int64_t sum = 0;
  for (int64_t c = 0; c < count; c += WIDTH) sum += __builtin_popcount(reaching(*reinterpret_cast<const Ints *>(keys + c), bound));
  return sum;
}

// A bound that at least k of the keys reach, and at most `enough` unless more are equal: by bisection.
static int32_t boundOf(const int32_t *keys, int64_t count, int k, int64_t enough) {
  Ints least = *reinterpret_cast<const Ints *>(keys), most = least;
  for (int64_t c = WIDTH; c < count; c += WIDTH) {
    const Ints some = *reinterpret_cast<const Ints *>(keys + c);
    least = some < least ? some : least;
    most = some > most ? some : most;
  }
  int64_t low = least[0], high = most[0];
  for (int lane = 1; lane < WIDTH; lane++) {
    low = std::min<int64_t>(low, least[lane]);
    high = std::max<int64_t>(high, most[lane]);
  }
  high++;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    const int64_t reach = reached(keys, count, int32_t(middle));
    if (reach < k) {
      high = middle;
    } else {
      low = middle;
      if (reach <= enough) break;
    }
  }
  return int32_t(low);
}

// What is left of a row's columns, by ascending index: a later column that equals the k-th largest so far comes too late.
struct Candidates {
  int32_t *keys, *columns; // [limit] each
  int64_t count = 0;
  int32_t bound = std::numeric_limits<int32_t>::min(); // keys below it are not among the k

  static int64_t limit(int k) { return (2 * int64_t(k) + 192 + WIDTH - 1) / WIDTH * WIDTH; }

  // Keeps the k best.
  void reduce(int k) {
    if (count <= k) return;
    const int64_t padded = (count + WIDTH - 1) / WIDTH * WIDTH;
    std::fill(keys + count, keys + padded, std::numeric_limits<int32_t>::min());
    const int32_t least = boundOf(keys, padded, k, k);
    int64_t reach = reached(keys, padded, least), kept = 0; // more than k only where the last ones are equal
    if (least == std::numeric_limits<int32_t>::min()) reach = count;
    int64_t equal = std::numeric_limits<int64_t>::max();
    if (reach > k) equal = k - reached(keys, padded, least + 1);
    for (int64_t c = 0; c < count; c++) {
      const int32_t key = keys[c];
      keys[kept] = key;
      columns[kept] = columns[c];
      const bool last = reach > k && key == least;
      kept += key >= least && (!last || equal > 0);
      equal -= last;
    }
    count = kept;
    int32_t smallest = keys[0];
    for (int64_t c = 1; c < count; c++) smallest = std::min(smallest, keys[c]);
    bound = std::max(bound, smallest == std::numeric_limits<int32_t>::max() ? smallest : smallest + 1);
  }

  // Of the columns first … that reach the bound. → the bound, which rises when there is no room for more
  float keepLanes(Lanes some, float least, int64_t first, int k) {
    uint16_t mask = notBelow(some, least);
    if (!mask) return least;
    if (count + WIDTH > limit(k)) {
      reduce(k);
      least = floatOf(bound);
      mask = notBelow(some, least);
    }
    const Ints bits = reinterpret_cast<Ints>(some), all = bits ^ ((bits >> 31) & 0x7fffffff);
#if defined(__AVX512F__)
    const __m512i lanes = _mm512_add_epi32(_mm512_set1_epi32(int32_t(first)), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    _mm512_storeu_si512(keys + count, _mm512_maskz_compress_epi32(mask, reinterpret_cast<__m512i>(all)));
    _mm512_storeu_si512(columns + count, _mm512_maskz_compress_epi32(mask, lanes));
    count += __builtin_popcount(mask);
#else
    for (; mask; mask = uint16_t(mask & (mask - 1))) {
      const int lane = __builtin_ctz(mask);
      keep(all[lane], first + lane);
    }
#endif
    return least;
  }

  void keep(int32_t key, int64_t column) {
    keys[count] = key;
    columns[count++] = int32_t(column);
  }

  // Columns first … first + size − 1 of a row of pre + bias.
  void offer(Const pre, Const bias, int64_t size, int64_t first, int k) {
    if (count == 0 && size >= 2 * GROUPS && 2 * k <= GROUPS) {
      int32_t maxima[GROUPS];
      std::fill(maxima, maxima + GROUPS, std::numeric_limits<int32_t>::min());
      for (int64_t from = 0; from + GROUPS <= size; from += GROUPS) {
        for (int64_t c = 0; c < GROUPS; c += WIDTH) {
          Ints &most = *reinterpret_cast<Ints *>(maxima + c);
          const Ints some = keysOf(pre + from + c, bias + from + c);
          most = some > most ? some : most;
        }
      }
      bound = boundOf(maxima, GROUPS, k, k + k / 2); // columns after the last whole round of groups can only be more
    }
    int64_t at = 0;
    float least = floatOf(bound);
    for (; at + 4 * WIDTH <= size; at += 4 * WIDTH) { // few columns pass: one test for several registers
      Lanes some[4];
      int any = 0;
#pragma GCC unroll 4
      for (int q = 0; q < 4; q++) {
        some[q] = load(pre + at + q * WIDTH) + load(bias + at + q * WIDTH);
        any |= notBelow(some[q], least);
      }
      if (!any) continue;
#pragma GCC unroll 4
      for (int q = 0; q < 4; q++) least = keepLanes(some[q], least, first + at + q * WIDTH, k);
    }
    for (; at + WIDTH <= size; at += WIDTH) least = keepLanes(load(pre + at) + load(bias + at), least, first + at, k);
    if (count + WIDTH > limit(k)) reduce(k);
    for (; at < size; at++) {
      const int32_t key = keyOf(pre[at] + bias[at]);
      if (key >= bound) keep(key, first + at);
    }
  }

  // The k largest in order, after ReLU. Each goes behind those that are larger, and behind equal ones before it.
  void finish(int k, Row v, int32_t *__restrict i) {
    reduce(k);
    const auto put = [&](int64_t place, int32_t key, int32_t column) {
      const int32_t bits = ordered(key);
      float value;
      std::memcpy(&value, &bits, 4);
      v[place] = value < 0 ? 0.0f : value; // NaN stays NaN
      i[place] = column;
    };
    if (k > 64) {
      std::vector<std::pair<int32_t, int32_t>> pairs(k);
      for (int j = 0; j < k; j++) pairs[j] = {keys[j], columns[j]};
      std::stable_sort(pairs.begin(), pairs.end(), [](const auto &a, const auto &b) { return a.first > b.first; });
      for (int j = 0; j < k; j++) put(j, pairs[j].first, pairs[j].second);
      return;
    }
    const int64_t padded = (k + WIDTH - 1) / WIDTH * WIDTH;
    std::fill(keys + k, keys + padded, std::numeric_limits<int32_t>::min());
    std::fill(i, i + k, -1);
    for (int j = 0; j < k; j++) {
      int64_t place = keys[j] == std::numeric_limits<int32_t>::max() ? 0 : reached(keys, padded, keys[j] + 1);
      while (i[place] >= 0) place++;
      put(place, keys[j], columns[j]);
    }
  }
};

static void topK(const float *pre, const float *bias, int64_t n, int64_t F, int k, float *v, int32_t *i) {
  Blocks(n, BLOCKS).run([=](int, int64_t from, int64_t to) {
    std::vector<int32_t> kept(2 * Candidates::limit(k));
    for (int64_t b = from; b < to; b++) {
      Candidates row{kept.data(), kept.data() + Candidates::limit(k)};
      row.offer(pre + b * F, bias, F, 0, k);
      row.finish(k, v + b * k, i + b * k);
    }
  });
}

// The largest of each group of F/k neighbours after ReLU, the first of equal ones.
static void groupMax(const float *pre, const float *bias, int64_t n, int64_t F, int k, float *v, int32_t *i) {
  const int64_t size = F / k;
  Blocks(n, BLOCKS).run([=](int, int64_t from, int64_t to) {
    std::vector<int32_t> kept(size + WIDTH);
    int32_t *const keys = kept.data();
    for (int64_t b = from; b < to; b++) {
      for (int64_t group = 0; group < k; group++) {
        Const values = pre + b * F + group * size, offsets = bias + group * size;
        Ints most = Ints{} + std::numeric_limits<int32_t>::min();
        int64_t f = 0;
        for (; f + WIDTH <= size; f += WIDTH) {
          const Ints some = keysOf(values + f, offsets + f);
          *reinterpret_cast<Ints *>(keys + f) = some;
          most = some > most ? some : most;
        }
        int32_t largest = std::numeric_limits<int32_t>::min();
        for (int lane = 0; lane < WIDTH; lane++) largest = std::max(largest, most[lane]);
        for (; f < size; f++) largest = std::max(largest, keys[f] = keyOf(values[f] + offsets[f]));
        int64_t best = 0;
        while (keys[best] != largest) best++;
        const float value = values[best] + offsets[best];
        v[b * k + group] = value < 0 ? 0.0f : value; // NaN stays NaN
        i[b * k + group] = int32_t(group * size + best);
      }
    }
  });
}

// ---- encoder product and top-k in one

constexpr int TILE = 6;                 // rows whose sums are in registers at a time, with PANEL latents each
constexpr int PANEL = WIDTH * PIECES;   // latents side by side
constexpr int64_t STRIP = 1024;         // latents whose pre-activations of some rows are in the cache, to be offered
constexpr int64_t STRIP_ROWS = 8 * TILE;
constexpr int64_t AHEAD = 12;           // columns of a panel that are fetched before they are needed

// A square of WIDTH × WIDTH floats, transposed: off-diagonal halves, quarters … change places.
static inline void transpose(Lanes (&rows)[WIDTH]) {
#pragma GCC unroll 4
  for (int s = WIDTH / 2; s; s /= 2) {
    Ints upper, lower;
    for (int lane = 0; lane < WIDTH; lane++) {
      upper[lane] = lane & s ? WIDTH + lane - s : lane;
      lower[lane] = lane & s ? WIDTH + lane : lane + s;
    }
#pragma GCC unroll 16
    for (int r = 0; r < WIDTH; r++) {
      if (r & s) continue;
      const Lanes a = rows[r], b = rows[r + s];
      rows[r] = __builtin_shuffle(a, b, upper);
      rows[r + s] = __builtin_shuffle(a, b, lower);
    }
  }
}

// W_enc's rows from … from + PANEL − 1 as columns [d, PANEL]; zeros beyond F.
static void packPanel(const float *wEnc, int64_t from, int64_t F, int64_t d, float *panel) {
  for (int64_t f = 0; f < PANEL; f += WIDTH) {
    int64_t j = 0;
    if (from + f + WIDTH <= F) {
      for (; j + WIDTH <= d; j += WIDTH) {
        Lanes rows[WIDTH];
        for (int r = 0; r < WIDTH; r++) rows[r] = load(wEnc + (from + f + r) * d + j);
        transpose(rows);
        for (int r = 0; r < WIDTH; r++) *reinterpret_cast<Lanes *>(panel + (j + r) * PANEL + f) = rows[r];
      }
    }
    for (; j < d; j++)
      for (int64_t r = f; r < f + WIDTH; r++) panel[j * PANEL + r] = from + r < F ? wEnc[(from + r) * d + j] : 0.0f;
  }
}

// x [TILE, d] · panel [d, PANEL] → out, rows `stride` apart. Each sum runs over j in order, whatever the threads and blocks.
static void multiplyTile(Const x, Const panel, int64_t d, Row out, int64_t stride) {
  Lanes sum[TILE][PIECES] = {};
  for (int64_t j = 0; j < d; j++) {
    Lanes w[PIECES];
#pragma GCC unroll 4
    for (int p = 0; p < PIECES; p++) __builtin_prefetch(panel + (j + AHEAD) * PANEL + p * WIDTH); // a panel of wide rows lies beyond the first cache
#pragma GCC unroll 4
    for (int p = 0; p < PIECES; p++) w[p] = load(panel + j * PANEL + p * WIDTH);
#pragma GCC unroll 6
    for (int r = 0; r < TILE; r++) {
      const Lanes value = x[r * d + j] - Lanes{};
#pragma GCC unroll 4
      for (int p = 0; p < PIECES; p++) sum[r][p] += value * w[p];
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < TILE; r++)
#pragma GCC unroll 4
    for (int p = 0; p < PIECES; p++) *reinterpret_cast<Lanes *>(out + r * stride + p * WIDTH) = sum[r][p];
}

// pre is never whole: a strip of it for some rows is made and offered to these rows' candidates while it is in the cache.
static void encodeTopK(const float *x, const float *wEnc, const float *bEnc, int64_t n, int64_t d, int64_t F, int k, float *v, int32_t *i) {
  const int64_t strips = (F + STRIP - 1) / STRIP, limit = Candidates::limit(k);
  const int64_t panels = (std::min(F, STRIP) + PANEL - 1) / PANEL;
  thread_local std::vector<float> packed; // two strips: the next one is packed while this one is multiplied
  packed.resize(2 * panels * PANEL * d);
  std::vector<int32_t> kept(2 * n * limit);
  std::vector<Candidates> rows;
  for (int64_t b = 0; b < n; b++) rows.push_back({&kept[2 * b * limit], &kept[(2 * b + 1) * limit]});
  float *const strip[2] = {packed.data(), packed.data() + panels * PANEL * d};
  const auto pack = [&](int64_t s, int64_t p) {
    const int64_t from = s * STRIP + p * PANEL;
    if (from < F) packPanel(wEnc, from, F, d, strip[s % 2] + p * PANEL * d);
  };
  const auto multiply = [&](int64_t s, int64_t from, int64_t to) {
    const int64_t first = s * STRIP, columns = std::min(STRIP, F - first);
    thread_local std::vector<float> pre, tail;
    pre.resize(STRIP_ROWS * STRIP);
    const int64_t whole = (to - from) / TILE * TILE;
    if (from + whole < to) { // rows of zeros make up the last tile
      tail.assign(TILE * d, 0.0f);
      std::copy(x + (from + whole) * d, x + to * d, tail.begin());
    }
    for (int64_t p = 0; p * PANEL < columns; p++)
      for (int64_t b = 0; b < to - from; b += TILE)
        multiplyTile(b < whole ? x + (from + b) * d : tail.data(), strip[s % 2] + p * PANEL * d, d, &pre[b * STRIP + p * PANEL], STRIP);
    for (int64_t b = from; b < to; b++) {
      rows[b].offer(&pre[(b - from) * STRIP], bEnc + first, columns, first, k);
      if (s == strips - 1) rows[b].finish(k, v + b * k, i + b * k);
      else if (rows[b].count > 2 * k) rows[b].reduce(k);
    }
  };
  const int64_t blocks = (n + STRIP_ROWS - 1) / STRIP_ROWS;
  parallel(int(panels), [&](int p) { pack(0, p); });
  for (int64_t s = 0; s < strips; s++) {
    const int64_t packing = s + 1 < strips ? panels : 0;
    parallel(int(packing + blocks), [&](int task) {
      if (task < packing) return pack(s + 1, task);
      const int64_t from = (task - packing) * STRIP_ROWS;
      multiply(s, from, std::min(n, from + STRIP_ROWS));
    });
  }
}

} // namespace sae

#include "half.h"

namespace sae {

// ---- decoding

struct Batch {
  int64_t n, d, D, F, L;
  int k;
  const float *x, *v;
  const int32_t *i, *levels; // levels: none where L is 1
  int64_t level(int64_t pair) const { return levels ? levels[pair] : 0; }
};

// Sums a block makes, added up in the blocks' order: [blocks, d].
static void sumBlocks(const std::vector<float> &parts, int blocks, int64_t d, std::vector<double> &sum) {
  sum.assign(d, 0.0);
  for (int b = 0; b < blocks; b++)
    for (int64_t j = 0; j < d; j++) sum[j] += parts[b * d + j];
}

// V = Σ‖x − x̄‖².
static double variance(const float *x, int64_t n, int64_t d) {
  const Blocks rows(n, BLOCKS);
  std::vector<float> parts(rows.number * d, 0.0f);
  rows.run([&](int b, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) add(&parts[b * d], 1.0f, x + r * d, d);
  });
  std::vector<double> sum;
  sumBlocks(parts, rows.number, d, sum);
  std::vector<float> mean(d);
  for (int64_t j = 0; j < d; j++) mean[j] = float(sum[j] / n);
  std::vector<double> squares(rows.number, 0.0);
  rows.run([&](int b, int64_t from, int64_t to) {
    for (int64_t r = from; r < to; r++) {
      float square = 0;
      for (int64_t j = 0; j < d; j++) square += (x[r * d + j] - mean[j]) * (x[r * d + j] - mean[j]);
      squares[b] += square;
    }
  });
  double total = 0;
  for (double square : squares) total += square;
  return total;
}

static void decode(
    const Batch &batch, const float *t, const float *y, const float *weights, const float *wDec, float *e, float *g, float *eSum, float *stats) {
  const int64_t n = batch.n, D = batch.D, L = batch.L;
  const int k = batch.k;
  const double V = variance(y, n, D);
  const Blocks rows(n, BLOCKS);
  std::vector<float> parts(rows.number * D, 0.0f);
  std::vector<double> squares(rows.number * L, 0.0);
  rows.run([&](int block, int64_t from, int64_t to) {
    std::vector<const float *> chosen(k); // of a row's pairs that are not 0, by level
    std::vector<float> amounts(k), slopes(k);
    std::vector<int> place(k), start(L + 1);
    for (int64_t b = from; b < to; b++) {
      float *const errors = e + b * L * D, *const slope = g + b * k;
      std::fill(start.begin(), start.end(), 0);
      for (int64_t l = 0, count = 0; l < L; l++) {
        for (int j = 0; j < k; j++) {
          const int64_t p = b * k + j;
          if (batch.v[p] == 0 || batch.level(p) != l) continue;
          chosen[count] = wDec + batch.i[p] * D;
          amounts[count] = batch.v[p];
          place[count++] = j;
        }
        start[l + 1] = int(count);
      }
      for (int64_t l = 0; l < L; l++) {
        float *const error = errors + l * D;
        if (l) std::copy(error - D, error, error);
        else for (int64_t c = 0; c < D; c++) error[c] = -t[b * D + c];
        addRows(error, amounts.data() + start[l], chosen.data() + start[l], start[l + 1] - start[l], D);
        float square = 0;
        for (int64_t c = 0; c < D; c++) square += error[c] * error[c];
        squares[block * L + l] += square;
      }
      for (int64_t l = L - 1; l >= 0; l--) {
        float *const error = errors + l * D;
        const float scale = float(2 * weights[l] / V);
        for (int64_t c = 0; c < D; c++) error[c] *= scale;
        if (l + 1 < L) add(error, 1.0f, error + D, D);
        int q = start[l];
        for (; q + 4 <= start[l + 1]; q += 4) dot4(&slopes[q], error, &chosen[q], D);
        for (; q < start[l + 1]; q++) slopes[q] = dot(error, chosen[q], D);
      }
      std::fill(slope, slope + k, 0.0f);
      for (int q = 0; q < start[L]; q++) slope[place[q]] = amounts[q] > 0 ? slopes[q] : 0.0f;
      add(&parts[block * D], 1.0f, errors, D);
    }
  });
  for (int64_t l = 0; l < L; l++) {
    double total = 0;
    for (int block = 0; block < rows.number; block++) total += squares[block * L + l];
    stats[l] = float(total / V);
  }
  stats[L] = float(V);
  std::vector<double> sum;
  sumBlocks(parts, rows.number, D, sum);
  for (int64_t c = 0; c < D; c++) eSum[c] = float(sum[c]);
}

// ---- gradients

// Pairs (row, place) sorted by their latent, rows ascending within one. Values of 0 add nothing and are left out; NaN is not.
struct Pairs {
  std::vector<int64_t> start; // [F + 1]
  std::vector<int32_t> row, error; // of x, and of e: the pair's level in that row
  std::vector<float> v, g;

  Pairs(const Batch &batch, const float *slope) : start(batch.F + 1, 0) {
    const int64_t count = batch.n * batch.k;
    const auto takesPart = [&](int64_t p) { return !(batch.v[p] == 0); };
    for (int64_t p = 0; p < count; p++) start[batch.i[p] + 1] += takesPart(p);
    for (int64_t f = 0; f < batch.F; f++) start[f + 1] += start[f];
    row.resize(start[batch.F]);
    error.resize(row.size());
    v.resize(row.size());
    g.resize(row.size());
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t b = 0, p = 0; b < batch.n; b++) {
      for (int j = 0; j < batch.k; j++, p++) {
        if (!takesPart(p)) continue;
        const int64_t at = next[batch.i[p]]++;
        row[at] = int32_t(b);
        error[at] = int32_t(b * batch.L + batch.level(p));
        v[at] = batch.v[p];
        g[at] = slope[p];
      }
    }
  }
  int64_t count(int64_t f) const { return start[f + 1] - start[f]; }
};

// ∂W_enc[f] and ∂W_dec[f] into rows that are overwritten; → ∂b_enc[f].
static float latentGradient(const Batch &batch, const Pairs &pairs, const float *e, int64_t f, float *dEnc, float *dDec) {
  const int64_t d = batch.d, D = batch.D, from = pairs.start[f], to = pairs.start[f + 1];
  std::memset(dEnc, 0, d * 4);
  std::memset(dDec, 0, D * 4);
  float dBias = 0;
  constexpr int64_t SPAN = 64;
  const float *rows[SPAN], *errors[SPAN];
  for (int64_t p = from; p < to; p += SPAN) {
    const int64_t count = std::min(SPAN, to - p);
    for (int64_t q = 0; q < count; q++) {
      rows[q] = batch.x + pairs.row[p + q] * d;
      errors[q] = e + pairs.error[p + q] * D;
      dBias += pairs.g[p + q];
    }
    addRows(dDec, &pairs.v[p], errors, count, D);
    addRows(dEnc, &pairs.g[p], rows, count, d);
  }
  return dBias;
}

// ∂b_dec = Σe − Σ_f ∂b_enc[f]·W_enc[f], the second sum given by blocks, where b_dec is tied to the rows that are read.
static void biasGradient(const float *eSum, const std::vector<float> &parts, int blocks, int64_t D, bool tied, float *dbDec) {
  std::vector<double> through(D, 0.0);
  if (tied) sumBlocks(parts, blocks, D, through);
  for (int64_t j = 0; j < D; j++) dbDec[j] = float(eSum[j] - through[j]);
}

static void gradients(
    const Batch &batch, const float *e, const float *g, const float *eSum, bool tied, const float *wEnc, float *dwEnc, float *dbEnc,
    float *dwDec, float *dbDec) {
  const int64_t d = batch.d, D = batch.D;
  const Pairs pairs(batch, g);
  const Blocks latents(batch.F, BLOCKS);
  std::vector<float> parts(latents.number * d, 0.0f);
  latents.run([&](int block, int64_t from, int64_t to) {
    for (int64_t f = from; f < to; f++) {
      dbEnc[f] = latentGradient(batch, pairs, e, f, dwEnc + f * d, dwDec + f * D);
      if (tied && dbEnc[f] != 0) add(&parts[block * d], dbEnc[f], wEnc + f * d, d);
    }
  });
  biasGradient(eSum, parts, latents.number, D, tied, dbDec);
}

// ---- update

struct Hyper {
  float rate, root, beta1, beta2, epsilon;
};
struct Auxiliary {
  int64_t m;
  const int32_t *at;
  const float *wEnc, *bEnc, *wDec;
};
// Weights or moments; of moments, T may be Brief.
template <typename T>
struct Parameters {
  T *wEnc;
  float *bEnc;
  T *wDec;
  float *bDec;
};

// The moments of the two matrices may be kept as the upper half of a float's bits (bfloat16): Adam reads and writes all of them in
// each step, and waits for memory. What is kept is rounded, what the step is made of is not. A first moment goes to the nearest. A
// second one changes by a thousandth of itself, less than the nearest shows: it goes up or down by chance, and is right on average.
// Chance is a hash of step, matrix, latent and column: neither threads nor an interruption change it.
using Brief = uint16_t;

static inline float widened(float value) { return value; }
static inline float widened(Brief value) {
  const uint32_t bits = uint32_t(value) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
// Adds `up`/65536 of the last place that is kept, and cuts. Zeros stay zeros.
static inline void keep(float &kept, float value, uint32_t) { kept = value; }
static inline void keep(Brief &kept, float value, uint32_t up) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  kept = Brief((bits + up) >> 16);
}

// Where a row's chance begins: SplitMix64's mixing.
static uint32_t seedOf(uint32_t step, int64_t row) {
  uint64_t z = (uint64_t(step) << 32 | uint64_t(row)) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return uint32_t(z >> 32);
}

template <typename T>
static inline void adam(Row theta, Const gradient, T *__restrict m, T *__restrict w, int64_t count, const Hyper &h, uint32_t seed = 0) {
  const float beta1 = h.beta1, beta2 = h.beta2, rest1 = 1 - h.beta1, rest2 = 1 - h.beta2, rate = h.rate, root = h.root, epsilon = h.epsilon;
  for (int64_t j = 0; j < count; j++) {
    const float first = beta1 * widened(m[j]) + rest1 * gradient[j];
    const float second = beta2 * widened(w[j]) + rest2 * gradient[j] * gradient[j];
    theta[j] -= rate * first / (std::sqrt(second) * root + epsilon);
    uint32_t chance = seed + uint32_t(j) * 0x9e3779b1u;
    chance = (chance ^ chance >> 15) * 0x2c1b3c6du;
    keep(m[j], first, 0x8000);
    keep(w[j], second, chance >> 16);
  }
}

// Of a long row of many: what comes next, of the next row too, is fetched to be written, which the processor does not foresee.
template <typename T>
static void adamAhead(Row theta, Const gradient, T *m, T *w, int64_t count, const Hyper &h, uint32_t seed) {
  constexpr int64_t SPAN = 128, AHEAD = 512, LINE = 64;
  for (int64_t at = 0; at < count; at += SPAN, seed += uint32_t(SPAN) * 0x9e3779b1u) {
    for (int64_t j = at + AHEAD; j < at + AHEAD + SPAN; j += LINE / int64_t(sizeof(float))) __builtin_prefetch(theta + j, 1);
    for (int64_t j = at + AHEAD; j < at + AHEAD + SPAN; j += LINE / int64_t(sizeof(T))) {
      __builtin_prefetch(m + j, 1);
      __builtin_prefetch(w + j, 1);
    }
    if (at + SPAN <= count) adam(theta + at, gradient + at, m + at, w + at, SPAN, h, seed);
    else adam(theta + at, gradient + at, m + at, w + at, count - at, h, seed);
  }
}

template <typename T>
static void update(
    const Batch &batch, const float *e, const float *g, const float *eSum, bool tied, const Hyper &hyper, uint32_t step, const Auxiliary &aux,
    const Parameters<float> &theta, const Parameters<T> &m, const Parameters<T> &w, int32_t *counts) {
  const int64_t d = batch.d, D = batch.D;
  const Pairs pairs(batch, g);
  const Blocks latents(batch.F, BLOCKS);
  std::vector<float> parts(latents.number * d, 0.0f);
  latents.run([&](int block, int64_t from, int64_t to) {
    std::vector<float> row(d + D);
    float *const dEnc = row.data(), *const dDec = dEnc + d;
    int64_t extra = std::lower_bound(aux.at, aux.at + aux.m, int32_t(from)) - aux.at;
    for (int64_t f = from; f < to; f++) {
      float dBias = latentGradient(batch, pairs, e, f, dEnc, dDec);
      if (extra < aux.m && aux.at[extra] == f) {
        add(dEnc, 1.0f, aux.wEnc + extra * d, d);
        add(dDec, 1.0f, aux.wDec + extra * D, D);
        dBias += aux.bEnc[extra];
        extra++;
      }
      counts[f] = int32_t(pairs.count(f));
      float *const enc = theta.wEnc + f * d, *const dec = theta.wDec + f * D;
      if (tied && dBias != 0) add(&parts[block * d], dBias, enc, d);
      add(dDec, -dot(dDec, dec, D), dec, D);
      adamAhead(enc, dEnc, m.wEnc + f * d, w.wEnc + f * d, d, hyper, seedOf(step, 2 * f));
      adam(theta.bEnc + f, &dBias, m.bEnc + f, w.bEnc + f, 1, hyper);
      adamAhead(dec, dDec, m.wDec + f * D, w.wDec + f * D, D, hyper, seedOf(step, 2 * f + 1));
      const float norm = 1 / std::sqrt(dot(dec, dec, D) + 1e-30f); // a row of zeros stays one
      for (int64_t j = 0; j < D; j++) dec[j] *= norm;
    }
  });
  std::vector<float> dbDec(D);
  biasGradient(eSum, parts, latents.number, D, tied, dbDec.data());
  FlushDenormals flush;
  adam(theta.bDec, dbDec.data(), m.bDec, w.bDec, D, hyper);
}

} // namespace sae

// ---- TensorFlow

#ifndef SAE_MATHS_ALONE
#include <node_api.h>
#include <tensorflow/c/kernels.h>
#include <tensorflow/c/ops.h>
#include <tensorflow/c/tf_status.h>
#include <tensorflow/c/tf_tensor.h>

#include <initializer_list>
#include <string>

namespace {

// One call of a kernel: its inputs, checked, and its outputs. After a failure `ok` is false, and nothing may be computed.
class Call {
 public:
  explicit Call(TF_OpKernelContext *context) : context_(context), status_(TF_NewStatus()) {}
  ~Call() {
    for (TF_Tensor *tensor : held_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }
  bool ok = true;

  TF_DataType type(int number) { return TF_InputDatatype(context_, number); }

  // A dimension of −1 is taken from the tensor.
  template <typename T>
  T *input(int number, const char *name, std::initializer_list<int64_t *> dimensions) {
    TF_Tensor *tensor = nullptr;
    TF_GetInput(context_, number, &tensor, status_);
    if (TF_GetCode(status_) != TF_OK) return failed();
    held_.push_back(tensor);
    bool fits = TF_NumDims(tensor) == int(dimensions.size());
    std::string expected, found;
    int axis = 0;
    for (int64_t *dimension : dimensions) {
      const int64_t size = axis < TF_NumDims(tensor) ? TF_Dim(tensor, axis) : -1;
      if (*dimension < 0) *dimension = size;
      fits = fits && *dimension == size;
      expected += " " + std::to_string(*dimension);
      axis++;
    }
    for (axis = 0; axis < TF_NumDims(tensor); axis++) found += " " + std::to_string(TF_Dim(tensor, axis));
    if (!fits) return fail(std::string(name) + ": expected shape [" + expected + " ], found [" + found + " ]");
    return static_cast<T *>(TF_TensorData(tensor));
  }
  template <typename T>
  T *output(int number, std::initializer_list<int64_t> dimensions) {
    if (!ok) return nullptr;
    int64_t count = 1;
    for (int64_t size : dimensions) count *= size;
    TF_Tensor *tensor = TF_AllocateOutput(
        context_, number, std::is_same<T, float>::value ? TF_FLOAT : TF_INT32, dimensions.begin(), int(dimensions.size()), count * 4, status_);
    if (TF_GetCode(status_) != TF_OK) return failed();
    held_.push_back(tensor);
    return static_cast<T *>(TF_TensorData(tensor));
  }
  std::nullptr_t fail(const std::string &why, TF_Code code = TF_INVALID_ARGUMENT) {
    TF_SetStatus(status_, code, why.c_str());
    return failed();
  }

  // x [n, d] (or t [n, D]), v and i [n, k] and levels: the first four inputs of all ops that take a choice.
  sae::Batch batch(bool decoding) {
    sae::Batch all{-1, -1, -1, -1, 1, 0, nullptr, nullptr, nullptr, nullptr};
    int64_t k = -1;
    all.x = input<float>(0, decoding ? "t" : "x", {&all.n, decoding ? &all.D : &all.d});
    all.v = input<float>(1, "v", {&all.n, &k});
    all.i = input<int32_t>(2, "i", {&all.n, &k});
    all.k = int(k);
    int64_t rows = -1, columns = -1;
    all.levels = input<int32_t>(3, "levels", {&rows, &columns});
    if (rows == 1 && columns == 1) all.levels = nullptr;
    else if (ok && (rows != all.n || columns != k)) fail("levels: expected the shape of i, or [ 1 1 ]");
    return all;
  }
  void checkIndices(const sae::Batch &batch) {
    if (!ok) return;
    int bad = 0, out = 0;
    for (int64_t p = 0; p < batch.n * batch.k; p++) bad |= batch.i[p] < 0 || batch.i[p] >= batch.F;
    if (bad) fail("i: expected latents 0 to " + std::to_string(batch.F - 1));
    if (!ok || !batch.levels) return;
    for (int64_t p = 0; p < batch.n * batch.k; p++) out |= batch.levels[p] < 0 || batch.levels[p] >= batch.L;
    if (out) fail("levels: expected 0 to " + std::to_string(batch.L - 1));
  }

 private:
  std::nullptr_t failed() {
    if (ok) TF_OpKernelContext_Failure(context_, status_);
    ok = false;
    return nullptr;
  }
  TF_OpKernelContext *context_;
  TF_Status *status_;
  std::vector<TF_Tensor *> held_;
};

void topKOp(Call &call) {
  int64_t n = -1, F = -1;
  const float *pre = call.input<float>(0, "pre", {&n, &F});
  const float *bias = call.input<float>(1, "b_enc", {&F});
  const int32_t *k = call.input<int32_t>(2, "k", {});
  if (call.ok && (*k < 1 || *k > F)) call.fail("k: expected 1 to " + std::to_string(F) + ", found " + std::to_string(*k));
  if (!call.ok) return;
  float *v = call.output<float>(0, {n, *k});
  int32_t *i = call.output<int32_t>(1, {n, *k});
  if (call.ok) sae::topK(pre, bias, n, F, *k, v, i);
}

// choose(): the product that was asked for, or nullptr after a failure.
template <class Choose>
void encodeWith(Call &call, Choose choose) {
  int64_t n = -1, d = -1, F = -1;
  const float *x = call.input<float>(0, "x", {&n, &d});
  const float *wEnc = call.input<float>(1, "W_enc", {&F, &d});
  const float *bEnc = call.input<float>(2, "b_enc", {&F});
  const int32_t *k = call.input<int32_t>(3, "k", {});
  if (call.ok && (*k < 1 || *k > F)) call.fail("k: expected 1 to " + std::to_string(F) + ", found " + std::to_string(*k));
  const sae::EncodeHalf encode = call.ok ? choose() : nullptr;
  if (!call.ok) return;
  float *v = call.output<float>(0, {n, *k});
  int32_t *i = call.output<int32_t>(1, {n, *k});
  if (call.ok) encode(x, wEnc, bEnc, n, d, F, *k, v, i);
}

void encodeTopKOp(Call &call) {
  encodeWith(call, [] { return &sae::encodeTopK; });
}

void encodeTopKHalfOp(Call &call) {
  encodeWith(call, [&]() -> sae::EncodeHalf {
    const int32_t *half = call.input<int32_t>(4, "half", {});
    if (!call.ok) return nullptr;
    const int known = int(sizeof(sae::HALF_NAMES) / sizeof(sae::HALF_NAMES[0]));
    const sae::EncodeHalf encode = *half >= 0 && *half < known ? sae::halfOf(sae::HALF_NAMES[*half]) : nullptr;
    if (!encode) call.fail("half: expected a product that this processor has, found number " + std::to_string(*half));
    return encode;
  });
}

void groupMaxOp(Call &call) {
  int64_t n = -1, F = -1;
  const float *pre = call.input<float>(0, "pre", {&n, &F});
  const float *bias = call.input<float>(1, "b_enc", {&F});
  const int32_t *k = call.input<int32_t>(2, "k", {});
  if (call.ok && (*k < 1 || F % *k)) call.fail("k: expected a divisor of " + std::to_string(F) + ", found " + std::to_string(*k));
  if (!call.ok) return;
  float *v = call.output<float>(0, {n, *k});
  int32_t *i = call.output<int32_t>(1, {n, *k});
  if (call.ok) sae::groupMax(pre, bias, n, F, *k, v, i);
}

void decodeOp(Call &call) {
  sae::Batch batch = call.batch(true);
  batch.L = -1;
  const float *y = call.input<float>(4, "y", {&batch.n, &batch.D});
  const float *weights = call.input<float>(5, "weights", {&batch.L});
  const float *wDec = call.input<float>(6, "W_dec", {&batch.F, &batch.D});
  if (call.ok && (batch.L < 1 || (batch.L > 1) != (batch.levels != nullptr))) call.fail("levels: expected one for each pair where there are several weights");
  call.checkIndices(batch);
  float *e = call.output<float>(0, {batch.n, batch.L, batch.D});
  float *g = call.output<float>(1, {batch.n, batch.k});
  float *eSum = call.output<float>(2, {batch.D});
  float *stats = call.output<float>(3, {batch.L + 1});
  if (call.ok) sae::decode(batch, batch.x, y, weights, wDec, e, g, eSum, stats);
}

struct Errors {
  const float *e, *g, *sum;
  bool tied;
};
Errors errorsOf(Call &call, sae::Batch &batch) {
  int64_t k = batch.k;
  batch.L = -1;
  const float *e = call.input<float>(4, "e", {&batch.n, &batch.L, &batch.D}), *g = call.input<float>(5, "g", {&batch.n, &k});
  const float *sum = call.input<float>(6, "sum of e", {&batch.D});
  const int32_t *tied = call.input<int32_t>(7, "tied", {});
  if (call.ok && (batch.L > 1) != (batch.levels != nullptr)) call.fail("levels: expected one for each pair where e has several");
  if (call.ok && *tied && batch.d != batch.D) call.fail("tied: expected rows of one width, in and out");
  return {e, g, sum, call.ok && *tied != 0};
}

void gradsOp(Call &call) {
  sae::Batch batch = call.batch(false);
  const Errors errors = errorsOf(call, batch);
  const float *wEnc = call.input<float>(8, "W_enc", {&batch.F, &batch.d});
  call.checkIndices(batch);
  float *dwEnc = call.output<float>(0, {batch.F, batch.d});
  float *dbEnc = call.output<float>(1, {batch.F});
  float *dwDec = call.output<float>(2, {batch.F, batch.D});
  float *dbDec = call.output<float>(3, {batch.D});
  if (call.ok) sae::gradients(batch, errors.e, errors.g, errors.sum, errors.tied, wEnc, dwEnc, dbEnc, dwDec, dbDec);
}

template <typename T>
sae::Parameters<T> setOf(Call &call, int number, const char *name, sae::Batch &batch) {
  const auto matrix = [&](int at, int64_t width) {
    int64_t pairs = (batch.F * width + 1) / 2;
    return std::is_same<T, float>::value ? call.input<T>(at, name, {&batch.F, &width}) : call.input<T>(at, name, {&pairs});
  };
  return {matrix(number, batch.d), call.input<float>(number + 1, name, {&batch.F}), matrix(number + 2, batch.D), call.input<float>(number + 3, name, {&batch.D})};
}

template <typename T>
void updateOf(Call &call) {
  sae::Batch batch = call.batch(false);
  const Errors errors = errorsOf(call, batch);
  int64_t five = 5;
  const float *h = call.input<float>(8, "hyper", {&five});
  const int32_t *step = call.input<int32_t>(9, "t", {});
  sae::Auxiliary aux{-1, nullptr, nullptr, nullptr, nullptr};
  aux.at = call.input<int32_t>(10, "at", {&aux.m});
  aux.wEnc = call.input<float>(11, "auxiliary gradient of W_enc", {&aux.m, &batch.d});
  aux.bEnc = call.input<float>(12, "auxiliary gradient of b_enc", {&aux.m});
  aux.wDec = call.input<float>(13, "auxiliary gradient of W_dec", {&aux.m, &batch.D});
  const sae::Parameters<float> theta = setOf<float>(call, 14, "weights", batch);
  const sae::Parameters<T> m = setOf<T>(call, 18, "first moments", batch), w = setOf<T>(call, 22, "second moments", batch);
  call.checkIndices(batch);
  if (call.ok && !(aux.m == 1 && aux.at[0] == -1)) {
    bool right = true;
    for (int64_t q = 0; q < aux.m; q++) right = right && aux.at[q] < batch.F && aux.at[q] > (q ? aux.at[q - 1] : -1);
    if (!right) call.fail("at: expected ascending latents below " + std::to_string(batch.F) + ", or -1 alone");
  }
  int32_t *counts = call.output<int32_t>(0, {batch.F});
  if (call.ok) sae::update(batch, errors.e, errors.g, errors.sum, errors.tied, {h[0], h[1], h[2], h[3], h[4]}, uint32_t(*step), aux, theta, m, w, counts);
}

void updateOp(Call &call) {
  if (call.type(18) == TF_FLOAT) updateOf<float>(call);
  else updateOf<sae::Brief>(call);
}

using Names = std::initializer_list<const char *>;

template <void (*compute)(Call &)>
void kernelOf(void *, TF_OpKernelContext *context) {
  Call call(context);
  try {
    compute(call);
  } catch (const std::bad_alloc &) { // no exception may reach TensorFlow's frames
    call.fail("not enough memory", TF_RESOURCE_EXHAUSTED);
  }
}

template <void (*compute)(Call &)>
void add(const char *name, Names inputs, Names outputs, TF_Status *status, const char *attribute = nullptr) {
  if (TF_GetCode(status) != TF_OK) return;
  TF_OpDefinitionBuilder *op = TF_NewOpDefinitionBuilder(name);
  if (attribute) TF_OpDefinitionBuilderAddAttr(op, attribute);
  for (const char *spec : inputs) TF_OpDefinitionBuilderAddInput(op, spec);
  for (const char *spec : outputs) TF_OpDefinitionBuilderAddOutput(op, spec);
  TF_OpDefinitionBuilderSetIsStateful(op, true); // tensors change in place: no result may be taken from an earlier call
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, &TF_ShapeInferenceContextSetUnknownShape);
  TF_RegisterOpDefinition(op, status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_KernelBuilder *kernel = TF_NewKernelBuilder(name, "CPU", nullptr, &kernelOf<compute>, nullptr);
  TF_RegisterKernelBuilder(name, kernel, status);
}

// Once for the process, whichever of its threads loads the file first. → why it failed, or nothing.
const std::string &registered() {
  static const std::string why = [] {
    TF_Status *status = TF_NewStatus();
    add<topKOp>("SaeTopK", {"pre: float", "b_enc: float", "k: int32"}, {"v: float", "i: int32"}, status);
    add<encodeTopKOp>("SaeEncodeTopK", {"x: float", "w_enc: float", "b_enc: float", "k: int32"}, {"v: float", "i: int32"}, status);
    add<encodeTopKHalfOp>("SaeEncodeTopKHalf", {"x: float", "w_enc: float", "b_enc: float", "k: int32", "half: int32"}, {"v: float", "i: int32"}, status);
    add<groupMaxOp>("SaeGroupMax", {"pre: float", "b_enc: float", "k: int32"}, {"v: float", "i: int32"}, status);
    add<decodeOp>("SaeDecode", {"t: float", "v: float", "i: int32", "levels: int32", "y: float", "weights: float", "w_dec: float"},
        {"e: float", "g: float", "e_sum: float", "stats: float"}, status);
    add<gradsOp>("SaeGrads",
        {"x: float", "v: float", "i: int32", "levels: int32", "e: float", "g: float", "e_sum: float", "tied: int32", "w_enc: float"},
        {"dw_enc: float", "db_enc: float", "dw_dec: float", "db_dec: float"}, status);
    add<updateOp>("SaeUpdate",
        {"x: float", "v: float", "i: int32", "levels: int32", "e: float", "g: float", "e_sum: float", "tied: int32", "hyper: float",
         "t: int32", "at: int32", "aux_w_enc: float", "aux_b_enc: float", "aux_w_dec: float", "w_enc: float", "b_enc: float", "w_dec: float",
         "b_dec: float", "m_w_enc: T", "m_b_enc: float", "m_w_dec: T", "m_b_dec: float", "v_w_enc: T", "v_b_enc: float",
         "v_w_dec: T", "v_b_dec: float"},
        {"pairs: int32"}, status, "T: {float, int32}");
    std::string message = TF_GetCode(status) == TF_OK ? "" : TF_Message(status);
    TF_DeleteStatus(status);
    return message;
  }();
  return why;
}

// setThreads(count): threads of the ops, 1 at first.
napi_value setThreads(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  int32_t threads = 0;
  if (napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr) != napi_ok || count < 1 ||
      napi_get_value_int32(env, argument, &threads) != napi_ok || threads < 1) {
    napi_throw_type_error(env, nullptr, "setThreads: expected a whole number of at least 1");
    return nullptr;
  }
  sae::setThreads(threads);
  return nullptr;
}

} // namespace

NAPI_MODULE_INIT() {
  if (!registered().empty()) {
    napi_throw_error(env, nullptr, registered().c_str());
    return nullptr;
  }
  napi_value function;
  napi_create_function(env, "setThreads", NAPI_AUTO_LENGTH, setThreads, nullptr, &function);
  napi_set_named_property(env, exports, "setThreads", function);
  // halves: by number the half-precision products; those that this processor has not are empty strings.
  napi_value halves, name;
  napi_create_array(env, &halves);
  uint32_t number = 0;
  for (const char *half : sae::HALF_NAMES) {
    napi_create_string_utf8(env, sae::halfOf(half) ? half : "", NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, halves, number++, name);
  }
  napi_set_named_property(env, exports, "halves", halves);
  return exports;
}
#endif
