/**
 * The puzzles: each maker draws one from a random source and gives its text, its structured form (from which the answer can
 * be computed again) and the steps a solver goes through, with the wording of right and wrong turns.
 */
import { type Random } from "./phrases";
export type Op = "+" | "-" | "*" | "/";
/** What is asked, free of wording; `solve` computes the answer from it. */
export type Facts = {
    kind: "arithmetic" | "shop" | "ages" | "units";
    start: number;
    operations: [Op, number][];
} | {
    kind: "parity";
    numbers: number[];
    ops: ("+" | "*")[];
} | {
    kind: "ordering";
    names: string[];
    above: [string, string][];
    asks: "most" | "least";
} | {
    kind: "liar";
    names: string[];
    says: {
        by: string;
        about: string;
        lies: boolean;
    }[];
} | {
    kind: "elimination";
    names: string[];
    items: string[];
    has: [string, string];
    hasNot: [string, string];
    asks: string;
};
export type Kind = Facts["kind"];
/** A wrong turn: a value that does not hold, how it is reached, how a check shows it, and why it was wrong (in the past). */
export interface WrongTurn {
    value: string;
    derive: readonly string[];
    check: readonly string[];
    why: readonly string[];
}
/** One step of the solution; all wordings are templates. */
export interface Step {
    sought: string;
    value: string;
    from: string;
    derive: readonly string[];
    knowledge: readonly string[];
    check: readonly string[];
    wrong: readonly WrongTurn[];
}
export interface Puzzle {
    text: string;
    given: string;
    steps: Step[];
    answer: string;
    facts: Facts;
}
/** The answer of a puzzle, from its structured form alone; for logic puzzles by trying every case. */
export declare function solve(facts: Facts): string;
export declare const kinds: Kind[];
/** A puzzle of a random kind, or of the kind named. */
export declare function makePuzzle(rng: Random, kind?: Kind): Puzzle;
