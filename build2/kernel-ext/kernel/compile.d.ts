import { type Outline } from "./parse";
/** A static import: it is loaded before the code runs. */
export interface Import {
    specifier: string;
    attributes: Record<string, string>;
    names: {
        imported: string;
        local: string;
    }[];
}
/** TypeScript → one function expression in JavaScript. */
export interface Compiled {
    code: string;
    isAsync: boolean;
    parameters: string[];
    /** What each parameter is: a variable of the notebook, or something the kernel gives. */
    variables: Map<string, string>;
    given: string[];
    roles: {
        context: string;
        flag: string;
        modules: string;
        exports: string;
    };
    imports: Import[];
    keeps: boolean;
    maps: [string, string];
}
/** What the compiler knows of the notebook around a cell. */
export interface Surroundings {
    declared(name: string): boolean;
    given: readonly string[];
}
/** Loads what compiling needs and starts esbuild's process; it takes some ten milliseconds, so it is done beside other work. */
export declare function loadCompiler(): Promise<void>;
/**
 * Compiles a cell.
 * @param name how stack traces name it
 * @throws esbuild's TransformFailure for syntax that its parser refuses
 */
export declare function compileCell(source: string, name: string, cell: Outline, around: Surroundings): Promise<Compiled>;
/** Compiles a local file that a cell imports. */
export declare function compileModule(source: string, file: string, given: readonly string[]): Promise<Compiled>;
export declare const stopCompiler: () => void;
