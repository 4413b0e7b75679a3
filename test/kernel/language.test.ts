import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { errorContent } from "../../kernel-ext/kernel/errors";
import { createTslab, type Language } from "../../kernel-ext/kernel/language";
import { lendPackages, lentPackages } from "../../kernel-ext/kernel/packages";
import { fakeCell } from "./fakes";

/*
 * tslab's own converter and executor under our extension, without Jupyter: a notebook in a folder that has no node_modules, and a
 * package "labkit", with a dependency "dep", that lends itself to it.
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
  "with/node_modules/dep/package.json": JSON.stringify({ name: "dep", version: "2.0.0" }),
};

let language: Language;
let takeBack: () => void;
const home = process.cwd();
let serial = 0;

before(() => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(top, path, ".."), { recursive: true });
    writeFileSync(join(top, path), text);
  }
  process.chdir(root);
  const lent = lentPackages({ root, packageRoot });
  takeBack = lendPackages(lent);
  const prelude = { declarations: "declare function given(x: number): string;\n", values: { given: (x: number) => `given ${x}` } };
  language = createTslab({ root, lent, prelude });
});

after(() => {
  language.close();
  takeBack();
  process.chdir(home);
  rmSync(top, { recursive: true, force: true });
});

const sources = new Map<string, string>();

async function run(source: string): Promise<{ value?: unknown; error?: { ename: string; evalue: string; text: string } }> {
  const cell = fakeCell(source, `cell-${++serial}.ts`);
  cell.label = `cell ${serial}`;
  sources.set(cell.name, source);
  const outcome = await language.run(cell);
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

test("a cell is stopped by cancel, and the next one runs", async () => {
  const waiting = run("let begun = true;\nawait new Promise(() => {});");
  await new Promise((resolve) => setImmediate(resolve));
  language.cancel();
  assert.equal((await waiting).error?.ename, "KeyboardInterrupt");
  assert.equal((await run("begun")).value, true);
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

test("completion, inspection and is-complete know the earlier cells", async () => {
  await run("const kettle = { boil: 1, pour: 'x' };");
  assert.deepEqual(language.complete("kettle.po", 9), { matches: ["pour"], start: 7, end: 9 });
  assert.match(language.inspect("kettle", 3) ?? "", /const kettle: \{/);
  assert.deepEqual(language.isComplete("function f() {"), { complete: false, indent: "  " });
  assert.equal(language.isComplete("1 + 1").complete, true);
});
