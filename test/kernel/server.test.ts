import assert from "node:assert/strict";
import { test } from "node:test";
import { createServer } from "../../kernel-ext/kernel/server";
import type { Handler } from "../../kernel-ext/kernel/kernel";
import type { Line } from "../../kernel-ext/kernel/post";
import { decode, type Content } from "../../kernel-ext/kernel/wire";
import { fakeClock, fakeLines, KEY, request, turns } from "./fakes";

function setUp(handlers: Record<string, Handler>) {
  const lines = fakeLines();
  const warnings: string[] = [];
  const clock = fakeClock();
  const server = createServer({ handlers, session: "kernel", send: lines.send, clock, warn: (message) => warnings.push(message) });
  return {
    lines, warnings, clock, server,
    put: (frames: Uint8Array[], line: Line = "shell") => server.take({ kind: "request", line, message: decode(frames, KEY) }),
    states: () => lines.on("iopub").filter(({ header }) => header.msg_type === "status").map(({ content }) => content.execution_state),
  };
}

const execute = (code: string, more: Content = {}) => request("execute_request", { code, ...more });

test("a request is answered to its client between busy and idle", async () => {
  const { put, lines, states } = setUp({ kernel_info_request: () => ({ status: "ok" }) });
  put(request("kernel_info_request"));
  await turns();
  const [reply] = lines.on("shell");
  assert.equal(reply.header.msg_type, "kernel_info_reply");
  assert.equal(Buffer.from(reply.identities[0]).toString(), "client");
  assert.deepEqual(states(), ["busy", "idle"]);
});

test("cells run one after the other; other requests are answered while a cell awaits", async () => {
  const log: string[] = [];
  const releases: (() => void)[] = [];
  const { put } = setUp({
    async execute_request({ content }) {
      log.push(`start ${content.code}`);
      await new Promise<void>((resolve) => releases.push(resolve));
      log.push(`end ${content.code}`);
      return { status: "ok" };
    },
    complete_request: () => {
      log.push("complete");
      return { status: "ok" };
    },
  });
  put(execute("a"));
  put(execute("b"));
  put(request("complete_request"));
  await turns();
  assert.deepEqual(log, ["start a", "complete"]);
  releases[0]();
  await turns();
  releases[1]();
  await turns();
  assert.deepEqual(log, ["start a", "complete", "end a", "start b", "end b"]);
});

const statuses = async (stop_on_error: boolean | undefined) => {
  const { put, lines, clock } = setUp({
    execute_request: ({ content }) => ({ status: content.code === "throw" ? "error" : "ok" }),
  });
  for (const code of ["throw", "a", "b"]) put(execute(code, stop_on_error === undefined ? {} : { stop_on_error }));
  await turns();
  clock.advance(30);
  await turns();
  put(execute("c"));
  await turns();
  const found = lines.on("shell").map(({ content }) => content.status);
  return found;
};

test("after an error the queued cells are aborted, a later one runs", async () => {
  assert.deepEqual(await statuses(undefined), ["error", "aborted", "aborted", "ok"]);
});

test("while a cell runs, the last status is its busy, whatever else is answered", async () => {
  let release = (): void => {};
  const { put, lines, states } = setUp({
    execute_request: async () => {
      await new Promise<void>((resolve) => (release = resolve));
      return { status: "ok" };
    },
    complete_request: () => ({ status: "ok" }),
  });
  const cell = execute("a");
  put(cell);
  put(request("complete_request"));
  await turns();
  assert.deepEqual(states(), ["busy", "busy", "idle", "busy"]);
  assert.equal((lines.on("iopub").at(-1)?.parent as { msg_id: string }).msg_id, decode(cell, KEY).header.msg_id);
  release();
  await turns();
  assert.equal(states().at(-1), "idle");
});

test("stop_on_error: false lets the queued cells run", async () => {
  assert.deepEqual(await statuses(false), ["error", "ok", "ok", "ok"]);
});

test("a message nobody handles is dropped with a warning; a comm message is handled and not answered", async () => {
  const seen: string[] = [];
  const { put, lines, states, warnings } = setUp({ comm_msg: ({ content }) => void seen.push(String(content.comm_id)) });
  put(request("constructor"));
  put(request("comm_msg", { comm_id: "c" }));
  await turns();
  assert.deepEqual([lines.on("shell").length, seen, warnings.length], [0, ["c"], 1]);
  assert.match(warnings[0], /unknown type was dropped: constructor/);
  assert.deepEqual(states(), ["busy", "idle"]);
});

test("the thread of the sockets knows which cell computes", async () => {
  const { put, lines } = setUp({ execute_request: () => ({ status: "ok" }), complete_request: () => ({ status: "ok" }) });
  const cell = execute("a");
  put(cell);
  put(request("complete_request"));
  await turns();
  assert.deepEqual(lines.running, [decode(cell, KEY).header.msg_id, undefined]);
});

test("a handler that throws gives an error reply and idle", async () => {
  const { put, lines, states, warnings } = setUp({
    inspect_request() {
      throw new RangeError("no such place");
    },
  });
  put(request("inspect_request"));
  await turns();
  assert.deepEqual(lines.on("shell")[0].content, { status: "error", ename: "RangeError", evalue: "no such place", traceback: [] });
  assert.equal(states().at(-1), "idle");
  assert.equal(warnings.length, 1);
});

test("control is answered while a cell awaits", async () => {
  let release = (): void => {};
  const { put, lines } = setUp({
    execute_request: async () => {
      await new Promise<void>((resolve) => (release = resolve));
      return { status: "ok" };
    },
    other_request: () => ({ status: "ok" }),
  });
  put(execute("a"));
  put(request("other_request"), "control");
  await turns();
  assert.equal(lines.on("control")[0].header.msg_type, "other_reply");
  assert.equal(lines.on("shell").length, 0);
  release();
  await turns();
  assert.equal(lines.on("shell").length, 1);
});
