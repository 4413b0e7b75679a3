"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.underWay = exports.storeFacts = exports.codesFile = exports.MANIFEST = void 0;
exports.tidy = tidy;
exports.codesReader = codesReader;
exports.openFamily = openFamily;
exports.sameStore = sameStore;
exports.readManifest = readManifest;
const node_fs_1 = require("node:fs");
const promises_1 = require("node:fs/promises");
const node_path_1 = require("node:path");
const collect_1 = require("../core/collect");
const errors_1 = require("../core/errors");
const safetensors_1 = require("../core/safetensors");
const files_1 = require("./files");
const lock_1 = require("./lock");
/**
 * A store and an SAE → features, a family of files in one folder:
 *
 *   manifest.json           what it is, of which rows, store and SAE; a folder with it is whole
 *   statistics.safetensors  of each latent: fired, mean, max [F]; histogram [F, 128] (bins of core/collect); entropy, distinct [F]; trigger, triggerMean [F, 5]
 *   examples.safetensors    offset [F + 1] → group, count, document, position, peak, goesOn [E] and start [E + 1] → tokens, values [T]
 *   names.json              text of every token met there (its bytes in base64) and names of the documents
 *   codes-00000.safetensors …  index, value [rows, k]: what the SAE made of each row, so that scores and contexts need no second encode
 *
 * It is made beside its place and moved there when it is whole.
 */
exports.MANIFEST = "manifest.json";
const OPEN_SHARDS = 32; // file descriptors that features hold at most for codes
const codesFile = (shard) => `codes-${String(shard).padStart(5, "0")}.safetensors`;
exports.codesFile = codesFile;
/** What decides the rows of a store at a hook, as JSON keeps it. */
const storeFacts = ({ manifest: { model, texts, settings }, rows }, width) => ({
    model: model.sha256,
    texts: texts.sha256,
    rows,
    width,
    settings: JSON.parse(JSON.stringify(settings)),
});
exports.storeFacts = storeFacts;
/** Folders that calls of this process are filling. */
exports.underWay = new Set();
/**
 * Removes what killed collections left beside a folder, and puts back a family that one of them had just moved aside to
 * replace it. What a living process is making is let be.
 */
async function tidy(folder) {
    const beside = (0, node_path_1.dirname)(folder);
    if (!(0, node_fs_1.existsSync)(beside))
        return;
    const prefix = `.${(0, node_path_1.basename)(folder)}.`;
    for (const name of await (0, promises_1.readdir)(beside)) {
        const [, pid, old] = (name.startsWith(prefix) && /^(\d+)(?:-\d+)?\.part(\.old)?$/.exec(name.slice(prefix.length))) || [];
        if (!pid)
            continue;
        const path = (0, node_path_1.join)(beside, name);
        const busy = Number(pid) === process.pid ? exports.underWay.has(path.replace(/\.old$/, "")) : (0, lock_1.isAlive)(Number(pid));
        if (busy)
            continue;
        if (old && !(0, node_fs_1.existsSync)(folder) && (0, node_fs_1.existsSync)((0, node_path_1.join)(path, exports.MANIFEST)))
            await (0, promises_1.rename)(path, folder);
        else
            await (0, promises_1.rm)(path, { recursive: true, force: true });
    }
}
const damaged = (path, expected, found) => new errors_1.FormatError(`${path}: expected ${expected}, found ${found}. The family is damaged: collect again.`);
/**
 * @param expected type and shape of each tensor; a name in a shape stands for a size that all tensors with that name share
 * @throws FormatError if the file is missing, cut off, or holds something else
 */
function openTensors(path, expected) {
    let source;
    try {
        source = (0, files_1.fileSource)(path);
    }
    catch (error) {
        throw damaged(path, "a file that can be read", error.code ?? String(error));
    }
    try {
        const { tensors } = (0, safetensors_1.readHeader)(source, path);
        const sizes = new Map();
        for (const [name, [dtype, ...shape]] of Object.entries(expected)) {
            const info = tensors.get(name);
            const size = (axis, i) => {
                if (typeof axis === "number")
                    return axis;
                if (!sizes.has(axis) && info)
                    sizes.set(axis, info.shape[i]);
                return sizes.get(axis);
            };
            if (info?.dtype === dtype && info.shape.length === shape.length && shape.every((axis, i) => size(axis, i) === info.shape[i]))
                continue;
            const wanted = shape.map((axis, i) => size(axis, i) ?? axis).join(", ");
            throw damaged(path, `a tensor "${name}" ${dtype} [${wanted}]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none of this name");
        }
        return {
            ints: (name, from, to) => (0, safetensors_1.readInts)(source, tensors.get(name), from, to),
            floats: (name, from, to) => (0, safetensors_1.readFloats)(source, tensors.get(name), from, to),
            length: (name) => tensors.get(name).shape[0],
            close: source.close,
        };
    }
    catch (error) {
        source.close();
        if (error instanceof errors_1.FormatError && !error.message.includes("collect again"))
            throw new errors_1.FormatError(`${error.message} The family is damaged: collect again.`);
        throw error;
    }
}
/** Range reads of the codes, across shards. @throws FormatError if one of them is not what the manifest says */
function codesReader(folder, { shards, sae: { k } }) {
    const path = (i) => (0, node_path_1.join)(folder, shards[i].file);
    const open = (i) => openTensors(path(i), { index: ["I32", shards[i].rows, k], value: ["F32", shards[i].rows, k] });
    shards.forEach((_, i) => open(i).close()); // all are looked at, few are held open
    const held = (0, files_1.fewOpen)(OPEN_SHARDS, open);
    const starts = [0];
    for (const { rows } of shards)
        starts.push(starts.at(-1) + rows);
    return {
        read(from, to) {
            const out = {
                n: to - from,
                k,
                index: new Int32Array((to - from) * k),
                value: new Float32Array((to - from) * k),
            };
            for (let i = 0; i < shards.length; i++) {
                const a = Math.max(from, starts[i]);
                const b = Math.min(to, starts[i + 1]);
                if (a >= b)
                    continue;
                const [first, last] = [(a - starts[i]) * k, (b - starts[i]) * k];
                out.index.set(held.get(i).ints("index", first, last), (a - from) * k);
                out.value.set(held.get(i).floats("value", first, last), (a - from) * k);
            }
            return out;
        },
        close() {
            held.close();
        },
    };
}
function readNames(path) {
    let names;
    try {
        names = JSON.parse((0, node_fs_1.readFileSync)(path, "utf8"));
    }
    catch (error) {
        throw damaged(path, "JSON", error.message);
    }
    const isNames = (value) => typeof value === "object" && value !== null && Object.values(value).every((name) => typeof name === "string");
    if (!isNames(names?.tokens) || !isNames(names?.documents))
        throw damaged(path, "names of tokens and of documents", JSON.stringify(names)?.slice(0, 80));
    return names;
}
/** All files of a family, each held against the manifest. Nothing stays open when one of them is not as it should be. */
function openFamily(path, manifest) {
    const { latents: F } = manifest.sae;
    const statisticsFile = openTensors((0, node_path_1.join)(path, "statistics.safetensors"), {
        fired: ["I32", F],
        mean: ["F32", F],
        max: ["F32", F],
        histogram: ["I32", F, collect_1.BINS],
        entropy: ["F32", F],
        distinct: ["I32", F],
        trigger: ["I32", F, collect_1.TRIGGERS],
        triggerMean: ["F32", F, collect_1.TRIGGERS],
    });
    const { ints, floats } = statisticsFile;
    const statistics = {
        fired: ints("fired"),
        mean: floats("mean"),
        max: floats("max"),
        histogram: ints("histogram"),
        entropy: floats("entropy"),
        distinct: ints("distinct"),
        trigger: ints("trigger"),
        triggerMean: floats("triggerMean"),
    };
    statisticsFile.close();
    const names = readNames((0, node_path_1.join)(path, "names.json"));
    const codes = codesReader(path, manifest);
    const examplesPath = (0, node_path_1.join)(path, "examples.safetensors");
    const examples = openTensors(examplesPath, {
        offset: ["I32", F + 1],
        group: ["I32", "examples"],
        count: ["I32", "examples"],
        document: ["I32", "examples"],
        position: ["I32", "examples"],
        peak: ["I32", "examples"],
        goesOn: ["I32", "examples"],
        start: ["I32", "examples and one"],
        tokens: ["I32", "tokens"],
        values: ["F32", "tokens"],
    });
    const E = examples.length("group");
    const ends = (list, last) => list[0] === 0 && list.at(-1) === last && list.every((at, i) => !i || at >= list[i - 1]);
    const whole = examples.length("start") === E + 1 &&
        ends(examples.ints("offset"), E) &&
        ends(examples.ints("start"), examples.length("tokens"));
    if (!whole) {
        examples.close();
        throw damaged(examplesPath, `offsets that rise to ${E} examples and ${examples.length("tokens")} tokens`, "others");
    }
    return { statistics, names, codes, examples };
}
/** @throws StoreError if the rows of this store are not those that were collected */
function sameStore(store, { store: was, sae: { hook } }, path) {
    const info = store.manifest.hooks.find(({ name }) => name === hook);
    const is = (0, exports.storeFacts)(store, info?.width ?? 0);
    const differing = ["model", "texts", "rows", "width"]
        .filter((key) => is[key] !== was[key])
        .map((key) => `${key} ${is[key]} instead of ${was[key]}`);
    if (!info)
        differing.push(`no hook ${hook}`);
    for (const key of new Set([...Object.keys(is.settings), ...Object.keys(was.settings)])) {
        const [a, b] = [is.settings[key], was.settings[key]].map((value) => JSON.stringify(value));
        if (a !== b)
            differing.push(`${key} ${a} instead of ${b}`);
    }
    if (!differing.length)
        return;
    throw new errors_1.StoreError(`${store.path}: expected the store that ${path} was collected from, found another: ${differing.join("; ")}. Collect again.`);
}
function readManifest(path) {
    const where = (0, node_path_1.join)(path, exports.MANIFEST);
    if (!(0, node_fs_1.existsSync)(where))
        throw new errors_1.FormatError(`${path}: expected a folder with ${exports.MANIFEST}, found none. collect(store, sae, { folder }) makes one.`);
    let manifest;
    try {
        manifest = JSON.parse((0, node_fs_1.readFileSync)(where, "utf8"));
    }
    catch (error) {
        throw damaged(where, "JSON", error.message);
    }
    if (manifest?.format !== "saelab-features")
        throw new errors_1.FormatError(`${where}: format: expected "saelab-features", found ${JSON.stringify(manifest?.format)}.`);
    if (manifest.version !== 1) {
        throw new errors_1.FormatError(`${where}: version: expected 1, found ${JSON.stringify(manifest.version)}. Another version of saelab wrote it: use that one, or collect again.`);
    }
    const problem = manifestProblem(manifest);
    if (problem)
        throw damaged(where, ...problem);
    return manifest;
}
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
/** The first field that is not as it should be: [expected, found]. */
function manifestProblem({ store, sae, rows, ranges, split, settings, shards }) {
    if (typeof store?.path !== "string" || typeof store.settings !== "object" || !store.settings || !isCount(store.rows))
        return ["store: path, rows, settings", JSON.stringify(store)];
    if (typeof sae?.hook !== "string" || ![sae.latents, sae.k, sae.d].every((n) => isCount(n) && n > 0))
        return ["sae: hook, latents, k, d", JSON.stringify(sae)];
    if (typeof split !== "string" || !isCount(settings?.context))
        return ["split and settings", JSON.stringify({ split, settings })];
    if (!Array.isArray(ranges) || !ranges.every((one) => isCount(one?.from) && isCount(one.to) && one.from <= one.to))
        return ["ranges: a list of from, to", JSON.stringify(ranges)];
    if (!Array.isArray(shards) || !shards.every((one, i) => one?.file === (0, exports.codesFile)(i) && isCount(one.rows)))
        return ["shards: a list of file, rows, in order", JSON.stringify(shards)];
    const [read, held] = [ranges.reduce((sum, { from, to }) => sum + to - from, 0), shards.reduce((sum, one) => sum + one.rows, 0)];
    if (read !== rows || held !== rows)
        return [`${rows} rows in ranges and in shards`, `${read} and ${held}`];
    return undefined;
}
//# sourceMappingURL=family.js.map