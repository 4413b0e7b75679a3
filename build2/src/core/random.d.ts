/**
 * Seeded random numbers: the same seed gives the same numbers on every machine.
 * sfc32 (Chris Doty-Humphrey's Small Fast Counting generator, 128 bits of state), seeded through splitmix32.
 */
export interface Random {
    /** Uniform in [0, 1), 32 bits of resolution. */
    uniform(): number;
    /** Uniform integer in [0, n), n ≤ 2³². */
    below(n: number): number;
    /** Normal with mean 0 and variance 1 (Box–Muller). */
    normal(): number;
}
/** @param stream numbers the independent streams of one seed: rows, initial weights … */
export declare function random(seed: number, stream?: number): Random;
/** A random order of 0 … n − 1 (Fisher–Yates). */
export declare function permutation(n: number, rng: Random): Uint32Array;
/**
 * `count` different numbers of 0 … n − 1 in ascending order; all of them when count ≥ n (selection sampling, Knuth's
 * algorithm S).
 */
export declare function sample(n: number, count: number, rng: Random): Uint32Array;
