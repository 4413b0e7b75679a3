import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { promptStatistics } from "../../src/adapters/promptstatistics";
import { reasonScore, type ReasonOptions } from "../../src/adapters/reasonscore";
import { DISPLAY } from "../../src/adapters/show";
import { InterruptError, OptionError, StoreError } from "../../src/core/errors";
import { promptCounts } from "../../src/core/promptstatistics";
import { REASONING_WORDS, reasonSums, windowsOf, type WordGroups } from "../../src/core/reasonscore";
import type { Store } from "../../src/core/types";
import { synthetic } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-reason-"));
after(() => rmSync(root, { recursive: true, force: true }));

interface Golden {
  groups: WordGroups;
  texts: string[];
  tokens: [number, number][][];
  alpha: number;
  window: [number, number];
  norms: number[];
  activations: number[][];
  scores: number[];
  entropy: number[];
  inside: number;
  outside: number;
}
const golden = (JSON.parse(readFileSync(join(__dirname, "../../../test/oracle/features/golden.json"), "utf8")) as { reason: Golden }).reason;

test("ReasonScore is NumPy's: windows, groups that do not occur, decoder norms, special tokens", () => {
  const { groups, texts, tokens, window, activations } = golden;
  const masks = windowsOf(groups, window);
  const mask = texts.flatMap((text, i) => {
    const found = masks(text, { start: Int32Array.from(tokens[i], ([start]) => start), end: Int32Array.from(tokens[i], ([, end]) => end) });
    return Array.from(found, (m, t) => (t ? m : -1)); // the first is <s>
  });
  const F = activations[0].length;
  const sums = reasonSums(F, Object.keys(groups).length);
  // in chunks, each as sparse codes with some columns too many
  for (let from = 0; from < activations.length; from += 10) {
    const rows = activations.slice(from, from + 10);
    const value = Float32Array.from(rows.flatMap((row) => [...row, 0]));
    sums.add({ n: rows.length, k: F + 1, index: Int32Array.from(value, (_, i) => Math.min(F - 1, i % (F + 1))), value }, Int32Array.from(mask.slice(from, from + 10)));
  }
  const got = sums.finish(golden.alpha, golden.norms);
  assert.deepEqual([got.rows.inside, got.rows.outside], [golden.inside, golden.outside]);
  for (let f = 0; f < F; f++) {
    assert.ok(Math.abs(got.scores[f] - golden.scores[f]) < 1e-6, `latent ${f}: ${got.scores[f]} for ${golden.scores[f]}`);
    assert.ok(Math.abs(got.entropy[f] - golden.entropy[f]) < 1e-6, `latent ${f}: ${got.entropy[f]} for ${golden.entropy[f]}`);
  }
});

test("words are whole, spelt as they are given, and may take several tokens", () => {
  const text = "Wait, awaiting waits. wait";
  const tokens: [number, number][] = [[0, 1], [1, 4], [4, 5], [5, 14], [14, 20], [20, 21], [21, 26]]; // "W" "ait" "," " awaiting" " waits" "." " wait"
  const offsets = { start: Int32Array.from(tokens, ([a]) => a), end: Int32Array.from(tokens, ([, b]) => b) };
  assert.deepEqual([...windowsOf({ a: ["Wait"], b: ["wait"] }, [1, 1])(text, offsets)], [1, 1, 1, 0, 0, 2, 2]);
  assert.deepEqual([...windowsOf({ a: ["W.it"], b: ["wait", "Wait"] }, [0, 2])(text, offsets)], [2, 2, 2, 2, 0, 0, 2]);
  assert.deepEqual(Object.keys(REASONING_WORDS), ["alternatively", "hmm", "maybe", "wait", "perhaps", "let me", "therefore", "however", "But", "Another"]);
  assert.deepEqual([REASONING_WORDS["let me"], REASONING_WORDS.But], [["let me", "Let me"], ["But"]]);
});

test("of a family: the latent that follows a word against one that follows several; kept as a column", async () => {
  const { store, sae } = synthetic({ documents: 40 });
  const features = await collect(store, sae, { folder: join(root, "reason") });
  const groups: WordGroups = { wait: ["wait"], maybe: ["maybe"], check: ["check"] };
  const one = await reasonScore(features, { groups, window: [0, 0] });
  // the same from rows and codes
  const codes = features.codes(0, features.rows);
  const { token } = store.origin(0, store.rows);
  const group = Array.from(token, (id) => [1, 16, 14].indexOf(id)); // " wait", " maybe", " check"
  const mean = (f: number, which: (g: number) => boolean): number => {
    let [sum, n] = [0, 0];
    group.forEach((g, r) => {
      if (!which(g)) return;
      n++;
      for (let j = 0; j < codes.k; j++) if (codes.index[r * codes.k + j] === f) sum += codes.value[r * codes.k + j];
    });
    return sum / n;
  };
  const each = (which: (g: number) => boolean): number[] => Array.from({ length: 32 }, (_, f) => mean(f, which));
  const [inside, outside] = [each((g) => g >= 0), each((g) => g < 0)];
  const total = (list: number[]): number => list.reduce((a, b) => a + b, 0);
  for (let f = 0; f < 32; f++) {
    const by = [0, 1, 2].map((wanted) => mean(f, (g) => g === wanted));
    const p = by.map((m) => (total(by) ? m / total(by) : 0));
    const entropy = -total(p.map((x) => (x ? x * Math.log(x) : 0))) / Math.log(3);
    const want = (inside[f] / total(inside)) * Math.max(0, entropy) ** 0.7 - outside[f] / total(outside);
    assert.ok(Math.abs(one.scores[f] - want) < 1e-6, `${f}: ${one.scores[f]} for ${want}`);
  }
  assert.equal(one.of(1).groups.wait > 0.8, true); // the word's latent
  assert.ok(one.of(1).entropy < 0.5);
  const top = one.top({ count: 3 });
  assert.deepEqual(top.map(({ score }) => score), [...one.scores].sort((a, b) => b - a).slice(0, 3));
  const bundle = one[DISPLAY]() as Record<string, string>;
  assert.deepEqual(Object.keys(bundle), ["application/vnd.saelab.table.v1+json", "text/html", "text/plain"]);
  assert.match(bundle["text/plain"], /3 groups.*Decoder rows are taken for vectors of length 1/);
  await one.keep();
  assert.deepEqual(features.column("ReasonScore"), one.scores);
  // twice the norm of all changes nothing; of one latent it changes its score
  const doubled = await reasonScore(features, { groups, window: [0, 0], decoderNorms: new Float32Array(32).fill(2) });
  for (let f = 0; f < 32; f++) assert.ok(Math.abs(doubled.scores[f] - one.scores[f]) < 1e-6);
  assert.match((doubled[DISPLAY]() as Record<string, string>)["text/plain"], /α 0\.7\.\n/);

  const wrong: ReasonOptions[] = [{ groups: { wait: ["wait"] } }, { groups: { a: ["x"], b: [] } }, { groups: { a: ["x"], b: [" "] } }, { alpha: -1 }, { window: [1, -2] }, { decoderNorms: [1] }];
  for (const options of wrong) await assert.rejects(reasonScore(features, options), OptionError);
  await assert.rejects(reasonScore(features, { groups: { a: ["nowhere"], b: ["neither"] } }), (error: Error) => error instanceof StoreError && /found none of them/.test(error.message));
  assert.throws(() => one.of(32), OptionError);
  features.close();
});

test("special tokens do not count", async () => {
  const { store, sae } = synthetic({ documents: 8 });
  const special: Store = { ...store, tokenizer: { ...store.tokenizer, isSpecial: (id) => id === 1 } };
  const features = await collect(special, sae, { folder: join(root, "special") });
  const shown = (await reasonScore(features, { groups: { so: ["so"], wait: ["wait"] }, window: [0, 0] }))[DISPLAY]() as Record<string, string>;
  assert.match(shown["text/plain"], /Words that do not occur: wait\./);
  features.close();
});

test("prompts: in how many a latent fires, in how many it is among the strongest, against brute force", async () => {
  const { store, sae } = synthetic({ documents: 30 });
  const features = await collect(store, sae, { folder: join(root, "prompts") });
  const found = await promptStatistics(features, { most: 3 });
  const codes = features.codes(0, features.rows);
  const { document } = store.origin(0, store.rows);
  const max = Array.from({ length: 30 }, () => new Float32Array(32));
  document.forEach((d, r) => {
    for (let j = 0; j < codes.k; j++) if (codes.value[r * codes.k + j] > max[d][codes.index[r * codes.k + j]]) max[d][codes.index[r * codes.k + j]] = codes.value[r * codes.k + j];
  });
  const strongest = max.map((list) => [...list.keys()].sort((f, g) => list[g] - list[f] || f - g).slice(0, 3));
  for (let f = 0; f < 32; f++) {
    assert.equal(found.prompts[f], max.filter((list) => list[f] > 0).length);
    assert.equal(found.topIn[f], strongest.filter((list) => list.includes(f)).length);
  }
  assert.equal(found.documents, 30);
  const top = found.top({ count: 4 });
  assert.deepEqual(top.map(({ topIn }) => topIn), [...found.topIn].sort((a, b) => b - a).slice(0, 4));
  const few = found.top({ by: "max", spread: "few tokens", count: 32 });
  assert.ok(few.some(({ latent }) => latent === 1) && few.every(({ entropy, distinctTokens }) => entropy <= 3 && distinctTokens <= 10)); // " wait"
  assert.ok(found.top({ spread: "many tokens", count: 32 }).some(({ latent }) => latent === 0)); // a behaviour, whatever its words
  const bundle = found[DISPLAY]() as Record<string, string>;
  assert.match(bundle["text/plain"], /Latents by the number of prompts in which each is among the strongest, of 30 that fire in 30 prompts\./);
  await found.keep();
  assert.deepEqual(features.columns(), ["prompts", "spread", "top in prompts"]);
  assert.equal((features.column("spread") as string[])[1], "few tokens");
  assert.equal((features.column("spread") as (string | undefined)[])[31], undefined);
  for (const options of [{ most: 0 }, { few: { bits: -1 } }]) await assert.rejects(promptStatistics(features, options), OptionError);
  assert.throws(() => found.top({ by: "mean" as never }), OptionError);
  assert.throws(() => found.top({ spread: "some" as never }), OptionError);
  features.close();
});

test("prompts: chunks may cut a document; ties go to the smaller latent", () => {
  const counts = promptCounts(4, 2);
  const add = (index: number[], value: number[], document: number[]): void => counts.add({ n: document.length, k: 2, index: Int32Array.from(index), value: Float32Array.from(value) }, Int32Array.from(document));
  add([3, 2, 1, 0], [5, 5, 5, 0], [0, 0]);
  add([0, 1, 2, 3], [1, 1, 7, 7], [0, 1]);
  assert.deepEqual(counts.finish(), { documents: 2, prompts: Int32Array.of(1, 1, 2, 2), topIn: Int32Array.of(0, 1, 2, 1) });
});

test("an interrupt stops both", async () => {
  const { store, sae } = synthetic({ documents: 12 });
  const features = await collect(store, sae, { folder: join(root, "stopped") });
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  try {
    for (const verb of [reasonScore, promptStatistics]) {
      await assert.rejects(verb(features, { progress: () => void (flag.requested = true) }), InterruptError);
      flag.requested = false;
    }
  } finally {
    flag.requested = false;
    features.close();
  }
});
