"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const post_1 = require("../../kernel-ext/kernel/post");
const wire_1 = require("../../kernel-ext/kernel/wire");
const ring_1 = require("../../kernel-ext/kernel/ring");
const fakes_1 = require("./fakes");
function setUp() {
    const sockets = { shell: (0, fakes_1.fakeChannel)(), control: (0, fakes_1.fakeChannel)(), stdin: (0, fakes_1.fakeChannel)(), iopub: (0, fakes_1.fakeChannel)(), heartbeat: (0, fakes_1.fakeChannel)() };
    const warnings = [];
    const handed = [];
    let rung = 0;
    const printed = (0, ring_1.sharedRing)();
    const clock = (0, fakes_1.fakeClock)();
    const queue = []; // said by the thread of the cells, not taken yet
    let woken = 0;
    const writer = (0, ring_1.ringWriter)(printed, () => woken++);
    const post = (0, post_1.createPost)({
        ring: (0, ring_1.ringReader)(printed), clock, waiting: () => queue.shift(), sockets, key: fakes_1.KEY, session: "kernel", info: { status: "ok", implementation: "saelab" }, bell: { ring: () => void rung++ },
        hand: (incoming) => handed.push(incoming), warn: (message) => warnings.push(message),
    });
    const served = post.serve();
    return {
        sockets, warnings, handed, post, rung: () => rung, clock, queue, writer, woken: () => woken,
        states: () => sockets.iopub.sent.map(({ content, parent }) => [content.execution_state, parent.msg_id]),
        async close() {
            Object.values(sockets).forEach((socket) => socket.close());
            await served;
        },
    };
}
const idOf = (frames) => (0, wire_1.decode)(frames, fakes_1.KEY).header.msg_id;
(0, node_test_1.test)("kernel_info is answered on shell and control without the thread of the cells", async () => {
    const { sockets, handed, states, close } = setUp();
    const [first, second] = [(0, fakes_1.request)("kernel_info_request"), (0, fakes_1.request)("kernel_info_request")];
    sockets.shell.put(first);
    sockets.control.put(second);
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual([sockets.shell.sent[0].content.implementation, sockets.control.sent[0].header.msg_type], ["saelab", "kernel_info_reply"]);
    strict_1.default.equal(Buffer.from(sockets.shell.sent[0].identities[0]).toString(), "client");
    strict_1.default.deepEqual(handed, []);
    strict_1.default.deepEqual(states(), [["starting", undefined], ["busy", idOf(first)], ["idle", idOf(first)], ["busy", idOf(second)], ["idle", idOf(second)]]);
    await close();
});
(0, node_test_1.test)("an interrupt rings the bell, a shutdown is handed on, both are answered; debugging is refused in its own words", async () => {
    const { sockets, handed, rung, close } = setUp();
    sockets.control.put((0, fakes_1.request)("interrupt_request"));
    sockets.control.put((0, fakes_1.request)("shutdown_request", { restart: true }));
    sockets.control.put((0, fakes_1.request)("debug_request", { seq: 4, type: "request", command: "initialize" }));
    await (0, fakes_1.turns)();
    strict_1.default.equal(rung(), 2, "what computes must end for a shutdown too");
    strict_1.default.deepEqual(handed, [{ kind: "interrupt" }, { kind: "shutdown", restart: true }]);
    strict_1.default.deepEqual(sockets.control.sent.map(({ header, content }) => [header.msg_type, content.status ?? content.success, content.restart]), [["interrupt_reply", "ok", undefined], ["shutdown_reply", "ok", true], ["debug_reply", false, undefined]]);
    await close();
});
(0, node_test_1.test)("while a cell computes, the last status is its busy", async () => {
    const { sockets, post, states, close } = setUp();
    const cell = (0, wire_1.decode)((0, fakes_1.request)("execute_request", { code: "for (;;);" }), fakes_1.KEY);
    post.take({ kind: "running", parent: cell.header });
    const info = (0, fakes_1.request)("kernel_info_request");
    sockets.control.put(info);
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(states().slice(1), [["busy", idOf(info)], ["idle", idOf(info)], ["busy", cell.header.msg_id]]);
    post.take({ kind: "running", parent: undefined });
    sockets.control.put((0, fakes_1.request)("kernel_info_request"));
    await (0, fakes_1.turns)();
    strict_1.default.equal(states().at(-1)?.[0], "idle");
    await close();
});
(0, node_test_1.test)("other requests are handed on with their line; what comes back is signed and sent there", async () => {
    const { sockets, handed, post, close } = setUp();
    sockets.shell.put((0, fakes_1.request)("execute_request", { code: "1" }));
    sockets.stdin.put((0, fakes_1.request)("input_reply", { value: "x" }));
    sockets.shell.put((0, fakes_1.request)("interrupt", {}));
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(handed.map((each) => each.kind === "request" && [each.line, each.message.header.msg_type]), [["shell", "execute_request"], ["stdin", "input_reply"], ["shell", "interrupt"]]);
    const { message } = handed[0];
    post.take({ kind: "send", line: "shell", at: 0, letter: (0, wire_1.letter)((0, wire_1.answer)(message, { type: "execute_reply", content: { status: "ok" }, session: "kernel", identities: message.identities })) });
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual([sockets.shell.sent[0].header.msg_type, sockets.shell.sent[0].content], ["execute_reply", { status: "ok" }]);
    await close();
});
const hostile = [
    ["noise", () => [[Buffer.from("noise")]], /<IDS\|MSG>/],
    ["no frames at all", () => [[]], /<IDS\|MSG>/],
    ["another key", () => [(0, fakes_1.request)("kernel_info_request", {}, "another key")], /signature/],
    ["a frame too few", () => [(0, fakes_1.request)("kernel_info_request").slice(0, -1)], /found 4 frames/],
    ["content that is no JSON", () => [signed("{")], /content: expected JSON/],
    ["content that is no object", () => [signed("[1]")], /content: expected an object/],
    ["a header without a type", () => [signed("{}", "{}")], /msg_type/],
    ["a message sent twice", () => {
            const frames = (0, fakes_1.request)("execute_request", { code: "1" });
            return [frames, frames];
        }, /sent before/],
    ["a type named like a property of every object", () => [(0, fakes_1.request)("constructor"), (0, fakes_1.request)("__proto__")], /^$/],
];
/** A message with a right signature and wrong parts. */
function signed(content, header) {
    const { createHmac } = require("node:crypto");
    const frames = (0, fakes_1.request)("kernel_info_request");
    const at = frames.findIndex((frame) => Buffer.from(frame).toString() === "<IDS|MSG>");
    const parts = [header ? Buffer.from(header) : frames[at + 2], frames[at + 3], frames[at + 4], Buffer.from(content)];
    const hmac = createHmac("sha256", fakes_1.KEY);
    for (const part of parts)
        hmac.update(part);
    return [...frames.slice(0, at + 1), Buffer.from(hmac.digest("hex")), ...parts];
}
for (const [what, make, warning] of hostile) {
    (0, node_test_1.test)(`${what}: no answer, and the next message is answered`, async () => {
        const { sockets, warnings, close } = setUp();
        for (const line of ["shell", "control"]) {
            for (const frames of make())
                sockets[line].put(frames);
            await (0, fakes_1.turns)();
            strict_1.default.equal(sockets[line].sent.length, 0);
        }
        strict_1.default.match(warnings.join("\n"), warning);
        sockets.shell.put((0, fakes_1.request)("kernel_info_request"));
        await (0, fakes_1.turns)();
        strict_1.default.equal(sockets.shell.sent.length, 1);
        await close();
    });
}
(0, node_test_1.test)("a message larger than the limit is refused before it is parsed or signed", () => {
    const frames = (0, fakes_1.request)("execute_request", { code: "1" });
    const huge = { length: 1 << 29 }; // the length is all that is looked at
    strict_1.default.throws(() => (0, wire_1.decode)([...frames.slice(0, -1), huge], fakes_1.KEY), /expected at most \d+ bytes, found 5\d{8}/);
});
(0, node_test_1.test)("printed text waits 20 ms for more, goes to its own cell, and keeps its place between displays", async () => {
    const { sockets, post, clock, queue, writer, woken, close } = setUp();
    const [first, second] = [1, 2].map(() => (0, wire_1.decode)((0, fakes_1.request)("execute_request", { code: "" }), fakes_1.KEY));
    const display = (n) => ({
        kind: "send", line: "iopub", at: writer.position(), letter: (0, wire_1.letter)((0, wire_1.answer)(second, { type: "display_data", content: { n }, session: "kernel", identities: [] })),
    });
    writer.write(JSON.stringify(first.header), "stdout", "a");
    strict_1.default.equal(woken(), 1);
    post.take({ kind: "text" });
    writer.write(JSON.stringify(first.header), "stdout", "b");
    writer.write(JSON.stringify(first.header), "stderr", "c");
    strict_1.default.equal(woken(), 1, "one call is enough");
    clock.advance(19);
    await (0, fakes_1.turns)();
    strict_1.default.equal(sockets.iopub.sent.length, 1, "only `starting`");
    // Said, not taken yet, when the 20 ms are over:
    queue.push(display(1));
    writer.write(JSON.stringify(second.header), "stdout", "d");
    queue.push(display(2));
    writer.write("", "stdout", "e");
    clock.advance(1);
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(sockets.iopub.sent.slice(1).map(({ content, parent }) => [content.text ?? content.n, parent.msg_id]), [
        ["ab", first.header.msg_id], ["c", first.header.msg_id], [1, second.header.msg_id], ["d", second.header.msg_id], [2, second.header.msg_id], ["e", undefined],
    ]);
    writer.write("", "stdout", "f");
    strict_1.default.equal(woken(), 2);
    post.take(display(3)); // sends what was printed before it at once
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(sockets.iopub.sent.slice(-2).map(({ content }) => content.text ?? content.n), ["f", 3]);
    await close();
});
(0, node_test_1.test)("text that is announced while other text is being sent is not forgotten", async () => {
    const { sockets, post, clock, queue, writer, close } = setUp();
    writer.write("", "stdout", "a");
    post.take({ kind: "text" });
    // The announcement of "b" is found among what waits, although "b" is written only after the reader has looked how far the text goes.
    queue.push({ kind: "text" });
    const shift = queue.shift.bind(queue);
    queue.shift = () => {
        const next = shift();
        if (next)
            writer.write("", "stdout", "b");
        return next;
    };
    clock.advance(20);
    await (0, fakes_1.turns)();
    clock.advance(20);
    await (0, fakes_1.turns)();
    strict_1.default.equal(sockets.iopub.sent.slice(1).map(({ content }) => content.text).join(""), "ab");
    await close();
});
(0, node_test_1.test)("a flood goes out at a pace that Jupyter's server bears: whole, in order, the reply behind it", async () => {
    const { sockets, post, clock, writer, close } = setUp();
    const cell = (0, wire_1.decode)((0, fakes_1.request)("execute_request", { code: "" }), fakes_1.KEY);
    const text = Array.from({ length: 300_000 }, (_, i) => `${i}\n`).join(""); // 2 MB
    writer.write(JSON.stringify(cell.header), "stdout", text);
    post.take({ kind: "text" });
    post.take({
        kind: "send", line: "shell", at: writer.position(),
        letter: (0, wire_1.letter)((0, wire_1.answer)(cell, { type: "execute_reply", content: { status: "ok" }, session: "kernel", identities: cell.identities })),
    });
    const sent = () => sockets.iopub.sent.filter(({ header }) => header.msg_type === "stream").map(({ content }) => String(content.text));
    const bytes = [];
    for (let ms = 0; ms < 10_000 && sockets.shell.sent.length === 0; ms += 20) {
        clock.advance(20);
        await (0, fakes_1.turns)(1);
        bytes.push(sent().reduce((sum, each) => sum + each.length, 0));
    }
    strict_1.default.equal(sent().join(""), text);
    strict_1.default.equal(sockets.shell.sent.length, 1);
    for (let i = 150; i < bytes.length; i++)
        strict_1.default.ok(bytes[i] - bytes[i - 150] < 2_600_000, "of any three seconds");
    strict_1.default.ok(bytes.length > 100, "it took its time");
    strict_1.default.ok(bytes[0] > 300_000, "but began at once");
    await close();
});
(0, node_test_1.test)("many displays keep the pace too", async () => {
    const { sockets, post, clock, close } = setUp();
    const cell = (0, wire_1.decode)((0, fakes_1.request)("execute_request", { code: "" }), fakes_1.KEY);
    for (let n = 0; n < 2000; n++) {
        post.take({ kind: "send", line: "iopub", at: 0, letter: (0, wire_1.letter)((0, wire_1.answer)(cell, { type: "display_data", content: { n }, session: "kernel", identities: [] })) });
    }
    await (0, fakes_1.turns)();
    strict_1.default.ok(sockets.iopub.sent.length < 600);
    for (let ms = 0; ms < 4000; ms += 20) {
        clock.advance(20);
        await (0, fakes_1.turns)(1);
    }
    strict_1.default.deepEqual(sockets.iopub.sent.slice(1).map(({ content }) => content.n), Array.from({ length: 2000 }, (_, n) => n));
    await close();
});
(0, node_test_1.test)("the heartbeat echoes", async () => {
    const { sockets, close } = setUp();
    let echoed;
    sockets.heartbeat.send = async (frames) => void (echoed = frames);
    sockets.heartbeat.put([Buffer.from("ping")]);
    await (0, fakes_1.turns)();
    strict_1.default.equal(Buffer.from(echoed[0]).toString(), "ping");
    await close();
});
//# sourceMappingURL=post.test.js.map