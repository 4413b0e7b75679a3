import assert from "node:assert/strict";
import { test } from "node:test";
import { createServer } from "../../kernel-ext/kernel/server";
import type { Handler } from "../../kernel-ext/kernel/kernel";
import type { Content } from "../../kernel-ext/kernel/wire";
import { fakeChannel, fakeClock, KEY, request, turns } from "./fakes";

async function setUp(handlers: Record<string, Handler>) {
  const sockets = { shell: fakeChannel(), control: fakeChannel(), iopub: fakeChannel(), heartbeat: fakeChannel() };
  const warnings: string[] = [];
  const clock = fakeClock();
  const server = createServer({ sockets, key: KEY, clock, warn: (message) => warnings.push(message) });
  const served = server.serve(handlers);
  return {
    sockets, warnings, clock,
    states: () => sockets.iopub.sent.filter(({ header }) => header.msg_type === "status").map(({ content }) => content.execution_state),
    async close() {
      Object.values(sockets).forEach((socket) => socket.close());
      await served;
    },
  };
}

const execute = (code: string, more: Content = {}) => request("execute_request", { code, ...more });

test("a request is answered to its client between busy and idle", async () => {
  const { sockets, states, close } = await setUp({ kernel_info_request: () => ({ status: "ok" }) });
  sockets.shell.put(request("kernel_info_request"));
  await turns();
  const [reply] = sockets.shell.sent;
  assert.equal(reply.header.msg_type, "kernel_info_reply");
  assert.equal(Buffer.from(reply.identities[0]).toString(), "client");
  assert.deepEqual(states(), ["starting", "busy", "idle"]);
  await close();
});

test("cells run one after the other; other requests are answered while a cell awaits", async () => {
  const log: string[] = [];
  const releases: (() => void)[] = [];
  const { sockets, close } = await setUp({
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
  sockets.shell.put(execute("a"));
  sockets.shell.put(execute("b"));
  sockets.shell.put(request("complete_request"));
  await turns();
  assert.deepEqual(log, ["start a", "complete"]);
  releases[0]();
  await turns();
  releases[1]();
  await turns();
  assert.deepEqual(log, ["start a", "complete", "end a", "start b", "end b"]);
  await close();
});

const statuses = async (stop_on_error: boolean | undefined) => {
  const { sockets, clock, close } = await setUp({
    execute_request: ({ content }) => ({ status: content.code === "throw" ? "error" : "ok" }),
  });
  for (const code of ["throw", "a", "b"]) sockets.shell.put(execute(code, stop_on_error === undefined ? {} : { stop_on_error }));
  await turns();
  clock.advance(30);
  await turns();
  sockets.shell.put(execute("c"));
  await turns();
  const found = sockets.shell.sent.map(({ content }) => content.status);
  await close();
  return found;
};

test("after an error the queued cells are aborted, a later one runs", async () => {
  assert.deepEqual(await statuses(undefined), ["error", "aborted", "aborted", "ok"]);
});

test("stop_on_error: false lets the queued cells run", async () => {
  assert.deepEqual(await statuses(false), ["error", "ok", "ok", "ok"]);
});

test("what is no message, or not ours, is dropped with a warning and the server lives", async () => {
  const { sockets, warnings, close } = await setUp({ kernel_info_request: () => ({ status: "ok" }) });
  sockets.shell.put([Buffer.from("noise")]);
  sockets.shell.put(request("kernel_info_request", {}, "another key"));
  sockets.shell.put(request("constructor"));
  sockets.shell.put(request("comm_open"));
  await turns();
  assert.equal(sockets.shell.sent.length, 0);
  assert.deepEqual(warnings.map((each) => /delimiter|IDS|signature|unknown type/.exec(each)?.[0]), ["IDS", "signature", "unknown type"]);
  sockets.shell.put(request("kernel_info_request"));
  await turns();
  assert.equal(sockets.shell.sent.length, 1);
  await close();
});

test("a handler that throws gives an error reply and idle", async () => {
  const { sockets, states, warnings, close } = await setUp({
    inspect_request() {
      throw new RangeError("no such place");
    },
  });
  sockets.shell.put(request("inspect_request"));
  await turns();
  assert.deepEqual(sockets.shell.sent[0].content, { status: "error", ename: "RangeError", evalue: "no such place", traceback: [] });
  assert.equal(states().at(-1), "idle");
  assert.equal(warnings.length, 1);
  await close();
});

test("control is answered while a cell awaits", async () => {
  let release = (): void => {};
  const { sockets, close } = await setUp({
    execute_request: async () => {
      await new Promise<void>((resolve) => (release = resolve));
      return { status: "ok" };
    },
    interrupt_request: () => ({ status: "ok" }),
  });
  sockets.shell.put(execute("a"));
  sockets.control.put(request("interrupt_request"));
  await turns();
  assert.equal(sockets.control.sent[0].header.msg_type, "interrupt_reply");
  assert.equal(sockets.shell.sent.length, 0);
  release();
  await turns();
  assert.equal(sockets.shell.sent.length, 1);
  await close();
});
