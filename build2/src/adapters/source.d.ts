import { type Built, type Wanted } from "../core/build";
import type { Feed } from "../core/feeds";
import { type Anatomy } from "../core/hookname";
import type { HookKind, HookRow, Model } from "../core/types";
/** What makes a model's graphs: the builder, from a checkpoint; or surgery on an ONNX file (adapters/resolved). */
export interface GraphSource {
    family: string;
    anatomy: Anatomy;
    width: number;
    vocabulary: number;
    context: number;
    eos: number[];
    rows: HookRow[];
    headDim(kind: HookKind): number | undefined;
    build(wanted: Wanted): Built;
    /** Rows lie as [N, w] in its graphs, not as [B, T, w]. */
    flat: boolean;
    /** Its cache takes texts of unequal lengths side by side. */
    ragged: boolean;
    /** Which of two ways of rotating a text of this length takes: texts that differ in it go apart. */
    regime(length: number): string;
    /** Tables that runs need, for so many positions; a name with the same key is sent once. */
    tables(positions: number, regime: string): {
        name: string;
        key: string;
        make: () => Feed;
    }[];
    head?: Model["head"];
    /** Files that decide its numbers. */
    files: string[];
    /** Elements of all weights, their bytes, dtypes and number of files: for describe. */
    elements: number;
    bytes: number;
    dtypes: string[];
    /** Sentences about where it comes from and how it is built. */
    facts: string[];
}
/** A checkpoint folder's config and safetensors → graphs built here. @throws ModelError, FormatError */
export declare function builtSource(folder: string, files: {
    config: string;
    weights: string[];
}): GraphSource;
/** The table that model.hooks() gives. */
export declare function hookRows(anatomy: Anatomy, width: (kind: HookKind) => number, norm: string): HookRow[];
