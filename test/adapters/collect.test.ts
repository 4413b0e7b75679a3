import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync, existsSync, unlinkSync, readFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect, collectAll, saeHash } from "../../src/adapters/collect";
import { documentView } from "../../src/adapters/documents";
import { exportTable } from "../../src/adapters/exports";
import { openFeatures } from "../../src/adapters/features";
import { reasonScore } from "../../src/adapters/reasonscore";
import { saeOf } from "../../src/adapters/sae";
import { scoreLabels } from "../../src/adapters/score";
import { DISPLAY, heatMap } from "../../src/adapters/show";
import { featureTable } from "../../src/adapters/table";
import { DiskError, FormatError, InterruptError, OptionError, StoreError } from "../../src/core/errors";
import { atOnce } from "../../src/core/pieces";
import type { Sparse, Store } from "../../src/core/types";
import { synthetic, words } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-collect-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("collects what was planted, and opens again the same", async () => {
  const { store, sae } = synthetic();
  const folder = join(root, "planted");
  const features = await collect(store, sae, { folder });
  const codes = sae.encode(store.read("layers.1", 0, store.rows));
  for (const latent of [0, 1, 2, 5, 30, 31]) {
    const feature = features.feature(latent);
    const values = Array.from({ length: codes.n * codes.k }, (_, i) =>
      codes.index[i] === latent ? codes.value[i] : 0,
    ).filter((v) => v > 0);
    assert.equal(feature.density, values.length / store.rows);
    assert.equal(feature.max, Math.max(0, ...values));
    if (feature.top.length) assert.equal(feature.top[0].values[feature.top[0].peak], feature.max);
    for (const { tokens, document, position, values: shown, peak, goesOn } of feature.top) {
      assert.equal(goesOn, position + tokens.length < store.tokens(document).ids.length);
      assert.deepEqual(tokens, store.tokens(document).ids.slice(position, position + tokens.length));
      assert.ok(shown[peak] > 0);
      assert.equal(Math.max(...shown.subarray(Math.max(0, peak - 16), peak + 17)), shown[peak]);
    }
  }
  const wait = features.feature(1);
  assert.ok(wait.top.every(({ tokens, peak }) => words[tokens[peak]] === " wait"));
  assert.equal(wait.triggers[0].text, " wait");
  assert.ok(wait.entropy < 0.5 && features.feature(0).entropy > 3);
  assert.equal(features.feature(31).density, 0);
  assert.deepEqual(features.feature(31).top, []);

  const again = await openFeatures(folder);
  for (const latent of [0, 1, 31]) assert.deepEqual(again.feature(latent).top, features.feature(latent).top);
  assert.deepEqual(again.codes(100, 200), {
    n: 100,
    k: 6,
    index: codes.index.slice(600, 1200),
    value: codes.value.slice(600, 1200),
  });
  assert.equal(again.feature(0)[DISPLAY]()["text/html"], features.feature(0)[DISPLAY]()["text/html"]);
  assert.deepEqual(readdirSync(root), ["planted"]);
  features.close();
  again.close();
});

test("an SAE whose thresholds bound its latents: rows of any number of them", async () => {
  const { store, sae } = synthetic();
  const { weights } = sae;
  const threshold = new Float32Array(weights.latents).fill(0.2);
  const jump = saeOf({ ...weights, k: weights.latents, kind: "jumprelu", threshold, subtractBDec: false }, { hook: "layers.1" });
  const features = await collect(store, jump, { folder: join(root, "jump") });
  const hashOf = (one: typeof jump): string => atOnce(saeHash(one));
  const batch = saeOf({ ...weights, subtractBDec: false, k: weights.latents, kind: "batchtopk", threshold: 0.2 }, { hook: "layers.1" }); // as it is trained; saved and loaded it is the other
  assert.equal(hashOf(batch), hashOf(jump));
  assert.notEqual(hashOf(saeOf({ ...batch.weights, threshold: 0.3 } as typeof batch.weights)), hashOf(jump));
  const some = saeOf({ ...jump.weights, subset: Int32Array.from({ length: weights.latents }, (_, i) => 2 * i) } as typeof jump.weights, { hook: "layers.1" });
  await assert.rejects(collect(store, some, { folder: join(root, "some") }), (error: Error) => error instanceof OptionError && /expected a whole SAE/.test(error.message));
  const codes = jump.encode(store.read("layers.1", 0, store.rows));
  assert.ok(codes.k > 6 || codes.k < weights.latents, `${codes.k}`);
  for (const latent of [0, 1, 5, 30]) {
    const values = codes.value.filter((value, i) => value > 0 && codes.index[i] === latent);
    assert.deepEqual([features.feature(latent).density, features.feature(latent).max], [values.length / store.rows, Math.max(0, ...values)]);
  }
  const part = features.codes(100, 150);
  for (let row = 0; row < 50; row++) {
    const active = ({ k, index, value }: Sparse, at: number) => Array.from({ length: k }, (_, i) => at * k + i).filter((i) => value[i] > 0).map((i) => [index[i], value[i]]);
    assert.deepEqual(active(part, row), active(codes, 100 + row));
  }
  features.close();
});

test("top leaves dead and dense latents out, orders by what is asked, takes latents by number", async () => {
  const { store, sae } = synthetic();
  const features = await collect(store, sae, { folder: join(root, "top") });
  const top = features.top({ count: 100 });
  assert.ok(top.length > 10 && !top.some(({ latent }) => latent === 31));
  assert.ok(top.every(({ density }) => density > 0 && density <= 0.1));
  assert.deepEqual(
    top.map(({ max }) => max),
    top.map(({ max }) => max).sort((a, b) => b - a),
  );
  assert.deepEqual(
    features.top({ by: "entropy", count: 3 }).map(({ entropy }) => entropy),
    [...features.top({ by: "entropy", count: 40 })]
      .map(({ entropy }) => entropy)
      .sort((a, b) => a - b)
      .slice(0, 3),
  );
  assert.deepEqual(
    features.top({ latents: [7, 31, 0], examples: 2 }).map(({ latent, top: best }) => [latent, best.length]),
    [
      [7, 2],
      [31, 0],
      [0, 2],
    ],
  );
  assert.throws(() => features.top({ by: "beauty" as never }), OptionError);
  assert.throws(() => features.feature(32), OptionError);
  features.close();
});

test("a part of a list of features shows as the whole does; a table lists them", async () => {
  const { store, sae } = synthetic({ documents: 8 });
  const features = await collect(store, sae, { folder: join(root, "part") });
  const some = features.top().filter(({ latent }) => latent > 4);
  assert.match(heatMap(some)[DISPLAY]()["text/html"] as string, / wait/);
  assert.match(heatMap(features)[DISPLAY]()["text/html"] as string, /latent 1</);
  assert.match(heatMap([])[DISPLAY]()["text/html"] as string, /No feature to show/);
  const text = featureTable(features, { latents: [1, 31] })[DISPLAY]()["text/plain"] as string;
  assert.match(text, /latent +density.*\n +1 .* wait.*\n +31 +0 +0/);
  features.close();
});

test("one side of the split only", async () => {
  const { store, sae } = synthetic();
  const features = await collect(store, sae, { folder: join(root, "heldout"), split: "heldout" });
  assert.ok(features.rows < store.rows / 3);
  assert.ok(features.feature(0).top.every(({ document }) => document % 4 === 3));
  const { from, to } = features.manifest.ranges[1];
  const first = features.manifest.ranges[0].to - features.manifest.ranges[0].from;
  assert.deepEqual(features.codes(first, first + to - from), sae.encode(store.read("layers.1", from, to)));
  features.close();
});

test("the table holds a row a latent", async () => {
  const { store, sae } = synthetic({ documents: 6 });
  const features = await collect(store, sae, { folder: join(root, "table") });
  const table = features.table();
  assert.deepEqual(table.shape, [32, 7]);
  const sorted = table.sortValues("density", { ascending: false }) as typeof table;
  const density = sorted.column("density").values as number[];
  assert.deepEqual(
    density,
    [...density].sort((a, b) => b - a),
  );
  const bundle = (sorted as never as { [DISPLAY](): Record<string, string> })[DISPLAY]();
  assert.match(bundle["text/html"], /the first 20 of 32 rows/);
  features.close();
});

test("a word or a number where a list or a number should be is refused, and named", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const features = await collect(store, sae, { folder: join(root, "words") });
  const refused = (what: RegExp, act: () => unknown): Promise<void> => assert.rejects(async () => act(), (error: Error) => error instanceof OptionError && what.test(error.message));
  await refused(/^top: count: .*found 5/, () => features.top({ count: "5" as never }));
  await refused(/^top: latents: expected a list/, () => features.top({ latents: 5 as never }));
  await refused(/^openFeatures: expected the path/, () => openFeatures(undefined as never));
  await refused(/^collect: seed/, () => collect(store, sae, { seed: NaN }));
  await refused(/^collectAll: saes: expected a list/, () => collectAll(store, sae as never));
  await refused(/^scoreLabels: labels: expected a list/, () => scoreLabels(features, { labels: "backtracking" as never }));
  await refused(/^documentView: latents: expected a number or a list/, () => documentView(features, "5" as never, 0));
  await refused(/^exportTable: expected features or a DataFrame/, () => exportTable("features" as never, join(root, "words.csv")));
  for (const decoderNorms of ["5", new Float32Array(3), new Float32Array(32).fill(NaN), new Float32Array(32).fill(-1)] as never[])
    await refused(/^reasonScore: decoderNorms: expected 32 numbers from 0 on/, () => reasonScore(features, { decoderNorms }));
  await refused(/^reasonScore: window/, () => reasonScore(features, { window: null as never }));
  features.close();
});

test("columns: of latents that there are, under a name that a file can have; none of features that were closed", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const features = await collect(store, sae, { folder: join(root, "columns") });
  for (const values of [{ 1.5: "x" }, { "": "x" }, { 32: "x" }, { "-1": "x" }] as Record<number, string>[])
    await assert.rejects(features.setColumn("label", values), (error: Error) => error instanceof OptionError && /expected texts of latents 0 to 31/.test(error.message));
  for (const name of ["\ud800", "", ".x", "x".repeat(300), "density"])
    await assert.rejects(features.setColumn(name, { 1: "x" }), OptionError);
  for (const name of ["a/../b", "__proto__", "x\0y"]) {
    await features.setColumn(name, { 1: "x" });
    assert.deepEqual([features.columns(), (features.column(name) as string[])[1]], [[name], "x"]);
    await features.setColumn(name, null);
  }
  assert.deepEqual([features.columns(), readdirSync(join(root, "columns", "columns"))], [[], []]);
  const reader = await openFeatures(join(root, "columns"));
  for (const label of ["one", "two", undefined]) {
    await features.setColumn("label", label === undefined ? null : { 1: label });
    assert.equal(reader.feature(1).label, label); // what others write is seen
  }
  assert.throws(() => reader.column("label"), OptionError);
  assert.throws(() => reader.column("\ud800"), OptionError);
  reader.close();
  features.close();
  const others = await openFeatures(join(root, "columns")); // its files take over the numbers of those that were closed
  assert.throws(() => features.feature(1), (error: Error) => error instanceof DiskError && /found one that was closed/.test(error.message));
  others.close();
});

test("an interrupt leaves nothing behind, not even a folder", async () => {
  const { store, sae } = synthetic();
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as {
    requested: boolean;
  };
  const folder = join(root, "interrupted");
  try {
    await assert.rejects(
      collect(store, { ...sae, encode: (x) => ((flag.requested = true), sae.encode(x)) }, { folder }),
      InterruptError,
    );
  } finally {
    flag.requested = false;
  }
  assert.ok(!readdirSync(root).some((name) => name.includes("interrupted")));
});

test("progress ends with all rows and all latents", async () => {
  const { store, sae } = synthetic({ documents: 6 });
  const seen: string[] = [];
  const features = await collect(store, sae, {
    folder: join(root, "progress"),
    progress: ({ stage, done, total }) => seen.push(`${stage} ${done}/${total}`),
  });
  assert.ok(seen.includes(`collect ${store.rows}/${store.rows}`));
  assert.ok(seen.includes("collect: examples 32/32"));
  features.close();
});

test("bad input is refused before anything is written", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const folder = join(root, "refused");
  const wide = { ...sae, weights: { ...sae.weights, d: 7 } };
  await assert.rejects(
    collect(store, wide, { folder }),
    (error: Error) => error instanceof OptionError && /width 7.*found 32/s.test(error.message),
  );
  for (const options of [{ examples: 0 }, { context: -1 }, { random: 1.5 }, { split: "test" as never }]) {
    await assert.rejects(collect(store, sae, { folder, ...options }), OptionError);
  }
  const noDocuments = {
    ...store,
    documents: () => store.documents().map((document) => ({ ...document, split: "train" as const })),
  };
  await assert.rejects(collect(noDocuments, sae, { folder, split: "heldout" }), StoreError);
  assert.ok(!existsSync(folder));
  writeFileSync(join(root, "notes.txt"), "mine");
  await assert.rejects(collect(store, sae, { folder: root }), /found other files/);
  unlinkSync(join(root, "notes.txt"));
});

test("another store is refused: other rows, settings or hooks, and says which differ", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const folder = join(root, "another");
  (await collect(store, sae, { folder })).close();
  const { manifest } = store;
  const others: [Store, RegExp][] = [
    [{ ...store, rows: store.rows - 1 }, /rows \d+ instead of \d+/],
    [{ ...store, manifest: { ...manifest, settings: { context: 64 } } }, /context 64 instead of undefined/],
    [{ ...store, manifest: { ...manifest, hooks: [{ ...manifest.hooks[0], name: "layers.0" }] } }, /no hook layers\.1/],
    [{ ...store, manifest: { ...manifest, model: { ...manifest.model, sha256: "n" } } }, /model n instead of m/],
  ];
  for (const [other, says] of others) {
    const features = await openFeatures(folder, { store: other });
    await assert.rejects(features.store(), (error: Error) => error instanceof StoreError && says.test(error.message));
    features.close();
  }
  const same = await openFeatures(folder, { store });
  assert.equal(await same.store(), store);
  same.close();
  // and the default folder keeps them apart
  const path = join(root, "defaults");
  const one = await collect({ ...store, path }, sae);
  const two = await collect({ ...store, path, manifest: { ...manifest, settings: { context: 64 } } }, sae);
  assert.notEqual(one.path, two.path);
  one.close();
  two.close();
});

test("a store without its tokenizer or documents is refused before the work", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const gone = (): never => {
    throw new StoreError("gone");
  };
  const encode = (): never => assert.fail("encoded");
  const folder = join(root, "early");
  const without: Store[] = [
    Object.defineProperty({ ...store }, "tokenizer", { get: gone }),
    { ...store, documents: gone },
  ];
  for (const one of without) await assert.rejects(collect(one, { ...sae, encode }, { folder }), /gone/);
  assert.ok(!existsSync(folder));
});

test("activations that are no numbers: store, hook, row, document", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const read: Store["read"] = (hook, from, to) => {
    const x = store.read(hook, from, to);
    if (from <= 50 && 50 < to) x[(50 - from) * 32 + 7] = Infinity;
    return x;
  };
  const folder = join(root, "infinite");
  await assert.rejects(
    collect({ ...store, read }, sae, { folder }),
    (error: Error) =>
      error instanceof StoreError && /^synthetic: layers\.1: row 50 \(document "doc-0", token 51\).*Infinity/.test(error.message),
  );
  assert.ok(!readdirSync(root).some((name) => name.includes("infinite")));
});

test("a family that a killed collection had moved aside is put back; a finished one is opened, another replaced", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const inside = join(root, "leftovers");
  const folder = join(inside, "f");
  (await collect(store, sae, { folder })).close();
  renameSync(folder, join(inside, ".f.old")); // killed between the two renames
  (await openFeatures(folder)).close();
  assert.deepEqual(readdirSync(inside), ["f"]);
  renameSync(folder, join(inside, ".f.old"));
  writeFileSync(join(inside, ".f.lock"), JSON.stringify({ pid: process.ppid, host: hostname(), started: null, since: "now" })); // not killed: between them
  await assert.rejects(openFeatures(folder), FormatError);
  assert.deepEqual(readdirSync(inside).sort(), [".f.lock", ".f.old"]);
  unlinkSync(join(inside, ".f.lock"));
  (await openFeatures(folder)).close();
  mkdirSync(join(inside, ".f.old")); // killed after the second one
  writeFileSync(join(inside, `.f.lock`), JSON.stringify({ pid: spawnSync(process.execPath, ["-e", ""]).pid, host: hostname(), started: null, since: "then" }));
  const encode = (): never => assert.fail("encoded");
  const again = await collect(store, { ...sae, encode }, { folder });
  assert.deepEqual(readdirSync(inside), ["f"]);
  await again.setColumn("label", { 1: "says wait" });
  again.close();
  const labelled = await collect(store, { ...sae, encode }, { folder });
  assert.equal(labelled.feature(1).label, "says wait");
  labelled.close();
  await assert.rejects(collect(store, { ...sae, encode }, { folder, examples: 3 }), (error: Error) => error instanceof OptionError && /the column label .*would be lost/.test(error.message));
  const kept = await openFeatures(folder);
  await kept.setColumn("label", null);
  kept.close();
  const other = await collect(store, sae, { folder, examples: 3 });
  assert.deepEqual(readdirSync(inside), ["f"]);
  assert.deepEqual([other.manifest.settings.examples, other.columns()], [3, []]);
  other.close();
});

test("two collections into one folder are kept apart", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const folder = join(root, "locked");
  const [one, two] = await Promise.allSettled([collect(store, sae, { folder }), collect(store, sae, { folder })]);
  assert.deepEqual([one.status, two.status].sort(), ["fulfilled", "rejected"]);
  const refused = one.status === "rejected" ? one.reason : (two as PromiseRejectedResult).reason;
  assert.ok(refused instanceof StoreError && new RegExp(`locked: expected no other collection.*process ${process.pid}`).test(refused.message));
  for (const done of [one, two]) if (done.status === "fulfilled") done.value.close();
});

test("a damaged family says what is wrong", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const folder = join(root, "damaged");
  (await collect(store, sae, { folder })).close();
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
  writeFileSync(join(folder, "manifest.json"), JSON.stringify({ ...manifest, version: 1 }));
  await assert.rejects(openFeatures(folder), /version: expected 2, found 1/);
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  await assert.rejects(openFeatures(join(root, "nowhere")), /expected a folder with manifest.json/);

  // every file: missing, cut off, emptied, another's; each time a FormatError with the file's name, and nothing stays open
  const other = join(root, "other");
  const another = synthetic({ documents: 5, latents: 40, k: 5 });
  (await collect(another.store, another.sae, { folder: other })).close();
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  for (const file of readdirSync(folder)) {
    const path = join(folder, file);
    const bytes = readFileSync(path);
    const faults: (() => void)[] = [
      () => unlinkSync(path),
      () => writeFileSync(path, bytes.subarray(0, bytes.length / 2)),
      () => writeFileSync(path, ""),
      () => writeFileSync(path, file.endsWith(".json") ? "{}" : readFileSync(join(other, file))),
    ];
    for (const fault of faults) {
      fault();
      await assert.rejects(
        openFeatures(folder),
        (error: Error) => error instanceof FormatError && error.message.includes(file) && /collect(?: again|\()|format:/.test(error.message),
        `${file}: ${fault}`,
      );
      writeFileSync(path, bytes);
    }
  }
  const [block] = manifest.blocks;
  const changes = [
    { shards: "none" }, { ranges: [{ from: 0, to: 7 }] }, { sae: null }, { store: { path: "." } }, { documents: -1 },
    { blocks: [] }, { blocks: [{ ...block, to: 7 }] }, { blocks: [{ ...block, bytes: 3 }] }, { blocks: [{ ...block, file: "../x" }] }, { shards: [{ ...manifest.shards[0], columns: null }] },
  ];
  for (const change of changes) {
    writeFileSync(join(folder, "manifest.json"), JSON.stringify({ ...manifest, ...change }));
    await assert.rejects(openFeatures(folder), FormatError);
  }
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  (await openFeatures(folder)).close();
  assert.equal(open(), before);
});
