"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const bundle_1 = require("../../kernel-ext/kernel/bundle");
const cell_1 = require("../../kernel-ext/kernel/cell");
const comm_1 = require("../../kernel-ext/kernel/comm");
const input_1 = require("../../kernel-ext/kernel/input");
const interrupt_1 = require("../../kernel-ext/kernel/interrupt");
const kernel_1 = require("../../kernel-ext/kernel/kernel");
const output_1 = require("../../kernel-ext/kernel/output");
const wire_1 = require("../../kernel-ext/kernel/wire");
const fakes_1 = require("./fakes");
/** A kernel whose cells are functions of the test: no TypeScript, no sockets. */
function setUp(cells) {
    const clock = (0, fakes_1.fakeClock)();
    const scope = (0, cell_1.cellScope)();
    const published = [];
    const publish = (cell, type, content) => void published.push({ type, content, code: cell.source });
    const output = (0, output_1.createOutput)({ publish, print: (cell, name, text) => publish(cell, "stream", { name, text }), clock });
    const warnings = [];
    const run_ = async (cell) => {
        try {
            const value = cells[cell.source](cell);
            // The value is handed on as it is; a cell with top-level await is one that returns { await }.
            if (typeof value === "object" && value !== null && "await" in value)
                return { ok: true, value: await (0, cell_1.waitIn)(cell, value.await) };
            return { ok: true, value };
        }
        catch (error) {
            return { ok: false, error };
        }
    };
    const language = {
        run: run_,
        evaluate: run_,
        complete: async (source, offset) => ({ proposals: [{ text: source, kind: "property", type: "number" }], start: offset - 1, end: offset }),
        inspect: async (source) => (source === "x" ? { signature: "const x: 1", documentation: "An x." } : undefined),
        isComplete: () => ({ status: "incomplete", indent: "  " }),
        keeps: () => false,
        tracer: { root: "/", locate: () => undefined, hidden: () => false },
        close: () => { },
    };
    const asked = [];
    const comms = (0, comm_1.createComms)({ publish: (cell, type, content) => publish(cell ?? (0, fakes_1.fakeCell)(), type, content), current: scope.current });
    const input = (0, input_1.createInput)({ scope, ask: (_, type, content) => `question-${asked.push({ type, ...content })}` });
    const flag = (0, interrupt_1.installInterruptFlag)({ current: scope.current, clock });
    const kernel = (0, kernel_1.createKernel)({
        language, output, scope, clock, publish, input, comms, interrupts: { raise: () => { }, lower: () => { } }, warn: (message) => warnings.push(message),
    });
    const run = (code, more = {}) => kernel.handlers.execute_request((0, wire_1.decode)((0, fakes_1.request)("execute_request", { code, ...more }), fakes_1.KEY));
    const ask = (type, content = {}) => kernel.handlers[type]((0, wire_1.decode)((0, fakes_1.request)(type, content), fakes_1.KEY));
    const { display, clearOutput } = (0, kernel_1.cellPrelude)({ scope, output, input: input.input, comms }).values;
    return { clock, scope, output, published, warnings, flag, kernel, run, ask, asked, comms, input, display, clearOutput };
}
const types = (published) => published.map(({ type }) => type);
(0, node_test_1.test)("execute_input, then the last value's bundle as execute_result", async () => {
    const { run, published } = setUp({ rich: () => ({ [bundle_1.DISPLAY]: async () => ({ "text/html": "<b>1</b>", "image/png": new Uint8Array([1, 2]) }) }) });
    const reply = await run("rich");
    strict_1.default.equal(reply.status, "ok");
    strict_1.default.deepEqual(types(published), ["execute_input", "execute_result"]);
    strict_1.default.deepEqual(published[1].content, { execution_count: 1, data: { "text/html": "<b>1</b>", "image/png": "AQI=" }, metadata: {} });
});
(0, node_test_1.test)("a plain value is text/plain as Node prints it, undefined is nothing, a promise is awaited", async () => {
    const { run, published } = setUp({ plain: () => ({ a: ["x", 1n] }), none: () => undefined, later: () => Promise.resolve("y") });
    await run("plain");
    await run("none");
    await run("later");
    const shown = published.filter(({ type }) => type === "execute_result").map(({ content }) => content.data);
    strict_1.default.deepEqual(shown, [{ "text/plain": "{ a: [ 'x', 1n ] }" }, { "text/plain": "'y'" }]);
});
(0, node_test_1.test)("a class of a library speaks for itself, what is built in does not", async () => {
    class Tensor {
        data;
        constructor(data) {
            this.data = data;
        }
        toString() {
            return `Tensor [${this.data}]`;
        }
    }
    const values = { tensor: new Tensor([1, 2]), date: new Date(0), map: new Map([[1, 2]]), bytes: new Uint8Array(2), error: new Error("e").message };
    const { run, published } = setUp(Object.fromEntries(Object.entries(values).map(([name, value]) => [name, () => value])));
    for (const name of Object.keys(values))
        await run(name);
    strict_1.default.deepEqual(published.filter(({ type }) => type === "execute_result").map(({ content }) => content.data["text/plain"]), ["Tensor [1,2]", "1970-01-01T00:00:00.000Z", "Map(1) { 1 => 2 }", "Uint8Array(2) [ 0, 0 ]", "'e'"]);
});
(0, node_test_1.test)("what a cell throws is an error message and an error reply", async () => {
    const { run, published } = setUp({
        bad: () => {
            throw new RangeError("too far");
        },
        rejected: () => Promise.reject(new TypeError("later")),
        shows: () => ({ [bundle_1.DISPLAY]: () => ({ html: 1 }) }),
        odd: () => {
            throw "a string";
        },
    });
    const replies = [await run("bad"), await run("rejected"), await run("shows"), await run("odd")];
    strict_1.default.deepEqual(replies.map(({ status, ename }) => [status, ename]), [["error", "RangeError"], ["error", "TypeError"], ["error", "DisplayError"], ["error", "Uncaught"]]);
    strict_1.default.deepEqual(types(published).filter((type) => type === "error").length, 4);
    strict_1.default.match(String(published[1].content.traceback[0]), /RangeError.*: too far/);
});
(0, node_test_1.test)("silent cells show no input and no result and do not count", async () => {
    const { run, published } = setUp({ one: () => 1 });
    strict_1.default.equal((await run("one", { silent: true })).execution_count, 0);
    strict_1.default.deepEqual(published, []);
    strict_1.default.equal((await run("one")).execution_count, 1);
});
(0, node_test_1.test)("display: a bundle, a value, an update; a display in the making is waited for", async () => {
    const { run, published, display } = setUp({
        cell: () => {
            void display({ "text/html": "<i>1</i>" }, { display_id: "p" });
            void display({ [bundle_1.DISPLAY]: async () => ({ "text/html": "<i>2</i>" }) }, { display_id: "p", update: true });
            void display([1]);
        },
    });
    await run("cell");
    strict_1.default.deepEqual(published.slice(1).map(({ type, content }) => [type, content.data]), [
        ["display_data", { "text/html": "<i>1</i>" }],
        ["display_data", { "text/plain": "[ 1 ]" }],
        ["update_display_data", { "text/html": "<i>2</i>" }],
    ]);
});
(0, node_test_1.test)("the library's hook checks its bundle", async () => {
    const env = setUp({ cell: () => (0, kernel_1.showHook)(env)({ "text/html": () => { } }), none: () => (0, kernel_1.showHook)(env)(7) });
    const { run, published } = env;
    await run("cell");
    strict_1.default.equal(published[1].type, "display_data");
    strict_1.default.equal((await run("none")).ename, "DisplayError");
});
(0, node_test_1.test)("what a timer prints later goes to the cell that set it", async () => {
    const { run, published, scope, output } = setUp({
        first: () => {
            setImmediate(() => output.stream(scope.current(), "stdout", "late"));
        },
        second: () => ({ await: (0, fakes_1.turns)() }),
    });
    await run("first");
    await run("second");
    strict_1.default.deepEqual(published.filter(({ type }) => type === "stream").map(({ code, content }) => [code, content.text]), [["first", "late"]]);
});
(0, node_test_1.test)("an interrupt stops a cell that awaits, at once", async () => {
    const { run, kernel, flag } = setUp({ wait: () => ({ await: new Promise(() => { }) }), next: () => flag.requested });
    const waiting = run("wait");
    await (0, fakes_1.turns)();
    kernel.interrupt();
    strict_1.default.equal((await waiting).ename, "KeyboardInterrupt");
    strict_1.default.equal((await run("next")).status, "ok");
});
(0, node_test_1.test)("a promise as last value can be interrupted too", async () => {
    const { run, kernel } = setUp({ wait: () => new Promise(() => { }) });
    const waiting = run("wait");
    await (0, fakes_1.turns)();
    kernel.interrupt();
    strict_1.default.equal((await waiting).ename, "KeyboardInterrupt");
});
(0, node_test_1.test)("a loop that reads the flag gets time to stop by itself; the next cell sees the flag down", async () => {
    const { run, kernel, flag, published } = setUp({
        loop: () => ({
            await: (async () => {
                while (!flag.requested)
                    await (0, fakes_1.turns)(1);
                throw Object.assign(new Error("stopped after step 3"), { name: "InterruptError" });
            })(),
        }),
        next: () => flag.requested,
    });
    const looping = run("loop");
    await (0, fakes_1.turns)();
    kernel.interrupt();
    const reply = await looping;
    strict_1.default.deepEqual([reply.ename, reply.evalue], ["InterruptError", "stopped after step 3"]);
    await run("next");
    strict_1.default.deepEqual(published.at(-1)?.content.data, { "text/plain": "false" });
});
for (const [how, act] of [
    ["a second interrupt", ({ kernel }) => kernel.interrupt()],
    ["five seconds", ({ clock }) => clock.advance(5000)],
]) {
    (0, node_test_1.test)(`a loop that read the flag and then hangs is given up after ${how}, and still sees the flag when it wakes`, async () => {
        let wake = () => { };
        const seen = [];
        const env = setUp({
            loop: () => ({
                await: (async () => {
                    seen.push(env.flag.requested);
                    await new Promise((resolve) => (wake = resolve));
                    seen.push(env.flag.requested);
                })(),
            }),
            next: () => ({ await: (0, fakes_1.turns)(2).then(() => wake()) }),
        });
        const looping = env.run("loop");
        await (0, fakes_1.turns)();
        env.kernel.interrupt();
        await (0, fakes_1.turns)();
        act(env);
        strict_1.default.equal((await looping).ename, "KeyboardInterrupt");
        await env.run("next");
        await (0, fakes_1.turns)();
        strict_1.default.deepEqual(seen, [false, true]);
    });
}
(0, node_test_1.test)("the flag keeps the identity of one that was there before", () => {
    const place = globalThis;
    const before = place[interrupt_1.INTERRUPT];
    try {
        const mine = { requested: false };
        place[interrupt_1.INTERRUPT] = mine;
        strict_1.default.equal((0, interrupt_1.installInterruptFlag)({ current: () => undefined, clock: (0, fakes_1.fakeClock)() }), mine);
        strict_1.default.equal(mine.requested, false);
    }
    finally {
        place[interrupt_1.INTERRUPT] = before;
    }
});
(0, node_test_1.test)("an error nobody waits for is reported in its cell, or to the kernel's own log before there is one", async () => {
    const { kernel, run, published, warnings } = setUp({ cell: () => 1 });
    kernel.report("Uncaught exception:", new Error("early"));
    strict_1.default.match(warnings[0], /Uncaught exception: .*Error.*: early/);
    await run("cell");
    kernel.report("Uncaught exception:", new Error("late"));
    strict_1.default.match(String(published.at(-1)?.content.text), /Error.*: late/);
    strict_1.default.equal(warnings.length, 1);
});
(0, node_test_1.test)("cursors count code points; proposals carry kind and type for front ends that show them", async () => {
    const { ask } = setUp({});
    const { cursor_start, cursor_end, metadata } = await ask("complete_request", { code: "😀ab", cursor_pos: 2 });
    strict_1.default.deepEqual([cursor_start, cursor_end], [1, 2]);
    strict_1.default.deepEqual(metadata._jupyter_types_experimental, [{ start: 1, end: 2, text: "😀ab", type: "property", signature: "number" }]);
});
(0, node_test_1.test)("inspect gives text and Markdown, or says that it found nothing", async () => {
    const { ask } = setUp({});
    strict_1.default.deepEqual((await ask("inspect_request", { code: "x", cursor_pos: 1 })).data, {
        "text/plain": "const x: 1\n\nAn x.", "text/markdown": "```typescript\nconst x: 1\n```\n\nAn x.",
    });
    strict_1.default.equal((await ask("inspect_request", { code: "y", cursor_pos: 1 })).found, false);
});
(0, node_test_1.test)("user expressions: each its own value or error, after the cell, in the reply", async () => {
    const { run } = setUp({
        cell: () => undefined, good: () => 7,
        bad: () => {
            throw new RangeError("no");
        },
    });
    const { user_expressions } = (await run("cell", { user_expressions: { a: "good", b: "bad" } }));
    strict_1.default.deepEqual(user_expressions.a, { status: "ok", data: { "text/plain": "7" }, metadata: {} });
    strict_1.default.deepEqual([user_expressions.b.status, user_expressions.b.ename], ["error", "RangeError"]);
});
(0, node_test_1.test)("history: tail, range, search, with and without results; silent cells are not in it", async () => {
    const { run, ask } = setUp({ "one()": () => 1, "two()": () => undefined, "one more": () => "x" });
    for (const code of ["one()", "two()", "one()", "one more"])
        await run(code);
    await run("two()", { silent: true });
    await run("two()", { store_history: false });
    const find = async (query) => (await ask("history_request", query)).history;
    strict_1.default.deepEqual(await find({ hist_access_type: "tail", n: 2 }), [[0, 3, "one()"], [0, 4, "one more"]]);
    strict_1.default.deepEqual(await find({ hist_access_type: "range", session: 0, start: 1, stop: 3, output: true }), [[0, 1, ["one()", "1"]], [0, 2, ["two()", null]]]);
    strict_1.default.deepEqual(await find({ hist_access_type: "search", pattern: "one*", n: 5, unique: true }), [[0, 3, "one()"], [0, 4, "one more"]]);
    strict_1.default.deepEqual(await find({ hist_access_type: "search", pattern: "t?o()", n: 5 }), [[0, 2, "two()"]]);
    strict_1.default.deepEqual(await find({ hist_access_type: "range", session: -1, start: 1, stop: 3 }), []);
});
(0, node_test_1.test)("input asks the cell's own client and gives its answer; where nobody can type it is an error", async () => {
    const env = setUp({ ask: () => ({ await: env.input.input("name? ", { password: true }) }), refused: () => ({ await: env.input.input() }) });
    const running = env.run("ask", { allow_stdin: true });
    await (0, fakes_1.turns)();
    strict_1.default.deepEqual(env.asked, [{ type: "input_request", prompt: "name? ", password: true }]);
    env.kernel.handlers.input_reply((0, wire_1.decode)((0, fakes_1.request)("input_reply", { value: "Ada" }), fakes_1.KEY));
    strict_1.default.equal((await running).status, "ok");
    strict_1.default.deepEqual(env.published.at(-1)?.content.data, { "text/plain": "'Ada'" });
    strict_1.default.equal((await env.run("refused", { allow_stdin: false })).ename, "StdinError");
});
(0, node_test_1.test)("a question that is waited for can be interrupted, and the next one is asked", async () => {
    const env = setUp({ ask: () => ({ await: env.input.input("?") }) });
    const first = env.run("ask", { allow_stdin: true });
    await (0, fakes_1.turns)();
    env.kernel.interrupt();
    strict_1.default.equal((await first).ename, "KeyboardInterrupt");
    const second = env.run("ask", { allow_stdin: true });
    await (0, fakes_1.turns)();
    strict_1.default.equal(env.asked.length, 2);
    const reply = (value, msg_id) => ({ ...(0, wire_1.decode)((0, fakes_1.request)("input_reply", { value }), fakes_1.KEY), parent: { msg_id } });
    env.kernel.handlers.input_reply(reply("typed into the box of the first", "question-1"));
    env.kernel.handlers.input_reply(reply("x", "question-2"));
    strict_1.default.equal((await second).status, "ok");
    strict_1.default.deepEqual(env.published.at(-1)?.content.data, { "text/plain": "'x'" });
});
(0, node_test_1.test)("clearOutput takes what was printed with it, in order", async () => {
    const env = setUp({
        cell: () => {
            env.output.stream(env.scope.current(), "stdout", "a");
            void env.clearOutput({ wait: true });
            env.output.stream(env.scope.current(), "stdout", "b");
        },
    });
    await env.run("cell");
    strict_1.default.deepEqual(env.published.slice(1).map(({ type, content }) => [type, content.text ?? content.wait]), [["stream", "a"], ["clear_output", true], ["stream", "b"]]);
});
(0, node_test_1.test)("comms: opened by the kernel and by the front end, both ways, listed, closed", async () => {
    const seen = [];
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
    const { comm_id } = env.published.find(({ type }) => type === "comm_open").content;
    await env.ask("comm_msg", { comm_id, data: { value: 2 } });
    await env.run("registers");
    await env.ask("comm_open", { comm_id: "theirs", target_name: "ping", data: { hello: 1 } });
    await env.ask("comm_msg", { comm_id: "theirs", data: { x: 1 } });
    strict_1.default.deepEqual((await env.ask("comm_info_request", { target_name: "ping" })).comms, { theirs: { target_name: "ping" } });
    await env.ask("comm_close", { comm_id: "theirs", data: {} });
    strict_1.default.deepEqual(seen, [{ value: 2 }, { hello: 1 }, "closed"]);
    strict_1.default.deepEqual(env.published.find(({ type }) => type === "comm_msg")?.content, { comm_id: "theirs", data: { pong: { x: 1 } } });
    await env.ask("comm_open", { comm_id: "lost", target_name: "nobody", data: {} });
    strict_1.default.deepEqual(env.published.at(-1), { type: "comm_close", content: { comm_id: "lost", data: {} }, code: "" });
    strict_1.default.deepEqual(Object.keys((await env.ask("comm_info_request")).comms), [comm_id]);
});
(0, node_test_1.test)("what a comm's callback throws is an error message of its own", async () => {
    const env = setUp({
        cell: () => env.comms.register("bad", () => {
            throw new RangeError("in the callback");
        }),
    });
    await env.run("cell");
    await env.ask("comm_open", { comm_id: "c", target_name: "bad", data: {} });
    strict_1.default.deepEqual([env.published.at(-1)?.type, env.published.at(-1)?.content.evalue], ["error", "in the callback"]);
});
(0, node_test_1.test)("an interrupt stops the timers of its cell", async () => {
    const env = setUp({
        cell: (cell) => {
            cell.timers.add(setInterval(() => { }, 1e6));
            return { await: new Promise(() => { }) };
        },
    });
    const running = env.run("cell");
    await (0, fakes_1.turns)();
    env.kernel.interrupt();
    strict_1.default.equal((await running).ename, "KeyboardInterrupt");
    strict_1.default.deepEqual(process.getActiveResourcesInfo().filter((each) => each === "Timeout"), []);
});
(0, node_test_1.test)("kernel_info says what is true", () => {
    const info = (0, kernel_1.kernelInfo)({ version: "1.2.3", typescript: "7.0.2" });
    const language = info.language_info;
    strict_1.default.deepEqual([info.status, info.protocol_version, info.implementation_version, language.name, language.version, language.file_extension], ["ok", "5.4", "1.2.3", "typescript", "7.0.2", ".ts"]);
});
//# sourceMappingURL=kernel.test.js.map