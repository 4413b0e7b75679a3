import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { bin } from "../python";
import { jupyter, program, python, type Ended } from "./jupyter-run";

/** The programs that run notebooks, as their users start them, on this build's kernel. No browser: what the pages' servers answer stands for them. */

interface Output {
  output_type: string;
  name?: string;
  text?: string;
  data?: Record<string, unknown>;
  ename?: string;
  evalue?: string;
}
interface Cell {
  cell_type: string;
  source: string | string[];
  execution_count?: number | null;
  outputs: Output[];
  metadata: { tags?: string[] };
}
interface Notebook {
  cells: Cell[];
  metadata: { language_info?: { name: string; file_extension: string } };
}

const file = (name: string): string => join(jupyter.work, name);
const cell = (source: string, ...tags: string[]) =>
  ({ cell_type: "code", id: `c${source.length}-${tags.length}`, source, execution_count: null, outputs: [], metadata: { tags } });
const markdown = (source: string) => ({ cell_type: "markdown", id: `m${source.length}`, source, metadata: {} });
/** As JupyterLab saves it; nbconvert takes the colours from there, and for Python's without it. */
const notebook = (...cells: object[]) => ({
  cells, nbformat: 4, nbformat_minor: 5,
  metadata: {
    kernelspec: { name: jupyter.kernel, display_name: "TypeScript (saelab)", language: "typescript" },
    language_info: { name: "typescript", pygments_lexer: "typescript" },
  },
});
const save = (name: string, ...cells: object[]): string => {
  writeFileSync(file(name), JSON.stringify(notebook(...cells)));
  return name;
};
const read = (name: string): Notebook => JSON.parse(readFileSync(file(name), "utf8")) as Notebook;
const joined = (text: unknown): string => (Array.isArray(text) ? text.join("") : String(text ?? ""));
const codeOf = ({ cells }: { cells: Cell[] }): Cell[] => cells.filter(({ cell_type }) => cell_type === "code");
const printed = ({ outputs }: Cell, stream = "stdout"): string => outputs.filter(({ name }) => name === stream).map(({ text }) => joined(text)).join("");
const value = ({ outputs }: Cell): string => joined(outputs.find(({ output_type }) => output_type === "execute_result")?.data?.["text/plain"]);
const succeeded = ({ code, stdout, stderr }: Ended): void => assert.equal(code, 0, stdout + stderr);

const CELLS = [
  cell("import { sep } from 'node:path';\nconsole.log('one');\nconsole.error('two');\nconsole.log('three');"),
  cell("const answer: number = 6 * 7;\nanswer"),
  cell("await display({ 'text/html': '<b>first</b>', 'text/plain': 'first' }, { display_id: 'd' });\n" +
    "void display({ 'text/html': '<b>then</b>', 'text/plain': 'then' }, { display_id: 'd', update: true });"),
  cell("console.log('old');\nclearOutput({ wait: true });\nconsole.log('new');"),
  cell("throw new Error('foreseen')", "raises-exception"),
  cell("function deep(): never {\n  throw new TypeError('stops here');\n}\nconst declared = answer + sep.length;\ndeep();"),
  cell("declared"),
];

/** One program's tests, one after the other. */
const frontEnd = (name: string, tests: () => void): void => void describe(name, { concurrency: 1 }, tests);

describe("front ends", { concurrency: 2 }, () => {
  frontEnd("nbclient", () => {
    interface Executed {
      cells: Cell[];
      language: { name: string; file_extension: string };
      error: { ename: string; evalue: string; text: string } | null;
    }
    let stopped: Executed;
    let went: Executed;
    let timed: Executed;
    before(async () => {
      const loop = [cell("const before = 1;"), cell("while (true);"), cell("before + 1")];
      const tasks = [
        { notebook: notebook(...CELLS) }, { notebook: notebook(...CELLS), allowErrors: true },
        { notebook: notebook(...loop), allowErrors: true, interruptAfter: 2 },
      ];
      [stopped, went, timed] = JSON.parse(await python("frontends/execute.py", [], JSON.stringify(tasks))) as Executed[];
    });

    test("keeps outputs as they were shown, updated and cleared", () => {
      assert.deepEqual([printed(stopped.cells[0]), printed(stopped.cells[0], "stderr")], ["one\nthree\n", "two\n"]);
      assert.deepEqual([value(stopped.cells[1]), stopped.cells[1].execution_count], ["42", 2]);
      assert.deepEqual(stopped.cells[2].outputs.map(({ output_type, data }) => [output_type, data?.["text/html"]]), [["display_data", "<b>then</b>"]]);
      assert.equal(printed(stopped.cells[3]), "new\n");
      assert.deepEqual([stopped.language.name, stopped.language.file_extension], ["typescript", ".ts"]);
    });

    test("goes past an error that is foreseen, stops at one that is not, and names it", () => {
      assert.deepEqual(stopped.cells[4].outputs.map(({ ename, evalue }) => [ename, evalue]), [["Error", "foreseen"]]);
      assert.deepEqual([stopped.error?.ename, stopped.error?.evalue], ["TypeError", "stops here"]);
      assert.match(stopped.error!.text.replace(/\u001b\[[\d;]*m/g, ""), /> *2 \| +throw new TypeError/);
      assert.deepEqual([stopped.cells[6].execution_count, stopped.cells[6].outputs], [null, []]);
    });

    test("with allow_errors the cells behind an error run, and see what was declared before it", () => {
      assert.equal(went.error, null);
      assert.deepEqual(went.cells[5].outputs.map(({ output_type, ename }) => [output_type, ename]), [["error", "TypeError"]]);
      assert.equal(value(went.cells[6]), "43");
    });

    test("interrupts a loop whose time is over; the next cell runs", () => assert.equal(value(timed.cells[2]), "2"));
  });

  frontEnd("nbconvert", () => {
    test("--execute --to html: code in TypeScript's colours, outputs, and with --allow-errors the traceback", async () => {
      save("page.ipynb", markdown("# A page"), ...CELLS);
      succeeded(await program("jupyter", ["nbconvert", "--execute", "--allow-errors", "--to", "html", "page.ipynb"]));
      const html = readFileSync(file("page.html"), "utf8");
      assert.match(html, /<span class="kd">const<\/span>(<span class="w">)? +(<\/span>)?<span class="nx">answer<\/span>/);
      assert.match(html, /<pre>42<\/pre>/);
      assert.match(html, /<b>then<\/b>/);
      assert.match(html, /TypeError<\/span>: stops here/);
      assert.match(html, /<pre>43<\/pre>/);
    });

    test("--execute --to notebook: whole where all cells run, refused where one does not", async () => {
      save("whole.ipynb", ...CELLS.slice(0, 4));
      save("broken.ipynb", ...CELLS.slice(4));
      const [whole, broken] = await Promise.all(["whole", "broken"].map((name) =>
        program("jupyter", ["nbconvert", "--execute", "--to", "notebook", `${name}.ipynb`, "--output", `${name}-run.ipynb`])));
      succeeded(whole);
      const run = read("whole-run.ipynb");
      assert.deepEqual(codeOf(run).map(({ execution_count }) => execution_count), [1, 2, 3, 4]);
      assert.deepEqual([value(run.cells[1]), run.metadata.language_info?.file_extension], ["42", ".ts"]);
      assert.notEqual(broken.code, 0);
      assert.match(broken.stderr, /answer/); // the second cell uses what no cell declares: refused before it runs
      assert.throws(() => read("broken-run.ipynb"), { code: "ENOENT" });
    });
  });

  frontEnd("papermill", () => {
    const PARAMETERS = [
      "const documents: number = 100;  // how many to read", "let hook = 'layers.3';", "let layers = [0];",
      "let mode: 'fast' | 'exact' = 'fast';", "let limit: number | undefined;",
    ].join("\n");
    const set = ["-p", "documents", "7", "-p", "hook", "layers.\"5\"", "-y", "layers: [1, 2]\nsettings: {rate: 0.5, note: null, deep: [true, 'x']}\nmode: exact\n"];

    test("sets parameters behind the cell for them, constants and new names too, and runs the notebook", async () => {
      const use = "const exactly = (mode: 'fast' | 'exact'): string => mode;\n" +
        "[documents + 1, hook, layers.map((x) => x * 2), exactly(mode), limit, settings.deep[1]]";
      save("pm.ipynb", cell(PARAMETERS, "parameters"), cell(use));
      succeeded(await program("papermill", ["pm.ipynb", "pm-run.ipynb", ...set, "--no-progress-bar"]));
      const run = read("pm-run.ipynb");
      assert.deepEqual(run.cells[1].metadata.tags, ["injected-parameters"]);
      assert.equal(joined(run.cells[1].source).trim(), [
        "// Parameters", "let layers: any = [1, 2];", `let settings: any = { "rate": 0.5, "note": null, "deep": [true, "x"] };`,
        `let mode: any = "exact";`, "let documents: any = 7;", `let hook: any = "layers.\\"5\\"";`,
      ].join("\n"));
      assert.equal(value(run.cells[2]), "[ 8, 'layers.\"5\"', [ 2, 4 ], 'exact', undefined, 'x' ]");
    });

    test("a cell that fails is marked in the notebook, and papermill fails with it", async () => {
      save("pm-bad.ipynb", cell("let n = 1;", "parameters"), cell("if (n > 1) throw new RangeError(`n is ${n}`);"), cell("'never'"));
      const { code, stderr } = await program("papermill", ["pm-bad.ipynb", "pm-bad-run.ipynb", "-p", "n", "2", "--no-progress-bar"]);
      assert.notEqual(code, 0);
      assert.match(stderr, /RangeError.*n is 2/);
      const cells = codeOf(read("pm-bad-run.ipynb"));
      assert.deepEqual(cells.at(-2)!.outputs.map(({ ename, evalue }) => [ename, evalue]), [["RangeError", "n is 2"]]);
      assert.equal(cells.at(-1)!.execution_count, null);
    });

    test("--help-notebook reads the parameters, their types and what is said of them", async () => {
      save("pm-help.ipynb", cell(PARAMETERS, "parameters"));
      const { stdout } = await program("papermill", ["pm-help.ipynb", "--help-notebook"]);
      assert.match(stdout, /documents: number \(default 100\)\s+how many to read/);
      assert.match(stdout, /mode: 'fast' \| 'exact' \(default 'fast'\)/);
      assert.match(stdout, /limit: number \| undefined/);
    });
  });

  frontEnd("jupytext", () => {
    test("a notebook becomes a .ts file and the same notebook again, which runs", async () => {
      save("text.ipynb", markdown("# Title\n\nSome *words*."), cell("const seven: number = 7;", "kept-tag"), cell("/* a comment */\nawait Promise.resolve(seven * 6)"));
      succeeded(await program("jupytext", ["--to", "ts:percent", "text.ipynb"]));
      const script = readFileSync(file("text.ts"), "utf8");
      assert.match(script, /^\/\/ %% \[markdown\]\n\/\/ # Title$/m);
      assert.match(script, /^\/\/ %% tags=\["kept-tag"\]\nconst seven: number = 7;$/m);
      succeeded(await program("jupytext", ["--to", "ipynb", "--execute", "text.ts", "--output", "text-run.ipynb"]));
      const [before, after] = [read("text.ipynb"), read("text-run.ipynb")];
      assert.deepEqual(after.cells.map(({ cell_type, source }) => [cell_type, joined(source)]), before.cells.map(({ cell_type, source }) => [cell_type, joined(source)]));
      assert.deepEqual(after.cells[1].metadata.tags, ["kept-tag"]);
      assert.equal(value(after.cells[2]), "42");
    });
  });

  frontEnd("jupyter console", () => {
    test("runs cells over several lines, is interrupted by Ctrl-C, goes on, asks for input, and ends", async () => {
      const steps = [
        { type: "", expect: "In \\[1\\]: " },
        { type: "const kept: number = 6 * 7; kept\r", expect: "Out\\[1\\]: 42[\\s\\S]*In \\[2\\]: " },
        { type: "for (const word of ['some', 'words']) {\r", expect: "\\.\\.\\.: " },
        { type: "console.log(word);\r}\r", expect: "some\\s+words[\\s\\S]*In \\[3\\]: " },
        { type: "console.log('looping'); while (true);\r", expect: "looping\\s" },
        { type: "\u0003", expect: "KeyboardInterrupt[\\s\\S]*In \\[4\\]: " },
        // The console takes the interrupted cell's late `idle` for the next cell's: that one must not be the one that asks.
        { type: "kept + 1\r", expect: "In \\[5\\]: " },
        { type: "const who = await input('Who? ');\r", expect: "Who\\? $" },
        { type: "Ada\r", expect: "In \\[6\\]: " },
        { type: "`${who} ${kept}`\r", expect: "Out\\[6\\]: 'Ada 42'[\\s\\S]*In \\[7\\]: " },
        { type: "\u0004", expect: "exit" },
        { type: "y\r", expect: "Shutting down kernel" },
      ];
      const out = await python("frontends/console.py", [bin("jupyter"), jupyter.kernel], JSON.stringify(steps));
      const { screen, code } = JSON.parse(out) as { screen: string[]; code: number };
      assert.match(screen[0], /saelab .*TypeScript/); // the banner
      assert.equal(code, 0, screen.at(-1));
    });
  });

  frontEnd("jupyter notebook", () => {
    interface Used {
      kernelspec: { name: string; spec: { display_name: string; language: string } };
      logos: Record<string, { bytes: number; type: string }>;
      page: number;
      printed: ShownByServer[];
      flooded: boolean;
      interrupted: ShownByServer[];
      after: ShownByServer[];
      restarted: ShownByServer[];
      left: unknown[];
    }
    interface ShownByServer {
      type: string;
      content: { text?: string; ename?: string; data?: Record<string, string> };
    }
    const result = (outputs: ShownByServer[]): string | undefined => outputs.find(({ type }) => type === "execute_result")?.content.data?.["text/plain"];
    let used: Used;
    before(async () => {
      used = JSON.parse(await python("frontends/server.py", [bin("jupyter"), jupyter.kernel])) as Used;
    });

    test("its server offers the kernel with its logos", () => {
      assert.deepEqual([used.page, used.kernelspec.spec.display_name, used.kernelspec.spec.language], [200, "TypeScript (saelab)", "typescript"]);
      assert.deepEqual(Object.entries(used.logos).map(([name, { type }]) => [name, type]).sort(), [
        ["logo-32x32", "image/png"], ["logo-64x64", "image/png"], ["logo-svg", "image/svg+xml"],
      ]);
      for (const [name, { bytes }] of Object.entries(used.logos)) assert.ok(bytes > 200, name);
    });

    test("a flood of text arrives whole: the kernel keeps below what the server throws away", () => assert.ok(used.flooded));

    test("over its websocket cells run, are interrupted, and a restart forgets them", () => {
      assert.deepEqual(used.printed.map(({ type }) => type), ["stream", "execute_result"]);
      assert.equal(result(used.printed), "42");
      assert.deepEqual(used.interrupted.map(({ type, content }) => content.ename ?? type), ["stream", "KeyboardInterrupt"]);
      assert.equal(result(used.after), "43");
      assert.equal(result(used.restarted), "'undefined'");
      assert.deepEqual(used.left, []);
    });
  });

  test("several kernels in one folder know nothing of each other, and an interrupt reaches one of them", async () => {
    const out = await python("frontends/several.py", [jupyter.kernel, "3"]);
    const { kernels, foreign } = JSON.parse(out) as { kernels: { seen: string; waited: string }[]; foreign: string };
    assert.deepEqual(kernels.map(({ waited }) => waited), ["KeyboardInterrupt", "1", "2"]);
    assert.deepEqual(kernels.map(({ seen }) => seen), [0, 1, 2].map((i) => `[ ${i}, 1, 'undefined', 'undefined', 'undefined' ]`));
    assert.equal(foreign, "TypeScriptError");
  });
});
