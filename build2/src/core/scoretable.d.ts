import type { Pooling } from "./score";
/** Scores of labels as something to read: each latent beside what reaches it without an SAE. */
export type DetectorKind = "latent" | "keyword" | "random direction" | "position" | "length" | "text model" | "difference of means" | "probe";
export interface Detector {
    kind: DetectorKind;
    /** Which one it is: latent and pooling, the word, the sign. */
    what: string;
    /** A keyword whose absence is the sign. */
    absent?: true;
    /** How many were searched on training documents. */
    searched: number;
    /** AUROC on training documents. */
    train: number;
    /** AUROC on held-out documents. */
    heldout: number;
    averagePrecision: number;
    /** 95 %, bootstrap over held-out documents. */
    interval: [number, number];
    /** 95 % of the latent's AUROC minus this one's, on the same draws. */
    lead: [number, number];
}
export type Verdict = "above its controls" | "position" | "length" | "keyword" | "not above random" | "undefined";
export interface LabelScore {
    label: string;
    latent: number;
    pooling: Pooling;
    positives: {
        train: number;
        heldout: number;
    };
    /** Share of held-out sentences that carry the label: what a precision starts from. */
    baseRate: number;
    /** The latent first, then its controls. */
    detectors: Detector[];
    verdict: Verdict;
    warnings: string[];
}
export interface ScoresView {
    labels: LabelScore[];
    latents: number;
    poolings: number;
    train: {
        sentences: number;
        documents: number;
    };
    heldout: {
        sentences: number;
        documents: number;
    };
    /** Sentences without a row. */
    skipped: number;
    /** Labels that could not be scored: on one side of the split no sentence carries them, or all do. */
    leftOut?: string[];
}
/** The first control that reaches the latent names the verdict; all that do are warned of. */
export declare function verdictOf(detectors: Detector[], positives: number): {
    verdict: Verdict;
    warnings: string[];
};
/** A table of labels: the latent in colour, controls that reach it marked ≥. */
export declare function scoresHtml(view: ScoresView): string;
export declare function scoresText(view: ScoresView): string;
