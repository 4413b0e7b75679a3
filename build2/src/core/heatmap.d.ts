import type { Example, Feature } from "./types";
/**
 * Heat maps: tokens shaded by activation. Data in, strings out; the same input gives the same string.
 *
 *   Feature[] + Words -heatMapView-> HeatMap -heatMapHtml-> page, -heatMapText-> terminal, -packHeatMap-> JSON for a renderer
 *
 * Shade is t = activation ÷ the feature's maximum (or, where asked, the row's own), linear. What the shade says is also said without it: bold from t =
 * 0.5, the peak underlined and its value in front. A line is a keyword in its context: peaks stand in one column, and
 * what the page's width cuts off is the far end of the context.
 */
/** How numbers of a feature become words. */
export interface Words {
    /** Decoded text of a token; bytes that are no text come as ‹E2 80›. */
    token(id: number): string;
    /** Name of a document. */
    document(index: number): string;
}
/** A feature together with what its collection can say beyond the contract's `top`. */
export interface ShownFeature extends Feature {
    /** Further groups of examples, such as quantiles of its activation. */
    more?: {
        name: string;
        examples: Example[];
    }[];
}
export interface HeatMapExample {
    /** Text of each token, as decoded. */
    tokens: string[];
    values: number[];
    peak: number;
    count: number;
    document: string;
    /** Position of the peak in its document. */
    position: number;
    /** The document goes on after these tokens. */
    goesOn?: true;
}
export interface HeatMapFeature {
    latent: number;
    label?: string;
    density: number;
    mean: number;
    max: number;
    histogram: Feature["histogram"];
    groups: {
        name: string;
        examples: HeatMapExample[];
    }[];
}
export interface HeatMap {
    features: HeatMapFeature[];
    /** What 100 % of the shade is: the feature's maximum when absent, or that of each row of tokens. */
    scale?: "row";
    /** Sentences on what is not shown, and why, and on where the rest comes from. */
    leftOut: string[];
}
export interface HeatMapOptions {
    count?: number;
    examples?: number;
    context?: number;
    groups?: boolean;
    scale?: "feature" | "row";
    layout?: "line" | "wrap";
    bytes?: number;
    color?: boolean;
}
/** Features as they will be shown: contexts cut to ±`context`, ids turned to text. */
export declare function heatMapView(features: ShownFeature[], words: Words, options?: HeatMapOptions): HeatMap;
/**
 * What a histogram shows: the weakest half percent as one bar, then neighbouring bins together until there are few enough
 * to draw.
 */
export declare function mergeBins(histogram: Feature["histogram"], most?: number): Feature["histogram"];
/**
 * A page fragment without script, style sheet or reference; survives JupyterLab's sanitiser unchanged.
 * At most `bytes` long (UTF-8), the legend and one feature at least: examples, then features are left out, and the last
 * line says which.
 */
export declare function heatMapHtml(map: HeatMap, options?: HeatMapOptions): string;
/** The same for a terminal: shaded in 24-bit colour, or plain with the peak in ⟦ ⟧. */
export declare function heatMapText(map: HeatMap, { color }?: HeatMapOptions): string;
/**
 * Arrays as strings, since notebook files write a number a line: tokens of all examples as indices into one list, values
 * with three digits.
 */
export interface PackedHeatMap {
    version: 1;
    scale?: "row";
    strings: string[];
    features: (Omit<HeatMapFeature, "groups" | "histogram"> & {
        histogram: {
            edges: string;
            counts: string;
        };
        groups: {
            name: string;
            examples: {
                tokens: string;
                values: string;
                peak: number;
                count: number;
                document: string;
                position: number;
            }[];
        }[];
    })[];
    leftOut: string[];
}
export declare function packHeatMap({ features, leftOut, scale }: HeatMap): PackedHeatMap;
export declare function unpackHeatMap({ strings, features, leftOut, scale }: PackedHeatMap): HeatMap;
