"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.sizeOf = exports.ORIGIN_TENSORS = exports.shardFile = exports.TOKENS = exports.DOCUMENTS = exports.UNFINISHED = exports.MANIFEST = void 0;
exports.openStore = openStore;
exports.rowsOf = rowsOf;
exports.readManifest = readManifest;
exports.readState = readState;
exports.ownFiles = ownFiles;
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const errors_1 = require("../core/errors");
const hookname_1 = require("../core/hookname");
const safetensors_1 = require("../core/safetensors");
const split_1 = require("../core/split");
const files_1 = require("./files");
const tokenizer_1 = require("./tokenizer");
/**
 * An activation store on disk:
 *
 *   manifest.json        what it is and its shards; written last, so a folder with it is whole
 *   unfinished.json      the same while a run is under way or was stopped
 *   documents.jsonl      the documents, a line each
 *   tokens.safetensors   ids, start, end [tokens] of all documents, first [documents + 1]
 *   shard-00000.safetensors …  for each hook [rows, width]; document, position, token, start, end [rows]
 *   tokenizer.json, tokenizer_config.json  as the model's folder had them
 */
exports.MANIFEST = "manifest.json";
exports.UNFINISHED = "unfinished.json";
exports.DOCUMENTS = "documents.jsonl";
exports.TOKENS = "tokens.safetensors";
const shardFile = (shard) => `shard-${String(shard).padStart(5, "0")}.safetensors`;
exports.shardFile = shardFile;
/** What a shard says of each row beside its activations. */
exports.ORIGIN_TENSORS = ["document", "position", "token", "start", "end"];
const OPEN_SHARDS = 64; // file descriptors a store holds at most: far below the usual limit of 1,024 a process
/**
 * Opens a store that `harvest` has finished.
 * @throws StoreError if there is none, it is unfinished (with how far it is), of another version, or a file is missing or cut off
 */
async function openStore(path) {
    const manifest = readManifest(path);
    for (const { file, bytes } of manifest.shards) {
        const found = (0, exports.sizeOf)((0, node_path_1.join)(path, file));
        if (found !== bytes)
            throw damaged((0, node_path_1.join)(path, file), `${bytes} bytes`, found < 0 ? "no such file" : `${found} bytes`);
    }
    for (const file of [exports.DOCUMENTS, exports.TOKENS]) {
        if (!(0, node_fs_1.existsSync)((0, node_path_1.join)(path, file)))
            throw damaged((0, node_path_1.join)(path, file), "a file", "no such file");
    }
    const { rows, shards, texts } = manifest;
    const starts = new Float64Array(shards.length + 1); // first row of each shard
    shards.forEach((shard, i) => (starts[i + 1] = starts[i] + shard.rows));
    const sum = starts[shards.length];
    if (sum !== rows)
        throw damaged((0, node_path_1.join)(path, exports.MANIFEST), `${rows} rows`, `shards of ${sum} rows together`);
    let closed = false;
    const open = (0, files_1.fewOpen)(OPEN_SHARDS, (name) => openFile((0, node_path_1.join)(path, name)));
    const file = (name) => {
        if (closed) {
            throw new errors_1.StoreError(`${path}: expected an open store, found that it was closed. Open it again: openStore("${path}").`);
        }
        return open.get(name);
    };
    /** Elements of a tensor that runs through all shards, rows from … to, into `out`. */
    const gather = (tensor, width, dtype, from, to, out) => {
        const bytes = new Uint8Array(out.buffer);
        for (let shard = shardOf(starts, from), row = from; row < to; shard++) {
            const end = Math.min(to, starts[shard + 1]);
            if (end <= row)
                continue; // a shard all of whose rows were dropped
            const into = bytes.subarray((row - from) * width * 4, (end - from) * width * 4);
            file(shards[shard].file).read(tensor, dtype, [shards[shard].rows, width], (row - starts[shard]) * width, into);
            row = end;
        }
    };
    const checkRange = (from, to) => {
        if (!Number.isInteger(from) || !Number.isInteger(to) || !(0 <= from && from <= to && to <= rows)) {
            throw new errors_1.OptionError(`${path}: expected rows 0 ≤ from ≤ to ≤ ${rows}, found from ${from}, to ${to}. store.rows says how many there are.`);
        }
    };
    const hookNames = manifest.hooks.map((hook) => hook.name).join(", ");
    const hookInfo = (asked) => {
        const found = manifest.hooks.find(({ name }) => name === asked) ?? manifest.hooks.find(({ name }) => name === ourName(asked));
        if (found)
            return found;
        throw new errors_1.StoreError(`${path}: expected a hook of this store (${hookNames}), found "${asked}". ` +
            "Take one of these, or harvest that hook.");
    };
    let documents;
    let documentRows;
    let first;
    let tokenizer;
    const tokensOf = (name, from, to, length) => {
        const out = new Int32Array(to - from);
        file(exports.TOKENS).read(name, "I32", [length], from, new Uint8Array(out.buffer));
        return out;
    };
    const store = {
        path,
        manifest,
        rows,
        hook(name) {
            if (name !== undefined)
                return hookInfo(name).name;
            if (manifest.hooks.length === 1)
                return manifest.hooks[0].name;
            throw new errors_1.StoreError(`${path}: expected the name of a hook, as this store has ${manifest.hooks.length} (${hookNames}), found none. ` +
                `Say which: { hook: "${manifest.hooks[0].name}" }.`);
        },
        width: (hook) => hookInfo(hook).width,
        documents: () => (documents ??= readDocuments((0, node_path_1.join)(path, exports.DOCUMENTS), texts.documents)),
        tokens(document) {
            if (!Number.isInteger(document) || document < 0 || document >= texts.documents) {
                throw new errors_1.OptionError(`${path}: expected a document from 0 to ${texts.documents - 1}, found ${document}. store.documents() lists them.`);
            }
            first ??= tokensOf("first", 0, texts.documents + 1, texts.documents + 1);
            const [from, to] = [first[document], first[document + 1]];
            const read = (name) => tokensOf(name, from, to, texts.tokens);
            return { ids: read("ids"), start: read("start"), end: read("end") };
        },
        origin(from, to) {
            checkRange(from, to);
            const read = (name) => {
                const out = new Int32Array(to - from);
                gather(name, 1, "I32", from, to, out);
                return out;
            };
            return { document: read("document"), position: read("position"), token: read("token") };
        },
        read(hook, from, to) {
            const { name, width } = hookInfo(hook);
            checkRange(from, to);
            const out = new Float32Array((to - from) * width);
            gather(name, width, "F32", from, to, out);
            return out;
        },
        documentRows() {
            if (documentRows)
                return documentRows;
            const found = new Int32Array(texts.documents + 1);
            for (let shard = 0; shard < shards.length; shard++) {
                const rowDocuments = new Int32Array(shards[shard].rows);
                gather("document", 1, "I32", starts[shard], starts[shard + 1], rowDocuments);
                for (const document of rowDocuments)
                    found[document + 1]++;
            }
            for (let i = 0; i < texts.documents; i++)
                found[i + 1] += found[i];
            return (documentRows = found);
        },
        get tokenizer() {
            if (!tokenizer) {
                if (!(0, node_fs_1.existsSync)((0, tokenizer_1.vocabularyFile)(path))) {
                    throw new errors_1.StoreError(`${(0, node_path_1.join)(path, tokenizer_1.TOKENIZER_FILES[0])}: expected the tokenizer's files, found none: ` +
                        `the model that was harvested had none in its folder (${manifest.model.source}). ` +
                        "Put tokenizer.json and tokenizer_config.json into the store's folder.");
                }
                tokenizer = (0, tokenizer_1.openTokenizer)(path);
            }
            return tokenizer;
        },
        close() {
            closed = true;
            open.close();
        },
    };
    return store;
}
/**
 * Rows of one side of the train / held-out split, as ascending ranges. A document's own `split` decides; of the documents that
 * name none, every tenth is held out (the last one if there are fewer than ten; the last tenth of the rows if the corpus is
 * one document).
 */
function rowsOf(store, split) {
    return (0, split_1.splitRanges)(store.documents(), store.documentRows(), split);
}
/** @throws StoreError as openStore does */
function readManifest(path) {
    const state = readState(path);
    if (state.kind === "finished")
        return state.manifest;
    if (state.kind === "none") {
        throw new errors_1.StoreError(`${path}: expected a folder with ${exports.MANIFEST}, found ${(0, node_fs_1.existsSync)(path) ? "none in it" : "no such folder"}. ` +
            "harvest(model, documents, { hooks, folder }) makes a store.");
    }
    const { shards, documentsKept, texts } = state.manifest;
    throw new errors_1.StoreError(`${path}: expected a finished store, found one that was stopped: ${documentsKept} of ${texts.documents} documents ` +
        `(${shards.filter(Boolean).length} of ${shards.length} shards) are there. ` +
        `Run harvest again with the same model, documents and options and { folder: "${path}" }: it goes on from there.`);
}
/** What a folder holds. @throws StoreError if its manifest cannot be understood */
function readState(path) {
    for (const [file, kind] of [[exports.MANIFEST, "finished"], [exports.UNFINISHED, "unfinished"]]) {
        const where = (0, node_path_1.join)(path, file);
        if (!(0, node_fs_1.existsSync)(where))
            continue;
        let manifest;
        try {
            manifest = JSON.parse((0, node_fs_1.readFileSync)(where, "utf8"));
        }
        catch (error) {
            throw damaged(where, "JSON", error.message);
        }
        const { format } = manifest ?? {};
        if (format !== "saelab-store")
            throw damaged(where, 'format "saelab-store"', JSON.stringify(format));
        if (manifest.version !== 1) {
            throw new errors_1.StoreError(`${where}: version: expected 1, found ${JSON.stringify(manifest.version)}. ` +
                "Another version of saelab wrote this store: use that one, or harvest again into another folder.");
        }
        const problem = manifestProblem(manifest, kind);
        if (problem)
            throw damaged(where, ...problem);
        return { kind, manifest };
    }
    return { kind: "none" };
}
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
/** The first field that is not as it should be: [expected, found]. */
function manifestProblem(manifest, kind) {
    const { model, texts, hooks, dtype, shards, settings } = manifest;
    if (typeof model?.sha256 !== "string")
        return ["model.sha256: a hash", JSON.stringify(model)];
    if (typeof texts?.sha256 !== "string" || !isCount(texts.documents) || !isCount(texts.tokens)) {
        return ["texts: documents, tokens, sha256", JSON.stringify(texts)];
    }
    if (!Array.isArray(hooks) || !hooks.length || !hooks.every((h) => typeof h?.name === "string" && isCount(h.width))) {
        return ["hooks: a list of names and widths", JSON.stringify(hooks)];
    }
    if (dtype !== "F32")
        return ['dtype: "F32"', JSON.stringify(dtype)];
    if (typeof settings !== "object" || settings === null)
        return ["settings", JSON.stringify(settings)];
    const isShard = (shard, i) => {
        if (shard === null)
            return kind === "unfinished";
        return shard?.file === (0, exports.shardFile)(i) && [shard.rows, shard.bytes, shard.dropped?.first, shard.dropped?.norm].every(isCount);
    };
    if (!Array.isArray(shards) || !shards.every(isShard)) {
        return ["shards: a list of file, rows, bytes, in order", JSON.stringify(shards)];
    }
    if (kind === "finished" && !isCount(manifest.rows))
        return ["rows: a count", JSON.stringify(manifest.rows)];
    return undefined;
}
const damaged = (where, expected, found) => new errors_1.StoreError(`${where}: expected ${expected}, found ${found}. ` +
    "The store is damaged: run harvest again with the same options and folder, or delete the folder first.");
/** Another spelling of a hook's name in ours; a name that is none stays as it is. */
function ourName(name) {
    try {
        return (0, hookname_1.parseHook)(name, Infinity).name;
    }
    catch {
        return name;
    }
}
/** Bytes of a file, or -1. */
const sizeOf = (path) => (0, node_fs_1.statSync)(path, { throwIfNoEntry: false })?.size ?? -1;
exports.sizeOf = sizeOf;
function readDocuments(path, count) {
    const bytes = (0, node_fs_1.readFileSync)(path); // line by line: all of it may be more than one string holds
    const documents = [];
    for (let from = 0, end; from < bytes.length; from = end + 1) {
        end = bytes.indexOf(10, from);
        if (end < 0)
            throw damaged(path, "a line break at its end", "none");
        try {
            documents.push(JSON.parse(bytes.toString("utf8", from, end)));
        }
        catch (error) {
            throw damaged(`${path}:${documents.length + 1}`, "JSON", error.message);
        }
    }
    if (documents.length !== count)
        throw damaged(path, `${count} lines`, `${documents.length}`);
    return documents;
}
/** Index of the shard that row is in: starts[i] ≤ row < starts[i + 1], shards without rows left aside. */
function shardOf(starts, row) {
    let low = 0;
    let high = starts.length - 1;
    while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (starts[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}
/** A safetensors file kept open: its header is read once, ranges straight into the caller's memory. */
function openFile(path) {
    const descriptor = (0, node_fs_1.openSync)(path, "r");
    const fill = (into, position) => {
        for (let at = 0; at < into.length;) {
            const got = (0, node_fs_1.readSync)(descriptor, into, at, Math.min(into.length - at, 2 ** 30), position + at);
            if (!got)
                throw damaged(path, `${position + into.length} bytes`, `its end at ${position + at}`);
            at += got;
        }
    };
    const source = {
        byteLength: (0, node_fs_1.fstatSync)(descriptor).size,
        slice(from, to) {
            const bytes = new Uint8Array(to - from);
            fill(bytes, from);
            return bytes;
        },
    };
    let header;
    try {
        header = (0, safetensors_1.readHeader)(source, path);
    }
    catch (error) {
        (0, node_fs_1.closeSync)(descriptor);
        throw error;
    }
    return {
        read(tensor, dtype, shape, from, into) {
            const info = header.tensors.get(tensor);
            const elements = shape.reduce((a, b) => a * b, 1);
            if (!info || info.dtype !== dtype || info.bytes !== elements * 4) {
                const found = info ? `${info.dtype} [${info.shape}]` : "none of this name";
                throw damaged(path, `tensor "${tensor}" ${dtype} [${shape}]`, found);
            }
            fill(into, info.offset + from * 4);
        },
        close: () => (0, node_fs_1.closeSync)(descriptor),
    };
}
/** Names in a folder that are a store's own. */
function ownFiles(path) {
    const names = [exports.MANIFEST, exports.UNFINISHED, exports.DOCUMENTS, exports.TOKENS, ...tokenizer_1.TOKENIZER_FILES];
    return (0, node_fs_1.readdirSync)(path).filter((name) => names.includes(name) || /^shard-\d{5,}\.safetensors$/.test(name));
}
//# sourceMappingURL=store.js.map