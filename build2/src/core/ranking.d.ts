import type { Pieces } from "./pieces";
import type { Random } from "./random";
/**
 * Scores and labels → how well the one tells the other.
 *
 * AUROC = P(score of a positive > score of a negative) + ½ P(equal), exactly, from mid-ranks: (R⁺ − P(P + 1)/2) / (P·N),
 * R⁺ the sum of the positives' ranks.
 */
/**
 * Ranks → AUROC of several labels at once. Sentences with the same labels form a class; ranks are summed by class.
 * @param mask labels of each of the sentences that count
 */
export declare function ranking(mask: Int32Array, labels: number): {
    positives: number[];
    classes: number;
    classOf: Int32Array<ArrayBuffer>;
    /**
     * Scores that are zero but for `item[i]`, whose score is ≥ 0. Exact: ties have the mean of their ranks.
     * @param keys scratch of at least item.length
     */
    sparse(item: Int32Array, score: Float32Array, keys: Float64Array, out: Float64Array): void;
    /**
     * Scores in `bins` equal steps between their least and largest, those of a step tied: for choosing among many dense
     * scores.
     */
    binned(score: Float32Array, bins: Float64Array, out: Float64Array): void;
    /** Presence of something: yes or no. @param present how many sentences of each class have it */
    presence(present: ArrayLike<number>, out: Float64Array): void;
};
/** AUROC, ties counted half. NaN without positives or without negatives. @param positive 1 or 0 of each */
export declare function auroc(score: ArrayLike<number>, positive: ArrayLike<number>): number;
/**
 * Average precision Σ (R_g − R_{g−1})·P_g over the groups of equal scores, largest first (scikit-learn's definition). NaN
 * without positives.
 */
export declare function averagePrecision(score: ArrayLike<number>, positive: ArrayLike<number>): number;
/**
 * Bootstrap over documents: sentences of one document go together.
 * @param scores of each detector on the same sentences
 * @returns for each detector the 2.5 % and 97.5 % quantiles of its AUROC, and of the first detector's lead over it
 */
export declare function bootstrap(scores: ArrayLike<number>[], positive: ArrayLike<number>, document: Int32Array, rng: Random, resamples?: number): Pieces<{
    interval: [number, number];
    lead: [number, number];
}[]>;
