"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.STOP = exports.BUSY = void 0;
const node_worker_threads_1 = require("node:worker_threads");
/**
 * Two flags that both threads see at once. ONNX Runtime's addon aborts the whole process when its thread is ended within a call,
 * so that whoever wants the end sets STOP, which turns down what has not begun, and waits until BUSY is 0.
 */
exports.BUSY = 0;
exports.STOP = 1;
const told = node_worker_threads_1.workerData;
if (node_worker_threads_1.parentPort && told?.serves === "saelab model")
    serve(node_worker_threads_1.parentPort, told.flags);
function serve(port, flags) {
    // loaded here, on the thread, and only when there is one: importing this file for its types costs nothing
    const ort = require("onnxruntime-node");
    const sessions = new Map();
    const slots = new Map();
    /** Tables that do not change from run to run: sent once, kept by name. */
    const tables = new Map();
    const isTable = (name) => name.startsWith("cos.") || name.startsWith("sin.");
    /** A call into the addon, between two signs to the other thread. */
    const busy = async (call) => {
        Atomics.store(flags, exports.BUSY, 1);
        try {
            if (Atomics.load(flags, exports.STOP))
                throw new Error("the model was closed");
            return await call();
        }
        finally {
            Atomics.store(flags, exports.BUSY, 0);
            Atomics.notify(flags, exports.BUSY);
        }
    };
    const handle = async (request) => {
        switch (request.do) {
            case "load":
                sessions.set(request.session, await busy(() => ort.InferenceSession.create(request.model, request.options)));
                return { reply: {}, transfer: [] };
            case "release": {
                const session = sessions.get(request.session);
                sessions.delete(request.session);
                await session?.release();
                return { reply: {}, transfer: [] };
            }
            case "forget":
                slots.delete(request.slot);
                return { reply: {}, transfer: [] };
            case "end":
                slots.clear();
                tables.clear();
                for (const session of sessions.values())
                    await session.release();
                sessions.clear();
                port.close();
                return { reply: {}, transfer: [] };
            case "run": {
                const { slot, outputs } = request;
                const held = slot ? slots.get(slot.id) ?? {} : {};
                if (slot)
                    slots.set(slot.id, held);
                const feeds = {};
                for (const [name, { type, data, dims }] of Object.entries(request.feeds)) {
                    feeds[name] = new ort.Tensor(type, data, dims);
                    if (isTable(name))
                        tables.set(name, feeds[name]);
                }
                const session = sessions.get(request.session); // after the tables are kept: the next run counts on them
                if (!session)
                    throw new Error(`no session "${request.session}"`);
                for (const name of session.inputNames) {
                    const empty = slot?.empty[name];
                    const found = feeds[name] ?? held[name] ?? tables.get(name) ?? (empty && new ort.Tensor(empty.type, (empty.type === "float16" ? new Uint16Array(0) : new Float32Array(0)), empty.dims));
                    if (!found)
                        throw new Error(`no input "${name}"`);
                    feeds[name] = found;
                }
                for (const name of Object.keys(feeds))
                    if (!session.inputNames.includes(name))
                        delete feeds[name];
                const keep = slot?.keep ?? [];
                const begin = performance.now();
                const results = await busy(() => session.run(feeds, [...new Set([...outputs, ...keep.map(([name]) => name)])]));
                const milliseconds = performance.now() - begin;
                for (const [name, as] of keep)
                    held[as] = results[name];
                const shared = new Set(keep.map(([name]) => name));
                const given = {};
                for (const name of outputs) {
                    const data = results[name].data;
                    given[name] = { data: shared.has(name) ? data.slice() : data, dims: [...results[name].dims] };
                }
                return { reply: { outputs: given, milliseconds }, transfer: Object.values(given).map(({ data }) => data.buffer) };
            }
        }
    };
    let queue = Promise.resolve();
    port.on("message", ({ id, request }) => {
        queue = queue.then(() => handle(request)).then(({ reply, transfer }) => port.postMessage({ id, ...reply }, transfer), (error) => port.postMessage({ id, error: error instanceof Error ? error.message : String(error) }));
    });
}
//# sourceMappingURL=model-worker.js.map