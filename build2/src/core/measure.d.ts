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
export declare const DENSE = 0.1;
/**
 * Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − x̄‖².
 * 0 is perfect, 1 no better than the mean row; above 1, suspect the hook.
 * @param x rows [n, d], row-major, in the model's own units
 * @param xHat reconstruction, same shape and units
 * @returns ratio ≥ 0, no unit, summed in float64
 * @throws RangeError if shapes differ or all rows are equal (0/0)
 * @see sparsify 1.3, sparse_coder.py: same definition
 */
export declare function fvu(x: Float32Array, xHat: Float32Array, d: number): number;
/**
 * Adds up measures over chunks of rows, so that a store larger than memory can be read piece by piece.
 * The variance is summed about the first row seen: Σ‖x − x̄‖² = Σ‖x − a‖² − ‖Σ(x − a)‖²/n, which keeps its digits when the
 * mean is far from 0.
 */
export declare function measuring(d: number, latents: number): {
    /** Rows and their reconstruction, [n, d] each. */
    rows(x: Float32Array, xHat: Float32Array): void;
    /** The chosen latents of the same rows; a value of 0 counts as silent. */
    latents(index: Int32Array, value: Float32Array): void;
    fvu: () => number;
    result(): Measures;
};
