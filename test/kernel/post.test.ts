import assert from "node:assert/strict";
import { test } from "node:test";
import { createPost, type Incoming, type Outgoing } from "../../kernel-ext/kernel/post";
import { answer, decode, letter } from "../../kernel-ext/kernel/wire";
import { ringReader, ringWriter, sharedRing } from "../../kernel-ext/kernel/ring";
import { fakeChannel, fakeClock, KEY, request, turns } from "./fakes";

function setUp() {
  const sockets = { shell: fakeChannel(), control: fakeChannel(), stdin: fakeChannel(), iopub: fakeChannel(), heartbeat: fakeChannel() };
  const warnings: string[] = [];
  const handed: Incoming[] = [];
  let rung = 0;
  const printed = sharedRing();
  const clock = fakeClock();
  const queue: Outgoing[] = []; // said by the thread of the cells, not taken yet
  let woken = 0;
  const writer = ringWriter(printed, () => woken++);
  const post = createPost({
    ring: ringReader(printed), clock, waiting: () => queue.shift(), sockets, key: KEY, session: "kernel", info: { status: "ok", implementation: "saelab" }, bell: { ring: () => void rung++ },
    hand: (incoming) => handed.push(incoming), warn: (message) => warnings.push(message),
  });
  const served = post.serve();
  return {
    sockets, warnings, handed, post, rung: () => rung, clock, queue, writer, woken: () => woken,
    states: () => sockets.iopub.sent.map(({ content, parent }) => [content.execution_state, (parent as { msg_id?: string }).msg_id]),
    async close() {
      Object.values(sockets).forEach((socket) => socket.close());
      await served;
    },
  };
}

const idOf = (frames: Uint8Array[]): string => decode(frames, KEY).header.msg_id;

test("kernel_info is answered on shell and control without the thread of the cells", async () => {
  const { sockets, handed, states, close } = setUp();
  const [first, second] = [request("kernel_info_request"), request("kernel_info_request")];
  sockets.shell.put(first);
  sockets.control.put(second);
  await turns();
  assert.deepEqual([sockets.shell.sent[0].content.implementation, sockets.control.sent[0].header.msg_type], ["saelab", "kernel_info_reply"]);
  assert.equal(Buffer.from(sockets.shell.sent[0].identities[0]).toString(), "client");
  assert.deepEqual(handed, []);
  assert.deepEqual(states(), [["starting", undefined], ["busy", idOf(first)], ["idle", idOf(first)], ["busy", idOf(second)], ["idle", idOf(second)]]);
  await close();
});

test("an interrupt rings the bell, a shutdown is handed on, both are answered; debugging is refused in its own words", async () => {
  const { sockets, handed, rung, close } = setUp();
  sockets.control.put(request("interrupt_request"));
  sockets.control.put(request("shutdown_request", { restart: true }));
  sockets.control.put(request("debug_request", { seq: 4, type: "request", command: "initialize" }));
  await turns();
  assert.equal(rung(), 2, "what computes must end for a shutdown too");
  assert.deepEqual(handed, [{ kind: "interrupt" }, { kind: "shutdown", restart: true }]);
  assert.deepEqual(sockets.control.sent.map(({ header, content }) => [header.msg_type, content.status ?? content.success, content.restart]),
    [["interrupt_reply", "ok", undefined], ["shutdown_reply", "ok", true], ["debug_reply", false, undefined]]);
  await close();
});

test("while a cell computes, the last status is its busy", async () => {
  const { sockets, post, states, close } = setUp();
  const cell = decode(request("execute_request", { code: "for (;;);" }), KEY);
  post.take({ kind: "running", parent: cell.header });
  const info = request("kernel_info_request");
  sockets.control.put(info);
  await turns();
  assert.deepEqual(states().slice(1), [["busy", idOf(info)], ["idle", idOf(info)], ["busy", cell.header.msg_id]]);
  post.take({ kind: "running", parent: undefined });
  sockets.control.put(request("kernel_info_request"));
  await turns();
  assert.equal(states().at(-1)?.[0], "idle");
  await close();
});

test("other requests are handed on with their line; what comes back is signed and sent there", async () => {
  const { sockets, handed, post, close } = setUp();
  sockets.shell.put(request("execute_request", { code: "1" }));
  sockets.stdin.put(request("input_reply", { value: "x" }));
  sockets.shell.put(request("interrupt", {}));
  await turns();
  assert.deepEqual(handed.map((each) => each.kind === "request" && [each.line, each.message.header.msg_type]),
    [["shell", "execute_request"], ["stdin", "input_reply"], ["shell", "interrupt"]]);
  const { message } = handed[0] as Extract<Incoming, { kind: "request" }>;
  post.take({ kind: "send", line: "shell", at: 0, letter: letter(answer(message, { type: "execute_reply", content: { status: "ok" }, session: "kernel", identities: message.identities })) });
  await turns();
  assert.deepEqual([sockets.shell.sent[0].header.msg_type, sockets.shell.sent[0].content], ["execute_reply", { status: "ok" }]);
  await close();
});

const hostile: [string, () => Uint8Array[][], RegExp][] = [
  ["noise", () => [[Buffer.from("noise")]], /<IDS\|MSG>/],
  ["no frames at all", () => [[]], /<IDS\|MSG>/],
  ["another key", () => [request("kernel_info_request", {}, "another key")], /signature/],
  ["a frame too few", () => [request("kernel_info_request").slice(0, -1)], /found 4 frames/],
  ["content that is no JSON", () => [signed("{")], /content: expected JSON/],
  ["content that is no object", () => [signed("[1]")], /content: expected an object/],
  ["a header without a type", () => [signed("{}", "{}")], /msg_type/],
  ["a message sent twice", () => {
    const frames = request("execute_request", { code: "1" });
    return [frames, frames];
  }, /sent before/],
  ["a type named like a property of every object", () => [request("constructor"), request("__proto__")], /^$/],
];

/** A message with a right signature and wrong parts. */
function signed(content: string, header?: string): Uint8Array[] {
  const { createHmac } = require("node:crypto") as typeof import("node:crypto");
  const frames = request("kernel_info_request");
  const at = frames.findIndex((frame) => Buffer.from(frame).toString() === "<IDS|MSG>");
  const parts = [header ? Buffer.from(header) : frames[at + 2], frames[at + 3], frames[at + 4], Buffer.from(content)];
  const hmac = createHmac("sha256", KEY);
  for (const part of parts) hmac.update(part);
  return [...frames.slice(0, at + 1), Buffer.from(hmac.digest("hex")), ...parts];
}

for (const [what, make, warning] of hostile) {
  test(`${what}: no answer, and the next message is answered`, async () => {
    const { sockets, warnings, close } = setUp();
    for (const line of ["shell", "control"] as const) {
      for (const frames of make()) sockets[line].put(frames);
      await turns();
      assert.equal(sockets[line].sent.length, 0);
    }
    assert.match(warnings.join("\n"), warning);
    sockets.shell.put(request("kernel_info_request"));
    await turns();
    assert.equal(sockets.shell.sent.length, 1);
    await close();
  });
}

test("a message larger than the limit is refused before it is parsed or signed", () => {
  const frames = request("execute_request", { code: "1" });
  const huge = { length: 1 << 29 } as unknown as Uint8Array; // the length is all that is looked at
  assert.throws(() => decode([...frames.slice(0, -1), huge], KEY), /expected at most \d+ bytes, found 5\d{8}/);
});

test("printed text waits 20 ms for more, goes to its own cell, and keeps its place between displays", async () => {
  const { sockets, post, clock, queue, writer, woken, close } = setUp();
  const [first, second] = [1, 2].map(() => decode(request("execute_request", { code: "" }), KEY));
  const display = (n: number): Outgoing => ({
    kind: "send", line: "iopub", at: writer.position(), letter: letter(answer(second, { type: "display_data", content: { n }, session: "kernel", identities: [] })),
  });
  writer.write(JSON.stringify(first.header), "stdout", "a");
  assert.equal(woken(), 1);
  post.take({ kind: "text" });
  writer.write(JSON.stringify(first.header), "stdout", "b");
  writer.write(JSON.stringify(first.header), "stderr", "c");
  assert.equal(woken(), 1, "one call is enough");
  clock.advance(19);
  await turns();
  assert.equal(sockets.iopub.sent.length, 1, "only `starting`");
  // Said, not taken yet, when the 20 ms are over:
  queue.push(display(1));
  writer.write(JSON.stringify(second.header), "stdout", "d");
  queue.push(display(2));
  writer.write("", "stdout", "e");
  clock.advance(1);
  await turns();
  assert.deepEqual(sockets.iopub.sent.slice(1).map(({ content, parent }) => [content.text ?? content.n, (parent as { msg_id?: string }).msg_id]), [
    ["ab", first.header.msg_id], ["c", first.header.msg_id], [1, second.header.msg_id], ["d", second.header.msg_id], [2, second.header.msg_id], ["e", undefined],
  ]);
  writer.write("", "stdout", "f");
  assert.equal(woken(), 2);
  post.take(display(3)); // sends what was printed before it at once
  await turns();
  assert.deepEqual(sockets.iopub.sent.slice(-2).map(({ content }) => content.text ?? content.n), ["f", 3]);
  await close();
});

test("text that is announced while other text is being sent is not forgotten", async () => {
  const { sockets, post, clock, queue, writer, close } = setUp();
  writer.write("", "stdout", "a");
  post.take({ kind: "text" });
  // The announcement of "b" is found among what waits, although "b" is written only after the reader has looked how far the text goes.
  queue.push({ kind: "text" });
  const shift = queue.shift.bind(queue);
  queue.shift = () => {
    const next = shift();
    if (next) writer.write("", "stdout", "b");
    return next;
  };
  clock.advance(20);
  await turns();
  clock.advance(20);
  await turns();
  assert.equal(sockets.iopub.sent.slice(1).map(({ content }) => content.text).join(""), "ab");
  await close();
});

test("a flood goes out at a pace that Jupyter's server bears: whole, in order, the reply behind it", async () => {
  const { sockets, post, clock, writer, close } = setUp();
  const cell = decode(request("execute_request", { code: "" }), KEY);
  const text = Array.from({ length: 300_000 }, (_, i) => `${i}\n`).join(""); // 2 MB
  writer.write(JSON.stringify(cell.header), "stdout", text);
  post.take({ kind: "text" });
  post.take({
    kind: "send", line: "shell", at: writer.position(),
    letter: letter(answer(cell, { type: "execute_reply", content: { status: "ok" }, session: "kernel", identities: cell.identities })),
  });
  const sent = () => sockets.iopub.sent.filter(({ header }) => header.msg_type === "stream").map(({ content }) => String(content.text));
  const bytes: number[] = [];
  for (let ms = 0; ms < 10_000 && sockets.shell.sent.length === 0; ms += 20) {
    clock.advance(20);
    await turns(1);
    bytes.push(sent().reduce((sum, each) => sum + each.length, 0));
  }
  assert.equal(sent().join(""), text);
  assert.equal(sockets.shell.sent.length, 1);
  for (let i = 150; i < bytes.length; i++) assert.ok(bytes[i] - bytes[i - 150] < 2_600_000, "of any three seconds");
  assert.ok(bytes.length > 100, "it took its time");
  assert.ok(bytes[0] > 300_000, "but began at once");
  await close();
});

test("many displays keep the pace too", async () => {
  const { sockets, post, clock, close } = setUp();
  const cell = decode(request("execute_request", { code: "" }), KEY);
  for (let n = 0; n < 2000; n++) {
    post.take({ kind: "send", line: "iopub", at: 0, letter: letter(answer(cell, { type: "display_data", content: { n }, session: "kernel", identities: [] })) });
  }
  await turns();
  assert.ok(sockets.iopub.sent.length < 600);
  for (let ms = 0; ms < 4000; ms += 20) {
    clock.advance(20);
    await turns(1);
  }
  assert.deepEqual(sockets.iopub.sent.slice(1).map(({ content }) => content.n), Array.from({ length: 2000 }, (_, n) => n));
  await close();
});

test("the heartbeat echoes", async () => {
  const { sockets, close } = setUp();
  let echoed: unknown;
  sockets.heartbeat.send = async (frames) => void (echoed = frames);
  sockets.heartbeat.put([Buffer.from("ping")]);
  await turns();
  assert.equal(Buffer.from((echoed as Uint8Array[])[0]).toString(), "ping");
  await close();
});

