import { existsSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, isAbsolute, join, sep } from "node:path";
import type { Cell } from "./cell";
import { createCellConverter, type CellConverter } from "./converter";
import { CompileError, KeyboardInterrupt, type CellPosition, type Tracer } from "./errors";
import type { Packages } from "./packages";

/** How a cell ended: the value of its last expression (undefined if it has none), or what it threw. */
export type Outcome = { ok: true; value: unknown } | { ok: false; error: unknown };

export interface Completion {
  matches: string[];
  start: number; // UTF-16 offsets of what the matches replace
  end: number;
}

/**
 * All that the kernel asks of a language. The kernel knows nothing of tslab or TypeScript; whoever replaces the converter or the
 * executor implements this.
 */
export interface Language {
  version: string;
  /** Runs a cell in its session; one at a time. */
  run(cell: Cell): Promise<Outcome>;
  /** Stops waiting for the cell that runs: its outcome is a KeyboardInterrupt. */
  cancel(): void;
  complete(source: string, offset: number): Completion;
  /** Type and documentation of what is at the offset, as text. */
  inspect(source: string, offset: number): string | undefined;
  isComplete(source: string): { complete: boolean; indent: string };
  /** Reads stack traces; the kernel adds what it knows of its cells. */
  tracer: Omit<Tracer, "cell">;
  close(): void;
}

/** Variables the kernel gives to cells: their values, and their declarations as .d.ts text. */
export interface Prelude {
  declarations: string;
  values: Record<string, unknown>;
}

/** Where a compiled file says its line comes from, if its map lies beside it: this package's own code, in a clone. */
function locateByMap(file: string, line: number, column: number): CellPosition | undefined {
  const path = `${file}.map`;
  if (!isAbsolute(file) || !existsSync(path)) return undefined;
  const entry = new SourceMap(JSON.parse(readFileSync(path, "utf8"))).findEntry(line - 1, column - 1);
  if (!("originalSource" in entry) || entry.originalLine === undefined) return undefined;
  const source = join(dirname(file), entry.originalSource);
  return existsSync(source) ? { file: source, line: entry.originalLine + 1, column: entry.originalColumn + 1 } : undefined;
}

/** What tslab throws or passes on where a cell was stopped. */
const isTslabInterrupt = (error: unknown): boolean =>
  error instanceof Error && (
    error.message === "Interrupted asynchronously" ||
    (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_INTERRUPTED"
  );

/**
 * TypeScript by tslab: its executor, over our extension of its converter.
 * @param root the notebook's folder: imports start there; it must be the process's working directory
 * @param lent packages from outside of it that cells may import
 * @param converter stands in for tslab's
 */
export function createTslab({ root, prelude, lent, converter }: {
  root: string; prelude: Prelude; lent: Packages; converter?: CellConverter;
}): Language {
  const cells = converter ?? createCellConverter({ root, prelude: prelude.declarations, lent });
  // After the converter: it decides which TypeScript these two see.
  const { createExecutor } = require("tslab/dist/executor") as typeof import("tslab/dist/executor");
  const { isCompleteCode } = require("tslab/dist/converter") as typeof import("tslab/dist/converter");
  const { printQuickInfo } = require("tslab/dist/inspect") as typeof import("tslab/dist/inspect");

  let value: unknown;
  let thrown: { error: unknown } | undefined;
  const executor = createExecutor(root, { node: cells, browser: cells, close: () => cells.close() }, {
    log(last: unknown) {
      value = last;
    },
    error(error: unknown) {
      thrown ??= { error };
    },
  });
  Object.assign(executor.locals, prelude.values);

  const tslab = dirname(require.resolve("tslab/package.json")) + sep;
  const here = __dirname + sep;

  return {
    version: cells.version,
    async run(cell) {
      value = undefined;
      thrown = undefined;
      cells.name(cell.name);
      const ok = await executor.execute(cell.source);
      const diagnostics = cells.diagnostics();
      if (diagnostics.length > 0) return { ok: false, error: new CompileError(diagnostics) };
      if (ok) return { ok: true, value };
      const error = (thrown as { error: unknown } | undefined)?.error;
      return { ok: false, error: isTslabInterrupt(error) ? new KeyboardInterrupt("the cell was interrupted") : error };
    },
    cancel: () => executor.interrupt(),
    complete(source, offset) {
      const { candidates, start, end } = executor.complete(source, offset);
      return { matches: candidates, start, end };
    },
    inspect(source, offset) {
      const info = executor.inspect(source, offset);
      return info ? printQuickInfo(info) : undefined;
    },
    isComplete(source) {
      const { completed, indent = "" } = isCompleteCode(source);
      return { complete: completed, indent };
    },
    tracer: {
      root,
      locate: (file, line, column) => cells.locate(file, line, column) ?? locateByMap(file, line, column),
      hidden: (file) => file.startsWith(tslab) || file.startsWith(here) || file.startsWith("evalmachine."),
    },
    close: () => executor.close(),
  };
}
