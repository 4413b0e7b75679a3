"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const python_1 = require("../python");
const jupyter_run_1 = require("./jupyter-run");
const file = (name) => (0, node_path_1.join)(jupyter_run_1.jupyter.work, name);
const cell = (source, ...tags) => ({ cell_type: "code", id: `c${source.length}-${tags.length}`, source, execution_count: null, outputs: [], metadata: { tags } });
const markdown = (source) => ({ cell_type: "markdown", id: `m${source.length}`, source, metadata: {} });
/** As JupyterLab saves it; nbconvert takes the colours from there, and for Python's without it. */
const notebook = (...cells) => ({
    cells, nbformat: 4, nbformat_minor: 5,
    metadata: {
        kernelspec: { name: jupyter_run_1.jupyter.kernel, display_name: "TypeScript (saelab)", language: "typescript" },
        language_info: { name: "typescript", pygments_lexer: "typescript" },
    },
});
const save = (name, ...cells) => {
    (0, node_fs_1.writeFileSync)(file(name), JSON.stringify(notebook(...cells)));
    return name;
};
const read = (name) => JSON.parse((0, node_fs_1.readFileSync)(file(name), "utf8"));
const joined = (text) => (Array.isArray(text) ? text.join("") : String(text ?? ""));
const codeOf = ({ cells }) => cells.filter(({ cell_type }) => cell_type === "code");
const printed = ({ outputs }, stream = "stdout") => outputs.filter(({ name }) => name === stream).map(({ text }) => joined(text)).join("");
const value = ({ outputs }) => joined(outputs.find(({ output_type }) => output_type === "execute_result")?.data?.["text/plain"]);
const succeeded = ({ code, stdout, stderr }) => strict_1.default.equal(code, 0, stdout + stderr);
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
const frontEnd = (name, tests) => void (0, node_test_1.describe)(name, { concurrency: 1 }, tests);
(0, node_test_1.describe)("front ends", { concurrency: 2 }, () => {
    frontEnd("nbclient", () => {
        let stopped;
        let went;
        let timed;
        (0, node_test_1.before)(async () => {
            const loop = [cell("const before = 1;"), cell("while (true);"), cell("before + 1")];
            const tasks = [
                { notebook: notebook(...CELLS) }, { notebook: notebook(...CELLS), allowErrors: true },
                { notebook: notebook(...loop), allowErrors: true, interruptAfter: 2 },
            ];
            [stopped, went, timed] = JSON.parse(await (0, jupyter_run_1.python)("frontends/execute.py", [], JSON.stringify(tasks)));
        });
        (0, node_test_1.test)("keeps outputs as they were shown, updated and cleared", () => {
            strict_1.default.deepEqual([printed(stopped.cells[0]), printed(stopped.cells[0], "stderr")], ["one\nthree\n", "two\n"]);
            strict_1.default.deepEqual([value(stopped.cells[1]), stopped.cells[1].execution_count], ["42", 2]);
            strict_1.default.deepEqual(stopped.cells[2].outputs.map(({ output_type, data }) => [output_type, data?.["text/html"]]), [["display_data", "<b>then</b>"]]);
            strict_1.default.equal(printed(stopped.cells[3]), "new\n");
            strict_1.default.deepEqual([stopped.language.name, stopped.language.file_extension], ["typescript", ".ts"]);
        });
        (0, node_test_1.test)("goes past an error that is foreseen, stops at one that is not, and names it", () => {
            strict_1.default.deepEqual(stopped.cells[4].outputs.map(({ ename, evalue }) => [ename, evalue]), [["Error", "foreseen"]]);
            strict_1.default.deepEqual([stopped.error?.ename, stopped.error?.evalue], ["TypeError", "stops here"]);
            strict_1.default.match(stopped.error.text.replace(/\u001b\[[\d;]*m/g, ""), /> *2 \| +throw new TypeError/);
            strict_1.default.deepEqual([stopped.cells[6].execution_count, stopped.cells[6].outputs], [null, []]);
        });
        (0, node_test_1.test)("with allow_errors the cells behind an error run, and see what was declared before it", () => {
            strict_1.default.equal(went.error, null);
            strict_1.default.deepEqual(went.cells[5].outputs.map(({ output_type, ename }) => [output_type, ename]), [["error", "TypeError"]]);
            strict_1.default.equal(value(went.cells[6]), "43");
        });
        (0, node_test_1.test)("interrupts a loop whose time is over; the next cell runs", () => strict_1.default.equal(value(timed.cells[2]), "2"));
    });
    frontEnd("nbconvert", () => {
        (0, node_test_1.test)("--execute --to html: code in TypeScript's colours, outputs, and with --allow-errors the traceback", async () => {
            save("page.ipynb", markdown("# A page"), ...CELLS);
            succeeded(await (0, jupyter_run_1.program)("jupyter", ["nbconvert", "--execute", "--allow-errors", "--to", "html", "page.ipynb"]));
            const html = (0, node_fs_1.readFileSync)(file("page.html"), "utf8");
            strict_1.default.match(html, /<span class="kd">const<\/span>(<span class="w">)? +(<\/span>)?<span class="nx">answer<\/span>/);
            strict_1.default.match(html, /<pre>42<\/pre>/);
            strict_1.default.match(html, /<b>then<\/b>/);
            strict_1.default.match(html, /TypeError<\/span>: stops here/);
            strict_1.default.match(html, /<pre>43<\/pre>/);
        });
        (0, node_test_1.test)("--execute --to notebook: whole where all cells run, refused where one does not", async () => {
            save("whole.ipynb", ...CELLS.slice(0, 4));
            save("broken.ipynb", ...CELLS.slice(4));
            const [whole, broken] = await Promise.all(["whole", "broken"].map((name) => (0, jupyter_run_1.program)("jupyter", ["nbconvert", "--execute", "--to", "notebook", `${name}.ipynb`, "--output", `${name}-run.ipynb`])));
            succeeded(whole);
            const run = read("whole-run.ipynb");
            strict_1.default.deepEqual(codeOf(run).map(({ execution_count }) => execution_count), [1, 2, 3, 4]);
            strict_1.default.deepEqual([value(run.cells[1]), run.metadata.language_info?.file_extension], ["42", ".ts"]);
            strict_1.default.notEqual(broken.code, 0);
            strict_1.default.match(broken.stderr, /answer/); // the second cell uses what no cell declares: refused before it runs
            strict_1.default.throws(() => read("broken-run.ipynb"), { code: "ENOENT" });
        });
    });
    frontEnd("papermill", () => {
        const PARAMETERS = [
            "const documents: number = 100;  // how many to read", "let hook = 'layers.3';", "let layers = [0];",
            "let mode: 'fast' | 'exact' = 'fast';", "let limit: number | undefined;",
        ].join("\n");
        const set = ["-p", "documents", "7", "-p", "hook", "layers.\"5\"", "-y", "layers: [1, 2]\nsettings: {rate: 0.5, note: null, deep: [true, 'x']}\nmode: exact\n"];
        (0, node_test_1.test)("sets parameters behind the cell for them, constants and new names too, and runs the notebook", async () => {
            const use = "const exactly = (mode: 'fast' | 'exact'): string => mode;\n" +
                "[documents + 1, hook, layers.map((x) => x * 2), exactly(mode), limit, settings.deep[1]]";
            save("pm.ipynb", cell(PARAMETERS, "parameters"), cell(use));
            succeeded(await (0, jupyter_run_1.program)("papermill", ["pm.ipynb", "pm-run.ipynb", ...set, "--no-progress-bar"]));
            const run = read("pm-run.ipynb");
            strict_1.default.deepEqual(run.cells[1].metadata.tags, ["injected-parameters"]);
            strict_1.default.equal(joined(run.cells[1].source).trim(), [
                "// Parameters", "let layers: any = [1, 2];", `let settings: any = { "rate": 0.5, "note": null, "deep": [true, "x"] };`,
                `let mode: any = "exact";`, "let documents: any = 7;", `let hook: any = "layers.\\"5\\"";`,
            ].join("\n"));
            strict_1.default.equal(value(run.cells[2]), "[ 8, 'layers.\"5\"', [ 2, 4 ], 'exact', undefined, 'x' ]");
        });
        (0, node_test_1.test)("a cell that fails is marked in the notebook, and papermill fails with it", async () => {
            save("pm-bad.ipynb", cell("let n = 1;", "parameters"), cell("if (n > 1) throw new RangeError(`n is ${n}`);"), cell("'never'"));
            const { code, stderr } = await (0, jupyter_run_1.program)("papermill", ["pm-bad.ipynb", "pm-bad-run.ipynb", "-p", "n", "2", "--no-progress-bar"]);
            strict_1.default.notEqual(code, 0);
            strict_1.default.match(stderr, /RangeError.*n is 2/);
            const cells = codeOf(read("pm-bad-run.ipynb"));
            strict_1.default.deepEqual(cells.at(-2).outputs.map(({ ename, evalue }) => [ename, evalue]), [["RangeError", "n is 2"]]);
            strict_1.default.equal(cells.at(-1).execution_count, null);
        });
        (0, node_test_1.test)("--help-notebook reads the parameters, their types and what is said of them", async () => {
            save("pm-help.ipynb", cell(PARAMETERS, "parameters"));
            const { stdout } = await (0, jupyter_run_1.program)("papermill", ["pm-help.ipynb", "--help-notebook"]);
            strict_1.default.match(stdout, /documents: number \(default 100\)\s+how many to read/);
            strict_1.default.match(stdout, /mode: 'fast' \| 'exact' \(default 'fast'\)/);
            strict_1.default.match(stdout, /limit: number \| undefined/);
        });
    });
    frontEnd("jupytext", () => {
        (0, node_test_1.test)("a notebook becomes a .ts file and the same notebook again, which runs", async () => {
            save("text.ipynb", markdown("# Title\n\nSome *words*."), cell("const seven: number = 7;", "kept-tag"), cell("/* a comment */\nawait Promise.resolve(seven * 6)"));
            succeeded(await (0, jupyter_run_1.program)("jupytext", ["--to", "ts:percent", "text.ipynb"]));
            const script = (0, node_fs_1.readFileSync)(file("text.ts"), "utf8");
            strict_1.default.match(script, /^\/\/ %% \[markdown\]\n\/\/ # Title$/m);
            strict_1.default.match(script, /^\/\/ %% tags=\["kept-tag"\]\nconst seven: number = 7;$/m);
            succeeded(await (0, jupyter_run_1.program)("jupytext", ["--to", "ipynb", "--execute", "text.ts", "--output", "text-run.ipynb"]));
            const [before, after] = [read("text.ipynb"), read("text-run.ipynb")];
            strict_1.default.deepEqual(after.cells.map(({ cell_type, source }) => [cell_type, joined(source)]), before.cells.map(({ cell_type, source }) => [cell_type, joined(source)]));
            strict_1.default.deepEqual(after.cells[1].metadata.tags, ["kept-tag"]);
            strict_1.default.equal(value(after.cells[2]), "42");
        });
    });
    frontEnd("jupyter console", () => {
        (0, node_test_1.test)("runs cells over several lines, is interrupted by Ctrl-C, goes on, asks for input, and ends", async () => {
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
            const out = await (0, jupyter_run_1.python)("frontends/console.py", [(0, python_1.bin)("jupyter"), jupyter_run_1.jupyter.kernel], JSON.stringify(steps));
            const { screen, code } = JSON.parse(out);
            strict_1.default.match(screen[0], /saelab .*TypeScript/); // the banner
            strict_1.default.equal(code, 0, screen.at(-1));
        });
    });
    frontEnd("jupyter notebook", () => {
        const result = (outputs) => outputs.find(({ type }) => type === "execute_result")?.content.data?.["text/plain"];
        let used;
        (0, node_test_1.before)(async () => {
            used = JSON.parse(await (0, jupyter_run_1.python)("frontends/server.py", [(0, python_1.bin)("jupyter"), jupyter_run_1.jupyter.kernel]));
        });
        (0, node_test_1.test)("its server offers the kernel with its logos", () => {
            strict_1.default.deepEqual([used.page, used.kernelspec.spec.display_name, used.kernelspec.spec.language], [200, "TypeScript (saelab)", "typescript"]);
            strict_1.default.deepEqual(Object.entries(used.logos).map(([name, { type }]) => [name, type]).sort(), [
                ["logo-32x32", "image/png"], ["logo-64x64", "image/png"], ["logo-svg", "image/svg+xml"],
            ]);
            for (const [name, { bytes }] of Object.entries(used.logos))
                strict_1.default.ok(bytes > 200, name);
        });
        (0, node_test_1.test)("a flood of text arrives whole: the kernel keeps below what the server throws away", () => strict_1.default.ok(used.flooded));
        (0, node_test_1.test)("over its websocket cells run, are interrupted, and a restart forgets them", () => {
            strict_1.default.deepEqual(used.printed.map(({ type }) => type), ["stream", "execute_result"]);
            strict_1.default.equal(result(used.printed), "42");
            strict_1.default.deepEqual(used.interrupted.map(({ type, content }) => content.ename ?? type), ["stream", "KeyboardInterrupt"]);
            strict_1.default.equal(result(used.after), "43");
            strict_1.default.equal(result(used.restarted), "'undefined'");
            strict_1.default.deepEqual(used.left, []);
        });
    });
    (0, node_test_1.test)("several kernels in one folder know nothing of each other, and an interrupt reaches one of them", async () => {
        const out = await (0, jupyter_run_1.python)("frontends/several.py", [jupyter_run_1.jupyter.kernel, "3"]);
        const { kernels, foreign } = JSON.parse(out);
        strict_1.default.deepEqual(kernels.map(({ waited }) => waited), ["KeyboardInterrupt", "1", "2"]);
        strict_1.default.deepEqual(kernels.map(({ seen }) => seen), [0, 1, 2].map((i) => `[ ${i}, 1, 'undefined', 'undefined', 'undefined' ]`));
        strict_1.default.equal(foreign, "TypeScriptError");
    });
});
//# sourceMappingURL=frontends.test.js.map