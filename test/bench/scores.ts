import { performance } from "node:perf_hooks";
import type { Features } from "../../src/adapters/features";
import { scoreLabels } from "../../src/adapters/score";
import { random } from "../../src/core/random";
import type { Document, Sparse, Store } from "../../src/core/types";

/**
 * Codes of a million tokens, 65,536 latents, 32 of them a row, in documents of 1,000 tokens and sentences of about 17, each with one of six labels;
 * latents 0 to 5 follow one each. Rows of width 1,536 repeat after 8,192, so that they fit into memory. { setting: "small" }: an eighth of the latents, a tenth
 * of the tokens, width 384.
 */
const LABELS = ["initializing", "deduction", "adding-knowledge", "example-testing", "uncertainty-estimation", "backtracking"];
const K = 32;
const LENGTH = 1000; // tokens a document
const REPEAT = 8192;

function made(rows: number, latents: number, d: number): { features: Features; sentences: number } {
  const rng = random(1);
  const words = Array.from({ length: 2000 }, (_, i) => ` w${i.toString(36)}`);
  const [index, value] = [new Int32Array(rows * K), new Float32Array(rows * K)];
  const ids = new Int32Array(rows);
  const fired = new Int32Array(latents);
  const [start, end] = [new Int32Array(rows), new Int32Array(rows)];
  const documents: Document[] = [];
  let sentences = 0;
  for (let document = 0; document < rows / LENGTH; document++) {
    const text: string[] = [];
    const spans: Document["spans"] = [];
    let [at, left, label] = [0, 0, 0];
    for (let t = 0; t < LENGTH; t++) {
      const r = document * LENGTH + t;
      if (!left) {
        left = Math.min(LENGTH - t, 9 + rng.below(17));
        label = Math.floor(6 * rng.uniform() ** 1.5);
        spans.push({ start: at, end: at, label: LABELS[label] });
        sentences++;
      }
      left--;
      const word = Math.floor(words.length * rng.uniform() ** 2);
      ids[r] = word;
      text.push(words[word]);
      start[r] = at;
      end[r] = at += words[word].length;
      spans.at(-1)!.end = at;
      for (let j = 0; j < K; j++) {
        const f = j === 0 && rng.uniform() < 0.4 ? label : Math.floor(latents * rng.uniform() ** 1.5);
        const v = 1 + rng.uniform() * rng.uniform() * 8;
        index[r * K + j] = f;
        value[r * K + j] = v;
      }
      // a latent once a row
      const mine = index.subarray(r * K, (r + 1) * K).sort();
      for (let j = 0; j < K; j++) if (j && mine[j] === mine[j - 1]) value[r * K + j] = 0;
      for (let j = 0; j < K; j++) if (value[r * K + j] > 0) fired[mine[j]]++;
    }
    documents.push({ id: `d${document}`, text: text.join(""), spans, split: document % 4 === 3 ? "heldout" : "train" });
  }
  const some = Float32Array.from({ length: Math.min(rows, REPEAT) * d }, () => rng.normal());
  const held = some.length / d;
  const of = (list: Int32Array, document: number): Int32Array => list.slice(document * LENGTH, (document + 1) * LENGTH);
  const store = {
    path: "made",
    rows,
    documents: () => documents,
    tokens: (document: number) => ({ ids: of(ids, document), start: of(start, document), end: of(end, document) }),
    origin: (from: number, to: number) => ({
      document: Int32Array.from({ length: to - from }, (_, i) => Math.floor((from + i) / LENGTH)),
      position: Int32Array.from({ length: to - from }, (_, i) => (from + i) % LENGTH),
      token: ids.slice(from, to),
    }),
    read(_: string, from: number, to: number) {
      const x = new Float32Array((to - from) * d);
      for (let r = from; r < to;) {
        const at = r % held;
        const many = Math.min(to - r, held - at);
        x.set(some.subarray(at * d, (at + many) * d), (r - from) * d);
        r += many;
      }
      return x;
    },
    tokenizer: { bytes: (id: number) => new TextEncoder().encode(words[id]) },
  } as unknown as Store;
  const features = {
    path: "made",
    manifest: { sae: { hook: "layers.10", latents, k: K, d }, split: "all" },
    count: latents,
    rows,
    fired,
    words: { token: (id: number) => words[id], document: String },
    feature: (latent: number) => ({ latent }),
    codes: (from: number, to: number): Sparse => ({ n: to - from, k: K, index: index.slice(from * K, to * K), value: value.slice(from * K, to * K) }),
    store: async () => store,
  } as unknown as Features;
  return { features, sentences };
}

/**
 * Seconds that `scoreLabels` takes: for the scores of all latents and the permutations, then for each control. Memory: the process's peak growth above what it
 * held before.
 */
export async function benchScores({ setting = "whole" }: { setting?: string } = {}): Promise<object> {
  const small = setting === "small";
  if (!small && setting !== "whole") throw new Error(`--setting: expected small or whole, found ${setting}`);
  const [rows, latents, d] = small ? [100_000, 8192, 384] : [1_000_000, 65_536, 1536];
  const { features, sentences } = made(rows, latents, d);
  const before = process.memoryUsage().rss;
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 50);
  const begun = performance.now();
  const marks: number[] = [];
  const work: number[] = []; // CPU seconds of all threads: what a busy machine does not change
  const used = process.cpuUsage();
  const mark = (): void => {
    marks.push((performance.now() - begun) / 1000);
    const { user, system } = process.cpuUsage(used);
    work.push((user + system) / 1e6);
  };
  try {
    const scores = await scoreLabels(features, { progress: mark });
    const [latentsDone, directions, text, all] = marks;
    const seconds = (x: number): number => Number(x.toFixed(1));
    return {
      bench: "scores",
      rows,
      latents,
      k: K,
      d,
      labels: LABELS.length,
      sentences,
      latentSeconds: seconds(latentsDone),
      controlSeconds: seconds(all - latentsDone),
      cpuSeconds: { latents: seconds(work[0]), controls: seconds(work[3] - work[0]) },
      controls: { directions: seconds(directions - latentsDone), text: seconds(text - directions), probeAndIntervals: seconds(all - text) },
      peakMemoryMB: Math.round((peak - before) / 1e6),
      found: LABELS.filter((label, l) => scores.of(label).latent === l).length, // of the six planted
    };
  } finally {
    clearInterval(watch);
  }
}
