import type { Diagnostic } from "./errors";
import { type Packages } from "./packages";
import { type Outline } from "./parse";
/** A cell that was checked and may be kept. */
export interface Checked {
    diagnostics: Diagnostic[];
    /** Later cells may use what it declares. */
    keep(): void;
}
export interface Proposal {
    text: string;
    kind: string;
    type?: string;
    documentation?: string;
}
/** All that the kernel asks of TypeScript's checker. */
export interface Types {
    /** Takes a cell's declarations unseen. */
    declare(source: string, outline: Outline): void;
    /** @param also local files that it imports and that are to be checked with it */
    check(source: string, outline: Outline, also?: string[]): Promise<Checked>;
    /** What fits at the offset, and where the word under it begins and ends. */
    complete(source: string, offset: number, outline: Outline): Promise<{
        proposals: Proposal[];
        start: number;
        end: number;
    }>;
    /** Type and documentation of the name at the offset. */
    inspect(source: string, offset: number, outline: Outline): Promise<{
        signature: string;
        documentation: string;
    } | undefined>;
    /** Local files that changed on disk. */
    changed(files: string[]): void;
    close(): void;
}
/**
 * TypeScript 7's native server, by the part of its API that is marked unstable: this file and hints.ts are all that touches it.
 * @param root the notebook's folder
 * @param prelude declarations (.d.ts text) of what the kernel gives to cells
 * @param given names the kernel gives to cells: completion proposes them
 * @param lent packages whose types are found outside of the folder
 * @param warn told when the server had to be started again
 */
export declare function createTypes({ root, prelude, given, lent, packageRoot, warn }: {
    root: string;
    prelude: string;
    given: () => readonly string[];
    lent: Packages;
    packageRoot: string;
    warn: (message: string) => void;
}): Types;
