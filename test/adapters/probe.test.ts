import assert from "node:assert/strict";
import { test } from "node:test";
import { sparseProbing } from "../../src/adapters/probe";
import { DISPLAY } from "../../src/adapters/show";
import { InterruptError, OptionError, StoreError } from "../../src/core/errors";
import { logisticRegression, logits } from "../../src/core/probe";
import { auroc } from "../../src/core/ranking";
import type { Document } from "../../src/core/types";
import { synthetic } from "./synthetic";

const { store, sae } = synthetic();
const refuses = (work: Promise<unknown>, type: new (...args: never[]) => Error, message: RegExp): Promise<void> =>
  assert.rejects(work, (error: Error) => error instanceof type && message.test(error.message) || assert.fail(`${error.name}: ${error.message}`));

test("planted latents are the ones chosen, and beat random ones; held-out scores are those of a fit written anew", async () => {
  const found = await sparseProbing(sae, store, { k: [1, 2, 5] });
  const one = found.of("backtracking");
  assert.equal(one.sparse[0].latents[0], 0); // it follows the behaviour whatever the words
  // of deduction the absence of latent 0 tells most, then its own latent: absolute differences
  const { latents: both, weights: signs } = found.of("deduction").sparse[1];
  assert.deepEqual(both, [0, 3]);
  assert.ok(signs[0] < 0 && signs[1] > 0);
  assert.ok(one.sparse[0].heldout.auroc > 0.95 && one.sparse[0].random.auroc < 0.75, JSON.stringify(one.sparse[0]));
  assert.ok(one.sparse.every(({ k, latents, weights }) => latents.length === k && weights.length === k));
  assert.deepEqual(one.sparse[2].latents.slice(0, 2), one.sparse[1].latents);

  // by hand: mean of latent 0 over the rows of each sentence that have a row
  const documents = store.documents();
  const items: { x: number; y: number; heldout: boolean }[] = [];
  documents.forEach((document, d) => {
    const { start } = store.tokens(d);
    const [from, to] = store.documentRows().subarray(d, d + 2);
    const { position } = store.origin(from, to);
    const codes = sae.encode(store.read("layers.1", from, to));
    for (const { start: first, end, label } of document.spans) {
      let [sum, rows] = [0, 0];
      position.forEach((at, row) => {
        const where = start[at] + Math.max(0, document.text.slice(start[at]).search(/\S/));
        if (where < first || where >= end) return;
        rows++;
        for (let i = row * codes.k; i < (row + 1) * codes.k; i++) if (codes.index[i] === 0) sum += codes.value[i];
      });
      if (rows) items.push({ x: sum / rows, y: label === "backtracking" ? 1 : 0, heldout: document.split === "heldout" });
    }
  });
  const side = (heldout: boolean) => items.filter((item) => item.heldout === heldout);
  const [train, test_] = [side(false), side(true)];
  const fit = logisticRegression(train.map(({ x }) => x), train.map(({ y }) => y), 1);
  const z = logits(fit, test_.map(({ x }) => x)), y = test_.map((item) => item.y);
  assert.ok(Math.abs(fit.weights[0] - one.sparse[0].weights[0]) < 1e-4 && Math.abs(fit.bias - one.sparse[0].bias) < 1e-4, `${fit.weights}, ${one.sparse[0].weights}`);
  assert.ok(Math.abs(auroc(z, y) - one.sparse[0].heldout.auroc) < 1e-9);
  assert.ok(Math.abs(z.filter((value, i) => value > 0 === Boolean(y[i])).length / y.length - one.sparse[0].heldout.accuracy) < 1e-12);
  const positives = y.reduce<number>((sum, is) => sum + is, 0);
  assert.deepEqual([one.positives.heldout, one.baseRate, one.majority], [positives, positives / y.length, 1 - positives / y.length]);
  assert.ok(one.dense.auroc > 0.95);
  assert.deepEqual(found.heldout, { sentences: y.length, documents: 10 });
});

test("the same call gives the same; labels and k are as asked for; it shows itself with its notes", async () => {
  const ask = () => sparseProbing(sae, store, { labels: ["initializing"], k: [3], draws: 2, seed: 4 });
  const found = await ask();
  assert.deepEqual({ ...found, of: null }, { ...(await ask()), of: null });
  assert.deepEqual(found.labels.map(({ label, sparse }) => [label, sparse.length, sparse[0].k]), [["initializing", 1, 3]]);
  const text = (found[DISPLAY]() as Record<string, string>)["text/plain"];
  assert.match(text, /^label +probe +accuracy +AUROC +average precision +latents\ninitializing +3 latents/);
  assert.match(text, /3 random latents.*\n.*raw row.*\n.*majority +0\.\d+ +0\.5/);
  assert.match(text, /random latents: mean of 2 draws\.\n[^]*Base rates: initializing \d/);
});

test("bad options, unlabelled documents, a silent SAE and rows that are not finite are refused", async () => {
  const idle = { ...store, read: () => assert.fail("rows were read") };
  for (const k of [[], [0], [2, 1], [33], [1.5]]) await refuses(sparseProbing(sae, idle, { k }), OptionError, /k: expected ascending whole numbers from 1 to 32/);
  await refuses(sparseProbing(sae, idle, { c: 0 }), OptionError, /c: expected a number above 0/);
  await refuses(sparseProbing(sae, idle, { draws: 0 }), OptionError, /draws/);
  await refuses(sparseProbing(sae, idle, { labels: ["nothing"] }), OptionError, /labelled spans "nothing", found labels/);
  await refuses(sparseProbing({ ...sae, weights: { ...sae.weights, d: 16 } }, idle), OptionError, /sparseProbing: expected rows of width 16/);
  const bare = { ...idle, documents: (): Document[] => store.documents().map((document) => ({ ...document, spans: [] })) };
  await refuses(sparseProbing(sae, bare), OptionError, /labelled spans, found none/);
  const silent = { ...sae, encode: (x: Float32Array) => ({ n: x.length / 32, k: 1, index: new Int32Array(x.length / 32), value: new Float32Array(x.length / 32) }) };
  await refuses(sparseProbing(silent, store), StoreError, /all 32 are silent/);
  const broken = { ...store, read: (hook: string, from: number, to: number) => store.read(hook, from, to).fill(NaN, 0, 1) };
  await refuses(sparseProbing(sae, broken), StoreError, /finite activations/);
});

test("an interrupt stops it", async () => {
  const flag = ((globalThis as Record<symbol, any>)[Symbol.for("saelab.interrupt")] ??= { requested: false });
  const late = { ...store, read: (hook: string, from: number, to: number) => ((flag.requested = true), store.read(hook, from, to)) };
  try {
    await refuses(sparseProbing(sae, late), InterruptError, /No probes were kept/);
  } finally {
    flag.requested = false;
  }
});
