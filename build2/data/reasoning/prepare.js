"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.streamSeed = exports.corpusSeed = exports.corpusCount = void 0;
exports.corpusLine = corpusLine;
/**
 * Writes corpus.jsonl beside the source: `node build/data/reasoning/prepare.js`.
 * With `--stream <file> --count <n>` it writes training texts for tiny-reasoner instead, one JSON string a line, from other
 * seeds and without any puzzle of the corpus; `--straight <share>` of them take no wrong turn. With `--puzzles <file>` it writes the puzzles of the corpus' held-out documents
 * ({kind, text, answer, options} a line; options: how many answers there are to choose from, 0 for a number).
 */
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const node_util_1 = require("node:util");
const generate_1 = require("./generate");
exports.corpusCount = 4200;
exports.corpusSeed = 0;
exports.streamSeed = 10_000_000; // far from the corpus' seeds
/** Every fifth document is held out. */
const split = (index) => (index % 5 === 4 ? "heldout" : "train");
/** One line of the corpus. */
function corpusLine(document, index) {
    const { id, text, spans } = document;
    return JSON.stringify({ id, text, spans, split: split(index) });
}
/** Written beside and moved into place: a file is whole or not there. */
function writeWhole(file, body) {
    (0, node_fs_1.writeFileSync)(`${file}.partial`, body);
    (0, node_fs_1.renameSync)(`${file}.partial`, file);
}
function writeCorpus(file) {
    const lines = [];
    const shares = Object.fromEntries(generate_1.labels.map((label) => [label, 0]));
    let spans = 0;
    for (const document of (0, generate_1.generate)({ count: exports.corpusCount, seed: exports.corpusSeed })) {
        lines.push(corpusLine(document, lines.length));
        for (const span of document.spans)
            shares[span.label]++;
        spans += document.spans.length;
    }
    const body = `${lines.join("\n")}\n`;
    writeWhole(file, body);
    console.log(`${file}: ${lines.length} documents, ${spans} sentences, ${Buffer.byteLength(body)} bytes`);
    console.log(`SHA-256 ${(0, node_crypto_1.createHash)("sha256").update(body).digest("hex")}`);
    for (const label of generate_1.labels)
        console.log(`${label}: ${((100 * shares[label]) / spans).toFixed(1)} %`);
}
function writeStream(file, count, straight) {
    const without = new Set();
    for (const document of (0, generate_1.generate)({ count: exports.corpusCount, seed: exports.corpusSeed, without }))
        void document;
    const out = (0, node_fs_1.openSync)(`${file}.partial`, "w");
    for (const document of (0, generate_1.generate)({ count, seed: exports.streamSeed, straight, without }))
        (0, node_fs_1.writeSync)(out, `${JSON.stringify(document.text)}\n`);
    (0, node_fs_1.closeSync)(out);
    (0, node_fs_1.renameSync)(`${file}.partial`, file);
    console.log(`${file}: ${count} documents`);
}
function writePuzzles(file) {
    const lines = [];
    let index = 0;
    for (const { puzzle } of (0, generate_1.generate)({ count: exports.corpusCount, seed: exports.corpusSeed })) {
        if (split(index++) !== "heldout")
            continue;
        const { facts, text, answer } = puzzle;
        const options = facts.kind === "parity" ? 2 : "names" in facts ? facts.names.length : 0;
        lines.push(JSON.stringify({ kind: facts.kind, text, answer, options }));
    }
    writeWhole(file, `${lines.join("\n")}\n`);
    console.log(`${file}: ${lines.length} puzzles`);
}
if (require.main === module) {
    const { values } = (0, node_util_1.parseArgs)({ options: { out: { type: "string" }, stream: { type: "string" }, count: { type: "string" }, straight: { type: "string" }, puzzles: { type: "string" } } });
    // Compiled files lie in build/data/reasoning; the corpus belongs beside the source.
    const beside = (0, node_path_1.resolve)(__dirname, "../../../data/reasoning");
    if (values.puzzles !== undefined)
        writePuzzles(values.puzzles);
    else if (values.stream === undefined)
        writeCorpus(values.out ?? (0, node_path_1.join)(beside, "corpus.jsonl"));
    else {
        const count = Number(values.count ?? 100_000);
        if (!Number.isInteger(count) || count < 1) {
            throw new RangeError(`--count: expected a whole number of documents, at least 1, found ${values.count}. Example: --count 100000.`);
        }
        const straight = Number(values.straight ?? 0);
        if (!(straight >= 0 && straight <= 1)) {
            throw new RangeError(`--straight: expected a share from 0 to 1, found ${values.straight}. Example: --straight 0.6.`);
        }
        writeStream(values.stream, count, straight);
    }
}
//# sourceMappingURL=prepare.js.map