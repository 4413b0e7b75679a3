"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.PACE = void 0;
exports.createPost = createPost;
const ring_1 = require("./ring");
const wire_1 = require("./wire");
const INTERVAL = 20; // ms: text waits at most so long for more text
const LONGEST = 1 << 18; // characters of one message: JupyterLab draws a cell's whole text again at each
const TAKEN = 1 << 18; // bytes taken from the ring at a time: the rest holds back who prints
exports.PACE = { bytes: 600_000, messages: 600, burst: 0.8 };
const reasonOf = (error) => (error instanceof Error ? error.message : String(error));
/**
 * The kernel's post office, in a thread of its own so that it works while a cell computes: checks and sorts what comes in, signs and
 * sends what goes out. Heartbeat, kernel_info, interrupt, shutdown and debug are answered here, at once; the rest is handed on.
 * @param key of the connection file; empty: unsigned
 * @param info content of kernel_info_reply
 * @param ring what cells print
 * @param waiting the next thing said by the thread of the cells that was not taken yet
 * @param hand gives a message to the thread of the cells
 * @param warn told of dropped messages and failed sends
 */
function createPost({ sockets, key, session, info, bell, ring, clock, pace = exports.PACE, waiting = () => undefined, hand, warn }) {
    const isNew = (0, wire_1.replayGuard)();
    let running;
    const send = (socket, mail, what) => {
        socket.send((0, wire_1.seal)(mail, key)).catch((error) => warn(`${what} was not sent: ${reasonOf(error)}`));
    };
    const status = (parent, execution_state) => send(sockets.iopub, (0, wire_1.letter)((0, wire_1.answer)(parent, {
        type: "status", content: { execution_state }, session, identities: [Buffer.from("kernel.saelab.status")],
    })), "status");
    const here = {
        kernel_info_request: () => info,
        interrupt_request() {
            bell.ring();
            hand({ kind: "interrupt" });
            return { status: "ok" };
        },
        shutdown_request({ content }) {
            bell.ring(); // a cell that computes must end before the process can
            hand({ kind: "shutdown", restart: content.restart === true });
            return { status: "ok", restart: content.restart === true };
        },
        // The Debug Adapter Protocol's own way to say no.
        debug_request: ({ content }) => ({
            type: "response", request_seq: content.seq ?? 0, success: false, command: content.command ?? "", message: "saelab has no debugger",
        }),
    };
    function receive(line, frames) {
        let message;
        try {
            message = (0, wire_1.decode)(frames, key);
        }
        catch (error) {
            if (!(error instanceof wire_1.WireError))
                throw error;
            return warn(`a message was dropped: ${error.message}`);
        }
        if (!isNew(frames))
            return warn(`a message was dropped: ${message.header.msg_type} was sent before with the same signature`);
        const type = message.header.msg_type;
        const own = line !== "stdin" && Object.hasOwn(here, type) ? here[type] : undefined;
        if (!own)
            return hand({ kind: "request", line, message });
        status(message, "busy");
        send(sockets[line], (0, wire_1.letter)((0, wire_1.answer)(message, {
            type: type.replace(/_request$/, "_reply"), content: own(message), session, identities: message.identities,
        })), type);
        status(message, "idle");
        // Front ends show the last status they saw: while a cell computes it must not be this idle.
        if (running)
            status({ header: running }, "busy");
    }
    async function listen(line) {
        for await (const frames of sockets[line]) {
            try {
                receive(line, frames);
            }
            catch (error) {
                warn(`a message failed: ${error instanceof Error ? error.stack : error}`);
            }
        }
    }
    async function echo() {
        for await (const frames of sockets.heartbeat) {
            await sockets.heartbeat.send(frames).catch((error) => warn(`a heartbeat was not echoed: ${reasonOf(error)}`));
        }
    }
    // What may be sent now; below zero it has to wait.
    let bytes = pace.bytes * pace.burst;
    let messages = pace.messages * pace.burst;
    let counted = clock.now();
    const mayNot = () => pace.bytes > 0 && (bytes <= 0 || messages <= 0);
    function earn() {
        const seconds = (clock.now() - counted) / 1000;
        counted = clock.now();
        bytes = Math.min(pace.bytes * pace.burst, bytes + seconds * pace.bytes);
        messages = Math.min(pace.messages * pace.burst, messages + seconds * pace.messages);
    }
    // Said, not sent yet, in order; printed text stands between them as `at` says.
    const backlog = [];
    const texts = []; // taken from the ring, in parts
    /** Sends what was printed up to there; false if some of it has to wait. */
    function printed(upTo) {
        for (;;) {
            while (texts.length > 0) {
                if (mayNot())
                    return false;
                const { mail, size } = texts.shift();
                bytes -= size;
                messages--;
                send(sockets.iopub, mail, "stream");
            }
            const taken = ring.take(upTo, TAKEN);
            if (taken.length === 0)
                return true;
            for (const { parent, name, text } of taken) {
                const request = parent === "" ? undefined : { header: JSON.parse(parent) };
                for (const part of (0, ring_1.parts)(text, LONGEST)) {
                    const mail = (0, wire_1.letter)((0, wire_1.answer)(request, { type: "stream", content: { name, text: part }, session, identities: [Buffer.from("kernel.saelab.stream")] }));
                    texts.push({ mail, size: mail.parts.reduce((sum, each) => sum + Buffer.byteLength(each), 100) });
                }
            }
        }
    }
    /** Sends what is said, with the printed text before it, as far as the pace allows; false if some has to wait. */
    function clear() {
        for (let next = backlog[0]; next; next = backlog[0]) {
            if (next.kind === "running") {
                running = next.parent;
            }
            else {
                if (!printed(next.at))
                    return false;
                if (next.line === "iopub") {
                    if (mayNot())
                        return false;
                    messages--;
                }
                send(sockets[next.line], next.letter, `a message on ${next.line}`);
            }
            backlog.shift();
        }
        return true;
    }
    let timed = false;
    function later(work) {
        if (timed)
            return;
        timed = true;
        clock.after(INTERVAL, () => {
            timed = false;
            work();
        });
    }
    /** All that was said and printed until now, each in its place. */
    function sendAll() {
        earn();
        ring.rest();
        const end = ring.position(); // whatever was said before this text is waiting already
        let more = false; // text that came after `end`
        for (let next = waiting(); next; next = waiting()) {
            if (next.kind === "text")
                more = true;
            else
                backlog.push(next);
        }
        if (!clear() || !printed(end) || more)
            later(sendAll);
    }
    return {
        take(outgoing) {
            if (outgoing.kind === "text")
                return later(sendAll);
            backlog.push(outgoing);
            earn();
            if (!clear())
                later(sendAll);
        },
        finish() {
            pace = { ...pace, bytes: 0 };
            sendAll();
        },
        async serve() {
            status(undefined, "starting");
            await Promise.all([listen("shell"), listen("control"), listen("stdin"), echo()]);
        },
    };
}
//# sourceMappingURL=post.js.map