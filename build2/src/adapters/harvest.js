"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.harvest = harvest;
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const promises_1 = require("node:fs/promises");
const node_path_1 = require("node:path");
const batches_1 = require("../core/batches");
const errors_1 = require("../core/errors");
const norms_1 = require("../core/norms");
const safetensors_1 = require("../core/safetensors");
const sinks_1 = require("../core/sinks");
const files_1 = require("./files");
const interrupt_1 = require("./interrupt");
const lock_1 = require("./lock");
const progress_1 = require("./progress");
const progressbar_1 = require("./progressbar");
const store_1 = require("./store");
const tokenizer_1 = require("./tokenizer");
const SHARD_BYTES = 64e6;
/** Held while a store is being made: names the process at work. */
const LOCK = "harvest.lock";
/**
 * Runs a model over documents and keeps the activations of some hooks on disk, one row a token.
 *
 * A row is dropped from all hooks (rows of all hooks stay side by side) when it is an attention sink: the first position of a
 * context, or a norm ‖x‖ over `dropNorm` × the median norm of its hook, the median being that of the first shard's rows without
 * first positions. What was dropped is counted in the manifest; its tokens are kept.
 *
 * Documents are cut into contexts of `context` tokens and never joined. A shard holds consecutive contexts; inside it they are
 * sorted by length for right-padded batches and written in document order. Each shard is written aside, flushed and renamed, so
 * that a killed run goes on with what is whole and ends with the same bytes. A store that is already finished is opened; if only
 * spans or sides of the split have changed, its documents.jsonl is replaced. One process at a time works in a folder.
 *
 * A token that the tokenizer itself puts before a text (Llama's and Mistral's `<s>`) is read again before each later context of a
 * long document, as the model expects it there; it is the sink then, gives no row, and counts towards `context`.
 *
 * @throws HookError, OptionError, TextError, StoreError (the folder holds something else, or another process is at work in it),
 *   DiskError: before the model runs
 * @throws ModelError if an activation is not finite; InterruptError, whole shards kept
 * @see Sun et al., "Massive Activations in Large Language Models", arXiv 2402.17762: sinks
 */
async function harvest(model, documents, options) {
    const hooks = findHooks(model, options.hooks);
    const settings = checkSettings(model, hooks, options);
    checkDocuments(documents);
    const identity = {
        model: { source: model.source, family: model.family, sha256: await model.hash() },
        texts: { documents: documents.length, sha256: hashPieces(textPieces(documents)) },
        hooks,
        settings: { ...settings, tokenizer: hashFile((0, tokenizer_1.vocabularyFile)(model.source)) },
    };
    const folder = options.folder ?? (0, node_path_1.join)(".saelab", "stores", identityHash(identity));
    const isDone = (state) => state.kind === "finished" && options.resume !== false && isWhole(folder, state.manifest);
    if (!isDone(checkFolder(folder, identity)) || (0, node_fs_1.existsSync)((0, node_path_1.join)(folder, store_1.UNFINISHED))) {
        const existed = (0, node_fs_1.existsSync)(folder);
        try {
            await (0, files_1.requireSpace)(folder, 0);
            const release = (0, lock_1.takeLock)((0, node_path_1.join)(folder, LOCK), (holder) => new errors_1.StoreError(`${folder}: expected no other harvest in this folder, found one at work: ${holder}. ` +
                `Wait for it, or choose another folder; if that process is gone, delete ${(0, node_path_1.join)(folder, LOCK)}.`));
            try {
                const state = checkFolder(folder, identity); // whoever had the lock before may have finished it
                if (!isDone(state))
                    await fill(model, documents, folder, state, identity, options);
                await (0, promises_1.rm)((0, node_path_1.join)(folder, store_1.UNFINISHED), { force: true });
            }
            finally {
                release();
            }
        }
        catch (error) {
            if (!existed)
                await (0, promises_1.rmdir)(folder).catch(() => { }); // only if nothing was kept in it
            throw error;
        }
    }
    await relabel(folder, documents);
    return (0, store_1.openStore)(folder);
}
/** Makes what is missing of a store. @throws as harvest does; whole shards are kept, of a run without any nothing is left */
async function fill(model, documents, folder, state, identity, options) {
    const { settings } = identity;
    const progress = options.progress ?? (0, progressbar_1.defaultProgress)();
    const tokens = await tokenize(model, documents, progress);
    const lead = leadOf(model, tokens[0]);
    if (settings.context <= lead) {
        throw new errors_1.OptionError(`context: expected at least ${lead + 1} tokens, as the tokenizer puts ${lead} before a text, found ${settings.context}. ` +
            "Leave it out for the default.");
    }
    const contexts = (0, batches_1.cutContexts)(tokens.map(({ ids }) => ids.length), settings.context, lead);
    const plans = (0, batches_1.planShards)(contexts, settings.shardRows);
    const total = contexts.reduce((sum, { length }) => sum + length, 0);
    const unfinished = takeOver(folder, state, options.resume !== false, {
        format: "saelab-store", version: 1, ...identity, settings: { ...settings }, texts: { ...identity.texts, tokens: total }, dtype: "F32",
        shards: plans.map(() => null), documentsKept: 0,
    });
    const rowBytes = 4 * (identity.hooks.reduce((sum, { width }) => sum + width, 0) + store_1.ORIGIN_TENSORS.length);
    const left = plans.reduce((sum, { tokens }, i) => sum + (unfinished.shards[i] ? 0 : tokens), 0);
    const textBytes = documents.reduce((sum, { text }) => sum + 2 * text.length + 200, 0);
    await (0, files_1.requireSpace)(folder, left * rowBytes + total * 12 + textBytes);
    try {
        // on record before anything else happens: whenever the run is killed, the folder says what it is
        await writeJson((0, node_path_1.join)(folder, store_1.UNFINISHED), unfinished);
        await clear(folder, [store_1.UNFINISHED, ...unfinished.shards.flatMap((shard) => shard?.file ?? [])]);
        await (0, files_1.writeAtomic)((0, node_path_1.join)(folder, store_1.DOCUMENTS), documentPieces(documents));
        await writeTokens((0, node_path_1.join)(folder, store_1.TOKENS), tokens, total);
        for (const file of tokenizer_1.TOKENIZER_FILES) {
            const from = (0, node_path_1.join)(model.source, file);
            if ((0, node_fs_1.existsSync)(from))
                await (0, files_1.writeAtomic)((0, node_path_1.join)(folder, file), [(0, node_fs_1.readFileSync)(from)]);
        }
        await runModel(model, folder, unfinished, { documents, tokens, contexts, plans, total }, settings, progress);
        const shards = unfinished.shards;
        const sum = (of) => shards.reduce((all, shard) => all + of(shard), 0);
        const { documentsKept: _, ...rest } = unfinished;
        const dropped = { first: sum((shard) => shard.dropped.first), norm: sum((shard) => shard.dropped.norm) };
        const manifest = { ...rest, shards, rows: sum(({ rows }) => rows), dropped };
        if (!manifest.rows) {
            unfinished.shards.fill(null); // shards without rows are not worth keeping
            throw new errors_1.TextError(`harvest: expected rows, found that all ${total} tokens are dropped ` +
                `(${dropped.first} first positions, ${dropped.norm} by norm). ` +
                "Give longer documents, or { dropFirst: false }.");
        }
        await writeJson((0, node_path_1.join)(folder, store_1.MANIFEST), manifest);
    }
    catch (error) {
        // whole shards stay for the next run; without any there is nothing to keep
        if (!unfinished.shards.some(Boolean))
            await clear(folder, []);
        throw error;
    }
}
/** Spans and sides of the split do not change rows: texts that were labelled anew keep theirs, and give a new documents.jsonl. */
async function relabel(folder, documents) {
    const file = (0, node_path_1.join)(folder, store_1.DOCUMENTS);
    if (hashPieces(filePieces(file)) !== hashPieces(documentPieces(documents)))
        await (0, files_1.writeAtomic)(file, documentPieces(documents));
}
function findHooks(model, names) {
    if (!Array.isArray(names) || !names.length) {
        throw new errors_1.OptionError(`hooks: expected a list of at least one hook, found ${JSON.stringify(names)}. ` +
            `Such as { hooks: ["layers.${model.layers >> 1}"] }; model.hooks() lists them.`);
    }
    const offered = model.hooks();
    return names.map((asked, i) => {
        const hook = model.hook(asked);
        const before = names.findIndex((name) => model.hook(name).name === hook.name);
        if (before < i) {
            throw new errors_1.OptionError(`hooks: expected each place once, found "${names[before]}" and "${asked}", which are one place. Leave one out.`);
        }
        const found = offered.find(({ name }) => name === hook.name);
        if (!found) {
            throw new errors_1.HookError(`hooks: expected a hook of ${model.source} (${offered.map(({ name }) => name).join(", ")}), found "${asked}". ` +
                "Take one of these.");
        }
        return { name: hook.name, kind: hook.kind, layer: hook.layer, width: found.width };
    });
}
function checkSettings(model, hooks, options) {
    const longest = longestContext(model);
    const context = options.context ?? Math.min(512, longest);
    const wanted = Math.floor(SHARD_BYTES / (4 * hooks.reduce((sum, { width }) => sum + width, 0)));
    const settings = {
        context,
        batchTokens: options.batchTokens ?? 2048,
        shardRows: options.shardRows ?? Math.max(context, Math.min(2 ** 18, wanted)),
        dropFirst: options.dropFirst ?? true,
        dropNorm: options.dropNorm ?? 10,
    };
    const count = (name, unit) => {
        if (!Number.isSafeInteger(settings[name]) || settings[name] < 1) {
            throw new errors_1.OptionError(`${name}: expected a whole number of ${unit}, 1 or more, found ${settings[name]}. Leave it out for the default.`);
        }
    };
    count("context", "tokens");
    count("batchTokens", "tokens");
    count("shardRows", "rows");
    if (context > longest) {
        throw new errors_1.OptionError(`context: expected at most ${longest} tokens, as many as ${model.source} was made for, found ${context}. ` +
            "Leave it out for the default.");
    }
    if (context === 1 && settings.dropFirst) {
        throw new errors_1.OptionError("context: expected 2 tokens or more, as first positions are dropped, found 1. Give a longer one, or { dropFirst: false }.");
    }
    if (settings.dropNorm !== false && !(settings.dropNorm > 1 && settings.dropNorm < Infinity)) {
        throw new errors_1.OptionError(`dropNorm: expected a multiple of the median norm, over 1, or false, found ${settings.dropNorm}. The default is 10.`);
    }
    return settings;
}
/** Positions a model was made for, as its config.json says; Infinity if it does not. */
function longestContext(model) {
    const path = (0, node_path_1.join)(model.source, "config.json");
    if (!(0, node_fs_1.existsSync)(path))
        return Infinity;
    const config = JSON.parse((0, node_fs_1.readFileSync)(path, "utf8"));
    return config.max_position_embeddings ?? config.n_positions ?? Infinity;
}
function checkDocuments(documents) {
    if (!Array.isArray(documents) || !documents.length) {
        throw new errors_1.TextError("documents: expected at least one document, found none. readTexts(path) reads them.");
    }
    documents.forEach((document, i) => {
        if (typeof document?.text !== "string" || !document.text) {
            throw new errors_1.TextError(`documents[${i}] ("${document?.id}"): text: expected text, found ${JSON.stringify(document?.text)}. ` +
                "Leave this document out.");
        }
    });
}
/** Lines of documents.jsonl, about a megabyte at a time. */
function* documentPieces(documents) {
    let piece = "";
    for (const { id, text, spans, split } of documents) {
        piece += JSON.stringify({ id, text, spans, split }) + "\n";
        if (piece.length > 1e6) {
            yield piece;
            piece = "";
        }
    }
    if (piece)
        yield piece;
}
/** Bytes of a file, some megabytes at a time. */
function* filePieces(path) {
    const file = (0, files_1.fileSource)(path);
    try {
        for (let at = 0; at < file.byteLength; at += 2 ** 24)
            yield file.slice(at, Math.min(file.byteLength, at + 2 ** 24));
    }
    finally {
        file.close();
    }
}
/** What decides the rows: names and texts, in order; neither labels nor sides of the split. */
function* textPieces(documents) {
    for (const { id, text } of documents)
        yield JSON.stringify([id, text]);
}
function hashPieces(pieces) {
    const hash = (0, node_crypto_1.createHash)("sha256");
    for (const piece of pieces)
        hash.update(piece);
    return hash.digest("hex");
}
const sha256 = (bytes) => (0, node_crypto_1.createHash)("sha256").update(bytes).digest("hex");
const hashFile = (path) => ((0, node_fs_1.existsSync)(path) ? sha256((0, node_fs_1.readFileSync)(path)) : null);
/** The settings that decide which rows there are and how they lie. */
const DECIDING = ["tokenizer", "context", "batchTokens", "shardRows", "dropFirst", "dropNorm"];
/** What makes two stores the same, name by name. */
const facts = ({ model, texts, hooks, settings }) => ({
    model: model.sha256,
    texts: texts.sha256,
    hooks: hooks.map(({ name }) => name).sort().join(", "),
    ...Object.fromEntries(DECIDING.map((name) => [name, settings[name]])),
});
const identityHash = (identity) => sha256(JSON.stringify(facts(identity))).slice(0, 16);
/** What the folder holds, if it is ours to write to. @throws StoreError if it holds something else */
function checkFolder(folder, identity) {
    const state = (0, store_1.readState)(folder);
    if (state.kind === "none") {
        let names = [];
        try {
            names = (0, node_fs_1.readdirSync)(folder);
        }
        catch (error) {
            const { code } = error;
            if (code !== "ENOENT")
                throw new errors_1.StoreError(`${folder}: expected a folder to write to, found ${code}. Choose another folder.`);
        }
        const other = names.filter((name) => !isPart(name) && name !== LOCK);
        if (other.length) {
            const found = other.slice(0, 3).join(", ") + (other.length > 3 ? ` and ${other.length - 3} more` : "");
            throw new errors_1.StoreError(`${folder}: expected an empty folder or a store, found ${found}. ` +
                "Choose another folder, or leave the option out.");
        }
        return state;
    }
    const asked = facts(identity);
    const found = facts(state.manifest);
    const differing = Object.keys(asked).filter((name) => asked[name] !== found[name]);
    if (differing.length) {
        const short = (value) => typeof value === "string" && value.length === 64 ? `${value.slice(0, 12)}…` : JSON.stringify(value);
        throw new errors_1.StoreError(`${folder}: expected a store of the same model, texts and settings, found another: ` +
            `${differing.map((name) => `${name} is ${short(found[name])}, asked for was ${short(asked[name])}`).join("; ")}. ` +
            "Choose another folder, leave the option out, or delete this one.");
    }
    return state;
}
const isWhole = (folder, { shards }) => [store_1.DOCUMENTS, store_1.TOKENS].every((file) => (0, node_fs_1.existsSync)((0, node_path_1.join)(folder, file))) &&
    shards.every(({ file, bytes }) => (0, store_1.sizeOf)((0, node_path_1.join)(folder, file)) === bytes);
/** The state to go on from: what an earlier run kept, less the shards that are not as long as it says. */
function takeOver(folder, state, resume, fresh) {
    if (state.kind === "none" || !resume)
        return fresh;
    const { manifest } = state;
    if (manifest.texts.tokens !== fresh.texts.tokens || manifest.shards.length !== fresh.shards.length) {
        throw new errors_1.StoreError(`${folder}: expected ${fresh.texts.tokens} tokens in ${fresh.shards.length} shards, ` +
            `found ${manifest.texts.tokens} in ${manifest.shards.length}: it was made with another tokenizer. ` +
            "Choose another folder, or delete this one.");
    }
    return {
        ...fresh,
        // in the order in which the norm limits of the settings stand, whatever the order asked for this time
        hooks: manifest.hooks.map((hook) => fresh.hooks.find(({ name }) => name === hook.name)),
        settings: manifest.settings,
        shards: manifest.shards.map((shard) => (shard && (0, store_1.sizeOf)((0, node_path_1.join)(folder, shard.file)) === shard.bytes ? shard : null)),
    };
}
/** Half a file of files.writeAtomic, by its name: `.<name>.<pid>.<random>.part`. */
const isPart = (name) => /^\..+\.part$/.test(name);
/** Half a file that no other process is writing any more. */
function isLeft(name) {
    const pid = Number(/\.(\d+)\.\w+\.part$/.exec(name)?.[1]);
    return isPart(name) && (!pid || pid === process.pid || !(0, lock_1.isAlive)(pid));
}
/** Removes the store's own files but those to be kept, and what killed writers left. */
async function clear(folder, keep) {
    const kept = new Set(keep);
    const files = (0, store_1.ownFiles)(folder).filter((name) => !kept.has(name) && name !== store_1.MANIFEST && name !== store_1.UNFINISHED);
    // the manifest first: a folder without it is not taken for a finished store; the run's record last: it tells that this is one
    const order = [store_1.MANIFEST, ...(0, node_fs_1.readdirSync)(folder).filter(isLeft), ...files, ...(kept.has(store_1.UNFINISHED) ? [] : [store_1.UNFINISHED])];
    for (const name of order)
        await (0, promises_1.rm)((0, node_path_1.join)(folder, name), { force: true });
}
const writeJson = (path, value) => (0, files_1.writeAtomic)(path, [JSON.stringify(value, null, 2) + "\n"]);
async function tokenize(model, documents, progress) {
    const tell = (0, progress_1.meter)("tokenize", documents.length, "documents", progress);
    const all = [];
    let rested = Date.now();
    for (const [i, document] of documents.entries()) {
        const tokens = model.tokenizer.encode(document.text);
        if (!tokens.ids.length) {
            throw new errors_1.TextError(`documents[${i}] ("${document.id}"): expected tokens, found none in ${JSON.stringify(document.text.slice(0, 40))}. ` +
                "Leave this document out.");
        }
        all.push(tokens);
        tell(i + 1);
        if (Date.now() - rested > 50) {
            await (0, interrupt_1.breathe)();
            (0, interrupt_1.stopIfInterrupted)("Nothing was changed: the texts were being cut into tokens.");
            rested = Date.now();
        }
    }
    return all;
}
async function writeTokens(path, tokens, total) {
    const first = new Int32Array(tokens.length + 1);
    tokens.forEach(({ ids }, i) => (first[i + 1] = first[i] + ids.length));
    const joined = (key) => {
        const out = new Int32Array(total);
        tokens.forEach((one, i) => out.set(one[key], first[i]));
        return out;
    };
    await (0, files_1.writeAtomic)(path, (0, safetensors_1.writeSafetensors)([
        ...["ids", "start", "end"].map((name) => ({ name, shape: [total], data: joined(name) })),
        { name: "first", shape: [first.length], data: first },
    ]));
}
/** Fills the shards that are missing. `unfinished` is kept up to date in memory and on disk. */
async function runModel(model, folder, unfinished, work, settings, progress) {
    const { documents, tokens, contexts, plans, total } = work;
    const { hooks } = unfinished;
    const names = hooks.map(({ name }) => name);
    const missing = plans.map((_, shard) => shard).filter((shard) => !unfinished.shards[shard]);
    const batchesOf = (shard) => (0, batches_1.planBatches)(contexts, plans[shard], settings.batchTokens);
    const jobs = missing.flatMap((shard) => batchesOf(shard).map((batch) => ({ shard, batch })));
    // A shard is gathered in document order in one of two buffers while the one before is being written out of the other.
    const capacity = missing.reduce((most, shard) => Math.max(most, plans[shard].tokens), 0);
    const newBuffer = () => ({
        x: hooks.map(({ width }) => new Float32Array(capacity * width)),
        norms: hooks.map(() => new Float64Array(capacity)),
    });
    const buffers = missing.length > 1 ? [newBuffer(), newBuffer()] : [newBuffer()];
    const places = new Int32Array(contexts.length); // row of each context's first token in its shard's buffer
    for (const { first, end } of plans) {
        for (let i = first + 1; i < end; i++)
            places[i] = places[i - 1] + contexts[i - 1].length;
    }
    let done = plans.reduce((sum, plan, i) => sum + (unfinished.shards[i] ? plan.tokens : 0), 0);
    const tell = (0, progress_1.meter)("harvest", total, "tokens", progress, done);
    let writing = Promise.resolve();
    const waiting = [];
    try {
        for (let job = 0, sent = 0, turn = 0; job < jobs.length; job++) {
            // Two batches are with the model's worker at a time: it has the next one at hand while this one's rows are put away.
            for (; sent < jobs.length && sent <= job + 1; sent++) {
                const run = model.run(jobs[sent].batch.map((i) => idsOf(tokens, contexts[i])), { hooks: names });
                run.catch(() => { }); // awaited below, or given up with the run
                waiting.push(run);
            }
            const { shard, batch } = jobs[job];
            const result = await waiting.shift();
            const buffer = buffers[turn % buffers.length];
            hooks.forEach(({ name, width }, h) => place(result[name], name, width, batch, buffer.x[h], buffer.norms[h]));
            for (const i of batch)
                done += contexts[i].length;
            if (jobs[job + 1]?.shard !== shard) {
                await writing; // its buffer is the one that comes next
                writing = writeShard(shard, buffer);
                writing.catch(() => { });
                turn++;
            }
            if (job === jobs.length - 1)
                await writing;
            tell(done, `shard ${shard + 1} of ${plans.length}`);
            await (0, interrupt_1.breathe)();
            if ((0, interrupt_1.interrupted)() && job < jobs.length - 1) {
                await writing;
                const { documentsKept } = unfinished;
                (0, interrupt_1.stopIfInterrupted)(unfinished.shards.some(Boolean)
                    ? `${documentsKept} of ${documents.length} documents are kept in ${folder}: run harvest again to go on.`
                    : "The first shard was not full yet, so nothing is kept: smaller { shardRows } keep more.");
            }
        }
    }
    finally {
        await Promise.allSettled([writing, ...waiting]); // nothing of this run happens after it has ended
    }
    /** Copies a batch's rows to their places and takes their norms. */
    function place(rows, hook, width, batch, into, norms) {
        const count = batch.reduce((sum, i) => sum + contexts[i].lead + contexts[i].length, 0);
        if (rows?.length !== count * width) {
            throw new errors_1.EngineError(`${hook}: expected ${count} rows of ${width} from the model, found ${rows ? `${rows.length} numbers` : "nothing"}. ` +
                "The model's graph does not fit its config.json.");
        }
        let at = 0;
        for (const i of batch) {
            const { length, document, from, lead } = contexts[i];
            at += lead;
            const piece = rows.subarray(at * width, (at + length) * width);
            const bad = (0, norms_1.rowNorms)(piece, width, norms.subarray(places[i], places[i] + length));
            if (bad >= 0) {
                const found = piece.subarray(bad * width, (bad + 1) * width).find((value) => !Number.isFinite(value));
                throw new errors_1.ModelError(`${hook}: expected finite activations, found ${found} ` +
                    `at document ${document} ("${documents[document].id}"), position ${from + bad}. ` +
                    "Half-precision weights can overflow: open the model in float32. If it is in float32, its files are damaged.");
            }
            into.set(piece, places[i] * width);
            at += length;
        }
    }
    /** Drops sinks, closes the gaps and puts the shard on disk, then on record. */
    async function writeShard(shard, { x, norms }) {
        const { first, end, tokens: count } = plans[shard];
        const isFirst = new Uint8Array(count);
        for (let i = first; i < end; i++)
            if (!contexts[i].lead)
                isFirst[places[i]] = 1; // behind a lead, that is the sink
        unfinished.settings.normLimits ??= norms.map((of) => (0, sinks_1.normLimit)(of.subarray(0, count), isFirst, settings));
        const { runs, dropped } = (0, sinks_1.keptRows)(norms, unfinished.settings.normLimits, isFirst, settings.dropFirst);
        const ints = () => new Int32Array(count);
        const origin = { document: ints(), position: ints(), token: ints(), start: ints(), end: ints() };
        for (let i = first; i < end; i++) {
            const { document, from, length } = contexts[i];
            const { ids, start, end: ends } = tokens[document];
            origin.document.fill(document, places[i], places[i] + length);
            origin.token.set(ids.subarray(from, from + length), places[i]);
            origin.start.set(start.subarray(from, from + length), places[i]);
            origin.end.set(ends.subarray(from, from + length), places[i]);
            for (let t = 0; t < length; t++)
                origin.position[places[i] + t] = from + t;
        }
        const rows = runs.reduce((sum, { from, to }) => sum + to - from, 0);
        const pieces = (0, safetensors_1.writeSafetensors)([
            ...hooks.map(({ name, width }, h) => ({ name, shape: [rows, width], data: (0, sinks_1.closeGaps)(x[h], width, runs) })),
            ...store_1.ORIGIN_TENSORS.map((name) => ({ name, shape: [rows], data: (0, sinks_1.closeGaps)(origin[name], 1, runs) })),
        ]);
        await (0, files_1.writeAtomic)((0, node_path_1.join)(folder, (0, store_1.shardFile)(shard)), pieces);
        const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
        unfinished.shards[shard] = { file: (0, store_1.shardFile)(shard), rows, bytes, dropped };
        unfinished.documentsKept = (0, batches_1.wholeDocuments)(unfinished.shards.map(Boolean), plans, contexts, documents.length);
        await writeJson((0, node_path_1.join)(folder, store_1.UNFINISHED), unfinished);
    }
}
/** Tokens that the tokenizer itself puts before a text, such as `<s>`: special, and of none of its characters. */
function leadOf({ tokenizer }, { ids, start, end }) {
    let lead = 0;
    while (lead < ids.length && tokenizer.isSpecial(ids[lead]) && start[lead] === 0 && end[lead] === 0)
        lead++;
    return lead;
}
function idsOf(tokens, { document, from, length, lead }) {
    const { ids } = tokens[document];
    if (!lead)
        return ids.subarray(from, from + length);
    const out = new Int32Array(lead + length);
    out.set(ids.subarray(0, lead));
    out.set(ids.subarray(from, from + length), lead);
    return out;
}
//# sourceMappingURL=harvest.js.map