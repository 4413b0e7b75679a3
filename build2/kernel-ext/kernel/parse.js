"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.syntaxDiagnostics = exports.isFunction = exports.namesOf = void 0;
exports.loadParser = loadParser;
exports.parse = parse;
exports.patternNames = patternNames;
exports.childrenOf = childrenOf;
exports.outline = outline;
exports.placeOf = placeOf;
exports.completeness = completeness;
let oxc;
/** Loads the parser, an ES module with a native part; call it once before parse(). */
async function loadParser() {
    oxc ??= await import("oxc-parser");
}
/** Text → syntax tree and what is wrong with it. */
function parse(text, dialect) {
    if (!oxc)
        throw new Error("expected loadParser() to have finished");
    const result = oxc.parseSync(`cell.${dialect}`, text, { sourceType: "module", lang: dialect, preserveParens: false, range: true });
    return {
        program: result.program,
        errors: result.errors.map(({ message, labels }) => ({ message, at: labels[0]?.start ?? 0 })),
    };
}
/** Names that a binding pattern declares. */
function patternNames(pattern) {
    switch (pattern?.type) {
        case "Identifier": return [pattern.name];
        case "ObjectPattern": return pattern.properties.flatMap((each) => patternNames(each.type === "RestElement" ? each.argument : each.value));
        case "ArrayPattern": return pattern.elements.flatMap((each) => patternNames(each));
        case "AssignmentPattern": return patternNames(pattern.left);
        case "RestElement": return patternNames(pattern.argument);
        default: return [];
    }
}
/** Names a declaration declares. */
const namesOf = (node) => node.type === "VariableDeclaration" ? node.declarations.flatMap((each) => patternNames(each.id)) : node.id?.name ? [node.id.name] : [];
exports.namesOf = namesOf;
/** Children of a node that are nodes. */
function* childrenOf(node) {
    for (const key in node) {
        if (key === "parent")
            continue;
        const value = node[key];
        if (Array.isArray(value)) {
            for (const each of value)
                if (each && typeof each.type === "string")
                    yield each;
        }
        else if (value && typeof value.type === "string") {
            yield value;
        }
    }
}
const isFunction = ({ type }) => type === "FunctionDeclaration" || type === "FunctionExpression" || type === "ArrowFunctionExpression";
exports.isFunction = isFunction;
/** `var` below the top level belongs to the cell as well. */
function nestedVars(node) {
    if ((0, exports.isFunction)(node) || node.type.startsWith("TS") || node.type === "ClassBody")
        return [];
    const own = node.type === "VariableDeclaration" && node.kind === "var" ? node.declarations.flatMap((each) => patternNames(each.id)) : [];
    return [...own, ...[...childrenOf(node)].flatMap(nestedVars)];
}
/** A namespace of types only has no value. */
const instantiated = (node) => !node.declare && (node.body?.body ?? []).some((each) => {
    const inner = each.declaration ?? each;
    return !(inner.declare || inner.type === "TSInterfaceDeclaration" || inner.type === "TSTypeAliasDeclaration" ||
        (inner.type === "TSModuleDeclaration" && !instantiated(inner)));
});
function outlineOf(program, out) {
    const add = (names, { value, changeable = false }) => {
        for (const name of names) {
            (value ? out.values : out.types).push(name);
            if (changeable)
                out.changeable.add(name);
        }
    };
    for (const statement of program.body) {
        const node = statement.type === "ExportNamedDeclaration" && statement.declaration ? statement.declaration : statement;
        if (node !== statement)
            for (const name of (0, exports.namesOf)(node))
                out.exported.add(name);
        for (const each of (statement.type === "ExportNamedDeclaration" ? statement.specifiers : []))
            out.exported.add(each.exported.name ?? each.exported.value);
        switch (node.type) {
            case "VariableDeclaration":
                if (/using/.test(node.kind))
                    out.disposes = true;
                for (const { id } of node.declarations) {
                    add(patternNames(id), { value: !node.declare, changeable: node.kind === "let" || node.kind === "var" });
                }
                break;
            case "FunctionDeclaration":
            case "ClassDeclaration":
            case "TSDeclareFunction":
            case "TSEnumDeclaration":
                if (node.id)
                    add([node.id.name], { value: !node.declare && node.type !== "TSDeclareFunction" });
                break;
            case "TSInterfaceDeclaration":
            case "TSTypeAliasDeclaration":
                add([node.id.name], { value: false });
                break;
            case "TSModuleDeclaration":
                if (node.id.type === "Identifier")
                    add([node.id.name], { value: instantiated(node) });
                break;
            case "ImportDeclaration":
                for (const each of node.specifiers) {
                    add([each.local.name], { value: node.importKind !== "type" && each.importKind !== "type" });
                }
                break;
            case "TSImportEqualsDeclaration":
                add([node.id.name], { value: node.importKind !== "type" });
                break;
            default:
                add(nestedVars(node), { value: true, changeable: true });
        }
    }
    // An overload's signature and its body, a class and its interface: one name.
    out.values = [...new Set(out.values)];
    out.types = [...new Set(out.types)].filter((name) => !out.values.includes(name));
    const last = program.body.at(-1);
    out.endsInExpression = last?.type === "ExpressionStatement";
    return out;
}
/** Reads a cell: as TypeScript, or with JSX where only that makes sense of it. */
function outline(source) {
    let dialect = "ts";
    let { program, errors } = parse(source, dialect);
    if (errors.length > 0 && /<[\w>]/.test(source)) {
        const other = parse(source, "tsx");
        if (other.errors.length === 0)
            [dialect, program, errors] = ["tsx", other.program, other.errors];
    }
    return outlineOf(program, {
        dialect, errors, values: [], types: [], changeable: new Set(), exported: new Set(), disposes: false, endsInExpression: false,
        unchecked: /^[ \t]*\/\/[ \t]*@check[ \t]+off\b/m.test(source),
    });
}
/** Offset → line and character, from 0. */
function placeOf(source, offset) {
    const before = source.slice(0, offset);
    const line = before.split("\n").length - 1;
    return { line, character: offset - (before.lastIndexOf("\n") + 1) };
}
/** The parser's complaints, for cells that are not checked; TypeScript's own are better where it is asked. */
const syntaxDiagnostics = (source, errors) => errors.map(({ message, at }) => ({ start: placeOf(source, Math.min(at, source.length)), messageText: message, syntax: true }));
exports.syntaxDiagnostics = syntaxDiagnostics;
/** Whether more lines are needed, and how the next one is indented. */
function completeness(source) {
    const { errors } = outline(source);
    if (errors.length === 0)
        return { status: "complete", indent: "" };
    const end = source.trimEnd().length;
    const open = errors.some(({ message, at }) => at >= end || /\bEOF\b|Unterminated multiline/.test(message) || (message === "Unterminated string" && source[at] === "`"));
    if (!open)
        return { status: "invalid", indent: "" };
    const last = source.trimEnd().split("\n").at(-1) ?? "";
    const [already] = /^\s*/.exec(last);
    return { status: "incomplete", indent: /[{[(:,?=>]$/.test(last.trimEnd()) ? `${already}  ` : already };
}
//# sourceMappingURL=parse.js.map