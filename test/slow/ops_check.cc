// The maths of src/native/ops.cc without TensorFlow, on arrays of exactly the size they must have, against plain loops in double
// precision. Built with sanitizers by ops.test.ts: a read or write beside an array, undefined behaviour or a race ends it.
#define SAE_MATHS_ALONE
#include "../../src/native/ops.cc"

#include <cstdio>
#include <cstdlib>
#include <random>

using Floats = std::vector<float>;
static std::mt19937 engine(0);
static Floats normals(int64_t count, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  Floats out(count);
  for (float &value : out) value = normal(engine);
  return out;
}
// Multiples of 1/16: their products are exact, and so are the sums, in any order.
static Floats sixteenths(int64_t count, float scale = 1) {
  Floats out = normals(count, scale);
  for (float &value : out) value = std::round(16 * value) / 16;
  return out;
}
static void expect(bool right, const char *what) {
  if (right) return;
  std::printf("wrong: %s\n", what);
  std::exit(1);
}
// max|a − b| ≤ tolerance·max|b|
static void close(const Floats &a, const std::vector<double> &b, double tolerance, const char *what) {
  double worst = 0, largest = 1e-12;
  for (size_t j = 0; j < b.size(); j++) {
    expect(std::isfinite(a[j]), what);
    worst = std::max(worst, std::abs(a[j] - b[j]));
    largest = std::max(largest, std::abs(b[j]));
  }
  if (worst > tolerance * largest) std::printf("off by %g of %g\n", worst, largest);
  expect(worst <= tolerance * largest, what);
}

static int halves = 0; // half-precision products that were checked

// L levels; of a transcoder (not tied) targets of width D.
static void check(int64_t n, int64_t d, int64_t F, int k, int64_t L, int64_t D) {
  const bool tied = D == d;
  const Floats x = sixteenths(n * d), wEnc = sixteenths(F * d, 0.3f), bEnc = sixteenths(F, 0.1f), wDec = normals(F * D), bDec = normals(D);
  const Floats y = tied ? x : normals(n * D), t = tied ? x : normals(n * D);
  Floats pre(n * F);
  for (int64_t b = 0; b < n; b++)
    for (int64_t f = 0; f < F; f++) {
      pre[b * F + f] = 0;
      for (int64_t j = 0; j < d; j++) pre[b * F + f] += x[b * d + j] * wEnc[f * d + j];
    }
  Floats v(n * k), e(n * L * D), g(n * k), eSum(D), stats(L + 1), weights = normals(L);
  std::vector<int32_t> levels(n * k);
  for (float &weight : weights) weight = std::abs(weight) + 0.1f;
  for (int32_t &level : levels) level = int32_t(engine() % L);
  std::vector<int32_t> i(n * k);
  sae::topK(pre.data(), bEnc.data(), n, F, k, v.data(), i.data());
  for (int64_t b = 0; b < n; b++) {
    std::vector<int32_t> order(F);
    for (int64_t f = 0; f < F; f++) order[f] = int32_t(f);
    const auto at = [&](int32_t f) { return pre[b * F + f] + bEnc[f]; };
    std::stable_sort(order.begin(), order.end(), [&](int32_t p, int32_t q) { return at(p) > at(q); });
    for (int j = 0; j < k; j++) expect(i[b * k + j] == order[j] && v[b * k + j] == std::max(0.0f, at(order[j])), "top-k");
  }
  Floats v2(n * k);
  std::vector<int32_t> i2(n * k);
  sae::encodeTopK(x.data(), wEnc.data(), bEnc.data(), n, d, F, k, v2.data(), i2.data());
  expect(v2 == v && i2 == i, "encoder product and top-k in one");
  for (const char *name : sae::HALF_NAMES) {
    const sae::EncodeHalf encode = sae::halfOf(name);
    if (!encode) continue;
    std::fill(i2.begin(), i2.end(), -1);
    encode(x.data(), wEnc.data(), bEnc.data(), n, d, F, k, v2.data(), i2.data());
    expect(v2 == v && i2 == i, name);
    halves++;
  }

  if (F % k == 0) {
    Floats most(n * k);
    std::vector<int32_t> first(n * k);
    sae::groupMax(pre.data(), bEnc.data(), n, F, k, most.data(), first.data());
    for (int64_t p = 0; p < n * k; p++) {
      const int64_t b = p / k, from = p % k * (F / k);
      int64_t best = from;
      for (int64_t f = from; f < from + F / k; f++)
        if (pre[b * F + f] + bEnc[f] > pre[b * F + best] + bEnc[best]) best = f;
      expect(first[p] == best && most[p] == std::max(0.0f, pre[b * F + best] + bEnc[best]), "group maximum");
    }
  }

  sae::Batch batch{n, d, D, F, L, k, x.data(), v.data(), i.data(), L > 1 ? levels.data() : nullptr};
  sae::decode(batch, t.data(), y.data(), weights.data(), wDec.data(), e.data(), g.data(), eSum.data(), stats.data());
  std::vector<double> mean(D, 0), wantE(n * L * D), wantG(n * k), wantSum(D, 0), wantStats(L + 1, 0);
  double &V = wantStats[L];
  for (int64_t p = 0; p < n * D; p++) mean[p % D] += y[p] / double(n);
  for (int64_t p = 0; p < n * D; p++) V += (y[p] - mean[p % D]) * (y[p] - mean[p % D]);
  const auto levelOf = [&](int64_t pair) { return L > 1 ? levels[pair] : 0; };
  for (int64_t b = 0; b < n; b++) {
    for (int64_t j = 0; j < D; j++) {
      for (int64_t l = 0; l < L; l++) {
        double error = -t[b * D + j];
        for (int q = 0; q < k; q++)
          if (levelOf(b * k + q) <= l) error += double(v[b * k + q]) * wDec[i[b * k + q] * D + j];
        wantStats[l] += error * error / V;
        for (int64_t m = 0; m <= l; m++) wantE[(b * L + m) * D + j] += weights[l] * error * 2 / V;
      }
      wantSum[j] += wantE[b * L * D + j];
    }
    for (int q = 0; q < k; q++)
      for (int64_t j = 0; j < D; j++)
        if (v[b * k + q] > 0) wantG[b * k + q] += wantE[(b * L + levelOf(b * k + q)) * D + j] * wDec[i[b * k + q] * D + j];
  }
  close(e, wantE, 1e-5, "e");
  close(g, wantG, 1e-5, "g");
  close(eSum, wantSum, 1e-4, "sum of e");
  close(stats, wantStats, 1e-5, "losses and variance");

  std::vector<double> wantEnc(F * d, 0), wantBias(F, 0), wantDec(F * D, 0), wantB(wantSum);
  for (int64_t p = 0; p < n * k; p++) {
    const int64_t f = i[p], b = p / k;
    wantBias[f] += g[p];
    for (int64_t j = 0; j < d; j++) {
      wantEnc[f * d + j] += double(g[p]) * x[b * d + j];
      if (tied) wantB[j] -= double(g[p]) * wEnc[f * d + j];
    }
    for (int64_t j = 0; j < D; j++) wantDec[f * D + j] += double(v[p]) * e[(b * L + levelOf(p)) * D + j];
  }
  Floats dwEnc(F * d), dbEnc(F), dwDec(F * D), dbDec(D);
  sae::gradients(batch, e.data(), g.data(), eSum.data(), tied, wEnc.data(), dwEnc.data(), dbEnc.data(), dwDec.data(), dbDec.data());
  close(dwEnc, wantEnc, 1e-4, "gradient of W_enc");
  close(dbEnc, wantBias, 1e-4, "gradient of b_enc");
  close(dwDec, wantDec, 1e-4, "gradient of W_dec");
  close(dbDec, wantB, 1e-4, "gradient of b_dec");

  // An update with β = 0 and no second moment is plain descent: θ − ∂, W_dec's rows then of unit norm.
  const int64_t m = std::min<int64_t>(F, 3);
  std::vector<int32_t> at(m);
  for (int64_t q = 0; q < m; q++) at[q] = int32_t(q * (F - 1) / std::max<int64_t>(1, m - 1));
  const Floats auxEnc = normals(m * d, 1e-3f), auxBias = normals(m, 1e-3f), auxDec = normals(m * D, 1e-3f);
  std::vector<Floats> sets;
  for (int s = 0; s < 3; s++) {
    sets.push_back(s ? Floats(F * d, 0.0f) : wEnc);
    sets.push_back(s ? Floats(F, 0.0f) : bEnc);
    sets.push_back(s ? Floats(F * D, 0.0f) : wDec);
    sets.push_back(s ? Floats(D, 0.0f) : bDec);
  }
  const auto set = [&](int s) { return sae::Parameters<float>{sets[4 * s].data(), sets[4 * s + 1].data(), sets[4 * s + 2].data(), sets[4 * s + 3].data()}; };
  std::vector<int32_t> counts(F);
  sae::update(batch, e.data(), g.data(), eSum.data(), tied, {1.0f, 0.0f, 0.0f, 0.0f, 1.0f}, 1, {m, at.data(), auxEnc.data(), auxBias.data(), auxDec.data()},
      set(0), set(1), set(2), counts.data());
  for (int64_t q = 0; q < m; q++) {
    wantBias[at[q]] += auxBias[q];
    for (int64_t j = 0; j < d; j++) {
      wantEnc[at[q] * d + j] += auxEnc[q * d + j];
      if (tied) wantB[j] -= double(auxBias[q]) * wEnc[at[q] * d + j];
    }
    for (int64_t j = 0; j < D; j++) wantDec[at[q] * D + j] += auxDec[q * D + j];
  }
  for (int64_t f = 0; f < F; f++) {
    double along = 0, norm = 0;
    for (int64_t j = 0; j < D; j++) along += wantDec[f * D + j] * wDec[f * D + j];
    for (int64_t j = 0; j < D; j++) {
      double &value = wantDec[f * D + j];
      value = wDec[f * D + j] - (value - along * wDec[f * D + j]);
      norm += value * value;
    }
    for (int64_t j = 0; j < D; j++) wantDec[f * D + j] /= std::sqrt(norm);
    wantBias[f] = bEnc[f] - wantBias[f];
    for (int64_t j = 0; j < d; j++) wantEnc[f * d + j] = wEnc[f * d + j] - wantEnc[f * d + j];
  }
  for (int64_t j = 0; j < D; j++) wantB[j] = bDec[j] - wantB[j];
  close(sets[0], wantEnc, 1e-4, "W_enc");
  close(sets[1], wantBias, 1e-4, "b_enc");
  close(sets[2], wantDec, 1e-4, "W_dec");
  close(sets[3], wantB, 1e-4, "b_dec");
  int64_t pairs = 0;
  for (int32_t count : counts) pairs += count;
  int64_t positive = 0;
  for (float value : v) positive += value != 0;
  expect(pairs == positive, "pairs");
}

// Adam with moments as bfloat16 beside float32 ones: rows of any length, each step from the same moments.
static void checkBrief(int64_t count) {
  const Floats gradient = normals(count, 1e-3f), theta = normals(count);
  std::vector<sae::Brief> m(count), w(count);
  Floats m32 = normals(count, 1e-3f), w32 = normals(count, 1e-3f);
  for (int64_t j = 0; j < count; j++) {
    sae::keep(m[j], m32[j], 0x8000);
    sae::keep(w[j], w32[j] * w32[j], 0x8000);
    m32[j] = sae::widened(m[j]);
    w32[j] = sae::widened(w[j]);
  }
  if (count > 2) m[1] = w[1] = 0, m32[1] = w32[1] = 0;
  Floats a = theta, b = theta;
  const sae::Hyper hyper{0.01f, 1.5f, 0.9f, 0.999f, 1e-8f};
  sae::adamAhead(a.data(), gradient.data(), m32.data(), w32.data(), count, hyper, 0);
  sae::adamAhead(b.data(), gradient.data(), m.data(), w.data(), count, hyper, sae::seedOf(7, count));
  close(b, std::vector<double>(a.begin(), a.end()), 1e-6, "parameters with moments as bfloat16");
  for (int64_t j = 0; j < count; j++) {
    expect(std::abs(sae::widened(m[j]) - m32[j]) <= 1.001f * std::ldexp(std::abs(m32[j]), -8), "first moment, to the nearest");
    expect(std::abs(sae::widened(w[j]) - w32[j]) <= 1.001f * std::ldexp(w32[j], -7), "second moment, to a neighbour");
  }
}

// Second moments that grow by a constant gradient, and that fade without one, as in float32 on average; 0 stays 0.
static void checkChance() {
  const int64_t count = 10000; // 6 standard deviations of a mean are 0.3 % of it
  const int steps = 400;
  for (float slope : {0.0f, 0.5f}) {
    std::vector<sae::Brief> m(count, 0), w(count, 0);
    for (int64_t j = 0; j < count; j++) sae::keep(w[j], 0.1f, 0x8000);
    const Floats gradient(count, slope);
    Floats theta(count, 0.0f);
    double want = sae::widened(w[0]), mean = 0;
    for (int t = 0; t < steps; t++) {
      sae::adamAhead(theta.data(), gradient.data(), m.data(), w.data(), count, {0.0f, 1.0f, 0.9f, 0.999f, 1e-8f}, sae::seedOf(uint32_t(t), 5));
      want = 0.999 * want + 0.001 * slope * slope;
    }
    for (sae::Brief value : w) mean += sae::widened(value) / count;
    expect(std::abs(mean - want) < 0.003 * want, "second moments on average");
  }
  std::vector<sae::Brief> none(count, 0);
  Floats still(count, 0.5f);
  sae::adamAhead(still.data(), Floats(count, 0.0f).data(), none.data(), std::vector<sae::Brief>(count, 0).data(), count, {0.1f, 1.0f, 0.9f, 0.999f, 1e-8f}, 3);
  expect(std::count(still.begin(), still.end(), 0.5f) == count && std::count(none.begin(), none.end(), 0) == count, "0 stays 0");
}

int main() {
  for (int64_t count : {1, 2, 15, 31, 33, 127, 128, 129, 300, 1000}) checkBrief(count);
  checkChance();
  int cases = 0;
  for (int threads : {1, 4, 2}) {
    sae::setThreads(threads);
    for (auto [n, d, F, k] : {std::array<int64_t, 4>{2, 1, 1, 1}, {3, 2, 5, 5}, {7, 17, 33, 3}, {40, 16, 511, 4}, {5, 31, 1024, 8}, {20, 33, 1537, 32},
             {3, 8, 2048, 300}, {150, 5, 1100, 6}, {130, 64, 600, 70}, {50, 20, 3100, 9}, {2, 3, 2100, 2000}}) {
      for (int64_t L : {1, 3}) {
        for (int64_t D : {d, d + 5}) {
          check(n, d, F, int(k), L, D);
          cases++;
        }
      }
    }
  }
  std::printf("%d cases right, %d half-precision products\n", cases, halves / cases);
}
