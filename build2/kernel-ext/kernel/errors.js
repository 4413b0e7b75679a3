"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.AWAITED = exports.CompileError = exports.KeyboardInterrupt = void 0;
exports.addAwaited = addAwaited;
exports.tidied = tidied;
exports.errorContent = errorContent;
const node_path_1 = require("node:path");
const node_util_1 = require("node:util");
/** The cell was stopped from outside. */
class KeyboardInterrupt extends Error {
    name = "KeyboardInterrupt";
}
exports.KeyboardInterrupt = KeyboardInterrupt;
const numbered = ({ code }) => (code === undefined ? "" : ` (TS${code})`);
/** The compiler refused a cell; none of it ran. */
class CompileError extends Error {
    diagnostics;
    name;
    constructor(diagnostics) {
        const [first] = diagnostics;
        super(`${first.fileName ? `${first.fileName}, ` : ""}line ${first.start.line + 1}: ${first.messageText.split("\n")[0]}${numbered(first)}`);
        this.diagnostics = diagnostics;
        this.name = diagnostics.some(({ syntax }) => syntax) ? "SyntaxError" : "TypeScriptError";
    }
}
exports.CompileError = CompileError;
/**
 * Ends the file name of a frame that was not V8's: the place of a top-level await. V8 follows awaits, but not through the promise
 * by which such an await can be given up. Line and column are those before our own rewriting.
 */
exports.AWAITED = "?awaited";
/** Adds that frame to the error that an awaited promise was rejected with, unless the cell's top level is in it already. */
function addAwaited(error, file, line, column) {
    if (!node_util_1.types.isNativeError(error) || typeof error.stack !== "string")
        return;
    if (error.stack.split("\n").some((frame) => frame.includes(`at ${file}`) || frame.includes(`at async ${file}`)))
        return;
    error.stack += `\n    at async ${file}${exports.AWAITED}:${line}:${column}`;
}
const red = (text) => `\u001b[31m${text}\u001b[39m`;
const green = (text) => `\u001b[32m${text}\u001b[39m`;
const dim = (text) => `\u001b[2m${text}\u001b[22m`;
/** The line, two before and two after it, and a mark under the column. */
function excerpt(source, line, column) {
    const lines = source.split("\n");
    const from = Math.max(1, line - 2);
    return lines.slice(from - 1, line + 2).map((text, i) => {
        const number = from + i;
        const shown = text.length > 160 ? `${text.slice(0, 160)}…` : text; // a cell may hold a line of megabytes
        if (number !== line)
            return `  ${dim(`${String(number).padStart(4)} |`)} ${shown}`;
        const mark = column <= shown.length + 1 ? `\n       ${dim("|")} ${" ".repeat(column - 1)}${red("^")}` : "";
        return `${red(">")} ${green(`${String(number).padStart(4)} |`)} ${shown}${mark}`;
    }).join("\n");
}
/** The frames of a stack that mean something to the notebook's author, with places as they wrote them. */
function frames(stack, tracer) {
    const out = [];
    for (const raw of stack.split("\n")) {
        const match = /^\s+at (?:(.*) \()?(.*?):(\d+):(\d+)\)?$/.exec(raw);
        if (!match)
            continue;
        const file = match[2].replace(/^(async )?(file:\/\/)?/, "");
        const who = match[1] ?? "";
        const line = Number(match[3]);
        const column = Number(match[4]);
        const cell = tracer.cell(file.endsWith(exports.AWAITED) ? file.slice(0, -exports.AWAITED.length) : file);
        if (!cell && (file.startsWith("node:") || tracer.hidden(file)))
            continue;
        const at = tracer.locate(file, line, column);
        if (cell) {
            if (!at)
                continue; // code the compiler added
            const place = `${cell.label}, line ${at.line}:${at.column}`;
            const nameless = /^(async )?(eval|Object\.<anonymous>|<anonymous>)?$/.test(who);
            out.push({ text: nameless ? `at ${place}` : `at ${who} (${place})`, cell: { ...cell, ...at } });
            continue;
        }
        const full = at?.file ?? file;
        const near = (0, node_path_1.relative)(tracer.root, full);
        const path = near.length < full.length ? near : full;
        const place = `${path}:${at?.line ?? line}:${at?.column ?? column}`;
        out.push({ text: who ? `at ${who} (${place})` : `at ${place}`, package: /[\\/]node_modules[\\/]/.test(full) });
    }
    return out;
}
/** Of many frames of packages in a row only the first two are shown, and how many more there are. */
function folded(all) {
    const out = [];
    for (let i = 0; i < all.length;) {
        let end = i;
        while (end < all.length && all[end].package)
            end++;
        if (end - i > 3) {
            out.push(all[i].text, all[i + 1].text, `… ${end - i - 2} more frames of packages`);
            i = end;
        }
        else {
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
function tidied(text, tracer) {
    if (!text.includes("    at ") || text.length > LONG)
        return text;
    const lines = text.split("\n");
    const kept = lines.filter((line) => {
        const file = /^ +at (?:.*\()?(.*?):\d+:\d+\)?$/.exec(line)?.[1].replace(/^async /, "");
        return file === undefined || !(tracer.hidden(file) || file.startsWith("node:")); // as in tracebacks
    });
    if (kept.length === lines.length)
        return text; // none of ours: not from a cell's run
    return kept.map((line) => line.replace(/\b(cell-\d+\.ts):(\d+):(\d+)/, (whole, file, at, column) => {
        const [place, cell] = [tracer.locate(file, Number(at), Number(column)), tracer.cell(file)];
        return place && cell ? `${cell.label}, line ${place.line}:${place.column}` : whole;
    })).join("\n");
}
const isError = (value) => node_util_1.types.isNativeError(value) || value instanceof Error;
const nameOf = (error) => {
    const made = error.constructor?.name;
    return error.name === "Error" && made ? made : String(error.name);
};
function traceOf(error, tracer, depth) {
    const message = String(error.message);
    const head = `${red(nameOf(error))}: ${asWritten(message)}`;
    const stack = typeof error.stack === "string" ? error.stack : "";
    // A message may itself hold lines that look like frames.
    const after = stack.indexOf(message);
    const shown = frames(after >= 0 ? stack.slice(after + message.length) : stack, tracer);
    const own = shown.find((frame) => frame.cell)?.cell;
    const out = [head];
    if (own)
        out.push(`${green(`${own.label}, line ${own.line}`)}\n${excerpt(own.source, own.line, own.column)}`);
    if (shown.length > 0)
        out.push(folded(shown).map((text) => `    ${dim(text)}`).join("\n"));
    const inner = [["Caused by", error.cause], ...(error instanceof AggregateError ? error.errors : []).map((each) => ["Holds", each])];
    for (const [relation, each] of depth > 0 ? inner.filter(([, value]) => value !== undefined) : []) {
        const [first, ...rest] = isError(each) ? traceOf(each, tracer, depth - 1) : [(0, node_util_1.inspect)(each)];
        out.push(`${relation} ${first}`, ...rest);
    }
    return out;
}
const compileTrace = (error, label, source) => error.diagnostics.slice(0, SHOWN).map((diagnostic) => {
    const { fileName, messageText, start: { line, character } } = diagnostic;
    const place = green(`${fileName ?? label}, line ${line + 1}:${character + 1}`);
    const head = `${red(error.name)}: ${messageText.replaceAll("\n", "\n    ")}${dim(numbered(diagnostic))}`;
    return fileName ? `${head}\n${place}` : `${head}\n${place}\n${excerpt(source, line + 1, character + 1)}`;
}).concat(error.diagnostics.length > SHOWN ? [`… and ${error.diagnostics.length - SHOWN} more`] : []);
const SHOWN = 20; // complaints of the compiler about one cell
/** Compiled cells read a variable `x` as a property; messages of the engine name it so: "$$_x.v is not a function". */
const asWritten = (message) => message.replace(/\(0\s*,\s*\$\$+_([^\s.]+)\.v\)/g, "$1").replace(/\$\$+_([^\s.]+)\.v\b/g, "$1");
/**
 * What a thrown value looks like in a notebook: name, message, the line of the cell it came from, and the frames of the author's
 * code and of packages; the kernel's and Node's own frames are left out.
 * @param cell the cell that ran, for errors of the compiler
 */
function errorContent(thrown, tracer, cell) {
    if (thrown instanceof CompileError) {
        return { ename: thrown.name, evalue: thrown.message, traceback: compileTrace(thrown, cell.label, cell.source) };
    }
    try {
        if (isError(thrown))
            return { ename: nameOf(thrown), evalue: asWritten(String(thrown.message)), traceback: traceOf(thrown, tracer, 4) };
    }
    catch {
        // An error whose own properties throw is shown like any other value.
    }
    let evalue = "a value that throws when it is looked at";
    try {
        evalue = (0, node_util_1.inspect)(thrown, { depth: 2 });
    }
    catch {
        // Said above.
    }
    return { ename: "Uncaught", evalue, traceback: [`${red("Uncaught")}: ${evalue}`] };
}
//# sourceMappingURL=errors.js.map