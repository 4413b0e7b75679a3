"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.saeOf = saeOf;
exports.checkTarget = checkTarget;
exports.loadSae = loadSae;
exports.evaluate = evaluate;
const node_fs_1 = require("node:fs");
const promises_1 = require("node:fs/promises");
const node_path_1 = require("node:path");
const checkpoint_1 = require("../core/checkpoint");
const errors_1 = require("../core/errors");
const evaluationtable_1 = require("../core/evaluationtable");
const measure_1 = require("../core/measure");
const coder_1 = require("./coder");
const files_1 = require("./files");
const interrupt_1 = require("./interrupt");
const progress_1 = require("./progress");
const progressbar_1 = require("./progressbar");
const rows_1 = require("./rows");
const show_1 = require("./show");
const store_1 = require("./store");
const table_1 = require("./table");
const tensorflow_1 = require("./tensorflow");
/** An SAE as a value: encode and decode on TensorFlow, a folder on disk, its measures on a store. */
/** Our own file beside sparsify's two: where the SAE comes from, and how training went. */
const CARD = "saelab.json";
/**
 * An SAE over weights, which must not change afterwards. TensorFlow is loaded when it is first needed.
 * @throws CheckpointError when the arrays do not fit each other
 */
function saeOf(weights, { hook, card = {}, curve } = {}) {
    (0, checkpoint_1.checkWeights)(weights, "SAE");
    let packed;
    const code = () => (packed ??= (0, coder_1.coder)(weights.d, weights.latents, weights.k, weights));
    return {
        weights,
        hook,
        card,
        curve,
        encode: (x) => (0, coder_1.encodeRows)((0, tensorflow_1.tensorflow)(), code(), x),
        decode: (sparse) => (0, coder_1.decodeRows)((0, tensorflow_1.tensorflow)(), code(), sparse),
        save: (folder) => save({ weights, hook, card, curve }, folder),
    };
}
/**
 * cfg.json goes first and comes last: a folder without it is no checkpoint, so that a save cut short is never taken for
 * one, and of two SAEs saved over each other none lends its k to the other's weights.
 */
async function save({ weights, hook, card, curve }, folder) {
    checkTarget(folder);
    const pieces = (0, checkpoint_1.weightBytes)(weights);
    await (0, files_1.requireSpace)(folder, pieces.reduce((sum, { byteLength }) => sum + byteLength, 0) + 1e6);
    await (0, promises_1.rm)((0, node_path_1.join)(folder, checkpoint_1.CFG), { force: true });
    await (0, files_1.writeAtomic)((0, node_path_1.join)(folder, checkpoint_1.WEIGHTS), pieces);
    await (0, files_1.writeAtomic)((0, node_path_1.join)(folder, CARD), [`${JSON.stringify({ format: "saelab-sae", version: 1, hook, card, curve }, null, 1)}\n`]);
    await (0, files_1.writeAtomic)((0, node_path_1.join)(folder, checkpoint_1.CFG), [(0, checkpoint_1.configText)(weights)]);
}
/**
 * A folder may be saved to when it holds no cfg.json, or one of a checkpoint of this layout, which is then replaced.
 * @throws CheckpointError when its cfg.json is something else's
 */
function checkTarget(folder) {
    const file = (0, node_path_1.join)(folder, checkpoint_1.CFG);
    if (!(0, node_fs_1.existsSync)(file) || (0, checkpoint_1.isSparsify)((0, node_fs_1.readFileSync)(file, "utf8")))
        return;
    throw new errors_1.CheckpointError(`${file}: expected none, or that of an SAE in the sparsify layout to replace, found another tool's. ` +
        "Choose another folder, or move this file away.");
}
/**
 * Reads a top-k SAE in the sparsify layout: cfg.json and sae.safetensors, as sparsify and `sae.save` write them.
 * @param source the checkpoint's folder, or one that holds a checkpoint a hook (`layers.10.mlp/`)
 * @throws CheckpointError saying which file and field, what was expected and what was found
 */
async function loadSae(source, { hook } = {}) {
    const folder = checkpointFolder(source, hook);
    const config = (0, checkpoint_1.parseConfig)((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, checkpoint_1.CFG), "utf8"), (0, node_path_1.join)(folder, checkpoint_1.CFG));
    const file = (0, node_path_1.join)(folder, checkpoint_1.WEIGHTS);
    if (!(0, node_fs_1.existsSync)(file)) {
        throw new errors_1.CheckpointError(`${folder}: expected ${checkpoint_1.WEIGHTS} beside ${checkpoint_1.CFG}, found ${(0, node_fs_1.readdirSync)(folder).join(", ")}. ` +
            "The checkpoint is not whole: copy or download it again.");
    }
    const bytes = (0, files_1.fileSource)(file);
    try {
        const { weights, warnings } = (0, checkpoint_1.readWeights)(bytes, config, file);
        const known = readCard((0, node_path_1.join)(folder, CARD));
        const all = [...config.warnings, ...warnings];
        return saeOf(weights, {
            hook: hook ?? known.hook ?? (folder === source ? undefined : folder.slice(source.length).replace(/^[\\/]+/, "")),
            card: { ...(known.card ?? { source: folder }), ...(all.length ? { warnings: all } : {}) },
            curve: known.curve,
        });
    }
    finally {
        bytes.close();
    }
}
function checkpointFolder(source, hook) {
    if (!(0, node_fs_1.existsSync)(source)) {
        throw new errors_1.CheckpointError(`${source}: expected a folder with ${checkpoint_1.CFG} and ${checkpoint_1.WEIGHTS}, found no such folder. ` +
            "Give the folder that sae.save wrote.");
    }
    if ((0, node_fs_1.existsSync)((0, node_path_1.join)(source, checkpoint_1.CFG)))
        return source;
    let entries;
    try {
        entries = (0, node_fs_1.readdirSync)(source);
    }
    catch {
        throw new errors_1.CheckpointError(`${source}: expected a folder with ${checkpoint_1.CFG} and ${checkpoint_1.WEIGHTS}, found a file. Give the folder it is in.`);
    }
    const hooks = entries.filter((entry) => (0, node_fs_1.existsSync)((0, node_path_1.join)(source, entry, checkpoint_1.CFG)));
    if (hook !== undefined && hooks.includes(hook))
        return (0, node_path_1.join)(source, hook);
    if (hooks.length === 1 && hook === undefined)
        return (0, node_path_1.join)(source, hooks[0]);
    if (hooks.length) {
        throw new errors_1.CheckpointError(`${source}: expected the name of one of its hooks (${hooks.join(", ")}), found ${hook === undefined ? "none" : `"${hook}"`}. ` +
            `Say which: loadSae("${source}", { hook: "${hooks[0]}" }).`);
    }
    throw new errors_1.CheckpointError(`${source}: expected ${checkpoint_1.CFG} and ${checkpoint_1.WEIGHTS}, found ${entries.slice(0, 10).join(", ") || "an empty folder"}. ` +
        "Give the folder that sae.save wrote.");
}
function readCard(file) {
    if (!(0, node_fs_1.existsSync)(file))
        return {};
    const fail = (found) => {
        throw new errors_1.CheckpointError(`${file}: expected the card of an SAE saved by saelab (version 1), found ${found}. ` +
            "Delete this file to load the weights without it.");
    };
    let json;
    try {
        json = JSON.parse((0, node_fs_1.readFileSync)(file, "utf8"));
    }
    catch (error) {
        return fail(error.message);
    }
    if (json?.format !== "saelab-sae" || json.version !== 1) {
        return fail(`format ${JSON.stringify(json?.format)}, version ${JSON.stringify(json?.version)}`);
    }
    const { hook, card, curve } = json;
    if (hook !== undefined && typeof hook !== "string")
        return fail(`hook ${JSON.stringify(hook)}`);
    if (typeof card !== "object" || card === null || Array.isArray(card))
        return fail(`card ${JSON.stringify(card)}`);
    if (curve !== undefined && !Array.isArray(curve))
        return fail(`curve ${JSON.stringify(curve)}`);
    return { hook, card: card, curve: curve };
}
const EVALUATE_BYTES = 64 * 2 ** 20; // rows read at a time
/**
 * Holds an SAE against the rows of a store.
 * @returns FVU, explained variance, L0, dead and dense shares; see Measures
 * @throws OptionError when the SAE does not fit the hook's rows or the split has none; StoreError when a row is not finite;
 *   InterruptError
 */
async function evaluate(sae, store, options = {}) {
    const { split = "heldout", progress = (0, progressbar_1.defaultProgress)() } = options;
    const { d, latents } = sae.weights;
    const own = store.manifest.hooks.some(({ name }) => name === sae.hook) ? sae.hook : undefined;
    const hook = store.hook(options.hook ?? own);
    if (store.width(hook) !== d) {
        throw new errors_1.OptionError(`evaluate: expected rows of width ${d} (the SAE's d_in), ` +
            `found ${store.width(hook)} at ${hook} of ${store.path}. ` +
            "Name the hook it was trained on: evaluate(sae, store, { hook }).");
    }
    if (options.rows !== undefined && !(Number.isInteger(options.rows) && options.rows >= 2)) {
        throw new errors_1.OptionError(`evaluate: rows: expected a whole number of at least 2, found ${options.rows}. Leave it out for all rows.`);
    }
    const ranges = (0, store_1.rowsOf)(store, split);
    const available = (0, rows_1.rowCount)(ranges);
    if (available < 2) {
        throw new errors_1.OptionError(`evaluate: expected at least 2 rows of the split "${split}", found ${available} in ${store.path}. ` +
            `Choose another: { split: "all" }.`);
    }
    const wanted = Math.min(options.rows ?? available, available);
    const tally = (0, measure_1.measuring)(d, latents);
    const told = (0, progress_1.meter)("evaluate", wanted, "rows", progress);
    let done = 0;
    for (const x of (0, rows_1.chunks)(store, hook, ranges, Math.max(1, Math.floor(EVALUATE_BYTES / (4 * d))), wanted)) {
        (0, interrupt_1.stopIfInterrupted)("Nothing was written.");
        (0, rows_1.requireFinite)(x, store, hook);
        const sparse = sae.encode(x);
        tally.rows(x, sae.decode(sparse));
        tally.latents(sparse.index, sparse.value);
        told((done += x.length / d));
        await (0, interrupt_1.breathe)();
    }
    const result = { ...tally.result(), hook };
    return (0, show_1.showing)(result, () => (0, table_1.tableBundle)((0, evaluationtable_1.evaluationTable)(result, split, latents)));
}
//# sourceMappingURL=sae.js.map