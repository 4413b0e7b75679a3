import assert from "node:assert/strict";
import { test } from "node:test";
import { DISPLAY } from "../../kernel-ext/kernel/bundle";
import { cellScope, waitIn, type Cell } from "../../kernel-ext/kernel/cell";
import { createComms } from "../../kernel-ext/kernel/comm";
import { createInput } from "../../kernel-ext/kernel/input";
import { INTERRUPT, installInterruptFlag } from "../../kernel-ext/kernel/interrupt";
import { cellPrelude, createKernel, kernelInfo, showHook } from "../../kernel-ext/kernel/kernel";
import type { Language, Outcome } from "../../kernel-ext/kernel/language";
import { createOutput } from "../../kernel-ext/kernel/output";
import { decode, type Content, type Message } from "../../kernel-ext/kernel/wire";
import { fakeCell, fakeClock, KEY, request, turns } from "./fakes";

/** A kernel whose cells are functions of the test: no TypeScript, no sockets. */
function setUp(cells: Record<string, (cell: Cell) => unknown>) {
  const clock = fakeClock();
  const scope = cellScope();
  const published: { type: string; content: Content; code: string }[] = [];
  const publish = (cell: Cell, type: string, content: Content) => void published.push({ type, content, code: cell.source });
  const output = createOutput({ publish, print: (cell, name, text) => publish(cell, "stream", { name, text }), clock });
  const warnings: string[] = [];
  const run_ = async (cell: Cell): Promise<Outcome> => {
    try {
      const value = cells[cell.source](cell);
      // The value is handed on as it is; a cell with top-level await is one that returns { await }.
      if (typeof value === "object" && value !== null && "await" in value) return { ok: true, value: await waitIn(cell, value.await) };
      return { ok: true, value };
    } catch (error) {
      return { ok: false, error };
    }
  };
  const language: Language = {
    run: run_,
    evaluate: run_,
    complete: async (source, offset) => ({ proposals: [{ text: source, kind: "property", type: "number" }], start: offset - 1, end: offset }),
    inspect: async (source) => (source === "x" ? { signature: "const x: 1", documentation: "An x." } : undefined),
    isComplete: () => ({ status: "incomplete", indent: "  " }),
    keeps: () => false,
    tracer: { root: "/", locate: () => undefined, hidden: () => false },
    close: () => {},
  };
  const asked: Content[] = [];
  const comms = createComms({ publish: (cell, type, content) => publish(cell ?? fakeCell(), type, content), current: scope.current });
  const input = createInput({ scope, ask: (_, type, content) => `question-${asked.push({ type, ...content })}` });
  const flag = installInterruptFlag({ current: scope.current, clock });
  const kernel = createKernel({
    language, output, scope, clock, publish, input, comms, interrupts: { raise: () => {}, lower: () => {} }, warn: (message) => warnings.push(message),
  });
  const run = (code: string, more: Content = {}) =>
    kernel.handlers.execute_request(decode(request("execute_request", { code, ...more }), KEY)) as Promise<Content>;
  const ask = (type: string, content: Content = {}) => kernel.handlers[type](decode(request(type, content), KEY)) as Promise<Content>;
  const { display, clearOutput } = cellPrelude({ scope, output, input: input.input, comms }).values as Record<string, (...args: unknown[]) => Promise<void>>;
  return { clock, scope, output, published, warnings, flag, kernel, run, ask, asked, comms, input, display, clearOutput };
}

const types = (published: { type: string }[]) => published.map(({ type }) => type);

test("execute_input, then the last value's bundle as execute_result", async () => {
  const { run, published } = setUp({ rich: () => ({ [DISPLAY]: async () => ({ "text/html": "<b>1</b>", "image/png": new Uint8Array([1, 2]) }) }) });
  const reply = await run("rich");
  assert.equal(reply.status, "ok");
  assert.deepEqual(types(published), ["execute_input", "execute_result"]);
  assert.deepEqual(published[1].content, { execution_count: 1, data: { "text/html": "<b>1</b>", "image/png": "AQI=" }, metadata: {} });
});

test("a plain value is text/plain as Node prints it, undefined is nothing, a promise is awaited", async () => {
  const { run, published } = setUp({ plain: () => ({ a: ["x", 1n] }), none: () => undefined, later: () => Promise.resolve("y") });
  await run("plain");
  await run("none");
  await run("later");
  const shown = published.filter(({ type }) => type === "execute_result").map(({ content }) => content.data);
  assert.deepEqual(shown, [{ "text/plain": "{ a: [ 'x', 1n ] }" }, { "text/plain": "'y'" }]);
});

test("a class of a library speaks for itself, what is built in does not", async () => {
  class Tensor {
    constructor(readonly data: number[]) {}
    toString() {
      return `Tensor [${this.data}]`;
    }
  }
  const values = { tensor: new Tensor([1, 2]), date: new Date(0), map: new Map([[1, 2]]), bytes: new Uint8Array(2), error: new Error("e").message };
  const { run, published } = setUp(Object.fromEntries(Object.entries(values).map(([name, value]) => [name, () => value])));
  for (const name of Object.keys(values)) await run(name);
  assert.deepEqual(published.filter(({ type }) => type === "execute_result").map(({ content }) => (content.data as Content)["text/plain"]),
    ["Tensor [1,2]", "1970-01-01T00:00:00.000Z", "Map(1) { 1 => 2 }", "Uint8Array(2) [ 0, 0 ]", "'e'"]);
});

test("what a cell throws is an error message and an error reply", async () => {
  const { run, published } = setUp({
    bad: () => {
      throw new RangeError("too far");
    },
    rejected: () => Promise.reject(new TypeError("later")),
    shows: () => ({ [DISPLAY]: () => ({ html: 1 }) }),
    odd: () => {
      throw "a string";
    },
  });
  const replies = [await run("bad"), await run("rejected"), await run("shows"), await run("odd")];
  assert.deepEqual(replies.map(({ status, ename }) => [status, ename]),
    [["error", "RangeError"], ["error", "TypeError"], ["error", "DisplayError"], ["error", "Uncaught"]]);
  assert.deepEqual(types(published).filter((type) => type === "error").length, 4);
  assert.match(String((published[1].content.traceback as string[])[0]), /RangeError.*: too far/);
});

test("silent cells show no input and no result and do not count", async () => {
  const { run, published } = setUp({ one: () => 1 });
  assert.equal((await run("one", { silent: true })).execution_count, 0);
  assert.deepEqual(published, []);
  assert.equal((await run("one")).execution_count, 1);
});

test("display: a bundle, a value, an update; a display in the making is waited for", async () => {
  const { run, published, display } = setUp({
    cell: () => {
      void display({ "text/html": "<i>1</i>" }, { display_id: "p" });
      void display({ [DISPLAY]: async () => ({ "text/html": "<i>2</i>" }) }, { display_id: "p", update: true });
      void display([1]);
    },
  });
  await run("cell");
  assert.deepEqual(published.slice(1).map(({ type, content }) => [type, content.data]), [
    ["display_data", { "text/html": "<i>1</i>" }],
    ["display_data", { "text/plain": "[ 1 ]" }],
    ["update_display_data", { "text/html": "<i>2</i>" }],
  ]);
});

test("the library's hook checks its bundle", async () => {
  const env = setUp({ cell: () => showHook(env)({ "text/html": () => {} }), none: () => showHook(env)(7 as never) });
  const { run, published } = env;
  await run("cell");
  assert.equal(published[1].type, "display_data");
  assert.equal((await run("none")).ename, "DisplayError");
});

test("what a timer prints later goes to the cell that set it", async () => {
  const { run, published, scope, output } = setUp({
    first: () => {
      setImmediate(() => output.stream(scope.current() as Cell, "stdout", "late"));
    },
    second: () => ({ await: turns() }),
  });
  await run("first");
  await run("second");
  assert.deepEqual(published.filter(({ type }) => type === "stream").map(({ code, content }) => [code, content.text]), [["first", "late"]]);
});

test("an interrupt stops a cell that awaits, at once", async () => {
  const { run, kernel, flag } = setUp({ wait: () => ({ await: new Promise(() => {}) }), next: () => flag.requested });
  const waiting = run("wait");
  await turns();
  kernel.interrupt();
  assert.equal((await waiting).ename, "KeyboardInterrupt");
  assert.equal((await run("next")).status, "ok");
});

test("a promise as last value can be interrupted too", async () => {
  const { run, kernel } = setUp({ wait: () => new Promise(() => {}) });
  const waiting = run("wait");
  await turns();
  kernel.interrupt();
  assert.equal((await waiting).ename, "KeyboardInterrupt");
});

test("a loop that reads the flag gets time to stop by itself; the next cell sees the flag down", async () => {
  const { run, kernel, flag, published } = setUp({
    loop: () => ({
      await: (async () => {
        while (!flag.requested) await turns(1);
        throw Object.assign(new Error("stopped after step 3"), { name: "InterruptError" });
      })(),
    }),
    next: () => flag.requested,
  });
  const looping = run("loop");
  await turns();
  kernel.interrupt();
  const reply = await looping;
  assert.deepEqual([reply.ename, reply.evalue], ["InterruptError", "stopped after step 3"]);
  await run("next");
  assert.deepEqual(published.at(-1)?.content.data, { "text/plain": "false" });
});

for (const [how, act] of [
  ["a second interrupt", ({ kernel }) => kernel.interrupt()],
  ["five seconds", ({ clock }) => clock.advance(5000)],
] as [string, (env: ReturnType<typeof setUp>) => void][]) {
  test(`a loop that read the flag and then hangs is given up after ${how}, and still sees the flag when it wakes`, async () => {
    let wake = (): void => {};
    const seen: boolean[] = [];
    const env = setUp({
      loop: () => ({
        await: (async () => {
          seen.push(env.flag.requested);
          await new Promise<void>((resolve) => (wake = resolve));
          seen.push(env.flag.requested);
        })(),
      }),
      next: () => ({ await: turns(2).then(() => wake()) }),
    });
    const looping = env.run("loop");
    await turns();
    env.kernel.interrupt();
    await turns();
    act(env);
    assert.equal((await looping).ename, "KeyboardInterrupt");
    await env.run("next");
    await turns();
    assert.deepEqual(seen, [false, true]);
  });
}

test("the flag keeps the identity of one that was there before", () => {
  const place = globalThis as unknown as Record<symbol, unknown>;
  const before = place[INTERRUPT];
  try {
    const mine = { requested: false };
    place[INTERRUPT] = mine;
    assert.equal(installInterruptFlag({ current: () => undefined, clock: fakeClock() }), mine);
    assert.equal(mine.requested, false);
  } finally {
    place[INTERRUPT] = before;
  }
});

test("an error nobody waits for is reported in its cell, or to the kernel's own log before there is one", async () => {
  const { kernel, run, published, warnings } = setUp({ cell: () => 1 });
  kernel.report("Uncaught exception:", new Error("early"));
  assert.match(warnings[0], /Uncaught exception: .*Error.*: early/);
  await run("cell");
  kernel.report("Uncaught exception:", new Error("late"));
  assert.match(String(published.at(-1)?.content.text), /Error.*: late/);
  assert.equal(warnings.length, 1);
});

test("cursors count code points; proposals carry kind and type for front ends that show them", async () => {
  const { ask } = setUp({});
  const { cursor_start, cursor_end, metadata } = await ask("complete_request", { code: "😀ab", cursor_pos: 2 });
  assert.deepEqual([cursor_start, cursor_end], [1, 2]);
  assert.deepEqual((metadata as Content)._jupyter_types_experimental, [{ start: 1, end: 2, text: "😀ab", type: "property", signature: "number" }]);
});

test("inspect gives text and Markdown, or says that it found nothing", async () => {
  const { ask } = setUp({});
  assert.deepEqual((await ask("inspect_request", { code: "x", cursor_pos: 1 })).data, {
    "text/plain": "const x: 1\n\nAn x.", "text/markdown": "```typescript\nconst x: 1\n```\n\nAn x.",
  });
  assert.equal((await ask("inspect_request", { code: "y", cursor_pos: 1 })).found, false);
});

test("user expressions: each its own value or error, after the cell, in the reply", async () => {
  const { run } = setUp({
    cell: () => undefined, good: () => 7,
    bad: () => {
      throw new RangeError("no");
    },
  });
  const { user_expressions } = (await run("cell", { user_expressions: { a: "good", b: "bad" } })) as { user_expressions: Record<string, Content> };
  assert.deepEqual(user_expressions.a, { status: "ok", data: { "text/plain": "7" }, metadata: {} });
  assert.deepEqual([user_expressions.b.status, user_expressions.b.ename], ["error", "RangeError"]);
});

test("history: tail, range, search, with and without results; silent cells are not in it", async () => {
  const { run, ask } = setUp({ "one()": () => 1, "two()": () => undefined, "one more": () => "x" });
  for (const code of ["one()", "two()", "one()", "one more"]) await run(code);
  await run("two()", { silent: true });
  await run("two()", { store_history: false });
  const find = async (query: Content) => (await ask("history_request", query)).history;
  assert.deepEqual(await find({ hist_access_type: "tail", n: 2 }), [[0, 3, "one()"], [0, 4, "one more"]]);
  assert.deepEqual(await find({ hist_access_type: "range", session: 0, start: 1, stop: 3, output: true }), [[0, 1, ["one()", "1"]], [0, 2, ["two()", null]]]);
  assert.deepEqual(await find({ hist_access_type: "search", pattern: "one*", n: 5, unique: true }), [[0, 3, "one()"], [0, 4, "one more"]]);
  assert.deepEqual(await find({ hist_access_type: "search", pattern: "t?o()", n: 5 }), [[0, 2, "two()"]]);
  assert.deepEqual(await find({ hist_access_type: "range", session: -1, start: 1, stop: 3 }), []);
});

test("input asks the cell's own client and gives its answer; where nobody can type it is an error", async () => {
  const env = setUp({ ask: () => ({ await: env.input.input("name? ", { password: true }) }), refused: () => ({ await: env.input.input() }) });
  const running = env.run("ask", { allow_stdin: true });
  await turns();
  assert.deepEqual(env.asked, [{ type: "input_request", prompt: "name? ", password: true }]);
  env.kernel.handlers.input_reply(decode(request("input_reply", { value: "Ada" }), KEY));
  assert.equal((await running).status, "ok");
  assert.deepEqual(env.published.at(-1)?.content.data, { "text/plain": "'Ada'" });
  assert.equal((await env.run("refused", { allow_stdin: false })).ename, "StdinError");
});

test("a question that is waited for can be interrupted, and the next one is asked", async () => {
  const env = setUp({ ask: () => ({ await: env.input.input("?") }) });
  const first = env.run("ask", { allow_stdin: true });
  await turns();
  env.kernel.interrupt();
  assert.equal((await first).ename, "KeyboardInterrupt");
  const second = env.run("ask", { allow_stdin: true });
  await turns();
  assert.equal(env.asked.length, 2);
  const reply = (value: string, msg_id: string) => ({ ...decode(request("input_reply", { value }), KEY), parent: { msg_id } }) as Message;
  env.kernel.handlers.input_reply(reply("typed into the box of the first", "question-1"));
  env.kernel.handlers.input_reply(reply("x", "question-2"));
  assert.equal((await second).status, "ok");
  assert.deepEqual(env.published.at(-1)?.content.data, { "text/plain": "'x'" });
});

test("clearOutput takes what was printed with it, in order", async () => {
  const env = setUp({
    cell: () => {
      env.output.stream(env.scope.current()!, "stdout", "a");
      void env.clearOutput({ wait: true });
      env.output.stream(env.scope.current()!, "stdout", "b");
    },
  });
  await env.run("cell");
  assert.deepEqual(env.published.slice(1).map(({ type, content }) => [type, content.text ?? content.wait]), [["stream", "a"], ["clear_output", true], ["stream", "b"]]);
});

test("comms: opened by the kernel and by the front end, both ways, listed, closed", async () => {
  const seen: unknown[] = [];
  const env = setUp({
    opens: () => {
      const comm = env.comms.open("slider", { value: 1 });
      comm.onMessage((data) => void seen.push(data));
    },
    registers: () => env.comms.register("ping", (comm, data) => {
      seen.push(data);
      comm.onMessage((more) => comm.send({ pong: more }));
      comm.onClose(() => void seen.push("closed"));
    }),
  });
  await env.run("opens");
  const { comm_id } = env.published.find(({ type }) => type === "comm_open")!.content;
  await env.ask("comm_msg", { comm_id, data: { value: 2 } });
  await env.run("registers");
  await env.ask("comm_open", { comm_id: "theirs", target_name: "ping", data: { hello: 1 } });
  await env.ask("comm_msg", { comm_id: "theirs", data: { x: 1 } });
  assert.deepEqual((await env.ask("comm_info_request", { target_name: "ping" })).comms, { theirs: { target_name: "ping" } });
  await env.ask("comm_close", { comm_id: "theirs", data: {} });
  assert.deepEqual(seen, [{ value: 2 }, { hello: 1 }, "closed"]);
  assert.deepEqual(env.published.find(({ type }) => type === "comm_msg")?.content, { comm_id: "theirs", data: { pong: { x: 1 } } });
  await env.ask("comm_open", { comm_id: "lost", target_name: "nobody", data: {} });
  assert.deepEqual(env.published.at(-1), { type: "comm_close", content: { comm_id: "lost", data: {} }, code: "" });
  assert.deepEqual(Object.keys((await env.ask("comm_info_request")).comms as Content), [comm_id]);
});

test("what a comm's callback throws is an error message of its own", async () => {
  const env = setUp({
    cell: () => env.comms.register("bad", () => {
      throw new RangeError("in the callback");
    }),
  });
  await env.run("cell");
  await env.ask("comm_open", { comm_id: "c", target_name: "bad", data: {} });
  assert.deepEqual([env.published.at(-1)?.type, env.published.at(-1)?.content.evalue], ["error", "in the callback"]);
});

test("an interrupt stops the timers of its cell", async () => {
  const env = setUp({
    cell: (cell) => {
      cell.timers.add(setInterval(() => {}, 1e6));
      return { await: new Promise(() => {}) };
    },
  });
  const running = env.run("cell");
  await turns();
  env.kernel.interrupt();
  assert.equal((await running).ename, "KeyboardInterrupt");
  assert.deepEqual(process.getActiveResourcesInfo().filter((each) => each === "Timeout"), []);
});

test("kernel_info says what is true", () => {
  const info = kernelInfo({ version: "1.2.3", typescript: "7.0.2" });
  const language = info.language_info as Content;
  assert.deepEqual([info.status, info.protocol_version, info.implementation_version, language.name, language.version, language.file_extension],
    ["ok", "5.4", "1.2.3", "typescript", "7.0.2", ".ts"]);
});
