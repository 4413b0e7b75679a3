"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const server_1 = require("../../kernel-ext/kernel/server");
const wire_1 = require("../../kernel-ext/kernel/wire");
const fakes_1 = require("./fakes");
function setUp(handlers) {
    const lines = (0, fakes_1.fakeLines)();
    const warnings = [];
    const clock = (0, fakes_1.fakeClock)();
    const server = (0, server_1.createServer)({ handlers, session: "kernel", send: lines.send, clock, warn: (message) => warnings.push(message) });
    return {
        lines, warnings, clock, server,
        put: (frames, line = "shell") => server.take({ kind: "request", line, message: (0, wire_1.decode)(frames, fakes_1.KEY) }),
        states: () => lines.on("iopub").filter(({ header }) => header.msg_type === "status").map(({ content }) => content.execution_state),
    };
}
const execute = (code, more = {}) => (0, fakes_1.request)("execute_request", { code, ...more });
(0, node_test_1.test)("a request is answered to its client between busy and idle", async () => {
    const { put, lines, states } = setUp({ kernel_info_request: () => ({ status: "ok" }) });
    put((0, fakes_1.request)("kernel_info_request"));
    await (0, fakes_1.turns)();
    const [reply] = lines.on("shell");
    strict_1.default.equal(reply.header.msg_type, "kernel_info_reply");
    strict_1.default.equal(Buffer.from(reply.identities[0]).toString(), "client");
    strict_1.default.deepEqual(states(), ["busy", "idle"]);
});
(0, node_test_1.test)("cells run one after the other; other requests are answered while a cell awaits", async () => {
    const log = [];
    const releases = [];
    const { put } = setUp({
        async execute_request({ content }) {
            log.push(`start ${content.code}`);
            await new Promise((resolve) => releases.push(resolve));
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
    put((0, fakes_1.request)("complete_request"));
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(log, ["start a", "complete"]);
    releases[0]();
    await (0, fakes_1.turns)();
    releases[1]();
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(log, ["start a", "complete", "end a", "start b", "end b"]);
});
const statuses = async (stop_on_error) => {
    const { put, lines, clock } = setUp({
        execute_request: ({ content }) => ({ status: content.code === "throw" ? "error" : "ok" }),
    });
    for (const code of ["throw", "a", "b"])
        put(execute(code, stop_on_error === undefined ? {} : { stop_on_error }));
    await (0, fakes_1.turns)();
    clock.advance(30);
    await (0, fakes_1.turns)();
    put(execute("c"));
    await (0, fakes_1.turns)();
    const found = lines.on("shell").map(({ content }) => content.status);
    return found;
};
(0, node_test_1.test)("after an error the queued cells are aborted, a later one runs", async () => {
    strict_1.default.deepEqual(await statuses(undefined), ["error", "aborted", "aborted", "ok"]);
});
(0, node_test_1.test)("while a cell runs, the last status is its busy, whatever else is answered", async () => {
    let release = () => { };
    const { put, lines, states } = setUp({
        execute_request: async () => {
            await new Promise((resolve) => (release = resolve));
            return { status: "ok" };
        },
        complete_request: () => ({ status: "ok" }),
    });
    const cell = execute("a");
    put(cell);
    put((0, fakes_1.request)("complete_request"));
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(states(), ["busy", "busy", "idle", "busy"]);
    strict_1.default.equal((lines.on("iopub").at(-1)?.parent).msg_id, (0, wire_1.decode)(cell, fakes_1.KEY).header.msg_id);
    release();
    await (0, fakes_1.turns)();
    strict_1.default.equal(states().at(-1), "idle");
});
(0, node_test_1.test)("stop_on_error: false lets the queued cells run", async () => {
    strict_1.default.deepEqual(await statuses(false), ["error", "ok", "ok", "ok"]);
});
(0, node_test_1.test)("a message nobody handles is dropped with a warning; a comm message is handled and not answered", async () => {
    const seen = [];
    const { put, lines, states, warnings } = setUp({ comm_msg: ({ content }) => void seen.push(String(content.comm_id)) });
    put((0, fakes_1.request)("constructor"));
    put((0, fakes_1.request)("comm_msg", { comm_id: "c" }));
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual([lines.on("shell").length, seen, warnings.length], [0, ["c"], 1]);
    strict_1.default.match(warnings[0], /unknown type was dropped: constructor/);
    strict_1.default.deepEqual(states(), ["busy", "idle"]);
});
(0, node_test_1.test)("the thread of the sockets knows which cell computes", async () => {
    const { put, lines } = setUp({ execute_request: () => ({ status: "ok" }), complete_request: () => ({ status: "ok" }) });
    const cell = execute("a");
    put(cell);
    put((0, fakes_1.request)("complete_request"));
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(lines.running, [(0, wire_1.decode)(cell, fakes_1.KEY).header.msg_id, undefined]);
});
(0, node_test_1.test)("a handler that throws gives an error reply and idle", async () => {
    const { put, lines, states, warnings } = setUp({
        inspect_request() {
            throw new RangeError("no such place");
        },
    });
    put((0, fakes_1.request)("inspect_request"));
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(lines.on("shell")[0].content, { status: "error", ename: "RangeError", evalue: "no such place", traceback: [] });
    strict_1.default.equal(states().at(-1), "idle");
    strict_1.default.equal(warnings.length, 1);
});
(0, node_test_1.test)("control is answered while a cell awaits", async () => {
    let release = () => { };
    const { put, lines } = setUp({
        execute_request: async () => {
            await new Promise((resolve) => (release = resolve));
            return { status: "ok" };
        },
        other_request: () => ({ status: "ok" }),
    });
    put(execute("a"));
    put((0, fakes_1.request)("other_request"), "control");
    await (0, fakes_1.turns)();
    strict_1.default.equal(lines.on("control")[0].header.msg_type, "other_reply");
    strict_1.default.equal(lines.on("shell").length, 0);
    release();
    await (0, fakes_1.turns)();
    strict_1.default.equal(lines.on("shell").length, 1);
});
//# sourceMappingURL=server.test.js.map