import { relative } from "node:path";
import { inspect, types } from "node:util";

/** A place in a cell or file as its author wrote it, counted from 1. */
export interface CellPosition {
  file: string;
  line: number;
  column: number;
}

/** What a compiler finds wrong with a cell, or with a file it imports. */
export interface Diagnostic {
  start: { line: number; character: number }; // from 0
  messageText: string; // its first line says what, further ones why
  code?: number; // TypeScript's number
  syntax?: boolean; // found by the parser: the text is no program at all
  fileName?: string; // undefined: the cell
}

/** Content of Jupyter's `error` message. */
export interface ErrorContent {
  ename: string;
  evalue: string;
  traceback: string[];
}

/** The cell was stopped from outside. */
export class KeyboardInterrupt extends Error {
  override name = "KeyboardInterrupt";
}

const numbered = ({ code }: Diagnostic): string => (code === undefined ? "" : ` (TS${code})`);

/** The compiler refused a cell; none of it ran. */
export class CompileError extends Error {
  override name: string;
  constructor(readonly diagnostics: Diagnostic[]) {
    const [first] = diagnostics;
    super(`${first.fileName ? `${first.fileName}, ` : ""}line ${first.start.line + 1}: ${first.messageText.split("\n")[0]}${numbered(first)}`);
    this.name = diagnostics.some(({ syntax }) => syntax) ? "SyntaxError" : "TypeScriptError";
  }
}

/**
 * Ends the file name of a frame that was not V8's: the place of a top-level await. V8 follows awaits, but not through the promise
 * by which such an await can be given up. Line and column are those before our own rewriting.
 */
export const AWAITED = "?awaited";

/** Adds that frame to the error that an awaited promise was rejected with, unless the cell's top level is in it already. */
export function addAwaited(error: unknown, file: string, line: number, column: number): void {
  if (!types.isNativeError(error) || typeof error.stack !== "string") return;
  if (error.stack.split("\n").some((frame) => frame.includes(`at ${file}`) || frame.includes(`at async ${file}`))) return;
  error.stack += `\n    at async ${file}${AWAITED}:${line}:${column}`;
}

/** How stack traces are read: where a frame of compiled code comes from, what a cell is called, what it says. */
export interface Tracer {
  locate(file: string, line: number, column: number): CellPosition | undefined;
  /** A cell's label and text, undefined if the file is no cell. */
  cell(file: string): { label: string; source: string } | undefined;
  /** Whether frames of that file are the kernel's own. */
  hidden(file: string): boolean;
  /** Paths are shown relative to it. */
  root: string;
}

const red = (text: string): string => `\u001b[31m${text}\u001b[39m`;
const green = (text: string): string => `\u001b[32m${text}\u001b[39m`;
const dim = (text: string): string => `\u001b[2m${text}\u001b[22m`;

/** The line, two before and two after it, and a mark under the column. */
function excerpt(source: string, line: number, column: number): string {
  const lines = source.split("\n");
  const from = Math.max(1, line - 2);
  return lines.slice(from - 1, line + 2).map((text, i) => {
    const number = from + i;
    const shown = text.length > 160 ? `${text.slice(0, 160)}…` : text; // a cell may hold a line of megabytes
    if (number !== line) return `  ${dim(`${String(number).padStart(4)} |`)} ${shown}`;
    const mark = column <= shown.length + 1 ? `\n       ${dim("|")} ${" ".repeat(column - 1)}${red("^")}` : "";
    return `${red(">")} ${green(`${String(number).padStart(4)} |`)} ${shown}${mark}`;
  }).join("\n");
}

interface Frame {
  text: string;
  package?: boolean; // code of node_modules
  cell?: { label: string; source: string; line: number; column: number };
}

/** The frames of a stack that mean something to the notebook's author, with places as they wrote them. */
function frames(stack: string, tracer: Tracer): Frame[] {
  const out: Frame[] = [];
  for (const raw of stack.split("\n")) {
    const match = /^\s+at (?:(.*) \()?(.*?):(\d+):(\d+)\)?$/.exec(raw);
    if (!match) continue;
    const file = match[2].replace(/^(async )?(file:\/\/)?/, "");
    const who = match[1] ?? "";
    const line = Number(match[3]);
    const column = Number(match[4]);
    const cell = tracer.cell(file.endsWith(AWAITED) ? file.slice(0, -AWAITED.length) : file);
    if (!cell && (file.startsWith("node:") || tracer.hidden(file))) continue;
    const at = tracer.locate(file, line, column);
    if (cell) {
      if (!at) continue; // code the compiler added
      const place = `${cell.label}, line ${at.line}:${at.column}`;
      const nameless = /^(async )?(eval|Object\.<anonymous>|<anonymous>)?$/.test(who);
      out.push({ text: nameless ? `at ${place}` : `at ${who} (${place})`, cell: { ...cell, ...at } });
      continue;
    }
    const full = at?.file ?? file;
    const near = relative(tracer.root, full);
    const path = near.length < full.length ? near : full;
    const place = `${path}:${at?.line ?? line}:${at?.column ?? column}`;
    out.push({ text: who ? `at ${who} (${place})` : `at ${place}`, package: /[\\/]node_modules[\\/]/.test(full) });
  }
  return out;
}

/** Of many frames of packages in a row only the first two are shown, and how many more there are. */
function folded(all: Frame[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < all.length; ) {
    let end = i;
    while (end < all.length && all[end].package) end++;
    if (end - i > 3) {
      out.push(all[i].text, all[i + 1].text, `… ${end - i - 2} more frames of packages`);
      i = end;
    } else {
      out.push(all[i++].text);
    }
  }
  return out;
}

const LONG = 100_000; // characters: no stack is so long

/**
 * A stack that a cell has printed itself, in the author's terms: without the kernel's frames, with places as they were written.
 * Other text stays as it is.
 */
export function tidied(text: string, tracer: Tracer): string {
  if (!text.includes("    at ") || text.length > LONG) return text;
  const lines = text.split("\n");
  const kept = lines.filter((line) => {
    const file = /^ +at (?:.*\()?(.*?):\d+:\d+\)?$/.exec(line)?.[1].replace(/^async /, "");
    return file === undefined || !(tracer.hidden(file) || file.startsWith("node:")); // as in tracebacks
  });
  if (kept.length === lines.length) return text; // none of ours: not from a cell's run
  return kept.map((line) => line.replace(/\b(cell-\d+\.ts):(\d+):(\d+)/, (whole, file: string, at: string, column: string) => {
    const [place, cell] = [tracer.locate(file, Number(at), Number(column)), tracer.cell(file)];
    return place && cell ? `${cell.label}, line ${place.line}:${place.column}` : whole;
  })).join("\n");
}

const isError = (value: unknown): value is Error => types.isNativeError(value) || value instanceof Error;

const nameOf = (error: Error): string => {
  const made = error.constructor?.name;
  return error.name === "Error" && made ? made : String(error.name);
};

function traceOf(error: Error, tracer: Tracer, depth: number): string[] {
  const message = String(error.message);
  const head = `${red(nameOf(error))}: ${asWritten(message)}`;
  const stack = typeof error.stack === "string" ? error.stack : "";
  // A message may itself hold lines that look like frames.
  const after = stack.indexOf(message);
  const shown = frames(after >= 0 ? stack.slice(after + message.length) : stack, tracer);
  const own = shown.find((frame) => frame.cell)?.cell;
  const out = [head];
  if (own) out.push(`${green(`${own.label}, line ${own.line}`)}\n${excerpt(own.source, own.line, own.column)}`);
  if (shown.length > 0) out.push(folded(shown).map((text) => `    ${dim(text)}`).join("\n"));
  const inner = [["Caused by", error.cause], ...(error instanceof AggregateError ? error.errors : []).map((each: unknown) => ["Holds", each])];
  for (const [relation, each] of depth > 0 ? inner.filter(([, value]) => value !== undefined) : []) {
    const [first, ...rest] = isError(each) ? traceOf(each, tracer, depth - 1) : [inspect(each)];
    out.push(`${relation} ${first}`, ...rest);
  }
  return out;
}

const compileTrace = (error: CompileError, label: string, source: string): string[] =>
  error.diagnostics.slice(0, SHOWN).map((diagnostic) => {
    const { fileName, messageText, start: { line, character } } = diagnostic;
    const place = green(`${fileName ?? label}, line ${line + 1}:${character + 1}`);
    const head = `${red(error.name)}: ${messageText.replaceAll("\n", "\n    ")}${dim(numbered(diagnostic))}`;
    return fileName ? `${head}\n${place}` : `${head}\n${place}\n${excerpt(source, line + 1, character + 1)}`;
  }).concat(error.diagnostics.length > SHOWN ? [`… and ${error.diagnostics.length - SHOWN} more`] : []);

const SHOWN = 20; // complaints of the compiler about one cell

/** Compiled cells read a variable `x` as a property; messages of the engine name it so: "$$_x.v is not a function". */
const asWritten = (message: string): string =>
  message.replace(/\(0\s*,\s*\$\$+_([^\s.]+)\.v\)/g, "$1").replace(/\$\$+_([^\s.]+)\.v\b/g, "$1");

/**
 * What a thrown value looks like in a notebook: name, message, the line of the cell it came from, and the frames of the author's
 * code and of packages; the kernel's and Node's own frames are left out.
 * @param cell the cell that ran, for errors of the compiler
 */
export function errorContent(thrown: unknown, tracer: Tracer, cell: { label: string; source: string }): ErrorContent {
  if (thrown instanceof CompileError) {
    return { ename: thrown.name, evalue: thrown.message, traceback: compileTrace(thrown, cell.label, cell.source) };
  }
  try {
    if (isError(thrown)) return { ename: nameOf(thrown), evalue: asWritten(String(thrown.message)), traceback: traceOf(thrown, tracer, 4) };
  } catch {
    // An error whose own properties throw is shown like any other value.
  }
  let evalue = "a value that throws when it is looked at";
  try {
    evalue = inspect(thrown, { depth: 2 });
  } catch {
    // Said above.
  }
  return { ename: "Uncaught", evalue, traceback: [`${red("Uncaught")}: ${evalue}`] };
}
