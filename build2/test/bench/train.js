"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.benchTrain = benchTrain;
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_perf_hooks_1 = require("node:perf_hooks");
const node_readline_1 = require("node:readline");
const choice_1 = require("../../src/adapters/choice");
const step_1 = require("../../src/adapters/step");
const tensorflow_1 = require("../../src/adapters/tensorflow");
const random_1 = require("../../src/core/random");
const planted_1 = require("../planted");
/**
 * Times a training step beside the bare encoder product [B, d]·[d, F] in float32, the least that any dense encoder must do, in turns, so that other work
 * on the machine hits both alike. With a Python that has torch in SAELAB_PEER_PYTHON, a hand-tuned PyTorch step takes its turns too (torch_step.py).
 * Medians; processor time (all cores) beside the clock's, as it does not grow with what else runs.
 */
const SETTING = { d: 128, latents: 4096, k: 16, batch: 2048 };
const ROUNDS = 15, TURN = 3; // steps a turn
const BATCHES = 8;
async function benchTrain() {
    const { d, latents, k, batch } = SETTING;
    const engine = (0, tensorflow_1.tensorflow)();
    const K = (0, tensorflow_1.kernels)(engine);
    const { rows } = (0, planted_1.planted)({ d, rows: BATCHES * batch, directions: 2048, active: 12 });
    const rng = (0, random_1.random)(0);
    const noise = Float32Array.from({ length: latents * d }, () => rng.normal());
    const initial = (0, step_1.freshState)(d, latents, k, { wEnc: noise, bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) });
    initial.parameters.wEnc = initial.parameters.wDec.map((w) => w / Math.sqrt(3));
    const choice = await (0, choice_1.choiceFor)(engine, SETTING);
    const step = (0, step_1.stockStep)(engine, initial, choice);
    const rowsOf = (i) => rows.slice((i % BATCHES) * batch * d, (i % BATCHES + 1) * batch * d);
    const weights = engine.tensor(noise, [latents, d]);
    const cpu = { ours: [], product: [], peer: [] };
    const timed = (what, body) => {
        const before = process.cpuUsage(), begun = node_perf_hooks_1.performance.now();
        body();
        const ms = node_perf_hooks_1.performance.now() - begun;
        const { user, system } = process.cpuUsage(before);
        cpu[what].push((user + system) / 1000);
        return ms;
    };
    let done = 0;
    const ours = () => {
        const x = rowsOf(done++);
        return timed("ours", () => step.update(x, { learningRate: 1e-3 }));
    };
    const product = () => {
        const x = engine.tensor(rowsOf(0), [batch, d]);
        const ms = timed("product", () => engine.tidy(() => void K.matMul(x, weights, { transposeB: true })));
        engine.free(x);
        return ms;
    };
    const peer = await torchPeer(rows);
    const turns = { ours: [], product: [], peer: [] };
    for (let round = 0; round <= ROUNDS; round++) {
        const times = {
            ours: Array.from({ length: TURN }, ours),
            product: Array.from({ length: TURN }, product),
            peer: [],
        };
        if ("steps" in peer) {
            const answer = await peer.steps(TURN);
            times.peer = answer.slice(0, TURN);
            cpu.peer.push(...answer.slice(TURN));
        }
        if (!round)
            continue; // warms up
        for (const key of ["ours", "product", "peer"])
            turns[key].push(...times[key]);
    }
    if ("end" in peer)
        peer.end();
    step.dispose();
    engine.free(weights);
    const ms = median(turns.ours), bare = median(turns.product);
    return {
        bench: "train", machine: (0, choice_1.machine)(engine), ...SETTING, step: step.kind, choice,
        msPerStep: round(ms), tokensPerSecond: Math.round((batch / ms) * 1000), bareProductMs: round(bare), shareOfBareProduct: round(bare / ms),
        cpuMsPerStep: round(median(cpu.ours)), shareOfBareProductCpu: round(median(cpu.product) / median(cpu.ours)),
        peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
        peer: "steps" in peer
            ? {
                name: `hand-tuned PyTorch ${peer.version}`, msPerStep: round(median(turns.peer)), cpuMsPerStep: round(median(cpu.peer)),
                speedOverPeer: round(median(turns.peer) / ms),
            }
            : { skipped: peer.why },
    };
}
const median = (values) => values.slice().sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value) => Number(value.toPrecision(3));
async function torchPeer(rows) {
    const python = process.env.SAELAB_PEER_PYTHON;
    if (!python)
        return { why: "SAELAB_PEER_PYTHON names no Python with torch" };
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-bench-"));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "rows.f32"), new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
    const { d, latents, k, batch } = SETTING;
    const script = (0, node_path_1.join)(__dirname, "../../../test/bench/torch_step.py");
    const child = (0, node_child_process_1.spawn)(python, [script, (0, node_path_1.join)(folder, "rows.f32"), ...[d, latents, k, batch].map(String)], { stdio: ["pipe", "pipe", "inherit"] });
    const died = new Promise((resolve) => {
        child.once("exit", () => resolve(undefined));
        child.once("error", () => resolve(undefined));
    });
    const lines = (0, node_readline_1.createInterface)(child.stdout)[Symbol.asyncIterator]();
    const line = async () => (await Promise.race([lines.next(), died]))?.value;
    const first = await line();
    (0, node_fs_1.rmSync)(folder, { recursive: true, force: true });
    if (!first?.startsWith("ready "))
        return { why: `${python} did not run torch_step.py` };
    return {
        version: first.slice("ready ".length),
        async steps(n) {
            child.stdin.write(`${n}\n`);
            const answer = await line();
            if (!answer)
                throw new Error("torch_step.py ended early");
            return answer.split(" ").map(Number);
        },
        end: () => child.stdin.end(),
    };
}
//# sourceMappingURL=train.js.map