import type { Store } from "../src/core/types";
/**
 * Activations with a planted sparse dictionary: what an SAE should find again. Unit directions fire independently with probability ~ 1/(rank + 8)^0.9, scaled
 * to `active` a row on average; magnitudes are lognormal(0, 0.35); a constant offset of norm 3 and noise of standard deviation 0.03 a coordinate are added.
 */
export interface Planted {
    rows: Float32Array;
    directions: Float32Array;
}
export declare function planted({ d, rows, directions, active, seed }: {
    d: number;
    rows: number;
    directions: number;
    active: number;
    seed?: number;
}): Planted;
/** A store in memory over rows [n, d]; every fourth document of `document` rows is held out. */
export declare function memoryStore(rows: Float32Array, d: number, { hook, document }?: {
    document?: number | undefined;
    hook?: string | undefined;
}): Store;
