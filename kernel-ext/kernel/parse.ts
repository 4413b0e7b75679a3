import type { Diagnostic } from "./errors";

type Oxc = typeof import("oxc-parser");

/** An ESTree node, as far as we look at it; spans are UTF-16 offsets. */
export interface Node {
  type: string;
  start: number;
  end: number;
  [key: string]: any;
}

let oxc: Oxc | undefined;

/** Loads the parser, an ES module with a native part; call it once before parse(). */
export async function loadParser(): Promise<void> {
  oxc ??= await import("oxc-parser");
}

export type Dialect = "ts" | "tsx" | "js" | "jsx";

/** Text → syntax tree and what is wrong with it. */
export function parse(text: string, dialect: Dialect): { program: Node; errors: { message: string; at: number }[] } {
  if (!oxc) throw new Error("expected loadParser() to have finished");
  const result = oxc.parseSync(`cell.${dialect}`, text, { sourceType: "module", lang: dialect, preserveParens: false, range: true });
  return {
    program: result.program as unknown as Node,
    errors: result.errors.map(({ message, labels }) => ({ message, at: labels[0]?.start ?? 0 })),
  };
}

/** What a cell declares at its top level. */
export interface Outline {
  dialect: "ts" | "tsx";
  values: string[]; // names that exist when it runs
  types: string[]; // names that exist for the checker only
  changeable: Set<string>; // of the values, those that later cells may assign to: let and var
  exported: Set<string>; // names the text exports itself
  disposes: boolean; // a top-level `using`
  endsInExpression: boolean;
  unchecked: boolean; // says `// @check off`
  errors: { message: string; at: number }[];
}

/** Names that a binding pattern declares. */
export function patternNames(pattern: Node | null): string[] {
  switch (pattern?.type) {
    case "Identifier": return [pattern.name];
    case "ObjectPattern": return pattern.properties.flatMap((each: Node) => patternNames(each.type === "RestElement" ? each.argument : each.value));
    case "ArrayPattern": return pattern.elements.flatMap((each: Node | null) => patternNames(each));
    case "AssignmentPattern": return patternNames(pattern.left);
    case "RestElement": return patternNames(pattern.argument);
    default: return [];
  }
}

/** Names a declaration declares. */
export const namesOf = (node: Node): string[] =>
  node.type === "VariableDeclaration" ? node.declarations.flatMap((each: Node) => patternNames(each.id)) : node.id?.name ? [node.id.name] : [];

/** Children of a node that are nodes. */
export function* childrenOf(node: Node): Iterable<Node> {
  for (const key in node) {
    if (key === "parent") continue;
    const value = node[key];
    if (Array.isArray(value)) {
      for (const each of value) if (each && typeof each.type === "string") yield each;
    } else if (value && typeof value.type === "string") {
      yield value;
    }
  }
}

export const isFunction = ({ type }: Node): boolean =>
  type === "FunctionDeclaration" || type === "FunctionExpression" || type === "ArrowFunctionExpression";

/** `var` below the top level belongs to the cell as well. */
function nestedVars(node: Node): string[] {
  if (isFunction(node) || node.type.startsWith("TS") || node.type === "ClassBody") return [];
  const own = node.type === "VariableDeclaration" && node.kind === "var" ? node.declarations.flatMap((each: Node) => patternNames(each.id)) : [];
  return [...own, ...[...childrenOf(node)].flatMap(nestedVars)];
}

/** A namespace of types only has no value. */
const instantiated = (node: Node): boolean => !node.declare && (node.body?.body ?? []).some((each: Node) => {
  const inner = each.declaration ?? each;
  return !(inner.declare || inner.type === "TSInterfaceDeclaration" || inner.type === "TSTypeAliasDeclaration" ||
    (inner.type === "TSModuleDeclaration" && !instantiated(inner)));
});

function outlineOf(program: Node, out: Outline): Outline {
  const add = (names: string[], { value, changeable = false }: { value: boolean; changeable?: boolean }): void => {
    for (const name of names) {
      (value ? out.values : out.types).push(name);
      if (changeable) out.changeable.add(name);
    }
  };
  for (const statement of program.body as Node[]) {
    const node: Node = statement.type === "ExportNamedDeclaration" && statement.declaration ? statement.declaration : statement;
    if (node !== statement) for (const name of namesOf(node)) out.exported.add(name);
    for (const each of (statement.type === "ExportNamedDeclaration" ? statement.specifiers : []) as Node[]) out.exported.add(each.exported.name ?? each.exported.value);
    switch (node.type) {
      case "VariableDeclaration":
        if (/using/.test(node.kind)) out.disposes = true;
        for (const { id } of node.declarations as Node[]) {
          add(patternNames(id), { value: !node.declare, changeable: node.kind === "let" || node.kind === "var" });
        }
        break;
      case "FunctionDeclaration":
      case "ClassDeclaration":
      case "TSDeclareFunction":
      case "TSEnumDeclaration":
        if (node.id) add([node.id.name], { value: !node.declare && node.type !== "TSDeclareFunction" });
        break;
      case "TSInterfaceDeclaration":
      case "TSTypeAliasDeclaration":
        add([node.id.name], { value: false });
        break;
      case "TSModuleDeclaration":
        if (node.id.type === "Identifier") add([node.id.name], { value: instantiated(node) });
        break;
      case "ImportDeclaration":
        for (const each of node.specifiers as Node[]) {
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
  const last = (program.body as Node[]).at(-1);
  out.endsInExpression = last?.type === "ExpressionStatement";
  return out;
}

/** Reads a cell: as TypeScript, or with JSX where only that makes sense of it. */
export function outline(source: string): Outline {
  let dialect: Outline["dialect"] = "ts";
  let { program, errors } = parse(source, dialect);
  if (errors.length > 0 && /<[\w>]/.test(source)) {
    const other = parse(source, "tsx");
    if (other.errors.length === 0) [dialect, program, errors] = ["tsx", other.program, other.errors];
  }
  return outlineOf(program, {
    dialect, errors, values: [], types: [], changeable: new Set(), exported: new Set(), disposes: false, endsInExpression: false,
    unchecked: /^[ \t]*\/\/[ \t]*@check[ \t]+off\b/m.test(source),
  });
}

/** Offset → line and character, from 0. */
export function placeOf(source: string, offset: number): { line: number; character: number } {
  const before = source.slice(0, offset);
  const line = before.split("\n").length - 1;
  return { line, character: offset - (before.lastIndexOf("\n") + 1) };
}

/** The parser's complaints, for cells that are not checked; TypeScript's own are better where it is asked. */
export const syntaxDiagnostics = (source: string, errors: Outline["errors"]): Diagnostic[] =>
  errors.map(({ message, at }) => ({ start: placeOf(source, Math.min(at, source.length)), messageText: message, syntax: true }));

/** Whether more lines are needed, and how the next one is indented. */
export function completeness(source: string): { status: "complete" | "incomplete" | "invalid"; indent: string } {
  const { errors } = outline(source);
  if (errors.length === 0) return { status: "complete", indent: "" };
  const end = source.trimEnd().length;
  const open = errors.some(({ message, at }) =>
    at >= end || /\bEOF\b|Unterminated multiline/.test(message) || (message === "Unterminated string" && source[at] === "`"));
  if (!open) return { status: "invalid", indent: "" };
  const last = source.trimEnd().split("\n").at(-1) ?? "";
  const [already] = /^\s*/.exec(last)!;
  return { status: "incomplete", indent: /[{[(:,?=>]$/.test(last.trimEnd()) ? `${already}  ` : already };
}
