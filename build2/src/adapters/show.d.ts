import { type HeatMapOptions, type ShownFeature, type Words } from "../core/heatmap";
/**
 * What a cell shows. A value that can show itself has a method at Symbol.for("Jupyter.display") which returns a bundle:
 * MIME type → content, each saying the same for another reader. `application/vnd.saelab.<kind>.v1+json` is for a
 * renderer of ours, `text/html` needs neither script nor style sheet, `text/plain` is for terminals.
 */
export declare const DISPLAY: unique symbol;
export type Bundle = Record<string, unknown>;
export interface Shown {
    [DISPLAY](): Bundle | Promise<Bundle>;
}
/**
 * Whether text gets colour: in a notebook and on a terminal, unless NO_COLOR says no (https://no-color.org) or
 * FORCE_COLOR yes.
 */
export declare const colored: () => boolean;
/** A value whose bundle is there at once. */
export interface ShownNow extends Shown {
    [DISPLAY](): Bundle;
}
/**
 * Gives a value the power to show itself: in a cell, and in a terminal through console.log.
 * @param text what a terminal prints; the bundle's text/plain by default
 */
export declare function showing<T extends object>(value: T, bundle: () => Bundle): T & ShownNow;
export declare function showing<T extends object>(value: T, bundle: () => Promise<Bundle>, text: () => string): T & Shown;
/** A value that does nothing but show itself. */
export declare const shown: (bundle: () => Bundle) => ShownNow;
export interface DisplayOptions {
    display_id?: string;
    update?: boolean;
}
/** What the kernel offers at Symbol.for("saelab.display"). */
type DisplayHook = (bundle: Bundle, options: DisplayOptions & {
    metadata?: Record<string, unknown>;
}) => void;
export declare const displayHook: () => DisplayHook | undefined;
/**
 * Shows a value now, in the middle of a cell; outside a notebook it prints the value's text. Await it where the value has
 * to be drawn first, as plots have.
 */
export declare function display(value: unknown, options?: DisplayOptions): Promise<void>;
/** A list of features that shows itself as heat maps. */
export type FeatureList<T extends ShownFeature = ShownFeature> = T[] & {
    words: Words;
    /** A sentence to be shown below the maps. */
    note?: string;
};
/** Features of one collection, each with the words to show it by: also what `filter`, `slice` and the like make of a list. */
type Features = (ShownFeature & {
    words: Words;
})[];
/**
 * Heat maps of features: their strongest contexts, a line each, shaded by activation ÷ maximum.
 * @param features what `collect(…)` or its `top(…)` gave; a part of that; or one feature. Values of an example are as
 *   long as its tokens, in the model's own units
 * @returns shows itself as `application/vnd.saelab.heatmap.v1+json` (a PackedHeatMap), HTML without script, and text
 * @throws OptionError for an unknown scale
 */
export declare function heatMap(features: FeatureList | Features | (ShownFeature & {
    words: Words;
}) | {
    top(): FeatureList;
}, options?: HeatMapOptions): ShownNow;
export {};
