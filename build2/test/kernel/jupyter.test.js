"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const package_1 = require("../../src/adapters/package");
const drive_1 = require("./drive");
/*
 * The kernel under jupyter_client, one process for all: drive.py sends the steps below in order and hands back what each was
 * answered; the tests look at that.
 */
const steps = {
    plain: { code: "const a = 1;\nlet b: number = 2;\na + b" },
    bundle: { code: "({ [Symbol.for('Jupyter.display')]: async () => ({ 'text/html': '<b>x</b>', 'text/plain': 'x' }) })" },
    lines: { code: "for (let i = 0; i < 20000; i++) console.log('line', i);\n'after'" },
    displays: {
        code: "console.log('one');\nawait display({ 'text/html': '<i>1</i>' }, { display_id: 'p' });\nconsole.log('two');\n" +
            "(globalThis as any)[Symbol.for('saelab.display')]({ 'text/html': '<i>2</i>' }, { display_id: 'p', update: true });\nconsole.error('three');",
    },
    tslab: { code: "import * as tslab from 'tslab';\nconst slot = tslab.newDisplay();\nslot.html('<u>1</u>');\nslot.html('<u>2</u>');" },
    throws: { code: "const kept = 5;\nfunction inner(x: any) {\n  return x.y.z;\n}\nconsole.log('before');\ninner({});" },
    printsError: { code: "const failed = new Error('printed');\nconsole.log(failed);\nfailed" },
    kept: { code: "kept + a" },
    awaits: { code: "const first = await (kept);\nconst [second] = await [7];\nfor await (const x of [1, 2]) console.log(x);\nfirst + second" },
    typed: { code: "console.log('never');\nconst n: number = 'text';" },
    loop: {
        code: "const flag = (globalThis as any)[Symbol.for('saelab.interrupt')] as { requested: boolean };\nlet steps = 0;\n" +
            "while (true) {\n  if (flag.requested) throw Object.assign(new Error('stopped between steps'), { name: 'InterruptError' });\n" +
            "  if (steps++ === 3) console.log('looping');\n  await new Promise((r) => setTimeout(r, 5));\n}",
        interruptOn: "looping",
    },
    afterLoop: { code: "[steps > 3, flag.requested]" },
    message: { code: "console.log('waiting');\nawait new Promise(() => { setTimeout(() => {}, 1e8); });", interruptOn: "waiting", how: "message" },
    spin: { code: "console.log('spinning');\nconst until = Date.now() + 200;\nwhile (Date.now() < until);\nconsole.log('on');\nwhile (true);", interruptOn: "on" },
    earlier: {
        code: "function spin(): void { while (true) {} }\nasync function spinLater() { await 0; for (;;); }\n" +
            "async function* endless() { for (let i = 0; ; i++) { await new Promise((r) => setTimeout(r, 2)); yield i; } }\nlet ticks = 0;",
    },
    ...Object.fromEntries(["message", "signal"].flatMap((how) => Object.entries({
        function: "console.log('go'); spin()",
        afterAwait: "console.log('go'); await 0; spin()",
        asyncFunction: "console.log('go'); await spinLater()",
        forAwait: "for await (const i of endless()) if (i === 3) console.log('go');",
        timers: "await new Promise<void>(() => { setInterval(() => { if (ticks++ % 50 === 3) console.log('go'); }, 1); });",
        regExp: "console.log('go'); /(a+)+$/.test('a'.repeat(40) + 'b')",
    }).map(([what, code]) => [`${what} ${how}`, { code, interruptOn: "go", how }]))),
    ticksBefore: { code: "const before = ticks; await new Promise((r) => setTimeout(r, 60)); [ticks - before, typeof spin]" },
    computing: { code: "console.log('computing');\nconst end = Date.now() + 1500;\nwhile (Date.now() < end);", askOn: "computing" },
    input: { code: "console.log('before');\nconst name = await input('Who? ', { password: true });\n`Hello ${name}`", answer: "Ada" },
    noInput: { code: "await input('Who?')" },
    expressions: { code: "const u = 2;", expressions: { sum: "u + 1", bundle: "({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': '<b>u</b>' }) })", bad: "u.x.y" } },
    clear: { code: "console.log('a'); clearOutput({ wait: true }); console.log('b');" },
    history: { request: "history_request", content: { hist_access_type: "search", pattern: "const u*", n: 3, output: false, raw: true, session: 0, start: 0, stop: 0, unique: false } },
    slider: {
        code: "let seen = 0;\ncomms.register('slider', (comm, data) => { seen = data.value; comm.onMessage((more) => { seen = more.value; console.log('moved to', seen); comm.send({ doubled: 2 * seen }); }); });",
    },
    commOpen: { send: "comm_open", content: { comm_id: "c1", target_name: "slider", data: { value: 1 } } },
    commMessage: { send: "comm_msg", content: { comm_id: "c1", data: { value: 21 } } },
    commInfo: { request: "comm_info_request", content: { target_name: "slider" } },
    commClose: { send: "comm_close", content: { comm_id: "c1", data: {} } },
    commValue: { code: "seen" },
    hostile: { hostile: true },
    afterHostile: { code: "[(globalThis as any).evil, (globalThis as any).replayed]" },
    million: { code: "for (let i = 0; i < 1_000_000; i++) console.log(i);\n'printed'" },
    longLine: { code: "process.stdout.write('x'.repeat(50_000_000)); console.log('y');\n'printed'" },
    childCrash: { code: "import { execSync } from 'node:child_process';\nexecSync('kill -SEGV $$', { stdio: 'ignore' })" },
    exit: { code: "process.exit(3)" },
    afterCrash: { code: "'alive'" },
    queued: { burst: ["throw new Error('boom')", "'not run'", "'nor this'"] },
    next: { code: "'runs again'" },
    late: { code: "setTimeout(() => console.log('late'), 100);\nvoid Promise.reject(new Error('nobody waits'));\nundefined" },
    meanwhile: { code: "await new Promise((r) => setTimeout(r, 300));" },
    display: { code: "void display({ [Symbol.for('Jupyter.display')]: async () => { throw new RangeError('no picture'); } });" },
    complete: { request: "complete_request", content: { code: "kep", cursor_pos: 3 } },
    inspect: { request: "inspect_request", content: { code: "kept", cursor_pos: 2, detail_level: 0 } },
    isComplete: { request: "is_complete_request", content: { code: "function f() {" } },
    saelab: {
        code: "import { heatMap, openModel } from 'saelab';\nconst folder: Parameters<typeof openModel>[0] = 'x';\n" +
            "[typeof heatMap, require.resolve('saelab')]",
    },
    misused: { code: "import { openModel as open } from 'saelab';\nawait open(7);" },
    removed: { code: "import * as util from 'util';\n[(util as any).isNullOrUndefined(null), (util as any).isArray([])]" },
    restart: { restart: true },
    fresh: { code: "typeof (globalThis as any).kept" },
};
let driven;
(0, node_test_1.before)(async () => {
    driven = await (0, drive_1.drive)(steps, (0, node_path_1.join)(package_1.packageRoot, "notebooks"));
});
const answer = (name) => driven.answers[name];
const kinds = (name) => answer(name).outputs.map(({ type }) => type);
const result = (name) => (0, drive_1.resultOf)(answer(name));
const stream = (name, which = "stdout") => (0, drive_1.printedBy)(answer(name), which);
const failure = (name) => {
    const { outputs, reply } = answer(name);
    const shown = outputs.find(({ type }) => type === "error");
    strict_1.default.ok(shown, `${name}: expected an error message, found ${JSON.stringify(outputs)}`);
    strict_1.default.equal(reply.content.status, "error");
    const { ename, evalue, traceback } = shown.content;
    strict_1.default.equal(reply.content.ename, ename);
    return { ename, evalue, text: traceback.join("\n").replace(/\u001b\[\d+m/g, "") };
};
(0, node_test_1.test)("a value is an execute_result with its count, after execute_input", () => {
    strict_1.default.deepEqual(kinds("plain"), ["execute_input", "execute_result"]);
    strict_1.default.deepEqual(answer("plain").outputs[1].content, { execution_count: 1, data: { "text/plain": "3" }, metadata: {} });
});
(0, node_test_1.test)("a value that shows itself gives its MIME bundle", () => {
    strict_1.default.deepEqual(answer("bundle").outputs[1].content.data, { "text/html": "<b>x</b>", "text/plain": "x" });
});
(0, node_test_1.test)("20,000 printed lines arrive, in order, before the result", () => {
    strict_1.default.equal(stream("lines"), Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join(""));
    strict_1.default.equal(kinds("lines").at(-1), "execute_result");
});
(0, node_test_1.test)("displays, updates and both streams keep their order", () => {
    const outputs = answer("displays").outputs.slice(1);
    strict_1.default.deepEqual(outputs.map(({ type, content }) => [type, content.text ?? content.data["text/html"]]), [
        ["stream", "one\n"], ["display_data", "<i>1</i>"], ["stream", "two\n"], ["update_display_data", "<i>2</i>"], ["stream", "three\n"],
    ]);
    strict_1.default.deepEqual(outputs[3].content.transient, { display_id: "p" });
});
(0, node_test_1.test)("tslab's own display helpers work", () => {
    const [first, second] = answer("tslab").outputs.slice(1);
    strict_1.default.deepEqual([first.type, second.type], ["display_data", "update_display_data"]);
    strict_1.default.deepEqual(second.content.data, { "text/html": "<u>2</u>" });
    strict_1.default.deepEqual(first.content.transient, second.content.transient);
});
(0, node_test_1.test)("an exception is an error message with the cell's own line, and stops the cell", () => {
    const { ename, text } = failure("throws");
    strict_1.default.equal(ename, "TypeError");
    strict_1.default.match(text, /> +3 \| +return x\.y\.z;/);
    strict_1.default.deepEqual(text.split("\n").filter((line) => /^\s+at /.test(line)).map((line) => line.trim()), ["at inner (cell 6, line 3:14)", "at cell 6, line 6:1"]);
    strict_1.default.deepEqual(kinds("throws"), ["execute_input", "stream", "error"]);
});
(0, node_test_1.test)("an error that is printed or shown has the cell's own place and no frame of the kernel", () => {
    const want = /^Error: printed\n +at cell \d+, line 1:16\n?$/;
    strict_1.default.match(stream("printsError"), want);
    strict_1.default.match(String(result("printsError")), want);
});
(0, node_test_1.test)("what was declared before the throw stays", () => strict_1.default.equal(result("kept"), "6"));
(0, node_test_1.test)("top-level await in the forms tslab misses", () => {
    strict_1.default.equal(result("awaits"), "12");
    strict_1.default.equal(stream("awaits"), "1\n2\n");
});
(0, node_test_1.test)("a type error is an error message at its line, and nothing of the cell runs", () => {
    const { ename, evalue, text } = failure("typed");
    strict_1.default.equal(ename, "TypeScriptError");
    strict_1.default.match(evalue, /^line 2: Type 'string' is not assignable to type 'number'/);
    strict_1.default.match(text, /> +2 \| const n: number = 'text';/);
    strict_1.default.equal(stream("typed"), "");
});
(0, node_test_1.test)("the signal stops a loop that reads the flag, at its own place; its variables live, the flag is down again", () => {
    strict_1.default.deepEqual([failure("loop").ename, failure("loop").evalue], ["InterruptError", "stopped between steps"]);
    strict_1.default.equal(result("afterLoop"), "[ true, false ]");
});
(0, node_test_1.test)("interrupt_request is answered and stops a cell that awaits", () => {
    strict_1.default.deepEqual(answer("message").control, { type: "interrupt_reply", content: { status: "ok" } });
    strict_1.default.equal(failure("message").ename, "KeyboardInterrupt");
});
(0, node_test_1.test)("an interrupt stops a loop that never gives a turn", () => {
    strict_1.default.equal(failure("spin").ename, "KeyboardInterrupt");
});
for (const name of Object.keys(steps).filter((each) => / (message|signal)$/.test(each))) {
    (0, node_test_1.test)(`interrupted: ${name}`, () => strict_1.default.equal(failure(name).ename, "KeyboardInterrupt"));
}
(0, node_test_1.test)("after all that the variables live, and the interrupted timer has stopped", () => strict_1.default.equal(result("ticksBefore"), "[ 0, 'function' ]"));
(0, node_test_1.test)("control and heartbeat answer while a cell computes without a pause", () => strict_1.default.equal(answer("computing").asked, true));
(0, node_test_1.test)("input: a question on stdin, below what was printed; where nobody can type an error", () => {
    strict_1.default.deepEqual(answer("input").asked, { prompt: "Who? ", password: true });
    strict_1.default.equal(result("input"), "'Hello Ada'");
    strict_1.default.deepEqual(kinds("input"), ["execute_input", "stream", "execute_result"]);
    strict_1.default.equal(failure("noInput").ename, "StdinError");
});
(0, node_test_1.test)("user expressions come with the reply", () => {
    const { sum, bundle, bad } = answer("expressions").reply.content.user_expressions;
    strict_1.default.deepEqual([sum.data, bundle.data, bad.status, bad.ename], [{ "text/plain": "3" }, { "text/html": "<b>u</b>" }, "error", "TypeError"]);
});
(0, node_test_1.test)("clear_output stands between what was printed before and after it", () => {
    strict_1.default.deepEqual(answer("clear").outputs.slice(1).map(({ type, content }) => [type, content.text ?? content.wait]), [["stream", "a\n"], ["clear_output", true], ["stream", "b\n"]]);
});
(0, node_test_1.test)("history finds a cell by a pattern", () => {
    const { history } = answer("history").reply.content;
    strict_1.default.deepEqual(history.map(([, , source]) => source), ["const u = 2;"]);
});
(0, node_test_1.test)("a slider of the front end moves a variable, and hears of it", () => {
    strict_1.default.deepEqual(answer("commOpen").outputs, []);
    strict_1.default.deepEqual(answer("commMessage").outputs.map(({ type, content }) => [type, content.text ?? content.data]).sort(), [["comm_msg", { doubled: 42 }], ["stream", "moved to 21\n"]]);
    strict_1.default.deepEqual(answer("commInfo").reply.content.comms, { c1: { target_name: "slider" } });
    strict_1.default.equal(result("commValue"), "21");
});
(0, node_test_1.test)("hostile frames are dropped, a replay runs once, and the kernel lives", () => strict_1.default.equal(result("afterHostile"), "[ undefined, 1 ]"));
(0, node_test_1.test)("a million printed lines arrive whole and in order", () => {
    const text = stream("million");
    strict_1.default.equal(text.length, 6_888_890);
    strict_1.default.ok(text.startsWith("0\n1\n2\n") && text.endsWith("999998\n999999\n"));
    strict_1.default.equal(result("million"), "'printed'");
});
(0, node_test_1.test)("a line of 50 MB is cut at the limit, and the cell says by how much", () => {
    const text = stream("longLine");
    strict_1.default.equal(text.length, 16 << 20);
    strict_1.default.match(stream("longLine", "stderr"), /This cell has printed 16,777,216 characters, the most that is shown[^]*Not shown: 33,222,786 characters in 1 line\./);
    strict_1.default.ok(Math.max(...answer("longLine").outputs.map(({ content }) => String(content.text ?? "").length)) <= 1 << 20, "no message is huge");
    strict_1.default.equal(result("longLine"), "'printed'");
});
(0, node_test_1.test)("a child process that crashes is an error of the cell, and so is process.exit", () => {
    strict_1.default.match(failure("childCrash").evalue, /Command failed: kill -SEGV/);
    strict_1.default.match(failure("exit").evalue, /process\.exit\(3\) was called; the kernel goes on/);
    strict_1.default.equal(result("afterCrash"), "'alive'");
});
(0, node_test_1.test)("cells queued behind a failing one are aborted, later ones run", () => {
    strict_1.default.deepEqual(driven.answers.queued.map(({ reply }) => reply.content.status), ["error", "aborted", "aborted"]);
    strict_1.default.equal(result("next"), "'runs again'");
});
(0, node_test_1.test)("what a timer prints later, and a rejection nobody waits for, go to the cell they came from", () => {
    strict_1.default.equal(stream("late"), "late\n");
    strict_1.default.match(stream("late", "stderr"), /Unhandled rejection:\n.*Error.*: nobody waits/);
    strict_1.default.deepEqual(kinds("meanwhile"), ["execute_input"]);
});
(0, node_test_1.test)("a display that fails and is not awaited is reported", () => {
    strict_1.default.match(stream("display", "stderr"), /Unhandled rejection:\n.*RangeError.*: no picture/);
});
(0, node_test_1.test)("complete, inspect and is_complete", () => {
    const { metadata, ...rest } = answer("complete").reply.content;
    strict_1.default.deepEqual(rest, { status: "ok", matches: ["kept"], cursor_start: 0, cursor_end: 3 });
    strict_1.default.deepEqual(metadata, { _jupyter_types_experimental: [{ start: 0, end: 3, text: "kept", type: "variable", signature: "5" }] });
    strict_1.default.deepEqual(answer("inspect").reply.content.data["text/plain"], "const kept: 5");
    strict_1.default.deepEqual(answer("isComplete").reply.content, { status: "incomplete", indent: "  " });
});
(0, node_test_1.test)("a notebook of the repository imports saelab, with its types", () => {
    strict_1.default.equal(result("saelab"), `[ 'function', '${(0, node_path_1.join)(package_1.packageRoot, "build", "src", "index.js")}' ]`);
    strict_1.default.match(failure("misused").evalue, /^line 2: Argument of type 'number' is not assignable/);
});
(0, node_test_1.test)("util has what Node 23 removed and TF.js calls", () => strict_1.default.equal(result("removed"), "[ true, true ]"));
(0, node_test_1.test)("kernel_info says what is true", () => {
    const { status, language_info } = driven.info.content;
    strict_1.default.equal(status, "ok");
    strict_1.default.deepEqual([language_info.name, language_info.file_extension, language_info.nbconvert_exporter], ["typescript", ".ts", "script"]);
});
(0, node_test_1.test)("the heartbeat echoes, a restart is fresh, a shutdown ends the process", () => {
    strict_1.default.equal(result("fresh"), "'undefined'");
    strict_1.default.deepEqual([driven.beating, driven.ended], [true, true]);
});
//# sourceMappingURL=jupyter.test.js.map