import { SourceMap } from "node:module";
import { basename, dirname, join } from "node:path";
import type * as TypeScript from "@tslab/typescript-for-tslab";
import type { Converter, ConvertResult, Diagnostic } from "tslab/dist/converter";
import type { CellPosition } from "./errors";
import { findPackage, typePaths, type Packages } from "./packages";

/** tslab's converter, with what it lacks: places in the cell for places in the output, and declarations that outlive a throw. */
export interface CellConverter extends Converter {
  /** Names the cell that is converted next; stack traces will say that name. */
  name(cell: string): void;
  /** What the last conversion found wrong. */
  diagnostics(): Diagnostic[];
  /** Where in a cell (or a file a cell imported) a place of its JavaScript comes from; lines and columns count from 1. */
  locate(file: string, line: number, column: number): CellPosition | undefined;
  /** Version of the TypeScript that checks. */
  version: string;
}

const EARLIER = "__prev__.d.ts"; // where tslab keeps the declarations of earlier cells
const MAP = /^\/\/# sourceMappingURL=.*$/gm;
const PREFIX = { sync: "(function(exports, require) { ", async: "(async function(exports, require) { " }; // as tslab's executor

/** Two maps in a row, from CommonJS back to the ES module and from there to TypeScript; read only when an error asks. */
type Chain = (() => SourceMap | undefined)[];

const mapOf = (json: string | undefined): SourceMap | undefined => (json ? new SourceMap(JSON.parse(json)) : undefined);

const inlineMap = (js: string): string | undefined => {
  const data = /^\/\/# sourceMappingURL=data:[^,]*;base64,(.*)$/m.exec(js)?.[1];
  return data && Buffer.from(data, "base64").toString("utf8");
};

/** Whether a module awaits outside of its functions; tslab itself looks for an error message, which `await (x)` does not cause. */
function awaitsAtTopLevel(ts: typeof TypeScript, file: TypeScript.SourceFile): boolean {
  const visit = (node: TypeScript.Node): boolean => {
    if (ts.isAwaitExpression(node)) return true;
    if (ts.isForOfStatement(node) && node.awaitModifier) return true;
    if (ts.isFunctionLike(node) || ts.isClassStaticBlockDeclaration(node)) return false;
    return ts.forEachChild(node, (child) => visit(child) || undefined) ?? false;
  };
  return visit(file);
}

/**
 * `exports.a = exports.b = void 0;` at the head of each output would forget an earlier cell's `a` when this cell throws before it
 * gives `a` a value.
 */
const keepEarlierValues = (js: string): string =>
  js.replace(/^(Object\.defineProperty\(exports, "__esModule", .*\n)((?:(?:exports\.[^\s=]+ = )+void 0;\n)+)/m,
    (_, head: string, resets: string) => head + resets.replace(/.+/g, ""));

interface Traced {
  chain: Chain;
  awaits: boolean;
}

interface Tracing {
  ts: typeof TypeScript;
  createConverter(): Converter;
  /** What the last transpilation to this text was. */
  of(js: string): Traced | undefined;
}

/**
 * Loads tslab's converter over a TypeScript that keeps source maps, parses top-level await in all its forms and knows the lent
 * packages. tslab takes no such options, so the module it requires is exchanged before it loads; no file is changed.
 */
function traceTslab(root: string, lent: Packages): Tracing {
  const tslab = require.resolve("tslab/dist/converter");
  const path = require.resolve("@tslab/typescript-for-tslab", { paths: [dirname(tslab)] });
  const ts = require(path) as typeof TypeScript;
  const traced = new Map<string, Traced>();
  // tslab looks beside the notebook and in its own node_modules; npm may have put its @types/node elsewhere.
  const nodeTypes = findPackage("@types/node", dirname(tslab));

  const createWatchCompilerHost = (files: string[], options: TypeScript.CompilerOptions, ...rest: unknown[]): unknown =>
    (ts.createWatchCompilerHost as (...args: unknown[]) => unknown)(files, {
      ...options,
      disableTopLevelAwait: false,
      inlineSourceMap: true,
      lib: options.lib?.map((lib) => lib.replace("es2022", "es2023")), // findLast
      types: ["node"], // not each package of @types: they cost time at every cell
      typeRoots: [...(options.typeRoots ?? []), ...(nodeTypes ? [dirname(nodeTypes)] : [])],
      paths: typePaths(lent),
      pathsBasePath: root,
    }, ...rest);

  const transpileModule = (js: string, { compilerOptions, ...rest }: TypeScript.TranspileOptions): TypeScript.TranspileOutput => {
    let awaits = false;
    const before: TypeScript.TransformerFactory<TypeScript.SourceFile> = () => (file) => {
      awaits = awaitsAtTopLevel(ts, file);
      return file;
    };
    const out = ts.transpileModule(js.replace(MAP, ""), {
      ...rest, compilerOptions: { ...compilerOptions, sourceMap: true }, transformers: { before: [before] },
    });
    const outputText = keepEarlierValues(out.outputText.replace(MAP, ""));
    traced.set(outputText, { chain: [() => mapOf(out.sourceMapText), () => mapOf(inlineMap(js))], awaits });
    return { ...out, outputText };
  };

  let program: TypeScript.Program | undefined;
  const createWatchProgram = (host: TypeScript.WatchCompilerHostOfFilesAndCompilerOptions<TypeScript.BuilderProgram>): unknown => {
    const { afterProgramCreate } = host;
    host.afterProgramCreate = (builder) => {
      program = builder.getProgram();
      afterProgramCreate?.call(host, builder);
    };
    return ts.createWatchProgram(host);
  };

  /**
   * tslab reads an earlier cell's `a` as `exports.a`, but passes over `{ a }`, where the name's symbol is the property. Its rewriting walks the tree
   * with this function, so here `{ a }` becomes `{ a: exports.a }`; as a target of an assignment too, with its default.
   */
  const visitEachChild = (node: TypeScript.Node, visitor: TypeScript.Visitor, context: TypeScript.TransformationContext): TypeScript.Node => {
    const original = ts.getOriginalNode(node);
    if (!program || !ts.isShorthandPropertyAssignment(node) || !ts.isShorthandPropertyAssignment(original)) return ts.visitEachChild(node, visitor, context);
    const symbol = program.getTypeChecker().getShorthandAssignmentValueSymbol(original);
    const earlier = symbol?.declarations?.some((declaration) => basename(declaration.getSourceFile().fileName) === EARLIER);
    if (!earlier) return ts.visitEachChild(node, visitor, context);
    const value = ts.factory.createPropertyAccessExpression(ts.factory.createIdentifier("exports"), node.name.text);
    const fallback = node.objectAssignmentInitializer && ts.visitNode(node.objectAssignmentInitializer, visitor);
    return ts.factory.createPropertyAssignment(node.name.text, fallback ? ts.factory.createAssignment(value, fallback as TypeScript.Expression) : value);
  };

  const module = require.cache[path] as NodeJS.Module;
  const original = module.exports as unknown;
  module.exports = { ...ts, createWatchCompilerHost, createWatchProgram, transpileModule, visitEachChild };
  let create: typeof import("tslab/dist/converter").createConverter;
  try {
    create = (require(tslab) as typeof import("tslab/dist/converter")).createConverter;
  } finally {
    module.exports = original;
  }
  return {
    ts,
    createConverter: () => create({ isJS: false, isBrowser: false }),
    of(js) {
      const found = traced.get(js);
      traced.delete(js);
      return found;
    },
  };
}

/**
 * tslab's converter for one notebook.
 * @param root the notebook's folder; the process must be in it, because tslab asks the process
 * @param prelude declarations (.d.ts text) of what the kernel defines for cells, as if an earlier cell had
 * @param lent packages whose types are found outside of the folder
 */
export function createCellConverter(
  { root, prelude, lent }: { root: string; prelude: string; lent: Packages },
): CellConverter {
  const tracing = traceTslab(root, lent);
  const base = tracing.createConverter();
  const chains = new Map<string, { chain: Chain; shift: number; lines: number; cell: boolean }>();
  const linesOf = (js: string): number => js.trimEnd().split("\n").length;
  let declarations = prelude;
  let name = "cell.ts";
  let found: Diagnostic[] = [];

  return {
    name(cell) {
      name = cell;
      found = [];
    },
    diagnostics: () => found,
    version: tracing.ts.version,
    convert(_, source): ConvertResult {
      const result = base.convert(declarations, source);
      found = result.diagnostics;
      if (found.length > 0) return result;
      // Kept from here on, whether the cell will throw or not: its first half may have run.
      declarations = result.declOutput ?? "";
      for (const side of result.sideOutputs ?? []) {
        const traced = tracing.of(side.data);
        if (traced) chains.set(side.path, { chain: traced.chain, shift: 0, lines: linesOf(side.data), cell: false });
      }
      if (!result.output) return result;
      const { awaits, chain } = tracing.of(result.output) ?? { awaits: false, chain: undefined };
      const shift = (awaits ? PREFIX.async : PREFIX.sync).length;
      if (chain) chains.set(name, { chain, shift, lines: linesOf(result.output), cell: true });
      return { ...result, hasToplevelAwait: awaits, output: `${result.output}\n//# sourceURL=${name}` };
    },
    locate(file, line, column) {
      const entry = chains.get(file);
      if (!entry || line > entry.lines) return undefined; // below the output lies tslab's call of it
      const { chain, shift, cell } = entry;
      let at = { line: line - 1, column: column - 1 - (line === 1 ? shift : 0), file };
      for (const map of chain) {
        const step = map()?.findEntry(at.line, at.column) as
          { originalLine?: number; originalColumn?: number; originalSource?: string } | undefined;
        if (step?.originalLine === undefined) return undefined;
        at = { line: step.originalLine, column: step.originalColumn ?? 0, file: step.originalSource ?? file };
      }
      if (!cell) return { file: join(dirname(file), basename(at.file)), line: at.line + 1, column: at.column + 1 };
      // tslab puts one line, "export {};", before a cell: index 1 is the cell's line 1.
      return at.line >= 1 ? { file, line: at.line, column: at.column + 1 } : undefined;
    },
    inspect: (_, source, position) => base.inspect(declarations, source, position),
    complete: (_, source, position) => base.complete(declarations, source, position),
    addModule(module, content, meta) {
      found = base.addModule(module, content, meta);
      return found;
    },
    close: () => base.close(),
  };
}
