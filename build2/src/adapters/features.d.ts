import type { ShownFeature, Words } from "../core/heatmap";
import type { Example, Sparse, Store } from "../core/types";
import { type FeaturesManifest } from "./family";
import { type FeatureList, type ShownNow } from "./show";
import { type DataFrame } from "./table";
/** A feature with everything the collection knows of it. */
export interface CollectedFeature extends ShownFeature, ShownNow {
    more: {
        name: string;
        examples: Example[];
    }[];
    /** Bits, of the tokens' shares of its activation mass: 0 is one token, 10 as many as a thousand equal ones. */
    entropy: number;
    /** Different tokens among its 100 strongest firings. */
    distinctTokens: number;
    /** Tokens of largest mean activation, of those on which it fires at least three times and on one firing in a hundred. */
    triggers: {
        token: number;
        text: string;
        mean: number;
    }[];
    words: Words;
}
export interface TopOptions {
    count?: number;
    by?: "max" | "mean" | "density" | "entropy";
    latents?: number[];
    examples?: number;
    dense?: boolean;
    rare?: boolean;
}
export interface Features extends ShownNow {
    path: string;
    manifest: FeaturesManifest;
    /** Latents, dead ones included. */
    count: number;
    rows: number;
    words: Words;
    feature(latent: number): CollectedFeature;
    /** A choice of features, dead ones passed over; shows itself as heat maps. */
    top(options?: TopOptions): FeatureList<CollectedFeature> & ShownNow;
    /** One row a latent, as a danfojs DataFrame. */
    table(): DataFrame;
    /** One feature in full: whole contexts, every group. */
    card(latent: number): ShownNow;
    /** What the SAE made of rows from … to, counted over `manifest.ranges` one after the other. */
    codes(from: number, to: number): Sparse;
    /** Rows on which each latent fires. */
    fired: Int32Array;
    /** Of each latent: share of rows, mean over the rows on which it fires, maximum. */
    statistics: {
        density: Float32Array;
        mean: Float32Array;
        max: Float32Array;
    };
    /** The store it was collected from. @throws StoreError if it is gone or another one */
    store(): Promise<Store>;
    close(): void;
}
export declare const wholeNumber: (name: string, value: number, least: number) => void;
/**
 * Opens what `collect` wrote. Statistics are read at once, examples and codes when they are asked for.
 * @throws FormatError if the folder is no such family, of another version, or damaged
 */
export declare function openFeatures(path: string, options?: {
    store?: Store;
}): Promise<Features>;
