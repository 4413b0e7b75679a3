/** Python's side of the tests: the virtual environment of set-up, and what it must hold. */
export declare const venv: string;
export declare const bin: (name: string) => string;
/** @throws Error that names what is missing: set-up leaves a shared environment (SAELAB_VENV) as it is */
export declare function requireTestPackages(): void;
