import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { scoreLabels } from "../../src/adapters/score";
import { DISPLAY, heatMap } from "../../src/adapters/show";
import { InterruptError, OptionError, StoreError } from "../../src/core/errors";
import { randomDirections } from "../../src/core/controls";
import { random } from "../../src/core/random";
import { auroc } from "../../src/core/ranking";
import type { Store } from "../../src/core/types";
import { synthetic } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-score-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("finds the planted latents, and reports them on held-out documents", async () => {
  const { store, sae } = synthetic({ documents: 60 });
  const features = await collect(store, sae, { folder: join(root, "planted") });
  const scores = await scoreLabels(features);
  assert.equal(scores.of("backtracking").latent, 0);
  assert.equal(scores.of("deduction").latent, 3);
  assert.deepEqual(scores.train, { sentences: 45 * 12, documents: 45 });
  assert.deepEqual(scores.heldout, { sentences: 15 * 12, documents: 15 });
  for (const label of ["backtracking", "deduction"]) assert.ok(scores.of(label).detectors[0].heldout > 0.95);
  assert.equal(scores.of("backtracking").detectors.find(({ kind }) => kind === "keyword")!.what, " wait");
  // " wait" is rarer where there is deduction: no better sign than its absence
  const absence = scores.of("deduction").detectors.find(({ kind }) => kind === "keyword")!;
  assert.deepEqual([absence.what, absence.absent], [" wait", true]);
  assert.ok(absence.train > 0.5);
  const chance = scores.of("initializing").detectors[0]; // nothing in the SAE follows it
  assert.ok(chance.heldout < 0.65);
  assert.notEqual(scores.of("initializing").verdict, "above its controls");

  // the reported AUROC of latent 0, mean over the sentence, from the rows themselves
  const codes = sae.encode(store.read("layers.1", 0, store.rows));
  const origin = store.origin(0, store.rows);
  const score: number[] = [];
  const positive: number[] = [];
  store.documents().forEach(({ spans, split }, document) => {
    if (split !== "heldout") return;
    const { start } = store.tokens(document);
    for (const span of spans) {
      const values: number[] = [];
      for (let r = 0; r < store.rows; r++) {
        if (
          origin.document[r] !== document ||
          start[origin.position[r]] < span.start ||
          start[origin.position[r]] >= span.end
        )
          continue;
        let value = 0;
        for (let j = 0; j < codes.k; j++) if (codes.index[r * codes.k + j] === 0) value = codes.value[r * codes.k + j];
        values.push(value);
      }
      const pool = scores.of("backtracking").pooling;
      const used = pool === "first five" ? values.slice(0, 5) : values;
      score.push(Math.fround(pool === "max" ? Math.max(...used) : used.reduce((a, b) => a + b, 0) / used.length));
      positive.push(span.label === "backtracking" ? 1 : 0);
    }
  });
  assert.ok(Math.abs(auroc(score, positive) - scores.of("backtracking").detectors[0].heldout) < 1e-12);
  assert.ok(Math.abs(positive.reduce((a, b) => a + b) / positive.length - scores.of("backtracking").baseRate) < 1e-12);

  assert.match(scores.features(["backtracking"])[0].label!, /^correlates with backtracking/);
  const bundle = scores[DISPLAY]() as Record<string, string>;
  assert.match(bundle["text/plain"], /32 latents × 3 poolings/);
  assert.match(bundle["text/html"], /backtracking/);
  features.close();
});

test("the best latents of a label, all of them, and as columns of the family", async () => {
  const { store, sae } = synthetic({ documents: 60 });
  const features = await collect(store, sae, { folder: join(root, "every") });
  const scores = await scoreLabels(features, { resamples: 20, permutations: 200 });
  const best = scores.best("backtracking", { count: 4 });
  assert.equal(best.length, 4);
  const of = scores.of("backtracking");
  assert.deepEqual([best[0].latent, best[0].pooling, best[0].baseRate], [of.latent, of.pooling, of.baseRate]);
  assert.ok(Math.abs(best[0].heldout - of.detectors[0].heldout) < 1e-6 && Math.abs(best[0].averagePrecision - of.detectors[0].averagePrecision) < 1e-6);
  assert.ok(best.every(({ train }, i) => !i || train <= best[i - 1].train));
  assert.ok(best[0].q < 1e-6 && best[0].z > 5 && best[0].permutationP === 1 / 201, JSON.stringify(best[0]));
  assert.ok(best[0].tokenAuroc > 0.7 && best[0].tokenAveragePrecision > 2 * best[0].tokenBaseRate);
  for (const one of scores.best("initializing", { count: 6 })) assert.ok(one.q > 0.05 && one.permutationP > 0.02, JSON.stringify(one)); // nothing follows it

  const every = scores.every("backtracking");
  for (const [name, values] of Object.entries(every)) assert.equal(values.length, 32, name);
  assert.equal(every.heldout[0], best[0].heldout);
  assert.deepEqual([every.heldout[31], every.z[31], every.q[31]], [0.5, NaN, NaN]); // it never fires
  const training = scores.training("backtracking");
  for (let f = 0; f < 32; f++) assert.equal(every.train[f], Math.max(...training.subarray(3 * f, 3 * f + 3)));

  const bundle = best[DISPLAY]() as Record<string, string>;
  assert.deepEqual(Object.keys(bundle), ["application/vnd.saelab.table.v1+json", "text/html", "text/plain"]);
  assert.match(bundle["text/plain"], /^latent +pooling +training.*\n +0 +\S+/);
  assert.match(bundle["text/plain"], /Latents that correlate with backtracking.*32 latents × 3 poolings.*15 held-out documents/);
  assert.match(bundle["text/plain"], /Without an SAE, AUROC \(AP\) on the same sentences: “ wait” 0\.\d+ .*random direction .*probe/);
  assert.throws(() => scores.best("joy"), OptionError);
  assert.throws(() => scores.best("deduction", { count: 0 }), OptionError);

  await scores.keep();
  assert.deepEqual(features.columns().filter((name) => name.includes("backtracking")), ["AP backtracking", "AUROC backtracking", "q backtracking"]);
  assert.deepEqual(features.column("AUROC backtracking"), every.heldout);
  assert.ok(features.table().columns.includes("q deduction"));
  features.close();
});

test("what is chosen does not depend on held-out labels; what is reported does", async () => {
  const { store, sae } = synthetic({ documents: 40 });
  const features = await collect(store, sae, { folder: join(root, "blind") });
  const scrambled: Store = {
    ...store,
    documents: () =>
      store
        .documents()
        .map((document) =>
          document.split === "train"
            ? document
            : {
                ...document,
                spans: document.spans.map((span, i) => ({
                  ...span,
                  label: ["backtracking", "deduction", "initializing"][(i * 7 + document.text.length) % 3],
                })),
              },
        ),
  };
  const again = await collect(scrambled, sae, { folder: join(root, "blind2") });
  const [a, b] = [await scoreLabels(features), await scoreLabels(again)];
  for (const label of ["backtracking", "deduction", "initializing"]) {
    const [x, y] = [a.of(label), b.of(label)];
    assert.deepEqual(
      [x.latent, x.pooling, x.detectors.map(({ kind, what, train }) => ({ kind, what, train }))],
      [y.latent, y.pooling, y.detectors.map(({ kind, what, train }) => ({ kind, what, train }))],
    );
  }
  assert.ok(b.of("backtracking").detectors[0].heldout < a.of("backtracking").detectors[0].heldout - 0.2);
  features.close();
  again.close();
});

test("random directions: tried on a sample of many rows, the best are measured on all; no worse than trying all on all", async () => {
  const { store, sae } = synthetic({ documents: 260 });
  const features = await collect(store, sae, { folder: join(root, "directions") });
  const scores = await scoreLabels(features, { resamples: 10, permutations: 10 });
  assert.ok(scores.sampled! > 1000 && scores.sampled! < scores.train.sentences, String(scores.sampled));
  assert.match(scores[DISPLAY]()["text/plain"] as string, /as many random directions \(on 1,\d+ sentences drawn by chance, the best of them on all\)/);

  // all directions × poolings on all training sentences, from the rows
  const [rows, origin] = [store.read("layers.1", 0, store.rows), store.origin(0, store.rows)];
  const documents = store.documents();
  const sentences = new Map<string, { label: string; rows: number[] }>(); // in training documents
  for (let r = 0; r < store.rows; r++) {
    const [d, position] = [origin.document[r], origin.position[r]];
    const at = store.tokens(d).start[position];
    const number = documents[d].spans.findIndex(({ start, end }) => start <= at && at < end);
    if (documents[d].split === "heldout") continue;
    const key = `${d} ${number}`;
    if (!sentences.has(key)) sentences.set(key, { label: documents[d].spans[number].label, rows: [] });
    sentences.get(key)!.rows.push(r);
  }
  const list = [...sentences.values()];
  const directions = randomDirections(32, 32, random(0, 1));
  const best = new Map<string, number>();
  for (let j = 0; j < 32; j++) {
    const v = directions.direction(j);
    const dot = (r: number): number => v.reduce((sum, x, i) => sum + x * rows[r * 32 + i], 0);
    const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    const products = list.map((one) => one.rows.map(dot));
    for (const pool of [mean, (values: number[]) => mean(values.slice(0, 5)), (values: number[]) => Math.max(...values)]) {
      const pooled = products.map(pool);
      for (const { label } of scores.labels) best.set(label, Math.max(best.get(label) ?? 0, auroc(pooled, list.map((one) => Number(one.label === label)))));
    }
  }
  for (const { label, detectors } of scores.labels) {
    const { train, searched } = detectors.find(({ kind }) => kind === "random direction")!;
    assert.ok(Math.abs(train - best.get(label)!) < 1e-4 && searched === 96, `${label}: ${train}, best of all ${best.get(label)}`);
  }
  features.close();
});

test("the same seed gives the same scores; from a store and an SAE as from features", async () => {
  const { store, sae } = synthetic({ documents: 24 });
  const path = join(root, "store");
  const one = await scoreLabels({ ...store, path }, sae, { labels: ["deduction"], resamples: 50 });
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  const two = await scoreLabels({ ...store, path }, sae, { labels: ["deduction"], resamples: 50 });
  assert.deepEqual(one.labels, two.labels);
  assert.equal(one.labels.length, 1);
  assert.equal(open(), before); // what it collected is closed, and its latents can still be shown
  await two.keep();
  const list = two.features();
  assert.equal(list[0].latent, two.of("deduction").latent);
  const html = list[DISPLAY]()["text/html"] as string;
  assert.match(html, /correlates with deduction/);
  assert.match(html, /from training and held-out documents alike/);
  assert.match(heatMap(list)[DISPLAY]()["text/plain"] as string, /training and held-out documents alike/);
});

test("scores that would not fit into memory are refused before the work", async () => {
  const { store, sae } = synthetic({ documents: 8 });
  const features = await collect(store, sae, { folder: join(root, "memory") });
  const was = Object.getOwnPropertyDescriptor(process, "availableMemory");
  Object.defineProperty(process, "availableMemory", { value: () => 1e6, configurable: true });
  try {
    await assert.rejects(
      scoreLabels({ ...features, codes: () => assert.fail("read") }),
      (error: Error) => error instanceof OptionError && /MB of free memory.*found 1 MB/.test(error.message),
    );
  } finally {
    if (was) Object.defineProperty(process, "availableMemory", was);
    else delete (process as { availableMemory?: unknown }).availableMemory;
  }
  features.close();
});

test("an interrupt stops the scores", async () => {
  const { store, sae } = synthetic({ documents: 12 });
  const features = await collect(store, sae, { folder: join(root, "stopped") });
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as {
    requested: boolean;
  };
  try {
    const progress = (): void => void (flag.requested = true);
    await assert.rejects(scoreLabels(features, { progress }), InterruptError);
  } finally {
    flag.requested = false;
    features.close();
  }
});

test("what cannot be scored says why", async () => {
  const { store, sae } = synthetic({ documents: 12 });
  const half = await collect(store, sae, { folder: join(root, "half"), split: "train" });
  await assert.rejects(scoreLabels(half), StoreError);
  const features = await collect(store, sae, { folder: join(root, "none") });
  await assert.rejects(
    scoreLabels(features, { labels: ["joy"] }),
    (error: Error) => error instanceof OptionError && /"joy".*backtracking/s.test(error.message),
  );
  const bare: Store = { ...store, documents: () => store.documents().map((document) => ({ ...document, spans: [] })) };
  const unlabelled = await collect(bare, sae, { folder: join(root, "bare") });
  await assert.rejects(scoreLabels(unlabelled), /found none/);
  features.close();
  half.close();
  unlabelled.close();
});

/** A store whose labels are changed: as if it had been harvested with them. */
const relabelled = (store: Store, label: (was: string, side: string, i: number) => string | undefined): Store => ({
  ...store,
  documents: () =>
    store.documents().map((document) => ({
      ...document,
      spans: document.spans.flatMap((span, i) => {
        const is = label(span.label, document.split!, i);
        return is === undefined ? [] : [{ ...span, label: is }];
      }),
    })),
});

test("labels without positives or negatives on a side are left out, or refused when asked for", async () => {
  const { store, sae } = synthetic({ documents: 12 });
  const scored = async (name: string, changed: Store, options = {}) => {
    const features = await collect(changed, sae, { folder: join(root, name) });
    return scoreLabels(features, { resamples: 20, ...options }).finally(() => features.close());
  };
  const uneven = relabelled(store, (was, side) => (side === "train" || was !== "backtracking" ? was : "deduction"));
  const scores = await scored("uneven", uneven);
  assert.deepEqual(scores.labels.map(({ label }) => label).sort(), ["deduction", "initializing"]);
  assert.match(scores[DISPLAY]()["text/plain"] as string, /Not scored.*: backtracking\./);
  await assert.rejects(
    scored("uneven", uneven, { labels: ["deduction", "backtracking"] }),
    (error: Error) => error instanceof StoreError && /one side only for "backtracking"/.test(error.message),
  );
  const single = relabelled(store, (was) => (was === "deduction" ? was : undefined)); // one behaviour, and nothing else marked
  await assert.rejects(scored("single", single), /one side only for "deduction".*other behaviours too/s);
  const everywhere = relabelled(store, (was, side) => (side === "train" ? was : "deduction")); // no negatives held out
  await assert.rejects(scored("everywhere", everywhere), StoreError);
  // a label on first tokens only, whose rows were dropped
  const first: Store = {
    ...store,
    documents: () =>
      store.documents().map((document, i) => ({
        ...document,
        spans: [...document.spans, { start: 0, end: store.tokens(i).end[0], label: "start" }],
      })),
  };
  const left = await scored("first", first);
  assert.ok(!left.labels.some(({ label }) => label === "start"));
  const bare = { ...store, documents: () => store.documents().map(({ id, text, split }) => ({ id, text, split }) as never) };
  await assert.rejects(scored("spanless", bare), /found none/);
});

test("options that no score could come of are refused", async () => {
  const { store, sae } = synthetic({ documents: 8 });
  const features = await collect(store, sae, { folder: join(root, "options") });
  for (const options of [
    { labels: ["deduction", "deduction"] },
    { labels: [] },
    { resamples: -1 },
    { resamples: 0 },
    { resamples: 1.5 },
    { permutations: 0 },
    { seed: NaN },
  ])
    await assert.rejects(scoreLabels(features, options), OptionError);
  const silent = { ...sae, encode: (x: Float32Array) => ({ ...sae.encode(x), value: new Float32Array((x.length / 32) * 6) }) };
  const dead = await collect(store, silent, { folder: join(root, "silent") });
  await assert.rejects(scoreLabels(dead), /expected latents that fire/);
  features.close();
  dead.close();
});
