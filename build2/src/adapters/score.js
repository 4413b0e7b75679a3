"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.scoreLabels = scoreLabels;
const node_os_1 = require("node:os");
const collect_1 = require("../core/collect");
const controls_1 = require("../core/controls");
const errors_1 = require("../core/errors");
const random_1 = require("../core/random");
const ranking_1 = require("../core/ranking");
const score_1 = require("../core/score");
const scoretable_1 = require("../core/scoretable");
const split_1 = require("../core/split");
const token_1 = require("../core/token");
const collect_2 = require("./collect");
const interrupt_1 = require("./interrupt");
const pieces_1 = require("./pieces");
const progress_1 = require("./progress");
const progressbar_1 = require("./progressbar");
const show_1 = require("./show");
const CHUNK = 65_536; // rows of codes read at once
const SCRATCH = 2 ** 24; // scores of random directions held at once: 64 MB
const COLUMNS = 16; // float32 numbers in a cache line
const POOLS = score_1.POOLINGS.length;
const STOPPED = "No scores were kept: ask again.";
async function scoreLabels(from, second, third) {
    if ("codes" in from)
        return score(from, second ?? {});
    const options = third ?? {};
    checkOptions(options);
    const features = await (0, collect_2.collect)(from, second, { progress: options.progress });
    try {
        return await score(features, options);
    }
    finally {
        features.close();
    }
}
async function score(features, options) {
    checkOptions(options);
    const { resamples = 400, seed = 0, progress = (0, progressbar_1.defaultProgress)() } = options;
    const told = (0, progress_1.meter)("score", 4, "stages", progress);
    const task = await taskOf(features, await features.store(), options.labels);
    requireMemory(task);
    const latents = await bestLatents(task);
    told(1, "latents");
    const means = await sentenceMeans(task);
    const directions = await bestDirections(task, means, seed);
    told(2, "random directions");
    const texts = await textControls(task, seed);
    told(3, "text");
    const activations = await activationControls(task, means.all, seed);
    const { sentences, train, test } = task;
    const scored = [];
    for (const [l, label] of sentences.labels.entries()) {
        const { latent, pool } = latents.best[l];
        const candidates = [latents.best[l].candidate, texts.keyword(l), directions[l]];
        candidates.push(...texts.others(l));
        await pause();
        candidates.push(...activations(l));
        await pause();
        const positive = positives(test, l);
        const intervals = await (0, pieces_1.inPieces)((0, ranking_1.bootstrap)(candidates.map(({ scores }) => scores), positive, test.of.map((s) => sentences.document[s]), (0, random_1.random)(seed, 4), resamples), STOPPED);
        const detectors = candidates.map(({ scores, ...candidate }, i) => ({
            ...candidate,
            heldout: (0, ranking_1.auroc)(scores, positive),
            averagePrecision: (0, ranking_1.averagePrecision)(scores, positive),
            ...intervals[i],
        }));
        const counts = { train: total(positives(train, l)), heldout: total(positive) };
        scored.push({
            label,
            latent,
            pooling: pool,
            positives: counts,
            baseRate: counts.heldout / test.of.length,
            detectors,
            ...(0, scoretable_1.verdictOf)(detectors, counts.heldout),
        });
        await pause();
    }
    told(4);
    return labelScores(task, scored, latents.training);
}
/** @throws OptionError for what no score could come of */
function checkOptions({ labels, resamples = 1, seed = 0 }) {
    if (!Number.isSafeInteger(resamples) || resamples < 1)
        throw new errors_1.OptionError(`scoreLabels: resamples: expected a whole number from 1 on, found ${resamples}. The default is 400.`);
    if (!Number.isSafeInteger(seed))
        throw new errors_1.OptionError(`scoreLabels: seed: expected a whole number, found ${seed}.`);
    if (!labels)
        return;
    if (!labels.length)
        throw new errors_1.OptionError("scoreLabels: labels: expected at least one, found none. Leave it out for all labels.");
    const twice = labels.find((label, i) => labels.indexOf(label) !== i);
    if (twice !== undefined)
        throw new errors_1.OptionError(`scoreLabels: labels: expected each label once, found "${twice}" twice. Name it once.`);
}
async function pause() {
    (0, interrupt_1.stopIfInterrupted)(STOPPED);
    await (0, interrupt_1.breathe)();
}
async function taskOf(features, store, wanted) {
    const { hook, latents, d } = features.manifest.sae;
    if (features.manifest.split !== "all") {
        throw new errors_1.StoreError(`${features.path}: expected features of all rows, as scores are picked on training documents and reported on held-out ones, found "${features.manifest.split}". collect(store, sae) takes all.`);
    }
    if (!features.fired.some((n) => n > 0)) {
        throw new errors_1.StoreError(`${features.path}: expected latents that fire, found that all ${latents} are silent on these rows. ` +
            "Look at evaluate(sae, store): the SAE may belong to another hook or model.");
    }
    const documents = store.documents().map((document) => (document.spans ? document : { ...document, spans: [] }));
    const known = new Set(documents.flatMap(({ spans }) => spans.map(({ label }) => label)));
    const unknown = (wanted ?? []).filter((label) => !known.has(label));
    if (!known.size || unknown.length) {
        throw new errors_1.OptionError(`${store.path}: expected documents with labelled spans${unknown.length ? ` "${unknown.join('", "')}"` : ""}, ` +
            `found ${known.size ? `labels ${[...known].slice(0, 12).join(", ")}` : "none"}. readTexts reads them from JSONL: { text, spans: [{ start, end, label }] }.`);
    }
    const tokenIds = [];
    const offsets = (document) => {
        const tokens = store.tokens(document);
        tokenIds.push(tokens.ids);
        return tokens;
    };
    const all = await (0, pieces_1.inPieces)((0, score_1.sentencesOf)(documents, offsets, (0, split_1.splitDocuments)(documents), wanted), STOPPED);
    const origin = store.origin(0, features.rows);
    const rows = (0, score_1.rowSentences)(all, origin.document, origin.position);
    // where every sentence with rows carries a label, or none does, there is nothing to tell apart
    const leftOut = (0, score_1.oneSidedLabels)(all, rows);
    if (leftOut.length === all.labels.length || (wanted && leftOut.length)) {
        throw new errors_1.StoreError(`${store.path}: expected sentences with rows that carry the label, and some that do not, in training and in held-out documents, ` +
            `found one side only for "${leftOut.join('", "')}". Label more documents, other behaviours too${leftOut.length < all.labels.length ? ", or leave it out of { labels }" : ""}.`);
    }
    const sentences = (0, score_1.withoutLabels)(all, leftOut);
    const side = (heldout) => {
        const number = new Int32Array(sentences.count).fill(-1);
        const list = [];
        for (let s = 0; s < sentences.count; s++)
            if (sentences.heldout[s] === heldout && rows.rows[s] > 0)
                number[s] = list.push(s) - 1;
        const of = Int32Array.from(list);
        return { of, number, mask: of.map((s) => sentences.mask[s]) };
    };
    const [train, test] = [side(0), side(1)];
    const ranks = (0, ranking_1.ranking)(train.mask, sentences.labels.length);
    return { features, store, hook, d, latents, documents, tokenIds, sentences, rows, train, test, ranks, leftOut };
}
/** @throws OptionError if what is held at once would not fit */
function requireMemory({ features, store, d, latents, sentences }) {
    const firings = 8 * Math.min(2 ** 23, features.fired.reduce((sum, n) => sum + n, 0));
    const needed = 8 * sentences.count * d + 4 * SCRATCH + firings + 4 * POOLS * latents * sentences.labels.length;
    const available = process.availableMemory?.() ?? (0, node_os_1.freemem)();
    if (needed <= available)
        return;
    const megabytes = (bytes) => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
    throw new errors_1.OptionError(`${store.path}: expected ${megabytes(needed)} of free memory to score ${sentences.count.toLocaleString("en")} sentences × width ${d}, ` +
        `found ${megabytes(available)}. Close other programs, or harvest fewer of the documents into another store.`);
}
const positives = ({ mask }, l) => mask.map((m) => (m >> l) & 1);
const total = (list) => list.reduce((a, b) => a + b, 0);
const picked = (scores, of) => Float32Array.from(of, (s) => scores[s]);
/** A candidate from scores of all sentences: measured on training ones, its held-out ones kept. */
function candidate({ train, test }, l, what, scores) {
    return { ...what, train: (0, ranking_1.auroc)(picked(scores, train.of), positives(train, l)), scores: picked(scores, test.of) };
}
/** All latents × poolings, exactly; the best of each label is pooled on held-out sentences too. */
async function bestLatents({ features, latents, sentences, rows, train, test, ranks }) {
    const { labels } = sentences;
    const training = labels.map(() => new Float32Array(latents * POOLS).fill(0.5));
    const best = labels.map(() => ({ auroc: -1, at: -1 }));
    const scores = labels.map(() => new Float32Array(test.of.length));
    const [poolTrain, poolTest] = [(0, score_1.pooling)(rows, train.number), (0, score_1.pooling)(rows, test.number)];
    for (const block of (0, collect_1.latentBlocks)(features.fired)) {
        const { firings, add } = (0, collect_1.firingsOf)(features.fired, block.from, block.to);
        for (let from = 0; from < features.rows; from += CHUNK) {
            add(from, features.codes(from, Math.min(features.rows, from + CHUNK)));
            await pause();
        }
        await (0, pieces_1.inPieces)((0, score_1.scoreLatents)(firings, poolTrain, ranks, training), STOPPED);
        labels.forEach((_, l) => {
            let better = false;
            for (let i = block.from * POOLS; i < block.to * POOLS; i++) {
                if (!features.fired[Math.floor(i / POOLS)] || !(training[l][i] > best[l].auroc))
                    continue;
                best[l] = { auroc: training[l][i], at: i };
                better = true;
            }
            if (!better)
                return;
            const { item, scores: pooled } = poolTest(firings, Math.floor(best[l].at / POOLS));
            scores[l].fill(0);
            item.forEach((s, i) => (scores[l][s] = pooled[best[l].at % POOLS][i]));
        });
    }
    return {
        training,
        best: best.map(({ auroc: reached, at }, l) => {
            const [latent, pool] = [Math.floor(at / POOLS), score_1.POOLINGS[at % POOLS]];
            const what = `${latent}, ${pool}`;
            return {
                latent,
                pool,
                candidate: { kind: "latent", what, searched: latents * POOLS, train: reached, scores: scores[l] },
            };
        }),
    };
}
/** Calls `body` with every row that is in a sentence: x[at … at + d]. */
async function eachRow({ features, store, hook, d, rows }, body) {
    const step = Math.max(256, Math.floor(2 ** 21 / d));
    for (let from = 0; from < features.rows; from += step) {
        const to = Math.min(features.rows, from + step);
        const x = store.read(hook, from, to);
        for (let r = from; r < to; r++)
            if (rows.sentence[r] >= 0)
                body(r, rows.sentence[r], x, (r - from) * d);
        await pause();
    }
}
async function sentenceMeans(task) {
    const { d, rows, sentences } = task;
    const all = new Float32Array(sentences.count * d);
    const first = new Float32Array(sentences.count * d);
    await eachRow(task, (r, s, x, at) => {
        for (let i = 0; i < d; i++)
            all[s * d + i] += x[at + i] / rows.rows[s];
        if (rows.ordinal[r] >= score_1.FIRST)
            return;
        for (let i = 0; i < d; i++)
            first[s * d + i] += x[at + i] / Math.min(score_1.FIRST, rows.rows[s]);
    });
    return { all, first };
}
/** Product of each sentence's vector with a direction. */
const dots = (vectors, direction) => Float32Array.from({ length: vectors.length / direction.length }, (_, s) => {
    let sum = 0;
    for (let i = 0; i < direction.length; i++)
        sum += vectors[s * direction.length + i] * direction[i];
    return sum;
});
/** For each label the best of as many random directions as there are latents, with the same poolings. */
async function bestDirections(task, means, seed) {
    const { d, latents, sentences, train, ranks } = task;
    const directions = (0, controls_1.randomDirections)(d, latents, (0, random_1.random)(seed, 1));
    const best = sentences.labels.map(() => ({ auroc: -1, at: -1 }));
    const n = train.of.length;
    const together = Math.max(1, Math.min(directions.blocks, Math.floor(SCRATCH / (n * directions.size))));
    const out = new Float32Array(directions.size);
    const bins = new Float64Array(2048 * ranks.classes);
    const columns = new Float32Array(COLUMNS * n);
    const found = new Float64Array(best.length);
    for (let begin = 0; begin < directions.blocks; begin += together) {
        const blocks = Math.min(together, directions.blocks - begin);
        const width = blocks * directions.size;
        const firstOne = begin * directions.size;
        const scores = new Float32Array(n * width);
        const consider = function* (pool) {
            const p = score_1.POOLINGS.indexOf(pool);
            for (let j = 0; j < width && firstOne + j < latents; j++) {
                const c = j % COLUMNS;
                if (!c) {
                    // a few columns at a time, each cache line read once
                    yield;
                    for (let u = 0; u < n; u++)
                        for (let i = 0; i < COLUMNS; i++)
                            columns[i * n + u] = scores[u * width + j + i];
                }
                ranks.binned(columns.subarray(c * n, (c + 1) * n), bins, found);
                best.forEach((one, l) => {
                    if (found[l] > one.auroc)
                        best[l] = { auroc: found[l], at: (firstOne + j) * POOLS + p };
                });
            }
        };
        const ofSentences = function* (vectors) {
            for (let u = 0; u < n; u++) {
                if (u % 64 === 63)
                    yield;
                for (let b = 0; b < blocks; b++) {
                    directions.project(begin + b, vectors, train.of[u] * d, out);
                    scores.set(out, u * width + b * directions.size);
                }
            }
        };
        await (0, pieces_1.inPieces)(ofSentences(means.all), STOPPED);
        await (0, pieces_1.inPieces)(consider("mean"), STOPPED);
        await (0, pieces_1.inPieces)(ofSentences(means.first), STOPPED);
        await (0, pieces_1.inPieces)(consider("first five"), STOPPED);
        scores.fill(-Infinity);
        await eachRow(task, (_, s, x, at) => {
            const u = train.number[s];
            if (u < 0)
                return;
            for (let b = 0; b < blocks; b++) {
                directions.project(begin + b, x, at, out);
                const base = u * width + b * directions.size;
                for (let j = 0; j < out.length; j++)
                    if (out[j] > scores[base + j])
                        scores[base + j] = out[j];
            }
        });
        await (0, pieces_1.inPieces)(consider("max"), STOPPED);
    }
    const chosen = best.map(({ at }) => ({
        vector: directions.direction(Math.floor(at / POOLS)),
        pool: score_1.POOLINGS[at % POOLS],
    }));
    const scores = chosen.map(({ vector, pool }) => pool === "max"
        ? new Float32Array(sentences.count).fill(-Infinity)
        : dots(pool === "mean" ? means.all : means.first, vector));
    if (chosen.some(({ pool }) => pool === "max")) {
        await eachRow(task, (_, s, x, at) => chosen.forEach(({ vector, pool }, l) => {
            if (pool !== "max")
                return;
            let sum = 0;
            for (let i = 0; i < d; i++)
                sum += x[at + i] * vector[i];
            if (sum > scores[l][s])
                scores[l][s] = sum;
        }));
    }
    return chosen.map(({ pool }, l) => candidate(task, l, { kind: "random direction", what: pool, searched: latents * POOLS }, scores[l]));
}
/** What the text says: words, where and how long a sentence is, pairs of words. */
async function textControls(task, seed) {
    const { documents, tokenIds, sentences, train, ranks, store } = task;
    const texts = Array.from({ length: sentences.count }, (_, s) => documents[sentences.document[s]].text.slice(sentences.start[s], sentences.end[s]));
    const keywords = await (0, pieces_1.inPieces)((0, controls_1.bestKeywords)(sentences, texts, tokenIds, train.of, ranks), STOPPED);
    const grams = await (0, pieces_1.inPieces)((0, controls_1.textModel)(Array.from(train.of, (s) => texts[s]), train.mask, sentences.labels.length, (0, random_1.random)(seed, 2)), STOPPED);
    const gramScores = [];
    for (const [s, text] of texts.entries()) {
        if (s % 1024 === 1023)
            await pause();
        gramScores.push(grams(text));
    }
    const each = (value) => Float32Array.from({ length: sentences.count }, (_, s) => value(s));
    const positions = [
        { what: "late", scores: each((s) => sentences.first[s]) },
        { what: "early", scores: each((s) => -sentences.first[s]) },
        { what: "near the end", scores: each((s) => sentences.relative[s]) },
        { what: "near the beginning", scores: each((s) => -sentences.relative[s]) },
    ];
    const lengths = [
        { what: "long", scores: each((s) => sentences.tokens[s]) },
        { what: "short", scores: each((s) => -sentences.tokens[s]) },
    ];
    const better = (l, kind, list) => list
        .map(({ what, scores }) => candidate(task, l, { kind, what, searched: list.length }, scores))
        .reduce((best, one) => (one.train > best.train ? one : best));
    return {
        keyword(l) {
            const { key, absent, searched, scores } = keywords[l];
            const what = typeof key === "number" ? (0, token_1.visible)((0, token_1.bytesToText)(store.tokenizer.bytes(key))) : key;
            return candidate(task, l, { kind: "keyword", what, ...(absent ? { absent } : {}), searched }, scores);
        },
        others: (l) => [
            better(l, "position", positions),
            better(l, "length", lengths),
            candidate(task, l, { kind: "text model", what: "words and pairs of words", searched: 1 }, gramScores.map((z) => z[l])),
        ],
    };
}
/** What the activations say without an SAE: the difference of means, a probe. */
async function activationControls(task, means, seed) {
    const { d, sentences, train } = task;
    const probe = await (0, pieces_1.inPieces)((0, controls_1.logisticProbe)(means, d, train.of, train.mask, sentences.labels.length, (0, random_1.random)(seed, 3)), STOPPED);
    return (l) => [
        candidate(task, l, { kind: "difference of means", what: "mean", searched: 1 }, dots(means, (0, controls_1.classDifference)(means, d, train.of, positives(train, l)))),
        candidate(task, l, { kind: "probe", what: "logistic, mean", searched: 1 }, probe(means, l)),
    ];
}
/** The scores as something to ask and to show. The picked latents are read now: the features may be closed then. */
function labelScores(task, scored, training) {
    const { features, sentences, train, test, latents, leftOut } = task;
    const { labels } = sentences;
    const count = ({ of }) => ({
        sentences: of.length,
        documents: new Set(of.map((s) => sentences.document[s])).size,
    });
    const view = {
        labels: scored,
        latents,
        poolings: POOLS,
        train: count(train),
        heldout: count(test),
        skipped: sentences.count - train.of.length - test.of.length,
        leftOut,
    };
    const { words } = features;
    const known = new Map(scored.map(({ latent }) => [latent, features.feature(latent)]));
    const of = (label) => {
        const one = scored.find((labelled) => labelled.label === label);
        if (!one)
            throw new errors_1.OptionError(`scores: expected one of the labels ${labels.join(", ")}, found "${label}".`);
        return one;
    };
    const featureOf = (latent, label) => {
        const feature = (0, show_1.showing)({ ...known.get(latent), label }, () => (0, show_1.heatMap)(feature)[show_1.DISPLAY]());
        return feature;
    };
    return (0, show_1.showing)({
        ...view,
        of,
        training: (label) => training[labels.indexOf(of(label).label)],
        features(wanted = labels) {
            const mine = wanted.map(of);
            const list = [...new Set(mine.map(({ latent }) => latent))].map((latent) => featureOf(latent, mine
                .filter((one) => one.latent === latent)
                .map(({ label, detectors }) => `correlates with ${label} (held-out AUROC ${detectors[0].heldout.toFixed(2)})`)
                .join(", ")));
            const shown = Object.assign(list, { words, note: CONTEXTS });
            return (0, show_1.showing)(shown, () => (0, show_1.heatMap)(shown, { count: shown.length })[show_1.DISPLAY]());
        },
    }, () => ({
        "application/vnd.saelab.scores.v1+json": { version: 1, ...view },
        "text/html": (0, scoretable_1.scoresHtml)(view),
        "text/plain": (0, scoretable_1.scoresText)(view),
    }));
}
const CONTEXTS = "Contexts come from training and held-out documents alike; the scores beside the latents from held-out ones only.";
//# sourceMappingURL=score.js.map