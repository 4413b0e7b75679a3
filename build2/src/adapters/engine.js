"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.startEngine = startEngine;
const node_path_1 = require("node:path");
const node_worker_threads_1 = require("node:worker_threads");
const errors_1 = require("../core/errors");
const model_worker_1 = require("./model-worker");
/** The thread that ONNX Runtime computes on, seen from the main thread. */
/** Flags of the workers there are. */
const running = new Set();
let watched = false;
/** Before the process ends, lets every worker come out of the call it is in: ending it there would abort the process. */
function endQuietly() {
    for (const flags of running)
        Atomics.store(flags, model_worker_1.STOP, 1);
    for (const flags of running)
        Atomics.wait(flags, model_worker_1.BUSY, 1, 60_000);
}
/**
 * The worker, started on the first request; it keeps the process alive only while something is asked of it.
 * @param lost called when it ended, with all that it held; the next request starts another
 */
function startEngine(what, lost) {
    let worker;
    let flags;
    let closed = false;
    let next = 0;
    const waiting = new Map();
    const fail = (error) => {
        for (const { reject } of waiting.values())
            reject(error);
        waiting.clear();
        worker = undefined;
        lost();
    };
    const start = () => {
        const shared = new Int32Array(new SharedArrayBuffer(8));
        const started = new node_worker_threads_1.Worker((0, node_path_1.join)(__dirname, "model-worker.js"), { workerData: { serves: "saelab model", flags: shared } });
        if (!watched)
            process.once("exit", endQuietly);
        watched = true;
        running.add(shared);
        flags = shared;
        started.on("exit", () => running.delete(shared));
        started.on("message", (reply) => {
            const asked = waiting.get(reply.id);
            waiting.delete(reply.id);
            if (!waiting.size)
                started.unref();
            if (reply.error === undefined)
                asked?.resolve(reply);
            else
                asked?.reject(new errors_1.EngineError(`${what}: ONNX Runtime: ${reply.error}`));
        });
        started.on("error", (error) => fail(new errors_1.EngineError(`${what}: expected ONNX Runtime on a worker thread, found: ${error.message}. Run the set-up again.`, { cause: error })));
        started.on("exit", (code) => fail(new errors_1.EngineError(`${what}: expected the worker to answer, found that it ended (code ${code}). Was the memory full? Use a smaller batch.`)));
        return started;
    };
    return {
        ask(request) {
            if (closed)
                return Promise.reject(new errors_1.EngineError(`${what}: expected an open model, found one that was closed. Open it again.`));
            worker ??= start();
            const id = ++next;
            const transfer = request.do === "load" ? [request.model.buffer]
                : request.do === "run" ? Object.values(request.feeds).map(({ data }) => data.buffer) : [];
            const asked = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
            worker.ref();
            worker.postMessage({ id, request }, transfer);
            return asked;
        },
        async stop() {
            closed = true;
            const ending = worker;
            fail(new errors_1.EngineError(`${what}: the model was closed while this was being computed.`));
            if (!ending)
                return;
            Atomics.store(flags, model_worker_1.STOP, 1);
            for (const event of ["message", "error", "exit"])
                ending.removeAllListeners(event); // a late answer must not let the process go
            ending.ref(); // nor must the process end before the promise does
            const ended = new Promise((resolve) => ending.once("exit", resolve));
            ending.postMessage({ id: 0, request: { do: "end" } });
            await ended;
            running.delete(flags);
        },
    };
}
//# sourceMappingURL=engine.js.map