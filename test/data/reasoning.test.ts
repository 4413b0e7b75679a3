import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { generate, generateDocument, labels, type Label } from "../../data/reasoning/generate";
import { corpusCount, corpusLine, corpusSeed, streamSeed } from "../../data/reasoning/prepare";
import { kinds, makePuzzle, solve } from "../../data/reasoning/puzzles";
import { expand, random } from "../../data/reasoning/phrases";

const root = resolve(__dirname, "../../..");
const corpusFile = join(root, "data/reasoning/corpus.jsonl");

interface Line {
  id: string;
  text: string;
  spans: { start: number; end: number; label: Label }[];
  split: "train" | "heldout";
}

const corpusBytes = readFileSync(corpusFile);
const corpus = corpusBytes.toString("utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as Line);

/** The pieces a tokenizer of the Qwen2 kind sees: its split, then its merges in order, on bytes shown as letters. */
function readTokenizer(file: string): (text: string) => string[] {
  const spec = JSON.parse(readFileSync(file, "utf8")) as { model: { merges: ([string, string] | string)[] } };
  const rank = new Map(spec.model.merges.map((m, i) => [typeof m === "string" ? m : m.join(" "), i]));
  const printable = [...Array(256).keys()].filter((b) => (b > 32 && b < 127) || (b > 160 && b !== 173));
  const letter = new Map<number, string>(printable.map((b) => [b, String.fromCharCode(b)]));
  for (let b = 0, next = 256; b < 256; b++) if (!letter.has(b)) letter.set(b, String.fromCharCode(next++));
  const pieces = /'(?:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/giu;
  const known = new Map<string, string[]>();
  const merge = (piece: string): string[] => {
    const symbols = [...Buffer.from(piece, "utf8")].map((b) => letter.get(b) as string);
    for (;;) {
      let best = Infinity;
      let at = -1;
      for (let i = 0; i + 1 < symbols.length; i++) {
        const r = rank.get(`${symbols[i]} ${symbols[i + 1]}`) ?? Infinity;
        if (r < best) [best, at] = [r, i];
      }
      if (at < 0) return symbols;
      symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
    }
  };
  return (text) => (text.match(pieces) ?? []).flatMap((piece) => {
    if (!known.has(piece)) known.set(piece, merge(piece));
    return known.get(piece) as string[];
  });
}

test("the same seed gives the same document, another seed another one", () => {
  for (const seed of [0, 1, 99_999]) assert.deepEqual(generateDocument(seed), generateDocument(seed));
  assert.notEqual(generateDocument(0).text, generateDocument(1).text);
  assert.deepEqual([...generate({ count: 5, seed: 3 })], [...generate({ count: 5, seed: 3 })]);
});

test("a template's slots are filled, a missing one is named", () => {
  assert.equal(expand(random(0), "{a} is [{a}|{a}] .", { a: 3 }), "3 is 3.");
  assert.throws(() => expand(random(0), "{a} and {b}", { a: 3 }), /expected a value for \{b\}/);
});

test("every answer can be computed again, and is the only one", () => {
  for (const kind of kinds) {
    for (let seed = 0; seed < 300; seed++) {
      const puzzle = makePuzzle(random(seed), kind);
      assert.equal(solve(puzzle.facts), puzzle.answer, `${kind}, seed ${seed}: ${puzzle.text}`);
    }
  }
});

test("puzzle texts hold the numbers and names of their facts", () => {
  for (let seed = 0; seed < 500; seed++) {
    const { text, facts } = makePuzzle(random(seed));
    const parts = "names" in facts ? facts.names : facts.kind === "parity" ? facts.numbers : facts.kind === "shop" ? [facts.start] : [facts.start];
    for (const part of parts) assert.match(text, new RegExp(`(^|[^\\d\\p{L}])${part}($|[^\\d\\p{L}])`, "u"), text);
  }
});

test("what is taken back was derived before, and is derived again, differently", () => {
  let takenBack = 0;
  for (const document of generate({ count: 1500, seed: 50_000 })) {
    const sentences = document.spans.map(({ start, end, label }) => ({ text: document.text.slice(start, end), label }));
    sentences.forEach(({ label }, i) => {
      if (label !== "backtracking") return;
      takenBack++;
      const before = sentences.slice(0, i).findLastIndex((s) => s.label === "deduction");
      assert.ok(before >= 0, `nothing to take back in ${document.text}`);
      const after = sentences.slice(i + 1).find((s) => s.label !== "initializing");
      assert.equal(after?.label, "deduction", "what was taken back is done again");
      assert.notEqual(after?.text, sentences[before].text);
    });
  }
  assert.ok(takenBack > 500, `only ${takenBack} sentences take something back`);
});

test("arithmetic that a deduction or a check states is right, unless it is taken back as a slip", () => {
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
      if (right !== Number(r)) wrong++;
    }
  }
  assert.ok(stated > 4000, `${stated} statements read`);
  assert.ok(wrong <= slips, `${wrong} wrong statements, ${slips} slips taken back`);
});

test("spans are the sentences of the think block, one after the other", () => {
  for (const { id, text, spans } of corpus) {
    const open = text.indexOf("<think>\n") + "<think>\n".length;
    const close = text.indexOf("\n</think>\nAnswer: ");
    assert.ok(open > 8 && close > open, `${id}: no think block`);
    let at = open;
    for (const { start, end } of spans) {
      assert.match(text.slice(at, start), at === open ? /^$/ : /^[ \n]$/, `${id}: gap before ${start}`);
      assert.match(text.slice(start, end), /^["\p{Lu}\d][^.?]*[.?]$/u, `${id}: not one sentence`);
      at = end;
    }
    assert.equal(at, close, `${id}: text after the last span`);
  }
});

test("all six behaviours have a share of at least 4 %, in both parts", () => {
  for (const part of ["train", "heldout"] as const) {
    const spans = corpus.filter(({ split }) => split === part).flatMap((line) => line.spans);
    for (const label of labels) {
      const share = spans.filter((span) => span.label === label).length / spans.length;
      assert.ok(share >= 0.04, `${part}: ${label} ${share}`);
    }
  }
});

test("no single word or token gives a behaviour away: best AUROC on the held-out part at most 0.8", () => {
  const encode = readTokenizer(join(root, "data/tiny-reasoner/tokenizer.json"));
  const sentences = corpus.filter(({ split }) => split === "heldout")
    .flatMap(({ text, spans }) => spans.map(({ start, end, label }) => ({ label, before: text[start - 1], text: text.slice(start, end) })));
  const ways: [string, (s: typeof sentences[number]) => string[]][] = [
    ["token", (s) => encode(s.before === " " ? ` ${s.text}` : s.text)],
    ["word", (s) => s.text.split(/\s+/)],
    ["lower-case word", (s) => s.text.toLowerCase().match(/[\p{L}]+|\d+|[^\s\p{L}\d]/gu) ?? []],
  ];
  for (const [way, split] of ways) {
    const seen = new Map<string, Map<Label, number>>();
    for (const sentence of sentences) {
      for (const token of new Set(split(sentence))) {
        const counts = seen.get(token) ?? seen.set(token, new Map()).get(token) as Map<Label, number>;
        counts.set(sentence.label, (counts.get(sentence.label) ?? 0) + 1);
      }
    }
    for (const label of labels) {
      const positives = sentences.filter((s) => s.label === label).length;
      let best = { token: "", auroc: 0.5 };
      for (const [token, counts] of seen) {
        const hits = counts.get(label) ?? 0;
        const others = [...counts.values()].reduce((a, b) => a + b) - hits;
        // Presence is a yes or no: AUROC = 1/2 + (hit rate − false alarm rate)/2; absence counts as a detector too.
        const auroc = 0.5 + Math.abs(hits / positives - others / (sentences.length - positives)) / 2;
        if (auroc > best.auroc) best = { token, auroc };
      }
      console.log(`${label}: best ${way} ${JSON.stringify(best.token)}, held-out AUROC ${best.auroc.toFixed(3)}`);
      assert.ok(best.auroc <= 0.8, `${label}: ${way} ${best.token} has AUROC ${best.auroc}`);
    }
  }
});

test("the committed corpus is what the generator makes, and the README has its hash and counts", () => {
  let index = 0;
  for (const document of generate({ count: 300, seed: corpusSeed })) {
    assert.deepEqual(JSON.parse(corpusLine(document, index)), corpus[index], `document ${index}`);
    index++;
  }
  assert.equal(corpus.length, corpusCount);
  assert.ok(corpusBytes.length <= 5_000_000, `${corpusBytes.length} bytes`);
  const readme = readFileSync(join(root, "data/reasoning/README.md"), "utf8");
  assert.ok(readme.includes(createHash("sha256").update(corpusBytes).digest("hex")), "README.md: the corpus' SHA-256 is missing");
  assert.ok(readme.includes(corpus.length.toLocaleString("en")), "README.md: the number of documents is missing");
});

test("no puzzle occurs twice, and the training stream leaves out the corpus' puzzles", () => {
  const puzzle = (text: string) => text.slice(0, text.indexOf("\n<think>"));
  const ours = new Set(corpus.map(({ text }) => puzzle(text)));
  assert.equal(ours.size, corpus.length);
  for (const document of generate({ count: 2000, seed: streamSeed, without: new Set(ours) })) {
    assert.ok(!ours.has(document.puzzle.text));
  }
});

test("tiny-reasoner: the tensors are those of its config, and the files fit", () => {
  const folder = join(root, "data/tiny-reasoner");
  const files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];
  const bytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  assert.ok(bytes <= 12_000_000, `${bytes} bytes`);
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as Record<string, number>;
  const { hidden_size: d, intermediate_size: m, vocab_size: v, num_hidden_layers: layers } = config;
  const kv = (d / config.num_attention_heads) * config.num_key_value_heads;
  const want: Record<string, number[]> = { "model.embed_tokens.weight": [v, d], "model.norm.weight": [d] };
  for (let i = 0; i < layers; i++) {
    const shapes: Record<string, number[]> = {
      "input_layernorm.weight": [d], "post_attention_layernorm.weight": [d],
      "self_attn.q_proj.weight": [d, d], "self_attn.q_proj.bias": [d], "self_attn.k_proj.weight": [kv, d], "self_attn.k_proj.bias": [kv],
      "self_attn.v_proj.weight": [kv, d], "self_attn.v_proj.bias": [kv], "self_attn.o_proj.weight": [d, d],
      "mlp.gate_proj.weight": [m, d], "mlp.up_proj.weight": [m, d], "mlp.down_proj.weight": [d, m],
    };
    for (const [name, shape] of Object.entries(shapes)) want[`model.layers.${i}.${name}`] = shape;
  }
  const file = readFileSync(join(folder, "model.safetensors"));
  const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString("utf8")) as
    Record<string, { dtype: string; shape: number[] }>;
  delete header.__metadata__;
  assert.deepEqual(Object.fromEntries(Object.entries(header).map(([name, t]) => [name, t.shape])), want);
  assert.ok(Object.values(header).every((t) => t.dtype === "F32"));
  const tokenizer = JSON.parse(readFileSync(join(folder, "tokenizer.json"), "utf8")) as { added_tokens: { content: string }[]; model: { vocab: object } };
  assert.equal(Object.keys(tokenizer.model.vocab).length, v);
  assert.deepEqual(tokenizer.added_tokens.map((t) => t.content), ["<|endoftext|>", "<|pad|>", "<think>", "</think>"]);
});
