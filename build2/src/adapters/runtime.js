"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.prepare = void 0;
exports.availableMemory = availableMemory;
exports.runtime = runtime;
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const errors_1 = require("../core/errors");
const onnx_1 = require("../core/onnx");
const splice_1 = require("../core/splice");
const engine_1 = require("./engine");
const interrupt_1 = require("./interrupt");
/** Sessions that stay loaded, if their copies of weights fit into a quarter of the memory; the one unused for longest makes room. */
const SESSIONS = 6;
const prepare = (key, model) => (0, splice_1.segments)(model).map((part, i) => ({ key: `${key}#${i}`, ...part }));
exports.prepare = prepare;
const product = (shape) => shape.reduce((p, q) => p * q, 1);
/** Bytes that a session of this graph copies when packed: its stored weights in float32. */
const packedBytes = (model) => model.initializers.reduce((sum, { external, dims }) => sum + (external ? product(dims) * 4 : 0), 0);
/** Memory that can still be had, bytes: what the system calls available, or what a container leaves. */
function availableMemory() {
    let free = (0, node_os_1.freemem)();
    try {
        const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec((0, node_fs_1.readFileSync)("/proc/meminfo", "utf8"))?.[1];
        if (kilobytes)
            free = Number(kilobytes) * 1024;
    }
    catch {
        // not Linux: what is free is all that is known
    }
    const limit = process.constrainedMemory();
    return limit && limit < (0, node_os_1.totalmem)() ? Math.min(free, Math.max(0, limit - process.memoryUsage().rss)) : free;
}
const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
/**
 * @param what for messages: "llama model /path"
 * @param half some weights are in half precision: in place they are widened in each run
 */
function runtime(what, options) {
    const { threads, holding } = options;
    const sessions = new Map();
    const tables = new Map();
    const engine = (0, engine_1.startEngine)(what, () => {
        sessions.clear();
        tables.clear();
    });
    let slots = 0;
    const hold = (bytes) => holding === "auto" ? (bytes < Math.min(2e9, (0, node_os_1.totalmem)() / 8, (options.memory ?? availableMemory()) * 0.8) ? "packed" : "in place") : holding;
    /** Asks for a session when it is not there: the worker serves in order, so that it is loaded by the time of a run asked for after. */
    const session = (key, model) => {
        let found = sessions.get(key);
        if (!found) {
            const weight = packedBytes(model);
            const inPlace = hold(weight) === "in place";
            const bytes = inPlace ? 0 : weight;
            const available = options.memory ?? availableMemory();
            if (bytes > available) {
                throw new errors_1.ModelError(`${what}: expected memory for ${gigabytes(bytes)} of weights, packed as float32, found ${gigabytes(available)} available. ` +
                    'Open it with { weights: "in place" }, which costs page cache only, or ask for hooks of earlier blocks: a pass ends at its deepest hook.');
            }
            const room = () => sessions.size < SESSIONS && [...sessions.values()].reduce((sum, other) => sum + other.bytes, bytes) <= (0, node_os_1.totalmem)() / 4;
            while (sessions.size && !room()) {
                const [oldest] = sessions.keys();
                sessions.delete(oldest);
                void engine.ask({ do: "release", session: oldest }).catch(() => { });
            }
            const ready = engine.ask({ do: "load", session: key, ...sessionOf(model, inPlace, threads) });
            ready.catch(() => sessions.delete(key));
            found = { ready, bytes };
        }
        // last used, last in the list
        sessions.delete(key);
        sessions.set(key, found);
        return found.ready;
    };
    return {
        tables,
        hold,
        async run(parts, { feeds, outputs, cache, edit }) {
            const id = cache?.id ?? (parts.length > 1 ? -++slots : 0);
            const empty = {};
            for (const { past, dims, type = "float32" } of cache?.pairs ?? [])
                empty[past] = { type, dims };
            const given = {};
            let edited = {};
            /** What edits are to read, by segments or other edits. */
            const read = new Map();
            try {
                for (const [i, part] of parts.entries()) {
                    if (part.model.nodes.length) {
                        const here = new Set(part.model.outputs.map(({ name }) => name));
                        const keep = [
                            ...part.kept.map((name) => [name, name]),
                            ...(cache?.pairs ?? []).filter(({ present }) => here.has(present)).map(({ present, past }) => [present, past]),
                        ];
                        const back = new Set([...outputs, ...parts.slice(i).flatMap((other) => other.edit?.from ?? [])].filter((name) => here.has(name)));
                        const ready = session(part.key, part.model);
                        const asked = engine.ask({
                            do: "run", session: part.key, feeds: { ...feeds(part.model.inputs), ...copies(edited, part.model.inputs) }, outputs: [...back],
                            slot: id ? { id, keep, empty } : undefined,
                        });
                        const [, reply] = await untilInterrupted(Promise.all([ready, asked])); // where loading fails, its error is the one to see
                        for (const name of back)
                            read.set(name, reply.outputs[name]);
                        for (const name of outputs)
                            if (back.has(name))
                                given[name] = reply.outputs[name];
                    }
                    if (!part.edit)
                        continue;
                    const { name, from, to } = part.edit;
                    const { data, dims } = read.get(from);
                    const made = await edit(name, data, dims);
                    read.set(to, { data: made, dims });
                    edited = { ...edited, [to]: { type: "float32", data: made, dims } };
                    if (outputs.includes(to))
                        given[to] = { data: made.slice(), dims };
                }
            }
            finally {
                if (id < 0)
                    void engine.ask({ do: "forget", slot: id }).catch(() => { });
            }
            return given;
        },
        forget: (slot) => void engine.ask({ do: "forget", slot }).catch(() => { }),
        close: () => engine.stop(),
    };
}
/** Feeds are transferred: what several segments read is copied for each. */
function copies(feeds, inputs) {
    const read = new Set(inputs.map(({ name }) => name));
    return Object.fromEntries(Object.entries(feeds).filter(([name]) => read.has(name)).map(([name, feed]) => [name, { ...feed, data: feed.data.slice() }]));
}
/** Model and options of a session. Locations are made relative to a folder above all files, for the runtime takes no others. */
function sessionOf(model, inPlace, threads) {
    const files = model.initializers.flatMap(({ external }) => external?.location ?? []);
    const root = files.map(node_path_1.dirname).reduce((common, folder) => {
        while (folder !== common && !folder.startsWith(common.endsWith(node_path_1.sep) ? common : common + node_path_1.sep))
            common = (0, node_path_1.dirname)(common);
        return common;
    }, files.length ? (0, node_path_1.dirname)(files[0]) : "/");
    const half = model.initializers.some(({ external, type }) => external && type !== 1);
    const initializers = model.initializers.map((one) => one.external ? { ...one, external: { ...one.external, location: (0, node_path_1.relative)(root, one.external.location) } } : one);
    return {
        model: (0, onnx_1.writeOnnx)({ ...model, initializers }),
        options: {
            executionProviders: ["cpu"],
            intraOpNumThreads: threads,
            logSeverityLevel: 4, // an error is thrown; it need not be printed too
            // half precision in place: not widened on loading but in every run, and no arena that would keep what was widened
            ...(inPlace && half ? { enableCpuMemArena: false, enableMemPattern: false } : {}),
            extra: {
                session: {
                    model_external_initializers_file_folder_path: root,
                    intra_op: { allow_spinning: "0" }, // idle threads would take the cores from the main thread
                    ...(inPlace ? { disable_prepacking: "1" } : {}),
                },
                ...(inPlace && half ? { optimization: { disable_specified_optimizers: "ConstantFolding" } } : {}),
            },
        },
    };
}
/** A pass cannot be stopped, but need not be waited for: the worker ends it and throws the answer away. */
async function untilInterrupted(work) {
    let timer;
    const stopped = new Promise((_, reject) => {
        timer = setInterval(() => {
            if ((0, interrupt_1.interrupted)())
                reject(new errors_1.InterruptError("Interrupted within a pass of the model; what it would have given is thrown away."));
        }, 50);
        timer.unref();
    });
    work.catch(() => { }); // an answer after an interrupt is nobody's
    try {
        return await Promise.race([work, stopped]);
    }
    finally {
        clearInterval(timer);
    }
}
//# sourceMappingURL=runtime.js.map