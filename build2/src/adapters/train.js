"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.trainSae = trainSae;
exports.freeMemory = freeMemory;
const node_fs_1 = require("node:fs");
const promises_1 = require("node:fs/promises");
const node_os_1 = require("node:os");
const node_perf_hooks_1 = require("node:perf_hooks");
const errors_1 = require("../core/errors");
const random_1 = require("../core/random");
const schedule_1 = require("../core/schedule");
const choice_1 = require("./choice");
const coder_1 = require("./coder");
const files_1 = require("./files");
const interrupt_1 = require("./interrupt");
const plainstep_1 = require("./plainstep");
const progress_1 = require("./progress");
const progressbar_1 = require("./progressbar");
const rows_1 = require("./rows");
const sae_1 = require("./sae");
const step_1 = require("./step");
const store_1 = require("./store");
const tensorflow_1 = require("./tensorflow");
const SAMPLE = 32768; // rows from which mean, scale and covariance are taken; as many as there are latents, if those are more
const MAX_COVARIANCE = 2048; // width up to which rows are whitened: the eigenvectors take d³
const EIGEN_FLOOR = 1e-6; // of the largest eigenvalue: directions without variance stay finite
const POINTS = 250; // of the curve
/**
 * Trains a top-k SAE on the rows of a store's training documents; those held out are not read.
 * @returns the SAE in the model's own units, with its card and curve; saved when a folder is given
 * @throws OptionError before any work when an option is out of range or memory does not suffice; StoreError when rows are
 *   not numbers or all equal; TrainError when the loss is no number any more; InterruptError, with the SAE so far as its
 *   `sae`; EngineError
 */
async function trainSae(store, options) {
    const hook = store.hook(options.hook);
    const ranges = (0, store_1.rowsOf)(store, "train");
    const rows = (0, rows_1.rowCount)(ranges);
    const plan = planOf(options, hook, store.width(hook), rows, store.path);
    const { d, latents, batch, steps, seed } = plan;
    checkMemory(plan, rows);
    const engine = (0, tensorflow_1.tensorflow)();
    checkDevice(options.device ?? "auto", engine);
    const { folder } = options;
    if (folder === undefined)
        return run();
    (0, sae_1.checkTarget)(folder);
    const existed = (0, node_fs_1.existsSync)(folder);
    try {
        await (0, files_1.requireSpace)(folder, 4 * (2 * latents * d + latents + d) + 1e6);
        return await run();
    }
    catch (error) {
        if (!existed)
            await (0, promises_1.rmdir)(folder).catch(() => { }); // only if nothing was saved
        throw error;
    }
    async function run() {
        const begun = node_perf_hooks_1.performance.now();
        const sample = (0, rows_1.sampleRows)(store, hook, ranges, Math.max(SAMPLE, latents), (0, random_1.random)(seed, 0));
        const { mean, scale, fromRows, initial } = initialState(engine, plan, sample, store.path);
        const source = (0, rows_1.shuffled)(store, hook, ranges, scale, (0, random_1.random)(seed, 2));
        const step = plan.kind === "plain"
            ? (0, plainstep_1.plainStep)(engine, initial)
            : (0, step_1.stockStep)(engine, initial, options.choice ?? await (0, choice_1.choiceFor)(engine, plan));
        const curve = [];
        const soFar = (done) => (0, sae_1.saeOf)(inModelUnits(step.state(), scale), { hook, curve, card: cardOf(store, plan, rows, {
                steps: done, choice: step.choice, machine: (0, choice_1.machine)(engine), shuffle: source.kind, meanNorm: mean, scale,
                start: { rows: fromRows, random: latents - fromRows },
                seconds: (node_perf_hooks_1.performance.now() - begun) / 1000,
                fvu: curve.at(-1)?.fvu, dead: curve.at(-1)?.dead,
            }) });
        try {
            await loop(step, source, curve, soFar);
            const sae = soFar(steps);
            if (folder !== undefined)
                await sae.save(folder);
            return sae;
        }
        finally {
            step.dispose();
        }
    }
    async function loop(step, source, curve, soFar) {
        const told = (0, progress_1.meter)("train", steps * batch, "tokens", options.progress ?? (0, progressbar_1.defaultProgress)());
        const fires = (0, schedule_1.firing)(latents, plan.deadAfter);
        const every = Math.max(1, Math.round(steps / POINTS));
        let sum = 0, counted = 0;
        for (let i = 0; i < steps; i++) {
            if ((0, interrupt_1.interrupted)())
                await stop(i, soFar(i));
            const x = new Float32Array(batch * d); // TensorFlow may share its memory: a fresh one each step
            source.next(x);
            const learningRate = (0, schedule_1.learningRateAt)(i, steps, plan.learningRate);
            const dead = fires.dead();
            const { fvu, aux, chosen } = step.update(x, { learningRate, dead, auxWeight: plan.auxK });
            if (!Number.isFinite(fvu + aux))
                throw diverged(i, steps, plan);
            fires.count(batch, chosen.index, chosen.value);
            sum += fvu;
            counted++;
            if ((i + 1) % every === 0 || i + 1 === steps) {
                const point = { step: i + 1, tokens: (i + 1) * batch, fvu: sum / counted, dead: fires.dead().length / latents, learningRate };
                curve.push(point);
                options.onPoint?.(point);
                sum = counted = 0;
            }
            told((i + 1) * batch, `FVU ${(curve.at(-1)?.fvu ?? fvu).toFixed(3)}`);
            await (0, interrupt_1.breathe)();
        }
    }
    async function stop(done, sae) {
        if (folder !== undefined)
            await sae.save(folder);
        const kept = folder !== undefined ? `saved in ${folder} and ` : "";
        const error = new errors_1.InterruptError(`Interrupted after ${done} of ${steps} steps. The SAE so far is ${kept}in this error's \`sae\` (in a notebook: lastError.sae); ` +
            "its learning rate had not come down, so it is rougher than a finished one.");
        throw Object.assign(error, { sae });
    }
}
function planOf(options, hook, d, rows, path) {
    const fail = (name, expected, found, remedy) => {
        const shown = typeof found === "number" || found === undefined ? found : JSON.stringify(found);
        throw new errors_1.OptionError(`trainSae: ${name}: expected ${expected}, found ${shown}. ${remedy}`);
    };
    const whole = (name, value, least, remedy) => Number.isSafeInteger(value) && value >= least
        ? value
        : fail(name, `a whole number of at least ${least}`, value, remedy);
    const number = (name, value, least, strict, remedy) => Number.isFinite(value) && (strict ? value > least : value >= least)
        ? value
        : fail(name, `a number ${strict ? "above" : "of at least"} ${least}`, value, remedy);
    const latents = whole("latents", options.latents, 1, `For this hook, ${8 * d} (8 times its width) is a first look.`);
    const k = whole("k", options.k, 1, "16 to 32 latents a row are usual.");
    if (k > latents)
        fail("k", `1 to ${latents} (latents)`, k, "Take a smaller k or more latents.");
    if (rows < 2) {
        const remedy = `${path} has none to train on: harvest more text, or mark documents with split "train".`;
        fail("store", "at least 2 rows of training documents", rows, remedy);
    }
    const tokens = whole("tokens", options.tokens ?? rows, 2, "Leave it out for one pass over the training rows.");
    const batch = whole("batch", options.batch ?? Math.min((0, schedule_1.defaultBatch)(tokens), rows), 2, "Leave it out for the recipe's.");
    if (batch > tokens)
        fail("batch", `at most ${tokens} rows (tokens)`, batch, "Take a smaller batch or more tokens.");
    const kind = options.step ?? "auto";
    if (!["auto", "stock", "plain"].includes(kind))
        fail("step", '"auto", "stock" or "plain"', kind, "Leave it out for the fastest one.");
    const { choice } = options;
    if (choice !== undefined && kind !== "plain" && !(0, choice_1.isChoice)(choice, latents, k)) {
        const sizes = (0, coder_1.groupings)(latents, k).map((groups) => JSON.stringify(groups)).join(" or ");
        fail("choice", `{ precision: "f32" or "bf16", groups: ${sizes}, chunk: 1 or more } for ${latents} latents and k ${k}`, choice, "Take `card.choice` of a run with the same latents and k, or leave it out.");
    }
    const seed = options.seed ?? 0;
    if (!Number.isSafeInteger(seed))
        fail("seed", "a whole number", seed, "Leave it out for 0.");
    return {
        hook, d, latents, k, tokens, batch, seed,
        steps: Math.floor(tokens / batch),
        learningRate: number("learningRate", options.learningRate ?? (0, schedule_1.defaultLearningRate)(d, batch, tokens), 0, true, "Leave it out for the recipe's."),
        deadAfter: number("deadAfter", options.deadAfter ?? (0, schedule_1.defaultDeadAfter)(tokens), 0, false, "It counts tokens; leave it out for 5 % of the run."),
        auxK: number("auxK", options.auxK ?? 1, 0, false, "It is the auxiliary loss's weight; 0 leaves it out."),
        kind: kind === "plain" ? "plain" : "stock",
    };
}
/**
 * Parameters, moments and gradients; the pre-activations of a batch and their copy in the top-k; the rows held. An estimate
 * from below.
 */
function checkMemory({ d, latents, k, batch }, rows) {
    const parameters = 4 * (2 * latents * d + latents * 9 + d);
    const needed = 6 * parameters + 4 * batch * (1.25 * latents + 4 * d + 12 * k) + Math.min(rows * d * 4, rows_1.SHUFFLE_BYTES);
    const available = freeMemory();
    if (needed > available) {
        const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
        throw new errors_1.OptionError(`trainSae: latents ${latents}, batch ${batch}: expected to need at most the ${gigabytes(available)} of memory that are free, ` +
            `found about ${gigabytes(needed)}. ` +
            "Take fewer latents or a smaller batch, or close other programs.");
    }
}
/**
 * Bytes this process may still take: what the machine has left, and what is left of a container's limit. Files that the
 * kernel keeps in memory count as free, as they give way: process.availableMemory() takes them off the limit, so that
 * nothing would be left after a long harvest.
 * @param found free: of the machine, page cache included; total; limit: of the container, 0 or beyond `total` for none;
 *   own: resident memory of this process
 */
function freeMemory(found = { free: (0, node_os_1.freemem)(), total: (0, node_os_1.totalmem)(), limit: containerLimit(), own: process.memoryUsage.rss() }) {
    const { free, total, limit, own } = found;
    return Math.max(0, Math.min(free, (limit > 0 ? Math.min(limit, total) : total) - own));
}
const containerLimit = () => process.constrainedMemory?.() ?? 0;
function checkDevice(device, engine) {
    if (device === "auto" || device === engine.device)
        return;
    const remedy = device === "cuda" ? "This TensorFlow has no NVIDIA GPU at hand." : "Hide the GPU before start: CUDA_VISIBLE_DEVICES=-1.";
    throw new errors_1.OptionError(`trainSae: device: expected "auto" or "${engine.device}" (what TensorFlow runs on here), found ${JSON.stringify(device)}. ` +
        remedy);
}
const diverged = (i, steps, { learningRate, batch }) => new errors_1.TrainError(`trainSae: step ${i + 1} of ${steps}: expected a finite loss, found NaN or infinity (learning rate ${learningRate}, batch ${batch}). ` +
    "Take a lower learning rate; if it stays, look for rows of extreme norm.");
/**
 * Where training begins. Rows are scaled by s = √(d / mean‖x − μ‖²); b_dec = s·μ; W_dec: random rows, centred and whitened
 * by Σ^(−½), to unit norm; W_enc = W_dec/√3, b_enc = 0. Equal rows count once: twins would stay twins for ever.
 * @param rows a sample of the training rows [n, d], in the model's own units
 * @throws StoreError when rows are not finite or all equal
 */
function initialState(engine, { d, latents, k, seed }, rows, path) {
    const n = rows.length / d;
    const mean = new Float64Array(d);
    for (let i = 0; i < rows.length; i++)
        mean[i % d] += rows[i] / n;
    const centred = new Float32Array(rows.length);
    let squares = 0;
    for (let i = 0; i < rows.length; i++) {
        centred[i] = rows[i] - mean[i % d];
        squares += centred[i] * centred[i];
    }
    if (!Number.isFinite(squares)) {
        throw new errors_1.StoreError(`${path}: expected finite activations, found NaN or infinity among the rows. ` +
            "Harvest again; if it stays, the model overflows at this hook.");
    }
    if (!(squares > 1e-12 * n)) {
        throw new errors_1.StoreError(`${path}: expected rows that differ, found equal ones. Harvest other texts or another hook.`);
    }
    const scale = Math.sqrt((d * n) / squares);
    const rng = (0, random_1.random)(seed, 1);
    const { wDec, fromRows } = d <= MAX_COVARIANCE
        ? whitenedRows(engine, centred, d, latents, rng)
        : { wDec: directions(latents * d, rng), fromRows: 0 };
    const parameters = {
        wEnc: new Float32Array(latents * d), bEnc: new Float32Array(latents), wDec, bDec: Float32Array.from(mean, (m) => m * scale),
    };
    const initial = (0, step_1.freshState)(d, latents, k, parameters);
    initial.parameters.wEnc = initial.parameters.wDec.map((w) => w / Math.sqrt(3));
    return { mean: Math.hypot(...mean), scale, fromRows, initial };
}
const directions = (count, rng) => Float32Array.from({ length: count }, () => rng.normal());
/** `latents` different rows of the sample, times Σ^(−½); random directions for what the sample lacks. */
function whitenedRows(engine, centred, d, latents, rng) {
    const n = centred.length / d;
    const K = (0, tensorflow_1.kernels)(engine);
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    const seen = new Set();
    const chosen = new Float32Array(latents * d);
    let count = 0;
    for (let left = n; left > 0 && count < latents; left--) { // Fisher–Yates, as far as needed
        const at = rng.below(left);
        const row = centred.subarray(order[at] * d, (order[at] + 1) * d);
        order[at] = order[left - 1];
        const key = Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString("latin1");
        if (seen.has(key) || row.every((value) => value === 0))
            continue;
        seen.add(key);
        chosen.set(row, count++ * d);
    }
    const out = engine.tidy(() => {
        const x = engine.tensor(centred, [n, d]);
        const covariance = K.mul(K.matMul(x, x, { transposeA: true }), K.scalar(1 / n));
        const [values, vectors] = K.eigen(covariance);
        const eigenvalues = engine.floats(values);
        const floor = EIGEN_FLOOR * eigenvalues[d - 1];
        const roots = engine.tensor(eigenvalues.map((value) => 1 / Math.sqrt(Math.max(value, floor))), [d]);
        const inverseRoot = K.matMul(K.mul(vectors, roots), vectors, { transposeB: true });
        return engine.floats(K.matMul(engine.tensor(chosen, [latents, d]), inverseRoot));
    });
    out.set(directions((latents - count) * d, rng), count * d); // isotropic in whitened coordinates
    return { wDec: out, fromRows: count };
}
/** v in training units is s·v in the model's: only the biases change. */
function inModelUnits({ d, latents, k, parameters }, scale) {
    const { wEnc, bEnc, wDec, bDec } = parameters;
    return { d, latents, k, wEnc, wDec, bEnc: bEnc.map((b) => b / scale), bDec: bDec.map((b) => b / scale) };
}
function cardOf(store, plan, rows, measured) {
    const { model, texts } = store.manifest;
    const { hook, latents, k, d, tokens, batch, learningRate, deadAfter, auxK, seed, kind } = plan;
    return {
        hook, latents, k, d, model, texts, rows, tokens, batch, learningRate, deadAfter, auxK, seed, step: kind, ...measured,
    };
}
//# sourceMappingURL=train.js.map