import type { Cell } from "./cell";
import type { Tracer } from "./errors";
import type { Proposal } from "./types";
/** How a cell ended: the value of its last expression (undefined if it has none), or what it threw. */
export type Outcome = {
    ok: true;
    value: unknown;
} | {
    ok: false;
    error: unknown;
};
export interface Completion {
    proposals: Proposal[];
    start: number;
    end: number;
}
export interface Inspection {
    signature: string;
    documentation: string;
}
/**
 * All that the kernel asks of a language. The kernel knows nothing of TypeScript; whoever replaces the checker, the compiler or the
 * way cells run implements this.
 */
export interface Language {
    /** Runs a cell in its session; one at a time. What its top level awaits is in cell.waits. */
    run(cell: Cell): Promise<Outcome>;
    /** The value of an expression, unchecked; nothing is declared by it. */
    evaluate(cell: Cell): Promise<Outcome>;
    complete(source: string, offset: number): Promise<Completion>;
    inspect(source: string, offset: number): Promise<Inspection | undefined>;
    isComplete(source: string): {
        status: "complete" | "incomplete" | "invalid";
        indent: string;
    };
    /** Whether code of that cell may still run, so that its text is needed to explain errors. */
    keeps(name: string): boolean;
    /** Reads stack traces; the kernel adds what it knows of its cells. */
    tracer: Omit<Tracer, "cell">;
    close(): void;
}
/** Variables the kernel gives to cells: their values, and their declarations as .d.ts text. */
export interface Prelude {
    declarations: string;
    values: Record<string, unknown>;
}
