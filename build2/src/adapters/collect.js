"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.collect = collect;
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const promises_1 = require("node:fs/promises");
const node_path_1 = require("node:path");
const collect_1 = require("../core/collect");
const errors_1 = require("../core/errors");
const safetensors_1 = require("../core/safetensors");
const family_1 = require("./family");
const features_1 = require("./features");
const files_1 = require("./files");
const interrupt_1 = require("./interrupt");
const pieces_1 = require("./pieces");
const progress_1 = require("./progress");
const progressbar_1 = require("./progressbar");
const store_1 = require("./store");
const SHARD_ROWS = 65_536;
const STOPPED = "Nothing of this collection was kept: collect again.";
const HASHED = 1 << 24; // bytes hashed between two yields
/** SHA-256 over shapes and arrays of an SAE. */
function* saeHash({ weights }) {
    const hash = (0, node_crypto_1.createHash)("sha256").update(JSON.stringify([weights.d, weights.latents, weights.k]));
    for (const array of [weights.wEnc, weights.bEnc, weights.wDec, weights.bDec]) {
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        for (let at = 0; at < bytes.length; at += HASHED) {
            hash.update(bytes.subarray(at, at + HASHED));
            yield;
        }
    }
    return hash.digest("hex");
}
/**
 * Encodes every row once and keeps, for each latent: on how many rows it fires, its mean, maximum and
 * histogram (codes are written down, and read again a block of latents at a time), the contexts of its strongest peaks (near-duplicates folded) and of some random firings of each quarter of
 * its activations, with its activation at every token of them.
 * @param store what `harvest` made
 * @throws OptionError, StoreError, DiskError before the work starts; InterruptError, when asked to stop: nothing is kept
 *   then
 */
async function collect(store, sae, options = {}) {
    const { examples = 12, context = 16, perQuantile = 2, random = 2, split = "all", seed = 0, progress = (0, progressbar_1.defaultProgress)(), } = options;
    (0, features_1.wholeNumber)("examples", examples, 1);
    (0, features_1.wholeNumber)("context", context, 0);
    (0, features_1.wholeNumber)("perQuantile", perQuantile, 0);
    (0, features_1.wholeNumber)("random", random, 0);
    if (!["all", "train", "heldout"].includes(split))
        throw new errors_1.OptionError(`collect: split: expected "all", "train" or "heldout", found "${split}".`);
    const trained = store.manifest.hooks.some(({ name }) => name === sae.hook) ? sae.hook : undefined;
    const hook = store.hook(options.hook ?? trained);
    const { d, latents, k } = sae.weights;
    const width = store.width(hook);
    if (width !== d) {
        throw new errors_1.OptionError(`${store.path}: ${hook}: expected rows of width ${d}, as the SAE has, found ${width}. ` +
            `Name the hook it was trained on${sae.hook ? ` (${sae.hook})` : ""}: collect(store, sae, { hook }).`);
    }
    const ranges = (0, store_1.rowsOf)(store, split);
    const rows = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
    if (!rows)
        throw new errors_1.StoreError(`${store.path}: expected rows on the side "${split}", found none. Take another side, or harvest more documents.`);
    store.documents(); // what is read only at the end has to be there before the work
    void store.tokenizer;
    const sha256 = await (0, pieces_1.inPieces)(saeHash(sae), STOPPED);
    const settings = { examples, context, perQuantile, random, seed };
    const facts = (0, family_1.storeFacts)(store, width);
    const name = (0, node_crypto_1.createHash)("sha256")
        .update(JSON.stringify([facts, sha256, hook, split, settings]))
        .digest("hex")
        .slice(0, 12);
    const folder = (0, node_path_1.resolve)(options.folder ?? (0, node_path_1.join)(store.path, "features", name));
    await (0, family_1.tidy)(folder);
    await requireFree(folder);
    const shown = examples + 4 * perQuantile + random;
    await (0, files_1.requireSpace)((0, node_path_1.dirname)(folder), rows * k * 8 + latents * (collect_1.BINS * 4 + shown * (28 + (2 * context + 1) * 8)));
    const part = (0, node_path_1.join)((0, node_path_1.dirname)(folder), `.${(0, node_path_1.basename)(folder)}.${process.pid}-${(made += 1)}.part`);
    await (0, promises_1.mkdir)(part);
    family_1.underWay.add(part);
    try {
        const shards = await writeCodes(store, sae, hook, ranges, rows, part, progress);
        const written = {
            format: "saelab-features",
            version: 1,
            store: { path: (0, node_path_1.relative)(folder, (0, node_path_1.resolve)(store.path)) || ".", ...facts },
            sae: { sha256, hook, latents, k, d },
            rows,
            ranges,
            split,
            settings,
            shards: shards.list,
        };
        const reader = (0, family_1.codesReader)(part, written);
        try {
            await writeFeatures(store, part, written, shards.statistics, reader.read, progress);
        }
        finally {
            reader.close();
        }
        await (0, files_1.writeAtomic)((0, node_path_1.join)(part, family_1.MANIFEST), [JSON.stringify(written, null, 2) + "\n"]);
        await moveInto(part, folder);
    }
    finally {
        await (0, promises_1.rm)(part, { recursive: true, force: true }); // gone already when all went well
        family_1.underWay.delete(part);
    }
    return (0, features_1.openFeatures)(folder, { store });
}
let made = 0;
/** @throws OptionError if something that is not a feature family is in the way */
async function requireFree(folder) {
    if (!(0, node_fs_1.existsSync)(folder))
        return;
    if (!(0, node_fs_1.statSync)(folder).isDirectory())
        throw new errors_1.OptionError(`${folder}: expected a folder or nothing, found a file. Choose another folder.`);
    const names = await (0, promises_1.readdir)(folder);
    if (!names.length)
        return;
    const manifest = (0, node_path_1.join)(folder, family_1.MANIFEST);
    if ((0, node_fs_1.existsSync)(manifest) && (0, node_fs_1.readFileSync)(manifest, "utf8").includes('"saelab-features"'))
        return;
    throw new errors_1.OptionError(`${folder}: expected an empty folder or features that may be replaced, found other files (${names.slice(0, 3).join(", ")}…). Choose another folder.`);
}
/** The old family goes aside first: a reader sees it, the new one, or (for an instant) none; never a mixture. */
async function moveInto(part, folder) {
    const aside = `${part}.old`;
    const replaced = (0, node_fs_1.existsSync)(folder);
    if (replaced)
        await (0, promises_1.rename)(folder, aside);
    try {
        await (0, promises_1.rename)(part, folder);
    }
    catch (error) {
        if (replaced)
            await (0, promises_1.rename)(aside, folder);
        throw error;
    }
    if (replaced)
        await (0, promises_1.rm)(aside, { recursive: true, force: true });
}
/** Encodes all rows, chunk by chunk, into shards; counts on the way. */
async function writeCodes(store, sae, hook, ranges, rows, part, progress) {
    const { latents, k } = sae.weights;
    const chunk = Math.max(64, Math.min(8192, Math.floor(2 ** 23 / latents))); // the product [chunk, latents] stays within 32 MB
    const statistics = (0, collect_1.latentStatistics)(latents);
    const list = [];
    const told = (0, progress_1.meter)("collect", rows, "rows", progress);
    const size = Math.min(SHARD_ROWS, rows);
    const index = new Int32Array(size * k);
    const value = new Float32Array(size * k);
    let held = 0;
    let done = 0;
    const flush = async () => {
        const file = (0, family_1.codesFile)(list.length);
        await (0, files_1.writeAtomic)((0, node_path_1.join)(part, file), (0, safetensors_1.writeSafetensors)([
            { name: "index", shape: [held, k], data: index.subarray(0, held * k) },
            { name: "value", shape: [held, k], data: value.subarray(0, held * k) },
        ]));
        list.push({ file, rows: held });
        held = 0;
    };
    for (const range of ranges) {
        for (let from = range.from; from < range.to;) {
            (0, interrupt_1.stopIfInterrupted)(STOPPED);
            const to = Math.min(range.to, from + Math.min(chunk, size - held));
            const x = store.read(hook, from, to);
            requireFinite(x, sae.weights.d, store, hook, from);
            const codes = sae.encode(x);
            statistics.add(codes);
            index.set(codes.index, held * k);
            value.set(codes.value, held * k);
            held += to - from;
            done += to - from;
            if (held === size || done === rows)
                await flush();
            told(done);
            from = to;
            await (0, interrupt_1.breathe)();
        }
    }
    return { list, statistics: statistics.finish() };
}
/** @throws StoreError at the first row with a value that is no number: no latent could be told from it */
function requireFinite(x, d, store, hook, first) {
    let sum = 0;
    for (let i = 0; i < x.length; i++)
        sum += 0 * x[i]; // NaN from the first NaN or infinity on
    if (sum === 0)
        return;
    const at = x.findIndex((v) => !Number.isFinite(v));
    const row = first + Math.floor(at / d);
    const { document, position } = store.origin(row, row + 1);
    throw new errors_1.StoreError(`${store.path}: ${hook}: row ${row} (document "${store.documents()[document[0]].id}", token ${position[0]}): expected finite activations, found ${x[at]}. ` +
        "The model overflows there or its weights are damaged: leave that document out, or mend the model, and harvest again.");
}
/** Turns the codes over, block of latents by block, and writes what is found. */
async function writeFeatures(store, part, manifest, statistics, codes, progress) {
    const { rows, ranges, settings, sae } = manifest;
    const origin = {
        document: new Int32Array(rows),
        position: new Int32Array(rows),
        token: new Int32Array(rows),
    };
    let at = 0;
    for (const { from, to } of ranges) {
        const { document, position, token } = store.origin(from, to);
        origin.document.set(document, at);
        origin.position.set(position, at);
        origin.token.set(token, at);
        at += to - from;
    }
    let vocabulary = 0;
    for (const id of origin.token)
        if (id >= vocabulary)
            vocabulary = id + 1;
    const blocks = (0, collect_1.latentBlocks)(statistics.fired);
    const told = (0, progress_1.meter)("collect: examples", sae.latents, "latents", progress);
    const found = [];
    const spread = {
        entropy: new Float32Array(sae.latents),
        distinct: new Int32Array(sae.latents),
        token: new Int32Array(sae.latents * collect_1.TRIGGERS),
        tokenMean: new Float32Array(sae.latents * collect_1.TRIGGERS),
    };
    for (const block of blocks) {
        const { firings, add } = (0, collect_1.firingsOf)(statistics.fired, block.from, block.to);
        for (let from = 0; from < rows; from += SHARD_ROWS) {
            add(from, codes(from, Math.min(rows, from + SHARD_ROWS)));
            (0, interrupt_1.stopIfInterrupted)(STOPPED);
            await (0, interrupt_1.breathe)();
        }
        const order = await (0, pieces_1.inPieces)((0, collect_1.bySize)(firings), STOPPED);
        const tokensOf = (document) => store.tokens(document).ids;
        found.push(await (0, pieces_1.inPieces)((0, collect_1.blockExamples)(firings, origin, tokensOf, settings, order), STOPPED));
        const some = await (0, pieces_1.inPieces)((0, collect_1.tokenSpread)(firings, origin.token, vocabulary, order), STOPPED);
        spread.entropy.set(some.entropy, block.from);
        spread.distinct.set(some.distinct, block.from);
        spread.token.set(some.token, block.from * collect_1.TRIGGERS);
        spread.tokenMean.set(some.tokenMean, block.from * collect_1.TRIGGERS);
        told(block.to);
        await (0, interrupt_1.breathe)();
    }
    const F = sae.latents;
    const { fired, mean, max, histogram } = statistics;
    await (0, files_1.writeAtomic)((0, node_path_1.join)(part, "statistics.safetensors"), (0, safetensors_1.writeSafetensors)([
        { name: "fired", shape: [F], data: fired },
        { name: "mean", shape: [F], data: mean },
        { name: "max", shape: [F], data: max },
        { name: "histogram", shape: [F, collect_1.BINS], data: histogram },
        { name: "entropy", shape: [F], data: spread.entropy },
        { name: "distinct", shape: [F], data: spread.distinct },
        { name: "trigger", shape: [F, collect_1.TRIGGERS], data: spread.token },
        { name: "triggerMean", shape: [F, collect_1.TRIGGERS], data: spread.tokenMean },
    ]));
    const all = (0, collect_1.joinExamples)(found);
    const tensors = Object.entries(all).map(([name, data]) => ({ name, shape: [data.length], data }));
    await (0, files_1.writeAtomic)((0, node_path_1.join)(part, "examples.safetensors"), (0, safetensors_1.writeSafetensors)(tensors));
    const { tokenizer } = store;
    const tokens = {};
    for (const id of new Set([...all.tokens, ...spread.token]))
        if (id >= 0)
            tokens[id] = Buffer.from(tokenizer.bytes(id)).toString("base64");
    const names = store.documents();
    const documents = {};
    for (const document of new Set(all.document))
        documents[document] = names[document].id;
    await (0, files_1.writeAtomic)((0, node_path_1.join)(part, "names.json"), [JSON.stringify({ tokens, documents })]);
}
//# sourceMappingURL=collect.js.map