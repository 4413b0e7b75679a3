import { type ReasoningDocument } from "./generate";
export declare const corpusCount = 4200;
export declare const corpusSeed = 0;
export declare const streamSeed = 10000000;
/** One line of the corpus. */
export declare function corpusLine(document: ReasoningDocument, index: number): string;
