import assert from "node:assert/strict";
import { test } from "node:test";
import { DISPLAY } from "../../kernel-ext/kernel/bundle";
import { cellScope, type Cell } from "../../kernel-ext/kernel/cell";
import { KeyboardInterrupt } from "../../kernel-ext/kernel/errors";
import { INTERRUPT, installInterruptFlag } from "../../kernel-ext/kernel/interrupt";
import { cellPrelude, createKernel, showHook } from "../../kernel-ext/kernel/kernel";
import type { Language, Outcome } from "../../kernel-ext/kernel/language";
import { createOutput } from "../../kernel-ext/kernel/output";
import { decode, type Content } from "../../kernel-ext/kernel/wire";
import { fakeClock, KEY, request, turns } from "./fakes";

/** A kernel whose cells are functions of the test: no tslab, no sockets. */
function setUp(cells: Record<string, (cell: Cell) => unknown>) {
  const clock = fakeClock();
  const scope = cellScope();
  const published: { type: string; content: Content; code: string }[] = [];
  const publish = (cell: Cell, type: string, content: Content) => void published.push({ type, content, code: cell.source });
  const output = createOutput({ publish, clock });
  const warnings: string[] = [];
  let cancel = (): void => {};
  const language: Language = {
    version: "0.0.0",
    async run(cell): Promise<Outcome> {
      const cancelled = new Promise<never>((_, reject) => {
        cancel = () => reject(new KeyboardInterrupt("the cell was interrupted"));
      });
      cancelled.catch(() => {});
      try {
        const value = cells[cell.source](cell);
        // The value is handed on as it is; a cell with top-level await is one that returns { await }.
        if (typeof value === "object" && value !== null && "await" in value) return { ok: true, value: await Promise.race([value.await, cancelled]) };
        return { ok: true, value };
      } catch (error) {
        return { ok: false, error };
      }
    },
    cancel: () => cancel(),
    complete: (source, offset) => ({ matches: [source], start: offset - 1, end: offset }),
    inspect: () => undefined,
    isComplete: () => ({ complete: false, indent: "  " }),
    tracer: { root: "/", locate: () => undefined, hidden: () => false },
    close: () => {},
  };
  const flag = installInterruptFlag({ current: scope.current, clock });
  const kernel = createKernel({ language, output, scope, clock, publish, version: "1.2.3", exit: () => {}, warn: (message) => warnings.push(message) });
  const run = (code: string, more: Content = {}) =>
    kernel.handlers.execute_request(decode(request("execute_request", { code, ...more }), KEY)) as Promise<Content>;
  return { clock, scope, output, published, warnings, flag, kernel, run, display: cellPrelude({ scope, output }).values.display as (...args: unknown[]) => Promise<void> };
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
  output.flush();
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
  const { kernel, run, published, warnings, output, scope } = setUp({ cell: () => 1 });
  kernel.report("Uncaught exception:", new Error("early"));
  assert.match(warnings[0], /Uncaught exception: .*Error.*: early/);
  await run("cell");
  kernel.report("Uncaught exception:", new Error("late"));
  output.flush(scope.current());
  assert.match(String(published.at(-1)?.content.text), /Error.*: late/);
  assert.equal(warnings.length, 1);
});

test("cursors count code points", async () => {
  const { kernel } = setUp({});
  const reply = await kernel.handlers.complete_request(decode(request("complete_request", { code: "😀ab", cursor_pos: 2 }), KEY));
  assert.deepEqual([reply.cursor_start, reply.cursor_end], [1, 2]);
});

test("kernel_info says what is true", async () => {
  const { kernel } = setUp({});
  const info = await kernel.handlers.kernel_info_request(decode(request("kernel_info_request"), KEY));
  const language = info.language_info as Content;
  assert.deepEqual([info.status, info.implementation_version, language.name, language.version, language.file_extension],
    ["ok", "1.2.3", "typescript", "0.0.0", ".ts"]);
});
