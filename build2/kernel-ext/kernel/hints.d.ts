import type { Project, Symbol as TypeSymbol } from "typescript/unstable/async" with { "resolution-mode": "import" };
/** Where the name stands whose arguments the offset is among: `f(a, |`. */
export declare function calledAt(source: string, offset: number): number | undefined;
/** LSP's CompletionItemKind → what Jupyter front ends have icons for. */
export declare const KINDS: string[];
export declare const EVERYTHING: number;
export declare const KEYWORDS: string[];
/** Types that the language's own library declares, with their kind: the server lists members only. */
export declare function libraryTypes(): Map<string, string>;
/** A symbol's kind, as front ends have icons for it. */
export declare const kindOf: ({ flags }: TypeSymbol) => string;
export declare function resolved(checker: Project["checker"], symbol: TypeSymbol): Promise<TypeSymbol>;
export declare function details(project: Project, given: TypeSymbol): Promise<{
    type?: string;
    documentation?: string;
}>;
/**
 * What an editor shows over a name.
 * @param changes whether a name of an earlier cell is a let or var; undefined for other names
 */
export declare function described(project: Project, given: TypeSymbol, changes: (name: string) => boolean | undefined): Promise<{
    signature: string;
    documentation: string;
}>;
