"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.fakeCell = exports.KEY = void 0;
exports.fakeChannel = fakeChannel;
exports.request = request;
exports.fakeClock = fakeClock;
exports.fakeLines = fakeLines;
exports.turns = turns;
const cell_1 = require("../../kernel-ext/kernel/cell");
const wire_1 = require("../../kernel-ext/kernel/wire");
exports.KEY = "a key of the tests";
function fakeChannel() {
    const waiting = [];
    const sent = [];
    let wake = () => { };
    let open = true;
    return {
        sent,
        put(frames) {
            waiting.push(frames);
            wake();
        },
        close() {
            open = false;
            wake();
        },
        async send(frames) {
            sent.push((0, wire_1.decode)(frames.map((frame) => Buffer.from(frame)), exports.KEY));
        },
        async *[Symbol.asyncIterator]() {
            while (open) {
                const next = waiting.shift();
                if (next)
                    yield next;
                else
                    await new Promise((resolve) => (wake = resolve));
            }
        },
    };
}
let serial = 0;
/** A client's request as frames. */
function request(type, content = {}, key = exports.KEY) {
    const header = {
        msg_id: `request-${++serial}`, session: "client", username: "tester", date: "2026-01-01T00:00:00Z", msg_type: type, version: "5.3",
    };
    return (0, wire_1.encode)({ identities: [Buffer.from("client")], header, parent: {}, metadata: {}, content, buffers: [] }, key)
        .map((frame) => Buffer.from(frame));
}
/** A clock that moves when told to. */
function fakeClock() {
    let now = 0;
    let timers = [];
    return {
        now: () => now,
        after(ms, work) {
            const timer = { at: now + ms, work };
            timers.push(timer);
            return () => {
                timers = timers.filter((each) => each !== timer);
            };
        },
        advance(ms) {
            now += ms;
            const due = timers.filter(({ at }) => at <= now);
            timers = timers.filter(({ at }) => at > now);
            due.forEach(({ work }) => work());
        },
    };
}
const fakeCell = (source = "", name = "cell-1.ts") => (0, cell_1.newCell)({ name, label: "cell 1", source, request: undefined });
exports.fakeCell = fakeCell;
/** What the thread of the cells said, by the line it said it on. */
function fakeLines() {
    const said = [];
    const running = [];
    return {
        running,
        send(what) {
            if (what.kind === "running")
                running.push(what.parent?.msg_id);
            else
                said.push({ line: what.line, message: (0, wire_1.decode)((0, wire_1.seal)(what.letter, exports.KEY).map((frame) => Buffer.from(frame)), exports.KEY) });
        },
        on: (line) => said.filter((each) => each.line === line).map(({ message }) => message),
    };
}
/** Some turns of the event loop, for what promises and streams still have to do. */
async function turns(count = 5) {
    for (let i = 0; i < count; i++)
        await new Promise((resolve) => setImmediate(resolve));
}
//# sourceMappingURL=fakes.js.map