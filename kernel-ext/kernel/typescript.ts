import { existsSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, isAbsolute, join, sep } from "node:path";
import { promisify } from "node:util";
import vm from "node:vm";
import { waitIn, type Cell, type CellScope, type Clock } from "./cell";
import { compileCell, compileModule, loadCompiler, stopCompiler, type Compiled } from "./compile";
import { addAwaited, AWAITED, CompileError, KeyboardInterrupt, type CellPosition } from "./errors";
import type { Interrupts } from "./interrupt";
import type { Language, Outcome, Prelude } from "./language";
import { createModules, imported, metaOf, stampOf, type Namespace } from "./modules";
import type { Packages } from "./packages";
import { completeness, loadParser, outline, placeOf, syntaxDiagnostics } from "./parse";
import { createTypes, type Checked } from "./types";
import { createVariables } from "./variables";

/** What compiled code calls; one for each cell or file. Short names, because they stand in every loop. */
interface Context {
  value: unknown; // of the last expression
  s(): void; // stops here if this cell was interrupted
  a<T>(value: T): T; // after an await: stops if the cell was interrupted meanwhile
  r<T>(value: T, line: number, column: number): unknown; // waits for it, or until the cell is given up
  i(iterable: unknown): AsyncIterable<unknown>; // a for await at the top level: each step can be given up
  z(iterable: unknown): AsyncIterable<unknown>; // one inside of a function: looks after each step
  import(specifier: string, options?: { with?: Record<string, string> }): Promise<Namespace>;
  all(module: Namespace): Record<string, () => unknown>; // export *
  meta: Record<string, unknown>;
}

/** Runs a function so that a signal can end it by force: only a script that Node starts can be. */
const START = Symbol.for("saelab.start");
const starter = new vm.Script(`globalThis[Symbol.for("saelab.start")]()`, { filename: join(__dirname, "start.js") });

const lazyMap = (json: string): (() => SourceMap) => {
  let made: SourceMap | undefined;
  return () => (made ??= new SourceMap(JSON.parse(json)));
};

/** Where a compiled file says its line comes from, if its map lies beside it: this package's own code, in a clone. */
function locateByMap(file: string, line: number, column: number): CellPosition | undefined {
  const path = `${file}.map`;
  if (!isAbsolute(file) || !existsSync(path)) return undefined;
  const entry = new SourceMap(JSON.parse(readFileSync(path, "utf8"))).findEntry(line - 1, column - 1);
  if (!("originalSource" in entry) || entry.originalLine === undefined) return undefined;
  const source = join(dirname(file), entry.originalSource);
  return existsSync(source) ? { file: source, line: entry.originalLine + 1, column: entry.originalColumn + 1 } : undefined;
}

/** The timers of cells: an interrupt stops those that its cell has set. */
function cellTimers(scope: CellScope): Record<string, unknown> {
  const set = (start: (work: (...args: unknown[]) => void, ...rest: unknown[]) => object, once: boolean) => (work: unknown, ...rest: unknown[]): object => {
    const cell = scope.current();
    if (!cell || typeof work !== "function") return start(work as () => void, ...rest);
    const timer = start((...args) => {
      if (once) cell.timers.delete(timer);
      (work as (...args: unknown[]) => void)(...args);
    }, ...rest);
    cell.timers.add(timer);
    return timer;
  };
  const clear = (stop: (timer: never) => void) => (timer: object): void => {
    scope.current()?.timers.delete(timer);
    stop(timer as never);
  };
  const promised = (work: object, original: object): object =>
    Object.assign(work, { [promisify.custom]: (original as Record<symbol, unknown>)[promisify.custom] });
  return {
    setTimeout: promised(set(setTimeout as never, true), setTimeout), clearTimeout: clear(clearTimeout as never),
    setInterval: set(setInterval as never, false), clearInterval: clear(clearInterval as never),
    setImmediate: promised(set(setImmediate as never, true), setImmediate), clearImmediate: clear(clearImmediate as never),
  };
}

const isTypeScript = (file: string): boolean => /\.[mc]?tsx?$/.test(file);

/** Relative paths that a text imports. */
const importedPaths = (source: string): string[] =>
  [...source.matchAll(/\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)].map((match) => match[1]);

/** Declared for cells. */
const OWN_DECLARATIONS = `\
/** What the latest cell that failed has thrown. An interrupted training's error holds the SAE as far as it was: lastError.sae. */
declare const lastError: any;
`;

const PRAGMA = "off"; // SAELAB_CHECK=off: cells are not checked unless they say nothing else

/**
 * TypeScript cells: checked by TypeScript 7's native server, compiled by esbuild, run in this thread and realm.
 * @param root the notebook's folder: imports start there
 * @param lent packages from outside of it that cells may import
 * @param imported told of each package a cell imports, once it is loaded
 */
export function createTypeScript({ root, packageRoot, prelude, lent, scope, interrupts, clock, warn, onImport = () => {}, check = process.env.SAELAB_CHECK !== PRAGMA }: {
  root: string; packageRoot: string; prelude: Prelude; lent: Packages; scope: CellScope; interrupts: Interrupts; clock: Clock;
  warn: (message: string) => void; onImport?: (specifier: string) => void; check?: boolean;
}): Language {
  const loaded = Promise.all([loadParser(), loadCompiler()]);
  loaded.catch(() => {}); // said by the first cell
  const types = createTypes({
    root, prelude: prelude.declarations + OWN_DECLARATIONS, given: () => [...Object.keys(prelude.values), "lastError", ...givenNames], lent, packageRoot, warn,
  });
  const variables = createVariables();
  for (const [name, value] of Object.entries(prelude.values)) variables.get(name).d(value);
  variables.get("lastError").d(undefined);

  const notebook = join(root, "notebook.ts");
  const maps = new Map<string, { steps: [() => SourceMap, () => SourceMap]; keeps: boolean }>();
  let latest: string | undefined; // cell whose map is in there whether it is kept or not
  const stop = (): void => {
    interrupts.poll();
    const cell = scope.current();
    if (!cell?.interrupted || clock.now() < cell.sparedUntil) return;
    throw new KeyboardInterrupt("the cell was interrupted");
  };
  const after = <T>(value: T): T => {
    if (interrupts.ever || interrupts.flag[0] !== 0) stop();
    return value;
  };

  async function* steps(iterable: unknown, wait: <T>(value: T) => unknown): AsyncIterable<unknown> {
    const source = iterable as Partial<AsyncIterable<unknown> & Iterable<unknown>>;
    const iterator = (source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]?.()) as AsyncIterator<unknown> | undefined;
    if (!iterator) throw new TypeError("the object of `for await` is not iterable");
    let finished = false;
    try {
      for (;;) {
        const { done, value } = (await wait(iterator.next())) as IteratorResult<unknown>;
        finished = done === true;
        if (finished) return;
        yield after(await wait(value));
      }
    } finally {
      // Left early: the iterator is told, but one that hangs is not waited for.
      if (!finished) void Promise.resolve(iterator.return?.()).catch(() => {});
    }
  }

  const contextOf = (file: string, cell: Cell | undefined, place = file): Context => ({
    value: undefined,
    s: stop,
    a: after,
    r: (value, line, column) => (cell && typeof (value as PromiseLike<unknown> | undefined)?.then === "function"
      ? waitIn(cell, value, (error) => addAwaited(error, file, line, column)) : value),
    i: (iterable) => steps(iterable, (value) => (cell ? waitIn(cell, value) : value)),
    z: (iterable) => steps(iterable, (value) => value),
    import: (specifier, options) => load(specifier, options?.with ?? {}, place),
    all: (module) => Object.fromEntries(Object.keys(module).filter((name) => name !== "default").map((name) => [name, () => module[name]])),
    meta: metaOf(place, modules.require),
  });

  async function load(specifier: string, attributes: Record<string, string>, from: string): Promise<Namespace> {
    const module = await modules.load(String(specifier), attributes, from);
    onImport(specifier);
    return module;
  }

  const notebookModule = { exports: {} };
  const given: Record<string, unknown> = {
    ...cellTimers(scope), module: notebookModule, exports: notebookModule.exports, __filename: notebook, __dirname: root,
  };
  const givenNames = [...Object.keys(given), "require"];

  /** Calls compiled code; the synchronous beginning of it can be ended by force. */
  function call({ code, parameters, roles, variables: shared }: Compiled, file: string, special: Record<string, unknown>): unknown {
    const compiled = new vm.Script(code, { filename: file }).runInThisContext() as (...args: unknown[]) => unknown;
    const args = parameters.map((name) => {
      if (name === roles.flag) return interrupts.flag;
      if (name in special) return special[name];
      const variable = shared.get(name);
      return variable === undefined ? given[name] : variables.get(variable);
    });
    const start = (work: () => unknown): unknown => {
      (globalThis as Record<symbol, unknown>)[START] = work;
      return starter.runInThisContext({ breakOnSigint: true, displayErrors: false });
    };
    try {
      return interrupts.forcible(start, () => compiled(...args));
    } catch (error) {
      if ((error as NodeJS.ErrnoException | undefined)?.code !== "ERR_SCRIPT_EXECUTION_INTERRUPTED") throw error;
      const cell = scope.current();
      if (cell) cell.interrupted = true;
      interrupts.poll();
      throw new KeyboardInterrupt("the cell was interrupted");
    }
  }

  const modules = createModules({
    root,
    async compile(source, file) {
      let compiled: Compiled;
      try {
        compiled = await compileModule(source, file, givenNames);
      } catch (error) {
        throw asCompileError(error, file);
      }
      maps.set(file, { steps: [lazyMap(compiled.maps[0]), lazyMap(compiled.maps[1])], keeps: true });
      return compiled;
    },
    run(compiled, file, imports, exports) {
      const { roles } = compiled;
      const own = modules.require;
      const module = { exports: {} };
      return call(compiled, file, {
        [roles.context]: contextOf(file, scope.current()), [roles.modules]: imports, [roles.exports]: exports,
        require: own, module, exports: module.exports, __filename: file, __dirname: dirname(file),
      });
    },
  });
  given.require = modules.require;

  const stamps = new Map<string, string>();

  /** Whether a local file was never checked as it is now. */
  const unchecked = (file: string): boolean => {
    const stamp = stampOf(file);
    if (stamps.get(file) === stamp || !isTypeScript(file)) return false;
    stamps.set(file, stamp);
    return true;
  };

  /** Reads, checks and compiles a cell; the checker works while esbuild does. */
  async function prepare(cell: Cell, checked: boolean): Promise<{ compiled: Compiled; keep(): void }> {
    const { source } = cell;
    const broken = /\p{Surrogate}/u.exec(source);
    if (broken) {
      throw new CompileError([{
        start: placeOf(source, broken.index), syntax: true,
        messageText: `half a character: a lone surrogate (U+${source.charCodeAt(broken.index).toString(16).toUpperCase()}) cannot be saved or sent`,
      }]);
    }
    const found = outline(source);
    const around = { declared: (name: string) => variables.has(name), given: givenNames };
    const compiling = compileCell(source, cell.name, found, around);
    compiling.catch(() => {});
    let checks: Checked | undefined;
    const edited = modules.refresh();
    types.changed(edited); // whether this cell is checked or not: the next one may be
    if (checked && !found.unchecked) {
      checks = await types.check(source, found, [...new Set([...edited.filter(isTypeScript), ...modules.local(importedPaths(source)).filter(unchecked)])]);
      if (checks.diagnostics.length > 0) throw new CompileError(checks.diagnostics);
    }
    if (found.errors.length > 0) throw new CompileError(syntaxDiagnostics(source, found.errors));
    let compiled: Compiled;
    try {
      compiled = await compiling;
    } catch (error) {
      throw asCompileError(error);
    }
    if (latest !== undefined && !maps.get(latest)?.keeps) maps.delete(latest);
    latest = cell.name;
    maps.set(cell.name, { steps: [lazyMap(compiled.maps[0]), lazyMap(compiled.maps[1])], keeps: compiled.keeps });
    // Unchecked cells are declared to the checker all the same: their names exist from now on.
    return { compiled, keep: checks ? checks.keep : () => types.declare(source, found) };
  }

  async function execute(cell: Cell, checked: boolean, declares: boolean): Promise<Outcome> {
    try {
      await loaded;
      const { compiled, keep } = await waitIn(cell, prepare(cell, checked));
      const context = contextOf(cell.name, cell, notebook);
      for (const { specifier, attributes, names } of compiled.imports) {
        const module = await waitIn(cell, load(specifier, attributes, notebook));
        for (const { imported: name, local } of names) variables.get(local).d(imported(module, name));
      }
      if (declares) keep(); // from here on, whether the cell will throw or not: its first half may have run
      const { roles } = compiled;
      const result = call(compiled, cell.name, { [roles.context]: context, [roles.modules]: [], [roles.exports]: () => {} });
      if (compiled.isAsync) await waitIn(cell, result);
      return { ok: true, value: context.value };
    } catch (error) {
      if (declares && !(error instanceof CompileError)) variables.get("lastError").d(error);
      return { ok: false, error };
    }
  }

  const here = __dirname + sep;
  return {
    run: (cell) => execute(cell, check, true),
    evaluate: (cell) => execute(cell, false, false),
    async complete(source, offset) {
      await loaded;
      types.changed(modules.refresh());
      return types.complete(source, offset, outline(source));
    },
    async inspect(source, offset) {
      await loaded;
      return types.inspect(source, offset, outline(source));
    },
    isComplete: (source) => completeness(source),
    keeps: (name) => maps.get(name)?.keeps ?? false,
    tracer: {
      root,
      locate(file, line, column) {
        const awaited = file.endsWith(AWAITED);
        const name = awaited ? file.slice(0, -AWAITED.length) : file;
        const entry = maps.get(name);
        if (!entry) return locateByMap(file, line, column);
        let at = { line: line - 1, column: column - 1 };
        for (const map of awaited ? entry.steps.slice(1) : entry.steps) {
          const { originalLine, originalColumn } = map().findEntry(at.line, at.column) as { originalLine?: number; originalColumn?: number };
          if (originalLine === undefined) return undefined;
          at = { line: originalLine, column: originalColumn ?? 0 };
        }
        return { file: name, line: at.line + 1, column: at.column + 1 };
      },
      hidden: (file) => file.startsWith(here) || file.startsWith("evalmachine."),
    },
    close() {
      types.close();
      stopCompiler();
    },
  };
}

/** esbuild's complaint as the checker would write it. */
function asCompileError(error: unknown, file?: string): unknown {
  const { errors } = error as { errors?: { text: string; location: { line: number; column: number } | null }[] };
  if (!errors) return error;
  return new CompileError(errors.map(({ text, location }) => ({
    start: { line: (location?.line ?? 1) - 1, character: location?.column ?? 0 }, messageText: text, syntax: true, fileName: file,
  })));
}
