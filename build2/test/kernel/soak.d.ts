import type { TestContext } from "node:test";
/** Cells of all kinds, errors and interrupts among them: each gives what it must. Reports the memory, and its slope. */
export declare function soak(t: TestContext, cells: number): Promise<{
    slope: number;
}>;
