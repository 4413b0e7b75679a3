import type { Compiled } from "./compile";
/** A module as import sees it: its names, "default" among them. */
export type Namespace = Record<string, unknown>;
export interface Modules {
    /** Loads a module for a file or cell; local source files are compiled, and compiled again after an edit. */
    load(specifier: string, attributes: Record<string, string>, from: string): Promise<Namespace>;
    /** Before a cell runs: local files are looked at again. Gives those that changed since they were loaded, and those that import them. */
    refresh(): string[];
    /** The files that paths a cell imports mean, those that are there. */
    local(paths: string[]): string[];
    require: NodeJS.Require;
}
/** An import that cannot be: what was looked for, from where, and what helps. */
export declare class ImportError extends Error {
    name: string;
}
/** Size and time of a file: it is the same as long as they are. */
export declare const stampOf: (file: string) => string;
/** A CommonJS module's exports as a namespace, by TypeScript's esModuleInterop: `default` is the module itself unless it was an ES module once. */
export declare function namespaceOf(exports: unknown): Namespace;
/**
 * Loads modules for cells. Packages come by require() where that works, so that cells, the library and packages share one instance
 * of each, and by import() where it does not. Local sources are compiled like cells.
 * @param root the notebook's folder
 * @param compile compiles a local file
 * @param run runs compiled code with what its parameters stand for
 */
export declare function createModules({ root, compile, run }: {
    root: string;
    compile: (source: string, file: string) => Promise<Compiled>;
    run: (compiled: Compiled, file: string, modules: Namespace[], exports: (getters: Record<string, () => unknown>) => void) => unknown;
}): Modules;
/** What `import.meta` is in a file. */
export declare const metaOf: (file: string, require_: NodeJS.Require) => Record<string, unknown>;
/** The value a static import binds to a local name. */
export declare function imported(module: Namespace, name: string): unknown;
