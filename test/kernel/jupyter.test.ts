import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import type { Content } from "../../kernel-ext/kernel/wire";
import { packageRoot } from "../../src/adapters/package";
import { drive, printedBy, resultOf, type Answer, type Driven, type Step } from "./drive";

/*
 * The kernel under jupyter_client, one process for all: drive.py sends the steps below in order and hands back what each was
 * answered; the tests look at that.
 */
const steps: Record<string, Step> = {
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
  }).map(([what, code]) => [`${what} ${how}`, { code, interruptOn: "go", how }]))) as Record<string, Step>,
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

let driven: Driven;
before(async () => {
  driven = await drive(steps, join(packageRoot, "notebooks"));
});

const answer = (name: string): Answer => driven.answers[name] as Answer;
const kinds = (name: string): string[] => answer(name).outputs.map(({ type }) => type);
const result = (name: string): unknown => resultOf(answer(name));
const stream = (name: string, which = "stdout"): string => printedBy(answer(name), which);
const failure = (name: string): { ename: string; evalue: string; text: string } => {
  const { outputs, reply } = answer(name);
  const shown = outputs.find(({ type }) => type === "error");
  assert.ok(shown, `${name}: expected an error message, found ${JSON.stringify(outputs)}`);
  assert.equal(reply.content.status, "error");
  const { ename, evalue, traceback } = shown.content as { ename: string; evalue: string; traceback: string[] };
  assert.equal(reply.content.ename, ename);
  return { ename, evalue, text: traceback.join("\n").replace(/\u001b\[\d+m/g, "") };
};

test("a value is an execute_result with its count, after execute_input", () => {
  assert.deepEqual(kinds("plain"), ["execute_input", "execute_result"]);
  assert.deepEqual(answer("plain").outputs[1].content, { execution_count: 1, data: { "text/plain": "3" }, metadata: {} });
});

test("a value that shows itself gives its MIME bundle", () => {
  assert.deepEqual(answer("bundle").outputs[1].content.data, { "text/html": "<b>x</b>", "text/plain": "x" });
});

test("20,000 printed lines arrive, in order, before the result", () => {
  assert.equal(stream("lines"), Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join(""));
  assert.equal(kinds("lines").at(-1), "execute_result");
});

test("displays, updates and both streams keep their order", () => {
  const outputs = answer("displays").outputs.slice(1);
  assert.deepEqual(outputs.map(({ type, content }) => [type, content.text ?? (content.data as Content)["text/html"]]), [
    ["stream", "one\n"], ["display_data", "<i>1</i>"], ["stream", "two\n"], ["update_display_data", "<i>2</i>"], ["stream", "three\n"],
  ]);
  assert.deepEqual(outputs[3].content.transient, { display_id: "p" });
});

test("tslab's own display helpers work", () => {
  const [first, second] = answer("tslab").outputs.slice(1);
  assert.deepEqual([first.type, second.type], ["display_data", "update_display_data"]);
  assert.deepEqual(second.content.data, { "text/html": "<u>2</u>" });
  assert.deepEqual(first.content.transient, second.content.transient);
});

test("an exception is an error message with the cell's own line, and stops the cell", () => {
  const { ename, text } = failure("throws");
  assert.equal(ename, "TypeError");
  assert.match(text, /> +3 \| +return x\.y\.z;/);
  assert.deepEqual(text.split("\n").filter((line) => /^\s+at /.test(line)).map((line) => line.trim()),
    ["at inner (cell 6, line 3:14)", "at cell 6, line 6:1"]);
  assert.deepEqual(kinds("throws"), ["execute_input", "stream", "error"]);
});

test("an error that is printed or shown has the cell's own place and no frame of the kernel", () => {
  const want = /^Error: printed\n +at cell \d+, line 1:16\n?$/;
  assert.match(stream("printsError"), want);
  assert.match(String(result("printsError")), want);
});

test("what was declared before the throw stays", () => assert.equal(result("kept"), "6"));

test("top-level await in the forms tslab misses", () => {
  assert.equal(result("awaits"), "12");
  assert.equal(stream("awaits"), "1\n2\n");
});

test("a type error is an error message at its line, and nothing of the cell runs", () => {
  const { ename, evalue, text } = failure("typed");
  assert.equal(ename, "TypeScriptError");
  assert.match(evalue, /^line 2: Type 'string' is not assignable to type 'number'/);
  assert.match(text, /> +2 \| const n: number = 'text';/);
  assert.equal(stream("typed"), "");
});

test("the signal stops a loop that reads the flag, at its own place; its variables live, the flag is down again", () => {
  assert.deepEqual([failure("loop").ename, failure("loop").evalue], ["InterruptError", "stopped between steps"]);
  assert.equal(result("afterLoop"), "[ true, false ]");
});

test("interrupt_request is answered and stops a cell that awaits", () => {
  assert.deepEqual(answer("message").control, { type: "interrupt_reply", content: { status: "ok" } });
  assert.equal(failure("message").ename, "KeyboardInterrupt");
});

test("an interrupt stops a loop that never gives a turn", () => {
  assert.equal(failure("spin").ename, "KeyboardInterrupt");
});

for (const name of Object.keys(steps).filter((each) => / (message|signal)$/.test(each))) {
  test(`interrupted: ${name}`, () => assert.equal(failure(name).ename, "KeyboardInterrupt"));
}

test("after all that the variables live, and the interrupted timer has stopped", () => assert.equal(result("ticksBefore"), "[ 0, 'function' ]"));

test("control and heartbeat answer while a cell computes without a pause", () => assert.equal(answer("computing").asked, true));

test("input: a question on stdin, below what was printed; where nobody can type an error", () => {
  assert.deepEqual(answer("input").asked, { prompt: "Who? ", password: true });
  assert.equal(result("input"), "'Hello Ada'");
  assert.deepEqual(kinds("input"), ["execute_input", "stream", "execute_result"]);
  assert.equal(failure("noInput").ename, "StdinError");
});

test("user expressions come with the reply", () => {
  const { sum, bundle, bad } = answer("expressions").reply.content.user_expressions as Record<string, Content>;
  assert.deepEqual([sum.data, bundle.data, bad.status, bad.ename], [{ "text/plain": "3" }, { "text/html": "<b>u</b>" }, "error", "TypeError"]);
});

test("clear_output stands between what was printed before and after it", () => {
  assert.deepEqual(answer("clear").outputs.slice(1).map(({ type, content }) => [type, content.text ?? content.wait]), [["stream", "a\n"], ["clear_output", true], ["stream", "b\n"]]);
});

test("history finds a cell by a pattern", () => {
  const { history } = answer("history").reply.content as { history: [number, number, string][] };
  assert.deepEqual(history.map(([, , source]) => source), ["const u = 2;"]);
});

test("a slider of the front end moves a variable, and hears of it", () => {
  assert.deepEqual(answer("commOpen").outputs, []);
  assert.deepEqual(answer("commMessage").outputs.map(({ type, content }) => [type, content.text ?? content.data]).sort(), [["comm_msg", { doubled: 42 }], ["stream", "moved to 21\n"]]);
  assert.deepEqual(answer("commInfo").reply.content.comms, { c1: { target_name: "slider" } });
  assert.equal(result("commValue"), "21");
});

test("hostile frames are dropped, a replay runs once, and the kernel lives", () => assert.equal(result("afterHostile"), "[ undefined, 1 ]"));

test("a million printed lines arrive whole and in order", () => {
  const text = stream("million");
  assert.equal(text.length, 6_888_890);
  assert.ok(text.startsWith("0\n1\n2\n") && text.endsWith("999998\n999999\n"));
  assert.equal(result("million"), "'printed'");
});

test("a line of 50 MB is cut at the limit, and the cell says by how much", () => {
  const text = stream("longLine");
  assert.equal(text.length, 16 << 20);
  assert.match(stream("longLine", "stderr"), /This cell has printed 16,777,216 characters, the most that is shown[^]*Not shown: 33,222,786 characters in 1 line\./);
  assert.ok(Math.max(...answer("longLine").outputs.map(({ content }) => String(content.text ?? "").length)) <= 1 << 20, "no message is huge");
  assert.equal(result("longLine"), "'printed'");
});

test("a child process that crashes is an error of the cell, and so is process.exit", () => {
  assert.match(failure("childCrash").evalue, /Command failed: kill -SEGV/);
  assert.match(failure("exit").evalue, /process\.exit\(3\) was called; the kernel goes on/);
  assert.equal(result("afterCrash"), "'alive'");
});

test("cells queued behind a failing one are aborted, later ones run", () => {
  assert.deepEqual((driven.answers.queued as Answer[]).map(({ reply }) => reply.content.status), ["error", "aborted", "aborted"]);
  assert.equal(result("next"), "'runs again'");
});

test("what a timer prints later, and a rejection nobody waits for, go to the cell they came from", () => {
  assert.equal(stream("late"), "late\n");
  assert.match(stream("late", "stderr"), /Unhandled rejection:\n.*Error.*: nobody waits/);
  assert.deepEqual(kinds("meanwhile"), ["execute_input"]);
});

test("a display that fails and is not awaited is reported", () => {
  assert.match(stream("display", "stderr"), /Unhandled rejection:\n.*RangeError.*: no picture/);
});

test("complete, inspect and is_complete", () => {
  const { metadata, ...rest } = answer("complete").reply.content;
  assert.deepEqual(rest, { status: "ok", matches: ["kept"], cursor_start: 0, cursor_end: 3 });
  assert.deepEqual(metadata, { _jupyter_types_experimental: [{ start: 0, end: 3, text: "kept", type: "variable", signature: "5" }] });
  assert.deepEqual((answer("inspect").reply.content.data as Content)["text/plain"], "const kept: 5");
  assert.deepEqual(answer("isComplete").reply.content, { status: "incomplete", indent: "  " });
});

test("a notebook of the repository imports saelab, with its types", () => {
  assert.equal(result("saelab"), `[ 'function', '${join(packageRoot, "build", "src", "index.js")}' ]`);
  assert.match(failure("misused").evalue, /^line 2: Argument of type 'number' is not assignable/);
});

test("util has what Node 23 removed and TF.js calls", () => assert.equal(result("removed"), "[ true, true ]"));

test("kernel_info says what is true", () => {
  const { status, language_info } = driven.info.content as { status: string; language_info: Content };
  assert.equal(status, "ok");
  assert.deepEqual([language_info.name, language_info.file_extension, language_info.nbconvert_exporter], ["typescript", ".ts", "script"]);
});

test("the heartbeat echoes, a restart is fresh, a shutdown ends the process", () => {
  assert.equal(result("fresh"), "'undefined'");
  assert.deepEqual([driven.beating, driven.ended], [true, true]);
});
