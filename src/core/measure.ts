/** How well an SAE rebuilds its rows, and how its latents are used. All sums in float64. */

export interface Measures {
  /**
   * Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − x̄‖². 0 is perfect, 1 no better than the mean row; above 1,
   * suspect the hook.
   */
  fvu: number;
  /** 1 − fvu. */
  explainedVariance: number;
  /** Mean number of latents above 0 in a row. */
  l0: number;
  /** Share of latents that fire on none of these rows. */
  dead: number;
  /** Share of latents that fire on more than a tenth of these rows. */
  dense: number;
  rows: number;
}

/** A latent that fires on more than this share of rows is called dense. */
export const DENSE = 0.1;

/**
 * Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − x̄‖².
 * 0 is perfect, 1 no better than the mean row; above 1, suspect the hook.
 * @param x rows [n, d], row-major, in the model's own units
 * @param xHat reconstruction, same shape and units
 * @returns ratio ≥ 0, no unit, summed in float64
 * @throws RangeError if shapes differ or all rows are equal (0/0)
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
  let n = 0, error = 0, squares = 0, active = 0;
  let about: Float64Array | undefined;
  const sums = new Float64Array(d);
  const fired = new Float64Array(latents);
  const ratio = (): number => {
    let total = squares;
    for (let j = 0; j < d; j++) total -= (sums[j] * sums[j]) / n;
    if (!(total > 0) && !Number.isNaN(total)) {
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
      let errors = error, total = squares; // variables of this function are in registers
      for (let at = 0; at < x.length; at += d) {
        for (let j = 0; j < d; j++) {
          const e = x[at + j] - xHat[at + j];
          const c = x[at + j] - first[j];
          errors += e * e;
          total += c * c;
          sums[j] += c;
        }
      }
      error = errors;
      squares = total;
      n += x.length / d;
    },
    /** The chosen latents of the same rows; a value of 0 counts as silent. */
    latents(index: Int32Array, value: Float32Array): void {
      for (let i = 0; i < index.length; i++) {
        if (value[i] > 0) {
          fired[index[i]]++;
          active++;
        }
      }
    },
    fvu: ratio,
    result(): Measures {
      const value = ratio();
      let dead = 0, dense = 0;
      for (const count of fired) {
        if (count === 0) dead++;
        if (count > DENSE * n) dense++;
      }
      return { fvu: value, explainedVariance: 1 - value, l0: active / n, dead: dead / latents, dense: dense / latents, rows: n };
    },
  };
}
