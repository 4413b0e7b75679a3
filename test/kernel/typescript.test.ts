import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { errorContent, KeyboardInterrupt } from "../../kernel-ext/kernel/errors";
import { cellScope, systemClock, type Cell, type CellScope } from "../../kernel-ext/kernel/cell";
import { createInterrupts, sharedInterrupt, type Interrupts } from "../../kernel-ext/kernel/interrupt";
import type { Language } from "../../kernel-ext/kernel/language";
import { lendPackages, lentPackages } from "../../kernel-ext/kernel/packages";
import { createTypeScript } from "../../kernel-ext/kernel/typescript";
import { fakeCell } from "./fakes";

/*
 * The real checker, compiler and runtime, without Jupyter: a notebook in a folder of its own, and a package "labkit", with a
 * dependency "dep", that lends itself to it.
 */
const top = realpathSync(mkdtempSync(join(tmpdir(), "saelab-language-")));
const root = join(top, "notebooks");
const packageRoot = join(top, "package");
const files: Record<string, string> = {
  "package/package.json": JSON.stringify({ name: "labkit", version: "1.0.0", main: "index.js", types: "index.d.ts", dependencies: { dep: "1.0.0" } }),
  "package/index.js": 'exports.answer = 42; exports.name = require("dep").name;',
  "package/index.d.ts": "export declare const answer: number;\nexport declare const name: string;\n",
  "package/node_modules/dep/package.json": JSON.stringify({ name: "dep", version: "1.0.0", main: "index.js", types: "index.d.ts" }),
  "package/node_modules/dep/index.js": 'exports.name = "dep of the package";',
  "package/node_modules/dep/index.d.ts": "export declare const name: string;\n",
  "notebooks/local.ts": "import { answer } from 'labkit';\n\nexport function twice(): number { return 2 * answer; }\nexport function fails(): never {\n  throw new Error('in the file');\n}\n",
  "notebooks/data.json": '{ "rows": [1, 2] }',
  "notebooks/round.ts": "import { b } from './trip';\nexport const a = 'a';\nexport const both = () => a + b;\n",
  "notebooks/trip.ts": "import { a } from './round';\nexport const b = 'b';\nexport const read = () => a;\n",
  "notebooks/awaits.ts": "export const value: number = await Promise.resolve(11);\nexport default class Thing { n = value }\nexport * from './local';\nexport { value as again };\n",
  "notebooks/part.js": "exports.old = 'CommonJS';\n",
  "notebooks/view.tsx": "/** @jsxRuntime classic */\n/** @jsx h */\nconst h = (tag: string, props: object | null, ...rest: unknown[]) => [tag, props, ...rest];\ndeclare namespace JSX { interface IntrinsicElements { b: object } }\nexport const view = <b>x</b>;\n",
  "node_modules/onlyimport/package.json": JSON.stringify({ name: "onlyimport", version: "1.0.0", type: "module", exports: { ".": { import: "./index.js", types: "./index.d.ts" } } }),
  "node_modules/onlyimport/index.js": "export const waited = await Promise.resolve('top-level await');\nexport default 5;\n",
  "node_modules/onlyimport/index.d.ts": "export declare const waited: string;\ndeclare const five: number;\nexport default five;\n",
  "node_modules/untyped/package.json": JSON.stringify({ name: "untyped", version: "1.0.0", main: "index.js" }),
  "node_modules/untyped/index.js": "module.exports = function twice(x) { return 2 * x; };\nmodule.exports.half = (x) => x / 2;\n",
  "with/node_modules/dep/package.json": JSON.stringify({ name: "dep", version: "2.0.0" }),
};

let language: Language;
let scope: CellScope;
let interrupts: Interrupts;
let takeBack: () => void;
let serial = 0;
const warnings: string[] = [];

before(() => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(top, path, ".."), { recursive: true });
    writeFileSync(join(top, path), text);
  }
  const lent = lentPackages({ root, packageRoot });
  takeBack = lendPackages(lent);
  const prelude = { declarations: "declare function given(x: number): string;\n", values: { given: (x: number) => `given ${x}` } };
  scope = cellScope();
  interrupts = createInterrupts(sharedInterrupt(), undefined);
  language = createTypeScript({
    root, packageRoot: resolve(__dirname, "..", "..", ".."), lent, prelude, scope, interrupts, clock: systemClock, check: true, warn: (message) => warnings.push(message),
  });
});

after(() => {
  language.close();
  takeBack();
  rmSync(top, { recursive: true, force: true });
});

const sources = new Map<string, string>();

let running: Cell | undefined;

async function run(source: string): Promise<{ value?: unknown; error?: { ename: string; evalue: string; text: string } }> {
  const cell = fakeCell(source, `cell-${++serial}.ts`);
  cell.label = `cell ${serial}`;
  sources.set(cell.name, source);
  running = cell;
  const outcome = await scope.run(cell, () => language.run(cell));
  if (outcome.ok) return { value: outcome.value };
  const tracer = {
    ...language.tracer,
    hidden: (file: string) => file === __filename || language.tracer.hidden(file),
    cell: (file: string) => {
      const text = sources.get(file);
      return text === undefined ? undefined : { label: file.replace("-", " ").replace(".ts", ""), source: text };
    },
  };
  const { ename, evalue, traceback } = errorContent(outcome.error, tracer, cell);
  return { error: { ename, evalue, text: traceback.join("\n").replace(/\u001b\[\d+m/g, "") } };
}

test("values pass from cell to cell, declarations may be repeated", async () => {
  assert.equal((await run("const a = 1; let b = a + 1; b")).value, 2);
  assert.equal((await run("const a = 'text'; a + b")).value, "text2");
  assert.equal((await run("class C { x = 1 }\nfunction f(c: C) { return c.x }")).value, undefined);
  assert.equal((await run("f(new C())")).value, 1);
});

for (const [source, want] of [
  ["await (7)", 7],
  ["await [1, 2]", [1, 2]],
  ["await -(3)", -3],
  ["await `text`", "text"],
  ["const made = await (async () => 5)(); made", 5],
  ["let sum = 0;\nfor await (const x of [1, 2]) sum += x;\nsum", 3],
  ["{ if (true) { await new Promise((resolve) => setTimeout(resolve, 1)); } }\n9", 9],
  ["const o = { x: await Promise.resolve(4) };\no.x", 4],
] as [string, unknown][]) {
  test(`top-level await: ${JSON.stringify(source)}`, async () => {
    const { value, error } = await run(source);
    assert.deepEqual(value, want, error?.text);
  });
}

test("{ name } reads an earlier cell's variable, and assigns to it", async () => {
  await run("let width = 3; let height = 4; const area = (size: object) => size;");
  await run("width = 5;");
  assert.deepEqual((await run("const size = { width, nested: { height } };\nsize")).value, { width: 5, nested: { height: 4 } });
  assert.deepEqual((await run("const found = await Promise.resolve(area({ width, height }));\nfound")).value, { width: 5, height: 4 });
  await run("({ width, height = width } = { width: 7 } as { width: number; height?: number });");
  assert.deepEqual((await run("[width, height]")).value, [7, 7]);
  assert.deepEqual((await run("((width: number) => ({ width, height }))(1)")).value, { width: 1, height: 7 }, "a parameter of that name wins");
});

test("a lone for await, and an await inside of a function only", async () => {
  assert.equal((await run("let seen = 0;")).value, undefined);
  assert.equal((await run("for await (const x of [1, 2, 3]) { seen += x }")).error, undefined);
  assert.equal((await run("seen")).value, 6);
  assert.equal((await run("const later = async () => await (8); typeof later")).value, "function");
});

test("what a cell declared before it threw stays, and what it did not reach keeps its earlier value", async () => {
  await run("const early = 0; const late = 'first';");
  const { error } = await run("const early = 10;\nlet also = early + 1;\nthrow new Error('stop');\nconst late = 'second';");
  assert.equal(error?.ename, "Error");
  assert.equal((await run("early + also")).value, 21);
  assert.equal((await run("late")).value, "first");
});

test("an error names the line of its cell, in functions of earlier cells too, and no frame of the kernel", async () => {
  await run("// a comment\ninterface Odd { z?: number }\nfunction reach(x: any): number {\n  return x.y.z;\n}");
  const made = serial;
  const { error } = await run("const n: number = 1;\n\nreach({ n });");
  assert.equal(error?.ename, "TypeError");
  assert.match(error?.text ?? "", new RegExp(`>\\s+4 \\|\\s+return x\\.y\\.z;`));
  const frames = (error?.text ?? "").split("\n").filter((line) => /^\s+at /.test(line)).map((line) => line.trim());
  assert.deepEqual(frames, [`at reach (cell ${made}, line 4:14)`, `at cell ${serial}, line 3:1`]);
});

test("the line is right after an await, in the first line, and for an asynchronous error", async () => {
  const first = await run("await (1); throw new RangeError('here')");
  assert.match(first.error?.text ?? "", new RegExp(`at cell ${serial}, line 1:18`));
  const later = await run("async function sleepy() {\n  await new Promise((resolve) => setTimeout(resolve, 1));\n  throw new RangeError('late');\n}\n\nawait sleepy();");
  const frames = (later.error?.text ?? "").split("\n").filter((line) => /^\s+at /.test(line)).map((line) => line.trim());
  assert.deepEqual(frames, [`at sleepy (cell ${serial}, line 3:9)`, `at cell ${serial}, line 6:1`]);
});

test("causes are shown", async () => {
  const { error } = await run("throw new Error('outer', { cause: new TypeError('inner') })");
  assert.match(error?.text ?? "", /Error: outer[\s\S]*Caused by TypeError: inner/);
});

test("a type error and a syntax error stop the cell before it runs", async () => {
  await run("let ran = false;");
  const typed = await run("ran = true;\nconst n: number = 'x';");
  assert.equal(typed.error?.ename, "TypeScriptError");
  assert.equal(typed.error?.evalue, "line 2: Type 'string' is not assignable to type 'number'. (TS2322)");
  assert.match(typed.error?.text ?? "", />\s+2 \| const n: number = 'x';\n\s+\|\s{7}\^/);
  const broken = await run("ran = true;\nconst = 3;");
  assert.equal(broken.error?.ename, "SyntaxError");
  assert.equal((await run("ran")).value, false);
});

/** Waits until the cell has reached its await, then does what the kernel does at an interrupt. */
async function stopWaiting(waiting: ReturnType<typeof run>): ReturnType<typeof run> {
  await run_until(() => (globalThis as { reached?: boolean }).reached === true);
  delete (globalThis as { reached?: boolean }).reached;
  running!.interrupted = true;
  interrupts.raise();
  for (const reject of [...running!.waits]) reject(new KeyboardInterrupt("the cell was interrupted"));
  const result = await waiting;
  interrupts.lower();
  return result;
}

async function run_until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 1));
}

for (const [what, source] of [
  ["an awaited promise", "(globalThis as any).reached = true;\nawait new Promise(() => {});"],
  ["a for await", "for await (const x of (async function* () { (globalThis as any).reached = true; yield await new Promise(() => {}); })());"],
  ["a loop in an async function, after its next await", "const slowly = async () => { (globalThis as any).reached = true; for (;;) { await new Promise((r) => setTimeout(r, 1)); (globalThis as any).turns = 1 } };\nawait slowly();"],
] as [string, string][]) {
  test(`${what} is given up, what was declared stays, and the next cell runs`, async () => {
    const { error } = await stopWaiting(run(`let begun = ${JSON.stringify(what)};\n${source}`));
    assert.equal(error?.ename, "KeyboardInterrupt");
    assert.equal((await run("begun")).value, what);
    // What went on behind the await has ended too.
    delete (globalThis as { turns?: number }).turns;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal((globalThis as { turns?: number }).turns, undefined);
  });
}

test("a loop that never pauses looks at the flag; so does a recursion; `finally` runs", async () => {
  await run("function forever() { while (true) {} }\nfunction deep(n: number): number { return n < 2 ? 1 : deep(n - 1) + deep(n - 2) }\nlet cleaned = 0;");
  for (const source of ["forever()", "await 0; forever()", "deep(90)", "try { do ; while (true) } finally { cleaned++ }", "[1].map((x) => { for (;;); })"]) {
    const state = interrupts.flag;
    // A bell in the same thread could not ring while the loop runs: it has rung before the cell begins.
    interrupts.onInterrupt(() => (running!.interrupted = true));
    Atomics.add(state, 1, 1);
    interrupts.raise();
    const { error } = await run(source);
    assert.equal(error?.ename, "KeyboardInterrupt", source);
    interrupts.lower();
  }
  assert.equal((await run("cleaned")).value, 1);
});

const forms: [string, string, unknown][] = [
  ["using", "let gone = 0; { using d = { [Symbol.dispose]() { gone++ } }; }\ngone", 1],
  ["using at the top level, whose names stay", "let order = ''; using res = { name: 'r', [Symbol.dispose]() { order += 'disposed' } };\nconst inside = res.name + order;\ninside", "r"],
  ["await using", "let closed = 0; { await using d = { async [Symbol.asyncDispose]() { closed++ } }; }\nclosed", 1],
  ["a decorator", "function twice(m: any, c: any) { return function (this: any, ...a: any[]) { return 2 * m.apply(this, a) } }\nclass Decorated { @twice three() { return 3 } }\nnew Decorated().three()", 6],
  ["an accessor field", "class Acc { accessor x = 4 }\nnew Acc().x", 4],
  ["satisfies", "const sat = { k: 1 } satisfies Record<string, number>;\nsat.k", 1],
  ["an enum", "enum Level { Low = 2, High }\nLevel[3]", "High"],
  ["an enum again, of which the first one's members are gone", "enum Level { Only = 9 }\nObject.keys(Level).join()", "9,Only"],
  ["a const enum", "const enum Fixed { A = 5 }\nFixed.A", 5],
  ["a namespace", "namespace Space { export const inner = 8; export type T = string }\nSpace.inner", 8],
  ["overloads", "function over(a: string): string; function over(a: number): number; function over(a: any) { return a }\nover(3)", 3],
  ["an abstract generic class", "abstract class Base<T> { constructor(readonly t: T) {} }\nclass Sub extends Base<number> {}\nnew Sub(6).t", 6],
  ["destructuring with defaults that read their neighbours", "const { p, q = p + 1, ...others } = { p: 1, z: 9 } as { p: number; q?: number; z: number };\n[p, q, others.z].join()", "1,2,9"],
  ["several declarators, each reading the one before", "const d1 = 2, d2 = d1 * 2, d3 = d2 + d1;\nd3", 6],
  ["var in a loop's head and body", "for (var vi = 0; vi < 3; vi++) { var body = vi }\n[vi, body!].join()", "3,2"],
  ["a function before its declaration", "early();\nfunction early() { return 'hoisted' }\nearly()", "hoisted"],
  ["a method's this", "const holder = { n: 4, get() { return this.n } };\nholder.get()", 4],
  ["a called variable has no this", "const who = function (this: unknown) { return this };\ntypeof who()", "undefined"],
  ["names of functions and classes", "const arrow = () => {}; const Cls = class {};\n[arrow.name, Cls.name].join()", "arrow,Cls"],
  ["assignment forms", "let n1 = 1; n1 += 2; n1++; n1 ||= 5; [n1] = [n1 * 2];\nn1", 8],
  ["a tagged template", "const tag = (s: TemplateStringsArray, ...v: number[]) => s.raw.join('|') + v;\ntag`a${1}b`", "a|b1"],
  ["labels, switch and continue", "let hits = 0; outer: for (const i of [1, 2]) { for (;;) { switch (i) { case 1: continue outer; default: hits = i; break outer } } }\nhits", 2],
  ["generators and spread", "function* count() { yield 1; yield 2 }\n[...count()].join()", "1,2"],
  ["private names, static blocks", "class Priv { #x = 1; static y = 0; static { Priv.y = 7 } has(o: object) { return #x in o } }\n[new Priv().has(new Priv()), Priv.y].join()", "true,7"],
  ["a regular expression with flags", "/(?<year>\\d+)/u.exec('in 1999')?.groups?.year", "1999"],
  ["bigint, optional chaining, nullish", "const big = 2n ** 64n; const nil: { x?: { y: number } } = {};\n[big.toString(), nil.x?.y ?? 'none'].join()", "18446744073709551616,none"],
  ["import.meta", "import.meta.dirname === __dirname", true],
  ["export in a cell", "export const shipped = 3; export default shipped;\nshipped", 3],
  ["type-only things", "type T1 = { a: number }; interface I1 { b?: T1 } declare const nowhere: T1;\nconst i1: I1 = { b: { a: 1 } };\ni1.b!.a", 1],
  ["types of earlier cells", "const t1: T1 = { a: 2 };\nt1.a", 2],
  ["a comment at the end", "'x' // says nothing", "x"],
  ["a directive-like text", "'just text'", "just text"],
  ["an object literal in parentheses", "({ a: 1 }).a", 1],
  ["non-ASCII names and text", "const größe = 'ü😀'; größe + größe.length", "ü😀3"],
  ["JSON", "import rows from './data.json' with { type: 'json' };\nrows.rows.length", 2],
  ["a Node module, default and named", "import fs, { existsSync as exists } from 'node:fs'; import * as os from 'os';\n[typeof fs.readFileSync, exists === fs.existsSync, typeof os.cpus].join()", "function,true,function"],
  ["a dynamic import", "(await import('node:path')).basename('/a/b')", "b"],
  ["a package with only import and a top-level await", "import five, { waited } from 'onlyimport';\n[five, waited].join()", "5,top-level await"],
  ["the same, dynamically", "(await import('onlyimport')).default", 5],
  ["a CommonJS function without types", "import double, { half } from 'untyped';\n[double(4), half(4)].join()", "8,2"],
  ["import = require", "import util = require('node:util');\nutil.format('%s', 1)", "1"],
  ["a cycle of local files", "import { both } from './round'; import { read } from './trip.ts';\nboth() + read()", "aba"],
  ["a local file that awaits, re-exports and has a default", "import Thing, { value, again, twice as doubled } from './awaits.js';\n[new Thing().n, value + again, typeof doubled].join()", "11,22,function"],
  ["a local CommonJS file", "import { old } from './part.js';\nold", "CommonJS"],
  ["a local file with JSX", "import { view } from './view';\nview.join()", "b,,x"],
  ["JSX in a cell", "/** @jsxRuntime classic */\n/** @jsx h */\ndeclare namespace JSX { interface IntrinsicElements { i: { id?: string } } }\nconst h = (tag: string, props: any) => tag + props.id;\n<i id='7' />", "i7"],
];
for (const [what, source, want] of forms) {
  test(`cells: ${what}`, async () => {
    const { value, error } = await run(source);
    assert.deepEqual(value, want, error?.text);
  });
}

test("a local file is fresh after an edit, and so is the file that imports it", async () => {
  writeFileSync(join(root, "leaf.ts"), "export const leaf = 1;\n");
  writeFileSync(join(root, "stem.ts"), "import { leaf } from './leaf';\nexport const stem = () => leaf * 10;\n");
  assert.equal((await run("import { stem } from './stem'; stem()")).value, 10);
  writeFileSync(join(root, "leaf.ts"), "export const leaf = 'edited';\n");
  const { error } = await run("import { stem } from './stem'; stem()");
  assert.match(error?.text ?? "", /left-hand side[^]*stem\.ts, line 2:27/, "the edited file does not fit the file between");
  writeFileSync(join(root, "leaf.ts"), "export const leaf = 22;\n");
  assert.equal((await run("import { stem } from './stem'; stem()")).value, 220);
});

test("`// @check off` runs what the checker refuses, and its names are declared all the same", async () => {
  assert.equal((await run("// @check off\nconst loose: number = 'text';\nloose")).value, "text");
  assert.equal((await run("loose")).value, "text");
  assert.equal((await run("// @check off\ntypeof notDeclared")).value, "undefined");
  assert.equal((await run("// @check off\nnotDeclared")).error?.evalue, "notDeclared is not defined");
  await run("// @check off\nfunction usesLater() { return definedLater }");
  await run("const definedLater = 'later';");
  assert.equal((await run("usesLater()")).value, "later");
  const { error } = await run("// @check off\nconst = 3");
  assert.equal(error?.ename, "SyntaxError");
});

test("earlier cells see what a later one assigns and redeclares", async () => {
  await run("let counter = 1; const readCounter = () => counter; function helper() { return 'old' } const useHelper = () => helper();");
  await run("counter = 41; counter++;");
  assert.equal((await run("readCounter()")).value, 42);
  await run("function helper() { return 'new' }");
  assert.equal((await run("useHelper()")).value, "new");
  assert.equal((await run("readCounter = 3")).error?.ename, "TypeScriptError");
  assert.equal((await run("counter = 'text'")).error?.ename, "TypeScriptError");
});

const bad: [string, string, string, RegExp][] = [
  ["a syntax error", "let x = (1;", "SyntaxError", /TS1005/],
  ["an unfinished template", "let x = `abc", "SyntaxError", /Unterminated template/],
  ["a NUL", "let x = 1;\u0000", "SyntaxError", /line 1/],
  ["half a character", "const s = '\ud800';", "SyntaxError", /lone surrogate \(U\+D800\)/],
  ["a package that is not there", "import x from 'no-such-package/part';", "TypeScriptError", /npm install no-such-package/],
  ["the same, unchecked", "// @check off\nimport x from '@no/such-package';", "ImportError", /npm install @no\/such-package/],
  ["the same, dynamically", "// @check off\nawait import('no-such-package');", "ImportError", /npm install no-such-package/],
  ["a file that is not there", "// @check off\nimport x from './no-such-file';", "ImportError", /expected a file .*no-such-file/],
  ["a web address", "// @check off\nimport x from 'https://example.org/x.js';", "ImportError", /Nothing is fetched/],
  ["an error in an imported file's syntax", "// @check off\nimport './broken';", "SyntaxError", /broken\.ts, line 2/],
  ["JSON that is none", "// @check off\nimport x from './broken.json' with { type: 'json' };", "ImportError", /broken\.json: expected JSON/],
];
for (const [what, source, name, pattern] of bad) {
  test(`bad input: ${what}`, async () => {
    writeFileSync(join(root, "broken.ts"), "const a = 1;\nconst = 2;\n");
    writeFileSync(join(root, "broken.json"), "{ nope");
    const { error } = await run(source);
    assert.equal(error?.ename, name, error?.text);
    assert.match(`${error?.evalue}\n${error?.text}`, pattern);
    assert.equal((await run("1 + 1")).value, 2);
  });
}

test("a cell of 10 MB runs, and one with an error names its line", async () => {
  const rows = "12345678,".repeat(1_100_000);
  assert.equal((await run(`const rows = "${rows}";\nrows.length`)).value, rows.length);
  const { error } = await run(`const text = "${rows}";\nconst n: number = "x";`);
  assert.match(error?.evalue ?? "", /^line 2: Type 'string'/);
  assert.ok((error?.text.length ?? 0) < 10_000);
});

/** Ends processes that this one has started. */
function killChildren(pattern: RegExp): void {
  const lines = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], { encoding: "utf8" }).split("\n").filter((line) => pattern.test(line));
  assert.ok(lines.length > 0, `expected a process ${pattern}`);
  for (const line of lines) process.kill(Number(line.trim().split(" ")[0]), "SIGKILL");
}

test("the checker's process dies: it is started again, knows the earlier cells, and the cell is checked", async () => {
  await run("const before = { deep: 1 };");
  killChildren(/--api/);
  assert.equal((await run("before.deep.toFixed(1)")).value, "1.0");
  assert.equal((await run("before.nothing")).error?.ename, "TypeScriptError");
  assert.match(warnings.join(), /type checker stopped .*started again/);
});

test("the compiler's process dies: the next cell starts it again", async () => {
  killChildren(/esbuild/);
  assert.equal((await run("const risen: number = 1; risen")).value, 1);
});

test("hundreds of cells whose names all live are checked; a name is that of its last declaration", async () => {
  for (let i = 0; i < 150; i++) assert.equal((await run(`const many${i} = ${i ? `many${i - 1} + 1` : "0"}; let last = "${i}";`)).error, undefined);
  assert.equal((await run("many149.toFixed(0) + many3.toFixed(0) + last.trim()")).value, "1493149");
  assert.equal((await run("const wrong: string = many77;")).error?.ename, "TypeScriptError");
});

test("what the kernel gives is declared and may be redeclared", async () => {
  assert.equal((await run("given(3)")).value, "given 3");
  assert.equal((await run("given('x')")).error?.ename, "TypeScriptError");
  assert.equal((await run("const given = 4; given")).value, 4);
});

test("the package and its dependency are lent, with types, to cells and to files they import", async () => {
  assert.equal((await run("import { answer } from 'labkit';\nanswer + 1")).value, 43);
  assert.equal((await run("import { name } from 'dep'; name")).value, "dep of the package");
  assert.equal((await run("const wrong: string = answer;")).error?.ename, "TypeScriptError");
  assert.equal((await run("import { twice } from './local'; twice()")).value, 84);
  assert.equal((await run("import * as nothing from 'not-there';")).error?.ename, "TypeScriptError");
  assert.throws(() => require("not-there"), { code: "MODULE_NOT_FOUND" });
});

test("an error in an imported file names that file's own line", async () => {
  const { error } = await run("import { fails } from './local';\nfails();");
  assert.match(error?.text ?? "", /at fails \(local\.ts:5:9\)/);
});

test("a package that the notebook's folder has itself is not lent", () => {
  assert.deepEqual([...lentPackages({ root: join(top, "with"), packageRoot }).keys()], ["labkit"]);
  assert.deepEqual([...lentPackages({ root, packageRoot }).keys()], ["labkit", "dep"]);
});

test("completion: members with types and documentation, names of earlier cells, nothing where nothing fits", async () => {
  await run("/** A vessel. */\nconst kettle = { /** Heats it. */ boil: (degrees: number) => degrees, pour: 'x' };\nlet kept = 1;");
  const members = await language.complete("kettle.po", 9);
  assert.deepEqual(members, { proposals: [{ text: "pour", kind: "property", type: "string" }], start: 7, end: 9 });
  const { proposals: [boil] } = await language.complete("1;\nkettle.bo", 12);
  assert.deepEqual(boil, { text: "boil", kind: "property", type: "(degrees: number) => number", documentation: "Heats it." });
  assert.deepEqual((await language.complete("ke", 2)).proposals.map(({ text }) => text).filter((text) => /^ke/.test(text)).sort(), ["kept", "kettle", "keyof"]);
  assert.deepEqual((await language.complete("kettle.zzz", 10)).proposals, []);
  assert.ok((await language.complete("const own = 1;\now", 17)).proposals.some(({ text }) => text === "own"));
  for (const name of ["given", "lastError", "require"]) assert.deepEqual((await language.complete(name.slice(0, -1), name.length - 1)).proposals.map(({ text }) => text), [name]);
  await run("const secret: unique symbol = Symbol('s'); const pan = { [secret]: 1, 'two words': 2, lid: 3 }; const lidded: typeof pan | undefined = pan as typeof pan | undefined;");
  assert.deepEqual((await language.complete("pan.", 4)).proposals.map(({ text }) => text), ["lid"]);
  assert.deepEqual((await language.complete("lidded.", 7)).proposals.map(({ text }) => text), ["lid"]);
  await run("function brew() {} class Brewer {} interface Brewed { x: 1 } enum Brews { A }");
  const kinds = (await language.complete("let x: Brew | brew", 18)).proposals.concat((await language.complete("Brew", 4)).proposals).map(({ text, kind }) => `${text} ${kind}`);
  assert.deepEqual(kinds, ["brew function", "Brewed interface", "Brewer class", "Brews enum"]);
});

test("inspection: signature and documentation, also between words and after non-ASCII text", async () => {
  await run("/**\n * Adds.\n * @param a the first\n */\nfunction plus(a: number, b = 2): number { return a + b }\nlet changes: string | number = 1; type Pair = [number, string]; class Vessel {}");
  assert.deepEqual(await language.inspect("plus", 2), { signature: "function plus(a: number, b?: number): number", documentation: "Adds.\n\n@param a the first" });
  assert.equal((await language.inspect("'ü😀'; plus", 10))?.signature, "function plus(a: number, b?: number): number");
  assert.equal((await language.inspect("changes", 7))?.signature, "let changes: string | number");
  assert.equal((await language.inspect("let p: Pair", 9))?.signature, "type Pair = [number, string]");
  assert.equal((await language.inspect("new Vessel()", 6))?.signature, "class Vessel");
  assert.equal((await language.inspect("Math", 2))?.signature, "var Math: Math");
  assert.equal((await language.inspect("const c1 = 1; c1", 15))?.signature, "const c1: 1");
  assert.equal((await language.inspect("plus(", 5))?.signature, "function plus(a: number, b?: number): number", "among the arguments");
  assert.equal((await language.inspect("[plus(1, [2].length, )]", 21))?.signature, "function plus(a: number, b?: number): number");
  assert.equal((await language.inspect("{ 1 }; ", 7)), undefined);
  await run("interface Recipe {\n  steps: string[];\n}");
  assert.equal((await language.inspect("Recipe", 3))?.signature, "interface Recipe {\n  steps: string[];\n}", "with its members, also where a value is expected");
  assert.equal((await language.inspect("kettle.boil", 9))?.signature, "(property) boil: (degrees: number) => number");
  assert.equal(await language.inspect("  ", 1), undefined);
  assert.equal(await language.inspect("nothingOfThatName", 3), undefined);
});

for (const [source, status, indent] of [
  ["1 + 1", "complete", ""], ["function f() {", "incomplete", "  "], ["  if (x) {", "incomplete", "    "], ["const a = [1,", "incomplete", "  "],
  ["`text", "incomplete", ""], ["/* comment", "incomplete", ""], ["x = ", "incomplete", "  "], ["const = 3", "invalid", ""], ["1 +* 2", "invalid", ""], ["", "complete", ""],
  ["interface I { a: number }", "complete", ""], ["await x", "complete", ""],
] as [string, string, string][]) {
  test(`is-complete: ${JSON.stringify(source)} is ${status}`, () => assert.deepEqual(language.isComplete(source), { status, indent }));
}
