"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.machine = exports.choiceFile = void 0;
exports.choiceFor = choiceFor;
exports.isChoice = isChoice;
exports.measureChoice = measureChoice;
const promises_1 = require("node:fs/promises");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_perf_hooks_1 = require("node:perf_hooks");
const random_1 = require("../core/random");
const coder_1 = require("./coder");
const files_1 = require("./files");
/** Where choices are kept: $XDG_CACHE_HOME/saelab/step.json, by default in ~/.cache. */
const choiceFile = () => (0, node_path_1.join)(process.env.XDG_CACHE_HOME || (0, node_path_1.join)((0, node_os_1.homedir)(), ".cache"), "saelab", "step.json");
exports.choiceFile = choiceFile;
/** Names the machine as far as timings and rounding depend on it: products are cut by the number of threads. */
const machine = ({ device, version }) => `${(0, node_os_1.cpus)()[0]?.model.trim() ?? "unknown"} × ${(0, node_os_1.availableParallelism)()}, ${device}, TensorFlow ${version}`;
exports.machine = machine;
/**
 * The remembered choice for these sizes, or a new one, which is then remembered. A cache that cannot be read or written is
 * done without.
 */
async function choiceFor(engine, sizes, file = (0, exports.choiceFile)()) {
    const { d, latents, k, batch } = sizes;
    const key = `${(0, exports.machine)(engine)}; d ${d}, latents ${latents}, k ${k}, batch ${batch}`;
    const known = await remembered(file);
    const found = known[key];
    if (isChoice(found, latents, k))
        return found;
    const choice = measureChoice(engine, sizes);
    try {
        await (0, promises_1.mkdir)((0, node_path_1.dirname)(file), { recursive: true });
        await (0, files_1.writeAtomic)(file, [`${JSON.stringify({ ...(await remembered(file)), [key]: choice }, null, 2)}\n`]);
    }
    catch {
        // measured again next time
    }
    return choice;
}
async function remembered(file) {
    try {
        const json = JSON.parse(await (0, promises_1.readFile)(file, "utf8"));
        return typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
    }
    catch {
        return {};
    }
}
/** Whether it is one that could have been chosen for these sizes: another version or a hand may have written it. */
function isChoice(value, latents, k) {
    const { precision, groups, chunk } = (value ?? {});
    return (precision === "f32" || precision === "bf16") && Number.isInteger(chunk) && chunk > 0 &&
        (0, coder_1.groupings)(latents, k).some((known) => JSON.stringify(known) === JSON.stringify(groups));
}
/**
 * bfloat16 products gain only where the hardware multiplies them; elsewhere they are several times as slow, and not worth
 * timing.
 */
function mayGainFromBfloat16(engine) {
    if (engine.device !== "cpu")
        return true;
    try {
        return /\bamx_bf16\b/.test((0, node_fs_1.readFileSync)("/proc/cpuinfo", "latin1"));
    }
    catch {
        return false; // not Linux
    }
}
const ROUNDS = 3;
const ROWS = 512; // enough to keep both cores busy; times grow with the rows alike
/**
 * Times the alternatives on random rows of these sizes: some tenths of a second for a small SAE, some seconds for a large
 * one.
 */
function measureChoice(engine, { d, latents, k, batch }) {
    const { K, topK, encode, decode } = (0, coder_1.forward)(engine);
    const rng = (0, random_1.random)(0);
    const width = d + coder_1.PADDING;
    const noise = (n) => Float32Array.from({ length: n }, () => rng.uniform() - 0.5);
    const milliseconds = (body) => {
        let best = Infinity;
        for (let round = 0; round <= ROUNDS; round++) { // the first one warms caches and allocators
            const begun = node_perf_hooks_1.performance.now();
            engine.tidy(body);
            if (round)
                best = Math.min(best, node_perf_hooks_1.performance.now() - begun);
        }
        return best;
    };
    const fastest = (candidates, body) => {
        if (candidates.length < 2)
            return candidates[0];
        const times = candidates.map((candidate) => milliseconds(() => body(candidate)));
        return candidates[times.indexOf(Math.min(...times))];
    };
    return engine.tidy(() => {
        const n = Math.min(batch, ROWS);
        const xa = engine.tensor(noise(n * width), [n, width]);
        const we = engine.tensor(noise(latents * width), [latents, width]);
        const wd = engine.tensor(noise(latents * d), [latents, d]);
        const target = K.slice(xa, [0, 0], [n, d]);
        const pre = K.matMul(xa, we, { transposeB: true });
        const groups = fastest((0, coder_1.groupings)(latents, k), (candidate) => void topK(pre, n, latents, k, candidate));
        const chosen = topK(pre, n, latents, k, groups);
        const chunks = [64, 128, 256].filter((c) => c <= Math.max(64, n));
        const chunk = fastest(chunks, (c) => void decode(chosen, wd, target, 1, { n, d, k, chunk: c }));
        const precisions = mayGainFromBfloat16(engine) ? ["f32", "bf16"] : ["f32"];
        const precision = fastest([...precisions], (p) => void encode(xa, we, { n, d, latents, k }, { precision: p, groups, chunk }));
        return { precision, groups, chunk };
    });
}
//# sourceMappingURL=choice.js.map