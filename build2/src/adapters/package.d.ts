/** Folder of this package, whether a clone or installed: build/src/adapters is three below it. */
export declare const packageRoot: string;
export declare const version: string;
export declare const pythonOf: (venv: string) => string;
/** The virtual environment of set-up: SAELAB_VENV, else .venv in the package (a clone) or in a folder at or above `from` or the current one. */
export declare function findVenv(from?: string): string | undefined;
