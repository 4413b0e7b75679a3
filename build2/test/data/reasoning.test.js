"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const generate_1 = require("../../data/reasoning/generate");
const prepare_1 = require("../../data/reasoning/prepare");
const puzzles_1 = require("../../data/reasoning/puzzles");
const phrases_1 = require("../../data/reasoning/phrases");
const root = (0, node_path_1.resolve)(__dirname, "../../..");
const corpusFile = (0, node_path_1.join)(root, "data/reasoning/corpus.jsonl");
const corpusBytes = (0, node_fs_1.readFileSync)(corpusFile);
const corpus = corpusBytes.toString("utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
/** The pieces a tokenizer of the Qwen2 kind sees: its split, then its merges in order, on bytes shown as letters. */
function readTokenizer(file) {
    const spec = JSON.parse((0, node_fs_1.readFileSync)(file, "utf8"));
    const rank = new Map(spec.model.merges.map((m, i) => [typeof m === "string" ? m : m.join(" "), i]));
    const printable = [...Array(256).keys()].filter((b) => (b > 32 && b < 127) || (b > 160 && b !== 173));
    const letter = new Map(printable.map((b) => [b, String.fromCharCode(b)]));
    for (let b = 0, next = 256; b < 256; b++)
        if (!letter.has(b))
            letter.set(b, String.fromCharCode(next++));
    const pieces = /'(?:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/giu;
    const known = new Map();
    const merge = (piece) => {
        const symbols = [...Buffer.from(piece, "utf8")].map((b) => letter.get(b));
        for (;;) {
            let best = Infinity;
            let at = -1;
            for (let i = 0; i + 1 < symbols.length; i++) {
                const r = rank.get(`${symbols[i]} ${symbols[i + 1]}`) ?? Infinity;
                if (r < best)
                    [best, at] = [r, i];
            }
            if (at < 0)
                return symbols;
            symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
        }
    };
    return (text) => (text.match(pieces) ?? []).flatMap((piece) => {
        if (!known.has(piece))
            known.set(piece, merge(piece));
        return known.get(piece);
    });
}
(0, node_test_1.test)("the same seed gives the same document, another seed another one", () => {
    for (const seed of [0, 1, 99_999])
        strict_1.default.deepEqual((0, generate_1.generateDocument)(seed), (0, generate_1.generateDocument)(seed));
    strict_1.default.notEqual((0, generate_1.generateDocument)(0).text, (0, generate_1.generateDocument)(1).text);
    strict_1.default.deepEqual([...(0, generate_1.generate)({ count: 5, seed: 3 })], [...(0, generate_1.generate)({ count: 5, seed: 3 })]);
});
(0, node_test_1.test)("a template's slots are filled, a missing one is named", () => {
    strict_1.default.equal((0, phrases_1.expand)((0, phrases_1.random)(0), "{a} is [{a}|{a}] .", { a: 3 }), "3 is 3.");
    strict_1.default.throws(() => (0, phrases_1.expand)((0, phrases_1.random)(0), "{a} and {b}", { a: 3 }), /expected a value for \{b\}/);
});
(0, node_test_1.test)("every answer can be computed again, and is the only one", () => {
    for (const kind of puzzles_1.kinds) {
        for (let seed = 0; seed < 300; seed++) {
            const puzzle = (0, puzzles_1.makePuzzle)((0, phrases_1.random)(seed), kind);
            strict_1.default.equal((0, puzzles_1.solve)(puzzle.facts), puzzle.answer, `${kind}, seed ${seed}: ${puzzle.text}`);
        }
    }
});
(0, node_test_1.test)("puzzle texts hold the numbers and names of their facts", () => {
    for (let seed = 0; seed < 500; seed++) {
        const { text, facts } = (0, puzzles_1.makePuzzle)((0, phrases_1.random)(seed));
        const parts = "names" in facts ? facts.names : facts.kind === "parity" ? facts.numbers : facts.kind === "shop" ? [facts.start] : [facts.start];
        for (const part of parts)
            strict_1.default.match(text, new RegExp(`(^|[^\\d\\p{L}])${part}($|[^\\d\\p{L}])`, "u"), text);
    }
});
(0, node_test_1.test)("what is taken back was derived before, and is derived again, differently", () => {
    let takenBack = 0;
    for (const document of (0, generate_1.generate)({ count: 1500, seed: 50_000 })) {
        const sentences = document.spans.map(({ start, end, label }) => ({ text: document.text.slice(start, end), label }));
        sentences.forEach(({ label }, i) => {
            if (label !== "backtracking")
                return;
            takenBack++;
            const before = sentences.slice(0, i).findLastIndex((s) => s.label === "deduction");
            strict_1.default.ok(before >= 0, `nothing to take back in ${document.text}`);
            const after = sentences.slice(i + 1).find((s) => s.label !== "initializing");
            strict_1.default.equal(after?.label, "deduction", "what was taken back is done again");
            strict_1.default.notEqual(after?.text, sentences[before].text);
        });
    }
    strict_1.default.ok(takenBack > 500, `only ${takenBack} sentences take something back`);
});
(0, node_test_1.test)("arithmetic that a deduction or a check states is right, unless it is taken back as a slip", () => {
    let stated = 0;
    let wrong = 0;
    let slips = 0;
    const sum = /(\d+) (plus|\+|minus|-|times|\*|divided by|\/) (\d+)(?: =| is| gives| makes| comes to| would be) (\d+)(?!\d| [-+*/]| plus| minus| times)/g;
    for (const { text } of corpus) {
        const trace = text.slice(text.indexOf("<think>"));
        slips += (trace.match(/by (one|two|ten) in|(one|two|ten) (off|too far)/g) ?? []).length;
        for (const [, a, op, b, r] of trace.matchAll(sum)) {
            const [x, y] = [Number(a), Number(b)];
            const right = /plus|\+/.test(op) ? x + y : /minus|-/.test(op) ? x - y : /times|\*/.test(op) ? x * y : x / y;
            stated++;
            if (right !== Number(r))
                wrong++;
        }
    }
    strict_1.default.ok(stated > 4000, `${stated} statements read`);
    strict_1.default.ok(wrong <= slips, `${wrong} wrong statements, ${slips} slips taken back`);
});
(0, node_test_1.test)("spans are the sentences of the think block, one after the other", () => {
    for (const { id, text, spans } of corpus) {
        const open = text.indexOf("<think>\n") + "<think>\n".length;
        const close = text.indexOf("\n</think>\nAnswer: ");
        strict_1.default.ok(open > 8 && close > open, `${id}: no think block`);
        let at = open;
        for (const { start, end } of spans) {
            strict_1.default.match(text.slice(at, start), at === open ? /^$/ : /^[ \n]$/, `${id}: gap before ${start}`);
            strict_1.default.match(text.slice(start, end), /^["\p{Lu}\d][^.?]*[.?]$/u, `${id}: not one sentence`);
            at = end;
        }
        strict_1.default.equal(at, close, `${id}: text after the last span`);
    }
});
(0, node_test_1.test)("all six behaviours have a share of at least 4 %, in both parts", () => {
    for (const part of ["train", "heldout"]) {
        const spans = corpus.filter(({ split }) => split === part).flatMap((line) => line.spans);
        for (const label of generate_1.labels) {
            const share = spans.filter((span) => span.label === label).length / spans.length;
            strict_1.default.ok(share >= 0.04, `${part}: ${label} ${share}`);
        }
    }
});
(0, node_test_1.test)("no single word or token gives a behaviour away: best AUROC on the held-out part at most 0.8", () => {
    const encode = readTokenizer((0, node_path_1.join)(root, "data/tiny-reasoner/tokenizer.json"));
    const sentences = corpus.filter(({ split }) => split === "heldout")
        .flatMap(({ text, spans }) => spans.map(({ start, end, label }) => ({ label, before: text[start - 1], text: text.slice(start, end) })));
    const ways = [
        ["token", (s) => encode(s.before === " " ? ` ${s.text}` : s.text)],
        ["word", (s) => s.text.split(/\s+/)],
        ["lower-case word", (s) => s.text.toLowerCase().match(/[\p{L}]+|\d+|[^\s\p{L}\d]/gu) ?? []],
    ];
    for (const [way, split] of ways) {
        const seen = new Map();
        for (const sentence of sentences) {
            for (const token of new Set(split(sentence))) {
                const counts = seen.get(token) ?? seen.set(token, new Map()).get(token);
                counts.set(sentence.label, (counts.get(sentence.label) ?? 0) + 1);
            }
        }
        for (const label of generate_1.labels) {
            const positives = sentences.filter((s) => s.label === label).length;
            let best = { token: "", auroc: 0.5 };
            for (const [token, counts] of seen) {
                const hits = counts.get(label) ?? 0;
                const others = [...counts.values()].reduce((a, b) => a + b) - hits;
                // Presence is a yes or no: AUROC = 1/2 + (hit rate − false alarm rate)/2; absence counts as a detector too.
                const auroc = 0.5 + Math.abs(hits / positives - others / (sentences.length - positives)) / 2;
                if (auroc > best.auroc)
                    best = { token, auroc };
            }
            console.log(`${label}: best ${way} ${JSON.stringify(best.token)}, held-out AUROC ${best.auroc.toFixed(3)}`);
            strict_1.default.ok(best.auroc <= 0.8, `${label}: ${way} ${best.token} has AUROC ${best.auroc}`);
        }
    }
});
(0, node_test_1.test)("the committed corpus is what the generator makes, and the README has its hash and counts", () => {
    let index = 0;
    for (const document of (0, generate_1.generate)({ count: 300, seed: prepare_1.corpusSeed })) {
        strict_1.default.deepEqual(JSON.parse((0, prepare_1.corpusLine)(document, index)), corpus[index], `document ${index}`);
        index++;
    }
    strict_1.default.equal(corpus.length, prepare_1.corpusCount);
    strict_1.default.ok(corpusBytes.length <= 5_000_000, `${corpusBytes.length} bytes`);
    const readme = (0, node_fs_1.readFileSync)((0, node_path_1.join)(root, "data/reasoning/README.md"), "utf8");
    strict_1.default.ok(readme.includes((0, node_crypto_1.createHash)("sha256").update(corpusBytes).digest("hex")), "README.md: the corpus' SHA-256 is missing");
    strict_1.default.ok(readme.includes(corpus.length.toLocaleString("en")), "README.md: the number of documents is missing");
});
(0, node_test_1.test)("no puzzle occurs twice, and the training stream leaves out the corpus' puzzles", () => {
    const puzzle = (text) => text.slice(0, text.indexOf("\n<think>"));
    const ours = new Set(corpus.map(({ text }) => puzzle(text)));
    strict_1.default.equal(ours.size, corpus.length);
    for (const document of (0, generate_1.generate)({ count: 2000, seed: prepare_1.streamSeed, without: new Set(ours) })) {
        strict_1.default.ok(!ours.has(document.puzzle.text));
    }
});
(0, node_test_1.test)("tiny-reasoner: the tensors are those of its config, and the files fit", () => {
    const folder = (0, node_path_1.join)(root, "data/tiny-reasoner");
    const files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];
    const bytes = files.reduce((sum, name) => sum + (0, node_fs_1.statSync)((0, node_path_1.join)(folder, name)).size, 0);
    strict_1.default.ok(bytes <= 12_000_000, `${bytes} bytes`);
    const config = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "config.json"), "utf8"));
    const { hidden_size: d, intermediate_size: m, vocab_size: v, num_hidden_layers: layers } = config;
    const kv = (d / config.num_attention_heads) * config.num_key_value_heads;
    const want = { "model.embed_tokens.weight": [v, d], "model.norm.weight": [d] };
    for (let i = 0; i < layers; i++) {
        const shapes = {
            "input_layernorm.weight": [d], "post_attention_layernorm.weight": [d],
            "self_attn.q_proj.weight": [d, d], "self_attn.q_proj.bias": [d], "self_attn.k_proj.weight": [kv, d], "self_attn.k_proj.bias": [kv],
            "self_attn.v_proj.weight": [kv, d], "self_attn.v_proj.bias": [kv], "self_attn.o_proj.weight": [d, d],
            "mlp.gate_proj.weight": [m, d], "mlp.up_proj.weight": [m, d], "mlp.down_proj.weight": [d, m],
        };
        for (const [name, shape] of Object.entries(shapes))
            want[`model.layers.${i}.${name}`] = shape;
    }
    const file = (0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "model.safetensors"));
    const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString("utf8"));
    delete header.__metadata__;
    strict_1.default.deepEqual(Object.fromEntries(Object.entries(header).map(([name, t]) => [name, t.shape])), want);
    strict_1.default.ok(Object.values(header).every((t) => t.dtype === "F32"));
    const tokenizer = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "tokenizer.json"), "utf8"));
    strict_1.default.equal(Object.keys(tokenizer.model.vocab).length, v);
    strict_1.default.deepEqual(tokenizer.added_tokens.map((t) => t.content), ["<|endoftext|>", "<|pad|>", "<think>", "</think>"]);
});
//# sourceMappingURL=reasoning.test.js.map