/**
 * One variable of the notebook, shared by all cells. Compiled cells read and write `v`; reading or assigning what was never declared
 * is a ReferenceError, because then `v` is still the prototype's.
 */
export declare class Variable {
    readonly name: string;
    constructor(name: string);
    v: unknown;
    /** Declares it (again), with that value. */
    d(value: unknown): void;
    /** Whether it was declared. */
    get h(): boolean;
}
export interface Variables {
    /** The variable of that name, declared or not. */
    get(name: string): Variable;
    has(name: string): boolean;
}
/** The variables of one notebook. */
export declare function createVariables(): Variables;
