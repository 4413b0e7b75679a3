import { type CellScope, type Clock } from "./cell";
import type { Interrupts } from "./interrupt";
import type { Language, Prelude } from "./language";
import type { Packages } from "./packages";
/**
 * TypeScript cells: checked by TypeScript 7's native server, compiled by esbuild, run in this thread and realm.
 * @param root the notebook's folder: imports start there
 * @param lent packages from outside of it that cells may import
 * @param imported told of each package a cell imports, once it is loaded
 */
export declare function createTypeScript({ root, packageRoot, prelude, lent, scope, interrupts, clock, warn, onImport, check }: {
    root: string;
    packageRoot: string;
    prelude: Prelude;
    lent: Packages;
    scope: CellScope;
    interrupts: Interrupts;
    clock: Clock;
    warn: (message: string) => void;
    onImport?: (specifier: string) => void;
    check?: boolean;
}): Language;
