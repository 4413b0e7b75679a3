/**
 * How well an SAE rebuilds its rows, and how its latents are used: x rows, x̂ what is rebuilt of them, e = x − x̂. All sums in float64.
 *
 * Definitions are those of SAELens' evals, held against its own code (test/oracle/evals); what differs is said at each.
 * @see SAELens 6.54, sae_lens/evals.py, get_sparsity_and_variance_metrics
 */

export interface Measures {
  /**
   * Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − x̄‖². 0 is perfect, 1 no better than the mean row; above 1,
   * suspect the hook. sparsify's `fvu`.
   */
  fvu: number;
  /** 1 − fvu: SAELens' `explained_variance`, x̄ being the mean of all rows. */
  explainedVariance: number;
  /**
   * Mean over rows of 1 − ‖e‖²/‖x − x̄‖², x̄ being the mean of the rows measured at one go: SAELens' `explained_variance_legacy` (its batch), which it calls
   * incorrect; for comparison with what was published before 2025. Rows that are the mean, where SAELens has −∞ or NaN, are left out.
   */
  explainedVarianceLegacy: number;
  /** Mean of ‖e‖², summed over the row's numbers: SAELens' `mse`. */
  mse: number;
  /** Mean cosine of x and x̂: SAELens' `cossim`. A row or a reconstruction of zeros, where SAELens has NaN, counts as 0. */
  cosine: number;
  /** Mean norms of x and of x̂, and the mean of their quotient (of ‖x̂‖ alone where ‖x‖ < 1e-4): SAELens' `l2_norm_in`, `l2_norm_out`, `l2_ratio`. Below 1: shrinkage. */
  l2NormIn: number;
  l2NormOut: number;
  l2Ratio: number;
  /**
   * Relative reconstruction bias Σ‖x̂‖²/Σx·x̂ over all rows; 1 is unbiased, below 1 shrinks. SAELens' `relative_reconstruction_bias` is the mean of this over its batches.
   * @see Rajamanoharan et al. 2024, arXiv 2404.16014, equation 10
   */
  relativeReconstructionBias: number;
  /** Mean number of latents above 0 in a row: SAELens' `l0`. */
  l0: number;
  /** Mean sum of a row's latents: SAELens' `l1`. */
  l1: number;
  /** Share of latents that fire on none of these rows. */
  dead: number;
  /** Share of latents that fire on more than a tenth of these rows. */
  dense: number;
  rows: number;
}

/** A latent that fires on more than this share of rows is called dense. */
export const DENSE = 0.1;

/** SAELens divides by 1 where the row is shorter. */
const SHORTEST = 1e-4;

/**
 * Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − x̄‖².
 * 0 is perfect, 1 no better than the mean row; above 1, suspect the hook.
 * @param x rows [n, d], row-major, in the model's own units
 * @param xHat reconstruction, same shape and units
 * @returns ratio ≥ 0, no unit, summed in float64
 * @throws RangeError if shapes differ, there are no rows, or all are equal (0/0)
 * @see sparsify 1.3, sparse_coder.py: same definition
 */
export function fvu(x: Float32Array, xHat: Float32Array, d: number): number {
  const tally = measuring(d, 0);
  tally.rows(x, xHat);
  return tally.fvu();
}

/**
 * Adds up measures over chunks of rows, so that a store larger than memory can be read piece by piece.
 * The variance is summed about the first row seen: Σ‖x − x̄‖² = Σ‖x − a‖² − ‖Σ(x − a)‖²/n, which keeps its digits when the
 * mean is far from 0.
 */
export function measuring(d: number, latents: number) {
  let n = 0, error = 0, squares = 0, active = 0, activity = 0;
  let [normIn, normOut, ratios, outSquares, products, cosines, explained, explainedRows] = new Array<number>(8).fill(0);
  let about: Float64Array | undefined;
  const sums = new Float64Array(d);
  const fired = new Float64Array(latents);
  const ratio = (): number => {
    let total = squares;
    for (let j = 0; j < d; j++) total -= (sums[j] * sums[j]) / n;
    if (!n || total <= 0) {
      throw new RangeError(`FVU: expected rows that differ, found ${n} equal rows (0/0). Take more rows.`);
    }
    return error / total;
  };
  return {
    /** Rows and their reconstruction, [n, d] each. */
    rows(x: Float32Array, xHat: Float32Array): void {
      if (x.length !== xHat.length || x.length % d) {
        throw new RangeError(`FVU: expected two arrays of rows of width ${d}, found ${x.length} and ${xHat.length} numbers`);
      }
      const first = (about ??= Float64Array.from(x.subarray(0, d)));
      const mean = meanRow(x, d);
      let total = squares; // variables of this function are in registers
      for (let at = 0; at < x.length; at += d) {
        let [e2, x2, y2, xy, v2] = [0, 0, 0, 0, 0];
        for (let j = 0; j < d; j++) {
          const a = x[at + j], b = xHat[at + j];
          const c = a - first[j], v = a - mean[j];
          e2 += (a - b) * (a - b);
          x2 += a * a;
          y2 += b * b;
          xy += a * b;
          v2 += v * v;
          total += c * c;
          sums[j] += c;
        }
        error += e2;
        outSquares += y2;
        products += xy;
        const [from, to] = [Math.sqrt(x2), Math.sqrt(y2)];
        normIn += from;
        normOut += to;
        ratios += to / (from < SHORTEST ? 1 : from);
        if (x2 > 0 && y2 > 0) cosines += xy / (from * to);
        if (v2 > 0) {
          explained += 1 - e2 / v2;
          explainedRows++;
        }
      }
      squares = total;
      n += x.length / d;
    },
    /** The chosen latents of the same rows; a value of 0 counts as silent. */
    latents(index: Int32Array, value: Float32Array): void {
      for (let i = 0; i < index.length; i++) {
        if (value[i] > 0) {
          fired[index[i]]++;
          active++;
          activity += value[i];
        }
      }
    },
    fvu: ratio,
    /** Share of the rows on which each latent fires, [latents]: SAELens' `feature_density`. */
    density: (): Float32Array => Float32Array.from(fired, (count) => count / n),
    result(): Measures {
      const value = ratio();
      let dead = 0, dense = 0;
      for (const count of fired) {
        if (count === 0) dead++;
        if (count > DENSE * n) dense++;
      }
      return {
        fvu: value, explainedVariance: 1 - value, explainedVarianceLegacy: explained / explainedRows, mse: error / n, cosine: cosines / n,
        l2NormIn: normIn / n, l2NormOut: normOut / n, l2Ratio: ratios / n, relativeReconstructionBias: outSquares / products,
        l0: active / n, l1: activity / n, dead: dead / latents, dense: dense / latents, rows: n,
      };
    },
  };
}

/** Mean of rows [n, d], in float64. */
export function meanRow(x: Float32Array, d: number): Float64Array {
  const mean = new Float64Array(d);
  for (let at = 0; at < x.length; at += d) for (let j = 0; j < d; j++) mean[j] += x[at + j];
  for (let j = 0; j < d; j++) mean[j] /= x.length / d;
  return mean;
}

/** How often latents fire: counts of living latents by log₁₀ of the share of rows, and how many never did. */
export interface DensityHistogram {
  /** Powers of ten, [bins + 1]: bin b holds 10^edges[b] ≤ density < 10^edges[b + 1], the last one its upper edge too. */
  edges: number[];
  counts: number[];
  dead: number;
}

/**
 * Counts latents by the logarithm of their density, as SAELens and dashboards draw it; dead ones, whose logarithm they put at −10 (log₁₀ 1e-10), are counted apart.
 * @param density share of rows on which each latent fires, [latents], 0 to 1
 * @param perDecade bins of a decade
 * @returns bins from the decade of the rarest living latent to 1; one empty decade where none lives
 */
export function densityHistogram(density: ArrayLike<number>, perDecade = 4): DensityHistogram {
  const logs = Array.from(density).filter((share) => share > 0).map((share) => Math.log10(share));
  const decades = Math.max(1, Math.ceil(-logs.reduce((least, log) => Math.min(least, log), 0)));
  const bins = decades * perDecade;
  const counts = new Array<number>(bins).fill(0);
  for (const log of logs) counts[Math.min(bins - 1, Math.max(0, Math.floor((log + decades) * perDecade)))]++;
  return { edges: Array.from({ length: bins + 1 }, (_, i) => i / perDecade - decades), counts, dead: density.length - logs.length };
}
