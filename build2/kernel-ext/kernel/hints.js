"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.kindOf = exports.KEYWORDS = exports.EVERYTHING = exports.KINDS = void 0;
exports.calledAt = calledAt;
exports.libraryTypes = libraryTypes;
exports.resolved = resolved;
exports.details = details;
exports.described = described;
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const packages_1 = require("./packages");
/* What completion and inspection say of a symbol: kind, type, documentation, signature. */
/** Where the name stands whose arguments the offset is among: `f(a, |`. */
function calledAt(source, offset) {
    let depth = 0;
    for (let i = offset - 1; i >= 0; i--) {
        if (/[)\]}]/.test(source[i]))
            depth++;
        else if (/[[{;]/.test(source[i]) && depth === 0)
            return undefined;
        else if (/[([{]/.test(source[i]) && depth-- === 0)
            return /[\p{ID_Continue}$]\s*$/u.test(source.slice(0, i)) ? source.slice(0, i).trimEnd().length - 1 : undefined;
    }
    return undefined;
}
/** LSP's CompletionItemKind → what Jupyter front ends have icons for. */
exports.KINDS = [
    "text", "text", "method", "function", "function", "property", "variable", "class", "interface", "module", "property", "unit", "value", "enum",
    "keyword", "text", "color", "file", "reference", "folder", "enum", "constant", "struct", "event", "operator", "type",
];
const FLAGS = { variable: 3, property: 4, enumMember: 8, function: 16, class: 32, interface: 64, enum: 384, module: 1536, method: 8192, accessor: 98304, typeParameter: 262144, alias: 524288, import: 2097152 };
const UNTRUNCATED = 1; // TypeFormatFlags.NoTruncation
exports.EVERYTHING = 111551 | 788968 | 1920; // SymbolFlags: values, types, namespaces
exports.KEYWORDS = ("abstract as async await break case catch class const continue declare default delete do else enum export extends false finally for from function if " +
    "implements import in infer instanceof interface is keyof let namespace new null of private protected public readonly return satisfies static super switch this throw " +
    "true try type typeof undefined using var void while with yield").split(" ");
let libraryNames;
/** Types that the language's own library declares, with their kind: the server lists members only. */
function libraryTypes() {
    if (libraryNames)
        return libraryNames;
    libraryNames = new Map();
    const typescript = (0, node_path_1.dirname)(require.resolve("typescript/package.json"));
    const platform = (0, packages_1.findPackage)(`@typescript/typescript-${process.platform}-${process.arch}`, typescript);
    for (const file of platform ? (0, node_fs_1.readdirSync)((0, node_path_1.join)(platform, "lib")) : []) {
        if (!/^lib\.(es|decorators)/.test(file))
            continue;
        for (const [, kind, name] of (0, node_fs_1.readFileSync)((0, node_path_1.join)(platform, "lib", file), "utf8").matchAll(/^(?:declare )?(interface|type) (\w+)/gm))
            libraryNames.set(name, kind);
    }
    return libraryNames;
}
/** A symbol's kind, as front ends have icons for it. */
const kindOf = ({ flags }) => flags & FLAGS.function ? "function" : flags & FLAGS.class ? "class" : flags & FLAGS.interface ? "interface" : flags & FLAGS.enum ? "enum"
    : flags & FLAGS.alias ? "type" : flags & FLAGS.module ? "module" : "variable";
exports.kindOf = kindOf;
async function resolved(checker, symbol) {
    return symbol.flags & FLAGS.import ? checker.getAliasedSymbol(symbol) : symbol;
}
/** The text of a comment: without its stars. */
const uncommented = (comment) => comment.slice(3, -2).split("\n").map((line) => line.replace(/^\s*\* ?/, "")).join("\n").trim();
/** Documentation of a symbol; where the server has none, the comment before its declaration, which it passes over for variables and properties. */
async function documentationOf(project, symbol, type) {
    const { checker } = project;
    const [said, tags] = await Promise.all([checker.getDocumentationCommentOfSymbol(symbol), checker.getJsDocTagsOfSymbol(symbol)]);
    if (said || tags.length > 0)
        return [said, tags.map(({ name, text }) => `@${name}${text ? ` ${text}` : ""}`).join("\n")].filter(Boolean).join("\n\n");
    const declared = await (symbol.valueDeclaration ?? symbol.declarations[0])?.resolve(project);
    if (declared) {
        const text = declared.getSourceFile().text;
        // `const` and its statement begin before the name.
        const start = text.slice(0, declared.getStart()).replace(/\b(export\s+)?(declare\s+)?(const|let|var)\s+$/, "").length;
        const comment = /\/\*\*(?:(?!\*\/)[^])*\*\/\s*$/.exec(text.slice(Math.max(0, start - 20_000), start));
        if (comment)
            return uncommented(comment[0].trim());
    }
    // `const matMul: typeof matMul_`: what it is an alias of may have some.
    const other = await type?.getSymbol();
    return other && other.id !== symbol.id ? documentationOf(project, other, undefined) : "";
}
async function details(project, given) {
    const { checker } = project;
    const symbol = await resolved(checker, given);
    const type = await checker.getTypeOfSymbol(symbol);
    const [text, documentation] = await Promise.all([type && checker.typeToString(type), documentationOf(project, symbol, type)]);
    return { ...(text ? { type: text } : {}), ...(documentation ? { documentation } : {}) };
}
/** How a variable was declared. */
async function keywordOf(project, symbol, changes) {
    if (changes !== undefined)
        return changes ? "let" : "const";
    const node = await symbol.valueDeclaration?.resolve(project);
    return /\b(const|let|var)\s+$/.exec(node?.getSourceFile().text.slice(0, node.getStart()) ?? "")?.[1] ?? "var";
}
/** The text that declares a symbol, where that is short. */
async function declarationOf(project, symbol) {
    const node = await symbol.declarations[0]?.resolve(project);
    const text = node?.getSourceFile().text.slice(node.getStart(), node.end);
    return text && text.split("\n").length <= 20 ? text : undefined;
}
/**
 * What an editor shows over a name.
 * @param changes whether a name of an earlier cell is a let or var; undefined for other names
 */
async function described(project, given, changes) {
    const { checker } = project;
    const symbol = await resolved(checker, given);
    const { flags, name } = symbol;
    const type = await checker.getTypeOfSymbol(symbol);
    const documentation = await documentationOf(project, symbol, type);
    const text = type ? await checker.typeToString(type, undefined, UNTRUNCATED) : "any";
    const declared = async () => {
        const found = await checker.getDeclaredTypeOfSymbol(symbol);
        return checker.typeToString(found, undefined, UNTRUNCATED | (1 << 23)); // InTypeAlias: what it stands for
    };
    const call = text.replace(/^((?:<.*?>)?\(.*\)) => /s, "$1: ");
    const shown = given.name;
    const signature = flags & FLAGS.function ? `function ${shown}${call}`
        : flags & FLAGS.class ? `class ${shown}`
            : flags & FLAGS.enum ? (await declarationOf(project, symbol)) ?? `enum ${shown}`
                : flags & FLAGS.enumMember ? `(enum member) ${text}`
                    : flags & FLAGS.method ? `(method) ${shown}${call}`
                        : flags & (FLAGS.property | FLAGS.accessor) ? `(property) ${shown}: ${text}`
                            : flags & FLAGS.variable ? `${await keywordOf(project, symbol, changes(shown))} ${shown}: ${text}`
                                : flags & FLAGS.interface ? (await declarationOf(project, symbol)) ?? `interface ${shown}`
                                    : flags & FLAGS.alias ? `type ${shown} = ${await declared()}`
                                        : flags & FLAGS.module ? `module ${name}`
                                            : `${shown}: ${text}`;
    return { signature, documentation };
}
//# sourceMappingURL=hints.js.map