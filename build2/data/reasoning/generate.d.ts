import { type Facts, type Kind } from "./puzzles";
export declare const labels: readonly ["initializing", "deduction", "adding-knowledge", "example-testing", "uncertainty-estimation", "backtracking"];
export type Label = (typeof labels)[number];
/** A behaviour from character `start` up to, not including, `end` (UTF-16 units of the text). */
export interface Span {
    start: number;
    end: number;
    label: Label;
}
export interface ReasoningDocument {
    id: string;
    text: string;
    spans: Span[];
    puzzle: {
        text: string;
        answer: string;
        facts: Facts;
    };
}
/**
 * The document of a seed: same seed, same document.
 * @param seed whole number; neighbouring seeds give unrelated documents
 * @param options.kind only this kind of puzzle; by default any
 * @param options.wrongTurns 0…1, how many of the usual wrong turns are taken; by default all
 */
export declare function generateDocument(seed: number, options?: {
    kind?: Kind;
    wrongTurns?: number;
}): ReasoningDocument;
/**
 * Documents of the seeds seed, seed + 1, …; a puzzle that was already drawn (or is in `without`) is left out.
 * @param count documents wanted
 * @param straight share of the documents without any wrong turn, from none (0) to all (1)
 * @param without puzzle texts that must not occur; those drawn are added
 */
export declare function generate(options: {
    count: number;
    seed?: number;
    straight?: number;
    without?: Set<string>;
}): Generator<ReasoningDocument>;
