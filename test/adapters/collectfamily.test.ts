import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { openFeatures, type Features } from "../../src/adapters/features";
import { DISPLAY } from "../../src/adapters/show";
import { FormatError, OptionError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { bytesSource, readHeader } from "../../src/core/safetensors";
import type { Document, Sae, Sparse, Store } from "../../src/core/types";
import { synthetic, words } from "./synthetic";

/** What a family says of its latents, held against counting everything; and what becomes of it when bytes are changed. */

const root = mkdtempSync(join(tmpdir(), "saelab-collectfamily-"));
after(() => rmSync(root, { recursive: true, force: true }));

const valueAt = ({ k, index, value }: Sparse, row: number, latent: number): number => {
  for (let i = row * k; i < (row + 1) * k; i++) if (index[i] === latent && value[i] > 0) return value[i];
  return 0;
};

/** Holds everything that is said of a latent against the codes of all rows. */
function checkLatent(features: Features, latent: number, codes: Sparse, store: Store, fired: Int32Array): void {
  const origin = store.origin(0, store.rows);
  const rows = Array.from({ length: codes.n }, (_, r) => r).filter((r) => valueAt(codes, r, latent) > 0);
  const values = rows.map((r) => valueAt(codes, r, latent));
  const feature = features.feature(latent);
  const near = (a: number, b: number, what: string): void => assert.ok(Math.abs(a - b) < 1e-5, `latent ${latent}: ${what}: ${a}, ${b}`);
  const mean = (list: number[]): number => (list.length ? list.reduce((a, b) => a + b, 0) / list.length : 0);
  assert.equal(feature.density, rows.length / codes.n);
  assert.equal(feature.documents, new Set(rows.map((r) => origin.document[r])).size);
  near(feature.position.mean, mean(rows.map((r) => origin.position[r])), "position");
  near(feature.position.early, mean(rows.map((r) => Number(origin.position[r] < 5))), "early");
  const tenth = (r: number): number => Math.floor((10 * origin.position[r]) / store.tokens(origin.document[r]).ids.length);
  feature.position.deciles.forEach((share, t) => near(share, mean(rows.map((r) => Number(tenth(r) === t))), `tenth ${t}`));

  const mass = new Map<number, number>();
  rows.forEach((r, i) => mass.set(origin.token[r], (mass.get(origin.token[r]) ?? 0) + values[i]));
  const total = [...mass.values()].reduce((a, b) => a + b, 0);
  const shares = [...mass].map(([token, sum]) => ({ token, share: sum / total })).sort((a, b) => b.share - a.share || a.token - b.token).slice(0, 5);
  assert.deepEqual(feature.tokenShares.map(({ token }) => token), shares.map(({ token }) => token));
  feature.tokenShares.forEach(({ share, text, token }, i) => {
    near(share, shares[i].share, text);
    assert.equal(text, features.words.token(token));
  });

  const together = new Map<number, number>();
  for (const r of rows)
    for (let i = r * codes.k; i < (r + 1) * codes.k; i++)
      if (codes.value[i] > 0 && codes.index[i] !== latent) together.set(codes.index[i], (together.get(codes.index[i]) ?? 0) + 1);
  const partners = [...together]
    .map(([other, count]) => ({ latent: other, count, score: count / (rows.length + fired[other] - count) }))
    .filter(({ count, score }) => count >= 5 && score >= 0.05)
    .sort((a, b) => b.score - a.score || a.latent - b.latent)
    .slice(0, 16);
  assert.deepEqual(feature.together, partners.map(({ score, ...one }) => ({ ...one, score: Math.fround(score) })));
  assert.deepEqual(features.together(latent), feature.together);

  // the strongest peaks, by looking at every row
  const isPeak = rows.filter((r, i) => {
    for (let near = r - 16; near <= r + 16; near++) {
      if (near < 0 || near >= codes.n || near === r || origin.document[near] !== origin.document[r]) continue;
      if (valueAt(codes, near, latent) > values[i]) return false;
    }
    return true;
  });
  const strongest = Math.max(0, ...isPeak.map((r) => valueAt(codes, r, latent)));
  assert.equal(feature.max, strongest);
  for (const { tokens, values: shown, document, position, peak } of [...feature.top, ...feature.more.flatMap(({ examples }) => examples)]) {
    const ids = store.tokens(document).ids;
    assert.deepEqual([...tokens], [...ids.slice(position, position + tokens.length)]);
    assert.equal(position, Math.max(0, position + peak - 16));
    shown.forEach((value, i) => {
      const r = origin.position.findIndex((at, row) => at === position + i && origin.document[row] === document);
      assert.equal(value, r < 0 ? 0 : valueAt(codes, r, latent));
    });
  }
  const shownPeaks = feature.top.map(({ values: shown, peak }) => shown[peak]);
  assert.deepEqual(shownPeaks, [...shownPeaks].sort((a, b) => b - a));
}

test("what is said of each latent is what counting finds", async () => {
  const { store, sae } = synthetic({ documents: 24 });
  const features = await collect(store, sae, { folder: join(root, "counted"), shardRows: 700 });
  const codes = sae.encode(store.read("layers.1", 0, store.rows));
  for (let latent = 0; latent < 32; latent++) checkLatent(features, latent, codes, store, features.fired);
  assert.ok(Array.from({ length: 32 }, (_, f) => features.together(f).length).reduce((a, b) => a + b) > 40);
  assert.equal(features.feature(1).tokenShares[0].text, " wait");
  assert.ok(features.feature(1).tokenShares[0].share > 0.8, `${features.feature(1).tokenShares[0].share}`);
  assert.ok(features.feature(2).position.mean < features.feature(5).position.mean / 2, `${features.feature(2).position.mean}`);
  assert.throws(() => features.together(32), OptionError);
  assert.throws(() => features.documentRows(24), OptionError);
  for (let document = 0; document < 24; document++) {
    const { from, to } = features.documentRows(document);
    assert.deepEqual(features.origin(from, to), store.origin(from, to));
    assert.ok(features.origin(from, to).document.every((one) => one === document));
  }
  features.close();
});

/** Codes without arithmetic: a row is its number, and the codes follow from that. Of 20,000 latents, in pairs that fire together. */
function large(rows: number, latents: number, k: number): { store: Store; sae: Sae; codes: Sparse } {
  const rng = random(3);
  const codes: Sparse = { n: rows, k, index: new Int32Array(rows * k), value: new Float32Array(rows * k) };
  for (let r = 0; r < rows; r++) {
    const used = new Set<number>();
    for (let j = 0; j < k; j += 2) {
      let one: number; // even, and some fire often
      do one = 2 * Math.floor((latents / 2) * rng.uniform() ** 3);
      while (used.has(one));
      used.add(one);
      codes.index.set([one, one + 1], r * k + j);
      codes.value.set([1 + rng.uniform(), rng.uniform() < 0.8 ? rng.uniform() : 0], r * k + j);
    }
  }
  const LENGTH = 100;
  const base = synthetic({ documents: 1 });
  const ids = Int32Array.from({ length: rows }, () => rng.below(words.length));
  const documents: Document[] = Array.from({ length: rows / LENGTH }, (_, i) => ({ id: `text ${i}`, text: "", spans: [] }));
  const part = <T extends Int32Array | Float32Array>(all: T, x: Float32Array): T => all.slice(x[0] * k, (x[x.length - 1] + 1) * k) as T;
  const store: Store = {
    ...base.store,
    rows,
    manifest: { ...base.store.manifest, rows, hooks: [{ ...base.store.manifest.hooks[0], width: 1 }] },
    width: () => 1,
    documents: () => documents,
    documentRows: () => Int32Array.from({ length: documents.length + 1 }, (_, i) => i * LENGTH),
    tokens: (document) => ({ ids: ids.slice(document * LENGTH, (document + 1) * LENGTH), start: new Int32Array(LENGTH), end: new Int32Array(LENGTH) }),
    origin: (from, to) => ({
      document: Int32Array.from({ length: to - from }, (_, i) => Math.floor((from + i) / LENGTH)),
      position: Int32Array.from({ length: to - from }, (_, i) => (from + i) % LENGTH),
      token: ids.slice(from, to),
    }),
    read: (_, from, to) => Float32Array.from({ length: to - from }, (_none, i) => from + i),
  };
  const none = new Float32Array(latents);
  const sae: Sae = {
    ...base.sae,
    weights: { d: 1, latents, k, wEnc: none, bEnc: none, wDec: none, bDec: new Float32Array(1) },
    encode: (x) => ({ n: x.length, k, index: part(codes.index, x), value: part(codes.value, x) }),
  };
  return { store, sae, codes };
}

test("20,000 latents in several blocks: at their edges too, and the most frequent ones", async () => {
  const { store, sae, codes } = large(6000, 20_000, 8);
  const features = await collect(store, sae, { folder: join(root, "large"), shardRows: 2500 });
  assert.equal(features.manifest.blocks.length, 3);
  assert.deepEqual(features.manifest.blocks.map(({ from, to }) => [from, to]), [[0, 8192], [8192, 16_384], [16_384, 20_000]]);
  for (const latent of [0, 1, 2, 77, 8191, 8192, 16_383, 16_384, 19_999]) checkLatent(features, latent, codes, store, features.fired);
  assert.ok(features.together(0)[0].latent === 1 && features.together(0)[0].score > 0.3);
  assert.equal(features.top({ count: 300, by: "density", dense: true, rare: true }).length, 300);
  assert.deepEqual(
    features.top({ count: 30, by: "density", dense: true, rare: true }).map(({ latent }) => latent),
    features.top({ count: 300, by: "density", dense: true, rare: true }).slice(0, 30).map(({ latent }) => latent),
  );
  features.close();
});

test("an SAE that is silent, and one row", async () => {
  const { store, sae } = synthetic({ documents: 3 });
  const silent = await collect(store, { ...sae, encode: (x) => ({ ...sae.encode(x), value: new Float32Array((x.length / 32) * 6) }) }, { folder: join(root, "silent") });
  assert.deepEqual([silent.top().length, silent.together(3).length, silent.feature(3).documents], [0, 0, 0]);
  assert.deepEqual([silent.feature(3).tokenShares, silent.feature(3).position.deciles], [[], new Array(10).fill(0)]);
  assert.match(silent.card(3)[DISPLAY]()["text/plain"] as string, /3/);
  silent.close();
  const one: Store = { ...store, rows: 1, documentRows: () => Int32Array.of(0, 1, 1, 1), manifest: { ...store.manifest, rows: 1 } };
  const features = await collect(one, sae, { folder: join(root, "one"), context: 0, perQuantile: 0, random: 0 });
  const latent = features.fired.indexOf(1);
  assert.deepEqual([features.feature(latent).top.length, features.feature(latent).top[0].tokens.length, features.feature(latent).more.length], [1, 1, 0]);
  assert.deepEqual([features.documentRows(0), features.documentRows(2)], [{ from: 0, to: 1 }, { from: 1, to: 1 }]);
  features.close();
});

test("bytes changed within a family: a FormatError, or numbers that are wrong; never a crash, and files of the same size open", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const [folder, other] = [join(root, "bytes"), join(root, "bytes of rows that differ in length")];
  (await collect(store, sae, { folder })).close();
  (await collect(store, { ...sae, weights: { ...sae.weights, k: 32, kind: "jumprelu", threshold: 0 } }, { folder: other })).close();
  const rng = random(11);
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  const refused = await changed(folder, (name) => name.endsWith(".safetensors"), rng);
  assert.ok(refused > 8, `${refused} were refused`);
  assert.ok((await changed(other, (name) => name.startsWith("codes"), rng)) >= 2);
  assert.equal(open(), before);
});

/** Changes numbers in the tensors of a family's files, and reads it all; how often it was refused. */
async function changed(folder: string, which: (file: string) => boolean, rng: ReturnType<typeof random>): Promise<number> {
  let refused = 0;
  for (const file of readdirSync(folder).filter(which)) {
    const path = join(folder, file);
    const bytes = readFileSync(path);
    const { tensors } = readHeader(bytesSource(bytes), path);
    for (const [name, { offset, bytes: size, dtype }] of tensors) {
      if (!size) continue;
      for (const put of [-1, 1 << 20]) {
        const other = Buffer.from(bytes);
        if (dtype === "U8") other[offset + rng.below(size)] = put & 255;
        else other.writeInt32LE(put, offset + 4 * rng.below(size / 4));
        writeFileSync(path, other);
        try {
          const features = await openFeatures(folder);
          try {
            for (let f = 0; f < features.count; f++) features.feature(f);
            features.top({ count: 2, examples: 3 })[DISPLAY]();
            features.table();
            features.codes(0, features.rows);
          } finally {
            features.close();
          }
        } catch (error) {
          assert.ok(error instanceof FormatError && error.message.includes(file), `${file}: ${name}: ${(error as Error).stack}`);
          refused++;
        }
      }
    }
    writeFileSync(path, bytes);
  }
  return refused;
}
