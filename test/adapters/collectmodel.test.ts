import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect, collectAll } from "../../src/adapters/collect";
import { openFeatures, type Features } from "../../src/adapters/features";
import { harvest, type HarvestOptions } from "../../src/adapters/harvest";
import { DISPLAY } from "../../src/adapters/show";
import { traceMap } from "../../src/adapters/traces";
import { FormatError, HookError, InterruptError, OptionError, StoreError, TextError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { encode } from "../../src/core/sae";
import type { Model, Sae, Store } from "../../src/core/types";
import { fakeDocuments, fakeModel, WIDTH } from "./fake-model";
import { digest } from "./folders";
import { opened } from "./tiny";

/** Features collected from a running model are those of a store that was harvested from it. */

const root = mkdtempSync(join(tmpdir(), "saelab-collectmodel-"));
after(() => rmSync(root, { recursive: true, force: true }));

function randomSae(hook: string, { d = WIDTH, latents = 24, k = 3, seed = 1 } = {}): Sae {
  const rng = random(seed);
  const wEnc = Float32Array.from({ length: latents * d }, () => rng.normal());
  const weights = { d, latents, k, wEnc, bEnc: new Float32Array(latents), wDec: wEnc, bDec: new Float32Array(d) };
  const none = (): never => assert.fail("not asked for");
  return { weights, hook, card: {}, encode: (x) => encode(weights, x), decode: none, reconstruct: none, save: none };
}

/** A store of the fake model, which has no files of a tokenizer. */
async function stored(model: Model, documents: ReturnType<typeof fakeDocuments>, options: HarvestOptions): Promise<Store> {
  const store = await harvest(model, documents, options);
  return Object.create(store, { tokenizer: { value: model.tokenizer } });
}

/** What features say, apart from where they are from. */
const said = (features: Features) => ({
  rows: features.rows,
  fired: features.fired,
  codes: features.codes(0, features.rows),
  origin: features.origin(0, features.rows),
  latents: Array.from({ length: features.count }, (_, f) => {
    const { words: _words, ...feature } = features.feature(f);
    return feature;
  }),
  documents: Array.from({ length: features.manifest.documents }, (_, document) => features.documentRows(document)),
});

const readings: [string, Omit<HarvestOptions, "hooks">][] = [
  ["windows", { context: 32, batchTokens: 64 }],
  ["whole", { cut: "whole", context: 40, tooLong: "skip", dropNorm: 5 }],
  ["all positions", { context: 16, dropFirst: false, dropNorm: false }],
];

for (const [name, reading] of readings) {
  test(`a model's features are those of its store: ${name}`, async () => {
    const [model, documents] = [fakeModel(), fakeDocuments(120)];
    const sae = randomSae("layers.1");
    const shardRows = 500;
    const store = await stored(model, documents, { hooks: ["layers.1"], folder: join(root, `${name} store`), shardRows, ...reading });
    const wanted = await collect(store, sae, { folder: join(root, `${name} of store`), shardRows });
    const folder = join(root, `${name} of model`);
    const found = await collect(model, sae, { documents, folder, reading, shardRows });
    assert.deepEqual(said(found), said(wanted));
    assert.ok(found.manifest.shards.length > 2 && found.rows > 1000);
    // without the store
    found.close();
    const again = await openFeatures(folder);
    const texts = await again.texts();
    assert.deepEqual(texts.documents().map(({ id, text }) => [id, text]), documents.map(({ id, text }) => [id, text]));
    assert.deepEqual(texts.tokens(7), store.tokens(7));
    const latent = again.fired.indexOf(Math.max(...again.fired));
    const { document } = again.feature(latent).top[0];
    assert.deepEqual((await traceMap(again, latent, document))[DISPLAY](), (await traceMap(wanted, latent, document))[DISPLAY]());
    await assert.rejects(again.store(), (error: Error) => error instanceof StoreError && /expected features of a store.*harvest\(model, documents, \{ hooks: \["layers\.1"\] \}\)/.test(error.message));
    rmSync(join(folder, "tokens.safetensors"));
    const damaged = await openFeatures(folder);
    await assert.rejects(damaged.texts(), FormatError);
    for (const one of [again, wanted, damaged]) one.close();
  });
}

test("several SAEs in one pass: as one at a time; the model runs once", async () => {
  const documents = fakeDocuments(60);
  let passes = 0;
  const model = fakeModel({ onRun: () => void passes++ });
  const saes = [randomSae("layers.1"), randomSae("layers.2.mlp", { seed: 2, latents: 40 }), randomSae("layers.1", { seed: 3, k: 1 })];
  const reading = { context: 32, batchTokens: 64, dropNorm: false as const };
  const options = { documents, reading, shardRows: 400 };
  const all = await collectAll(model, saes, { ...options, folder: join(root, "several") });
  assert.deepEqual(readdirSync(join(root, "several")), ["0", "1", "2"]);
  const together = passes;
  passes = 0;
  for (const [i, sae] of saes.entries()) {
    const alone = await collect(model, sae, { ...options, folder: join(root, `alone ${i}`) });
    assert.deepEqual(said(all[i]), said(alone));
    alone.close();
    all[i].close();
  }
  assert.equal(passes, 3 * together);

  const store = await stored(model, documents, { hooks: ["layers.1", "layers.2.mlp"], folder: join(root, "several store"), ...reading });
  let reads = 0;
  const counting: Store = Object.create(store, { read: { value: (...where: Parameters<Store["read"]>) => (reads++, store.read(...where)) } });
  const ofStore = await collectAll(counting, saes, { folder: join(root, "several of store"), shardRows: 700 });
  const bothHooks = reads;
  reads = 0;
  for (const [i, sae] of saes.entries()) {
    const alone = await collect(counting, sae, { folder: join(root, `store alone ${i}`), shardRows: 700 });
    const where = join(root, "several of store", `${i}`);
    const apart = ({ "manifest.json": _, ...files }: Record<string, string>) => files; // which says where the store is
    assert.deepEqual(apart(digest(where)), apart(digest(alone.path)));
    alone.close();
    ofStore[i].close();
  }
  assert.equal(reads, 1.5 * bothHooks);
  await assert.rejects(collectAll(store, [saes[0], saes[0]]), /found one twice/);
  await assert.rejects(collectAll(store, []), OptionError);
});

test("a model's collection that was stopped goes on with the next shard, several at once too", async () => {
  const documents = fakeDocuments(120);
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  let passes = 0;
  let stopAt = Infinity;
  const model = fakeModel({ onRun: () => void (flag.requested = ++passes === stopAt) });
  const saes = [randomSae("layers.1"), randomSae("layers.2.mlp", { seed: 2 })];
  const options = { documents, reading: { context: 32, batchTokens: 64 }, shardRows: 400 };
  const whole = await collectAll(model, saes, { ...options, folder: join(root, "whole") });
  const all = passes;
  passes = 0;
  stopAt = Math.floor(all * 0.7);
  const folder = join(root, "stopped");
  try {
    await assert.rejects(collectAll(model, saes, { ...options, folder }), (error: Error) => error instanceof InterruptError && /shards of codes are kept/.test(error.message));
  } finally {
    flag.requested = false;
  }
  stopAt = Infinity;
  passes = 0;
  const rest = await collectAll(model, saes, { ...options, folder });
  assert.ok(passes > 0 && passes < 0.6 * all, `${passes} of ${all}`);
  for (const i of saes.keys()) {
    assert.deepEqual(digest(join(folder, `${i}`)), digest(join(root, "whole", `${i}`)));
    whole[i].close();
    rest[i].close();
  }
  const opened = await collectAll(model, saes, { ...options, folder }); // finished: no pass
  for (const one of opened) one.close();
  assert.ok(passes < 0.6 * all);
});

test("append of a longer harvest: what was encoded of its first documents is taken over", async () => {
  const model = fakeModel();
  const documents = fakeDocuments(200);
  for (const count of [15, 120]) { // less than a shard of the harvest, and more
    const options = { hooks: ["layers.1"], context: 32, shardRows: 1000 };
    const first = await stored(model, documents.slice(0, count), { ...options, folder: join(root, `first ${count}`) });
    const longer = await stored(model, documents, { ...options, folder: join(root, `longer ${count}`) });
    const sae = randomSae("layers.1");
    let rows = 0;
    const counting: Sae = { ...sae, encode: (x) => ((rows += x.length / WIDTH), sae.encode(x)) };
    const before = await collect(first, sae, { folder: join(root, `before ${count}`), shardRows: 200 });
    const whole = await collect(longer, sae, { folder: join(root, `all ${count}`), shardRows: 200 });
    const appended = await collect(longer, counting, { folder: join(root, `appended ${count}`), shardRows: 200, append: before.path });
    const { "manifest.json": a, ...found } = digest(appended.path);
    const { "manifest.json": b, ...wanted } = digest(whole.path);
    assert.deepEqual(found, wanted);
    assert.equal(a, b);
    assert.ok(rows >= longer.rows - first.rows && rows <= longer.rows - first.rows + 200, `${rows} rows, ${first.rows} of ${longer.rows} were there`);
    for (const one of [before, whole, appended]) one.close();
  }
});

test("what a model is not given is refused before it runs", async () => {
  const model = fakeModel({ onRun: () => assert.fail("ran") });
  const sae = randomSae("layers.1");
  const documents = fakeDocuments(5);
  const folder = join(root, "refused");
  const refused = (what: RegExp, options: object, kind: new (message: string) => Error = OptionError, one = sae) =>
    assert.rejects(collect(model, one, { folder, documents, ...options }), (error: Error) => error instanceof kind && what.test(error.message));
  await refused(/documents: expected texts/, { documents: undefined });
  await refused(/at least one document/, { documents: [] }, TextError);
  await refused(/split: expected "all"/, { split: "train" });
  await refused(/append: expected a store/, { append: folder });
  await refused(/layers\.9/, { hook: "layers.9" }, HookError);
  await refused(/hook: expected where the SAE reads/, {}, OptionError, { ...sae, hook: undefined });
  await refused(/width 9.*found 8/s, {}, OptionError, randomSae("layers.1", { d: 9 }));
  await refused(/context: expected a whole number/, { reading: { context: 0 } });
  await assert.rejects(collect({ ...model, run: fakeModel().run }, sae, { folder, documents: [{ id: "one", text: "a", spans: [] }], reading: { context: 8 } }), TextError); // all its tokens are dropped
  assert.ok(!readdirSync(root).some((name) => name.includes("refused")));
  const store = await stored(fakeModel(), documents, { hooks: ["layers.1"], folder: join(root, "given twice") });
  await assert.rejects(collect(store, sae, { documents }), /expected a model beside documents/);
});

test("a real tiny model", async () => {
  await opened("llama", async (model) => {
    const hook = model.hook("layers.1").name;
    const documents = Array.from({ length: 12 }, (_, i) => ({ id: `d${i}`, text: "Wait, is that right? ".repeat(2 + i), spans: [] }));
    const features = await collect(model, randomSae(hook, { d: model.width }), { documents, folder: join(root, "real") });
    assert.ok(features.rows > 100 && features.top({ dense: true }).length > 0);
    assert.match(features.card(features.top({ dense: true, count: 1 })[0].latent)[DISPLAY]()["text/plain"] as string, /ight/);
    features.close();
  });
});
