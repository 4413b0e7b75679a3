import type { Diagnostic } from "./errors";
/** An ESTree node, as far as we look at it; spans are UTF-16 offsets. */
export interface Node {
    type: string;
    start: number;
    end: number;
    [key: string]: any;
}
/** Loads the parser, an ES module with a native part; call it once before parse(). */
export declare function loadParser(): Promise<void>;
export type Dialect = "ts" | "tsx" | "js" | "jsx";
/** Text → syntax tree and what is wrong with it. */
export declare function parse(text: string, dialect: Dialect): {
    program: Node;
    errors: {
        message: string;
        at: number;
    }[];
};
/** What a cell declares at its top level. */
export interface Outline {
    dialect: "ts" | "tsx";
    values: string[];
    types: string[];
    changeable: Set<string>;
    exported: Set<string>;
    disposes: boolean;
    endsInExpression: boolean;
    unchecked: boolean;
    errors: {
        message: string;
        at: number;
    }[];
}
/** Names that a binding pattern declares. */
export declare function patternNames(pattern: Node | null): string[];
/** Names a declaration declares. */
export declare const namesOf: (node: Node) => string[];
/** Children of a node that are nodes. */
export declare function childrenOf(node: Node): Iterable<Node>;
export declare const isFunction: ({ type }: Node) => boolean;
/** Reads a cell: as TypeScript, or with JSX where only that makes sense of it. */
export declare function outline(source: string): Outline;
/** Offset → line and character, from 0. */
export declare function placeOf(source: string, offset: number): {
    line: number;
    character: number;
};
/** The parser's complaints, for cells that are not checked; TypeScript's own are better where it is asked. */
export declare const syntaxDiagnostics: (source: string, errors: Outline["errors"]) => Diagnostic[];
/** Whether more lines are needed, and how the next one is indented. */
export declare function completeness(source: string): {
    status: "complete" | "incomplete" | "invalid";
    indent: string;
};
