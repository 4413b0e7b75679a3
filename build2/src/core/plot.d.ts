import type { TrainingPoint } from "./types";
/**
 * Series → Plotly figures, as plain JSON. A figure has a light ground of its own, so that it reads the same on a light
 * and on a dark page.
 */
/**
 * A column of numbers as Plotly reads it from JSON: base64 of little-endian float32, since notebook files write a number
 * of a list on each line.
 */
export interface Column {
    dtype: "f4";
    bdata: string;
}
export interface Figure {
    data: Record<string, unknown>[];
    layout: Record<string, unknown> & {
        width: number;
        height: number;
    };
    config: Record<string, unknown>;
}
/** A figure and what it shows in words: the alternative text of its picture, and what a terminal prints. */
export interface Plot {
    figure: Figure;
    words: string;
}
/** @param values any numbers; written as float32 */
export declare function column(values: ArrayLike<number>): Column;
/**
 * Fraction of variance unexplained (left, logarithmic) and share of dead latents (right) against the tokens seen.
 * @throws RangeError without points
 */
export declare function trainingFigure(curve: TrainingPoint[], title?: string): Plot;
/**
 * Each living latent as a point: on how many rows it fires against its maximum, both logarithmic.
 * Of more than 4,000 latents every so-manieth is drawn, and the title says so.
 */
export declare function scatterFigure(density: ArrayLike<number>, max: ArrayLike<number>, title?: string): Plot;
