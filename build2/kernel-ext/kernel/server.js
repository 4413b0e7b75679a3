"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.createServer = createServer;
const wire_1 = require("./wire");
const STRAGGLERS = 30; // ms after a failed cell in which requests that were already on their way arrive and are aborted
/**
 * The order of requests: publishes busy and idle, runs execute requests one after the other and answers the others at once, even
 * while a cell awaits. After a cell fails, the execute requests queued behind it are aborted, unless it asked for
 * stop_on_error: false.
 * @param send gives a message to the thread of the sockets
 * @param warn told of requests nobody handles
 */
function createServer({ handlers, session, send, clock, warn }) {
    const queue = [];
    let draining = false;
    let aborting = false;
    let running;
    const publish = (parent, type, content, options = {}) => send({
        kind: "send", line: "iopub",
        letter: (0, wire_1.letter)((0, wire_1.answer)(parent, { type, content, session, identities: [Buffer.from(`kernel.saelab.${type}`)], ...options })),
    });
    const reply = (line, request, content) => send({
        kind: "send", line,
        letter: (0, wire_1.letter)((0, wire_1.answer)(request, {
            type: request.header.msg_type.replace(/_request$/, "_reply"), content, session, identities: request.identities,
        })),
    });
    const failure = (error) => {
        const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
        return { status: "error", ename: name, evalue: message, traceback: [] };
    };
    async function handle(line, request, handler) {
        const { msg_type } = request.header;
        const runs = msg_type === "execute_request";
        if (runs)
            running = request;
        if (runs)
            send({ kind: "running", parent: request.header });
        publish(request, "status", { execution_state: "busy" });
        try {
            let content;
            try {
                content = (await handler(request));
            }
            catch (error) {
                warn(`${msg_type} failed: ${error instanceof Error ? error.stack : error}`);
                content = failure(error);
            }
            if (runs && content?.status === "error" && request.content.stop_on_error !== false) {
                await new Promise((resolve) => void clock.after(STRAGGLERS, resolve));
                aborting = queue.length > 0;
            }
            if (msg_type.endsWith("_request"))
                reply(line, request, content ?? {});
        }
        finally {
            if (runs)
                running = undefined;
            if (runs)
                send({ kind: "running", parent: undefined });
            publish(request, "status", { execution_state: "idle" });
            // Front ends show the last status they saw: while a cell runs it must not be this idle.
            if (running)
                publish(running, "status", { execution_state: "busy" });
        }
    }
    async function drain() {
        if (draining)
            return;
        draining = true;
        for (let next = queue.shift(); next; next = queue.shift()) {
            await next();
            if (queue.length === 0)
                aborting = false;
        }
        draining = false;
    }
    return {
        publish,
        ask(parent, type, content) {
            const question = (0, wire_1.answer)(parent, { type, content, session, identities: parent.identities });
            send({ kind: "send", line: "stdin", letter: (0, wire_1.letter)(question) });
            return question.header.msg_id;
        },
        take({ line, message }) {
            const type = message.header.msg_type;
            const handler = Object.hasOwn(handlers, type) ? handlers[type] : undefined;
            // An unknown request gets no reply, as the protocol has it.
            if (!handler)
                return warn(`a message of unknown type was dropped: ${type}`);
            if (line === "stdin")
                return void handler(message);
            if (type !== "execute_request")
                return void handle(line, message, handler);
            queue.push(() => handle(line, message, aborting ? () => ({ status: "aborted" }) : handler));
            void drain();
        },
    };
}
//# sourceMappingURL=server.js.map