/**
 * Rotary positions: pairs of a head's dimensions (j, j + R/2) turn by position × frequency.
 * @see transformers, modeling_rope_utils.py: the formulas of each kind
 */
export interface Rope {
    theta: number;
    kind: "default" | "linear" | "llama3" | "yarn" | "longrope";
    factor: number;
    /** Factor on cos and sin: YaRN's and LongRoPE's correction of the attention's temperature. */
    attention: number;
    /** Tokens that the model was trained on before its context was stretched. */
    originalContext: number;
    /** llama3: wavelengths above originalContext / low are stretched, below originalContext / high left alone. */
    low: number;
    high: number;
    /** yarn: turns within the original context between which frequencies are blended, and whether the bounds are rounded. */
    betaFast: number;
    betaSlow: number;
    truncate: boolean;
    /** longrope: a factor for each pair, for texts within the original context and for longer ones. */
    short: number[];
    long: number[];
}
type Fail = (field: string, expected: string, found: unknown, remedy: string) => never;
/** Config → rotated dimensions, the one or two ways of rotating, and each block's. */
export declare function readRope(c: Record<string, any>, at: {
    headDim: number;
    share: number;
    context: number;
    sliding: boolean[];
    two: boolean;
}, fail: Fail): {
    rotated: number;
    ropes: Rope[];
    ropeOf: number[];
};
/** Whether texts of these lengths turn alike: LongRoPE has other frequencies for texts beyond the original context. */
export declare const ropeRegime: (ropes: Rope[], length: number) => "short" | "long";
/**
 * Angles a token's pairs turn by, per position: θ^(−2j/R), j = 0 … R/2 − 1, in PyTorch's order of float32 roundings.
 * linear divides all by `factor`; llama3 stretches long wavelengths by it and blends in between; yarn blends by the number of turns
 * within the original context; longrope divides each by a number of its own.
 */
export declare function ropeFrequencies(rope: Rope, rotated: number, regime?: "short" | "long"): Float32Array;
/** attention · cos and sin of position × frequency, [positions, R/2] each. */
export declare function ropeTables(rope: Rope, rotated: number, positions: number, regime?: "short" | "long"): {
    cos: Float32Array;
    sin: Float32Array;
};
export {};
