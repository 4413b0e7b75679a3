import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeAtomic } from "../../src/adapters/files";
import { DOCUMENTS, MANIFEST, ORIGIN_TENSORS, shardFile, TOKENS } from "../../src/adapters/storestate";
import { random } from "../../src/core/random";
import { writeSafetensors } from "../../src/core/safetensors";
import { directions, type Size } from "./collectchild";

const SHARD = 65_536;

/**
 * Writes a store of rows and tokens that are given, documents of equal length.
 * @param rowsOf rows from … to, [to − from, d]
 */
export async function writeStore(folder: string, { rows, d }: Pick<Size, "rows" | "d">, length: number, ids: Int32Array, rowsOf: (from: number, to: number) => Float32Array): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const documents = Math.ceil(rows / length);
  const shards: object[] = [];
  for (let from = 0; from < rows; from += SHARD) {
    const to = Math.min(rows, from + SHARD);
    const of = (value: (row: number) => number): Int32Array => Int32Array.from({ length: to - from }, (_, i) => value(from + i));
    const origin = [of((row) => Math.floor(row / length)), of((row) => row % length), ids.slice(from, to), of((row) => row % length), of((row) => (row % length) + 1)];
    const file = shardFile(shards.length);
    const pieces = writeSafetensors([
      { name: "layers.2", shape: [to - from, d], data: rowsOf(from, to) },
      ...ORIGIN_TENSORS.map((name, i) => ({ name, shape: [to - from], data: origin[i] })),
    ]);
    await writeAtomic(join(folder, file), pieces);
    shards.push({ file, rows: to - from, bytes: pieces.reduce((sum, { byteLength }) => sum + byteLength, 0), dropped: { first: 0, norm: 0 } });
  }
  writeFileSync(join(folder, DOCUMENTS), Array.from({ length: documents }, (_, i) => `${JSON.stringify({ id: `d${i}`, text: "", spans: [] })}\n`).join(""));
  const first = Int32Array.from({ length: documents + 1 }, (_, i) => Math.min(rows, i * length));
  const place = Int32Array.from({ length: rows }, (_, i) => i % length);
  await writeAtomic(join(folder, TOKENS), writeSafetensors([
    { name: "ids", shape: [rows], data: ids },
    { name: "start", shape: [rows], data: place },
    { name: "end", shape: [rows], data: place.map((at) => at + 1) },
    { name: "first", shape: [documents + 1], data: first },
  ]));
  writeFileSync(join(folder, MANIFEST), JSON.stringify({
    format: "saelab-store", version: 1, model: { source: "made", family: "none", sha256: "made" }, texts: { documents, tokens: rows, sha256: "made" },
    hooks: [{ name: "layers.2", kind: "resid_post", layer: 2, width: d }], dtype: "F32", rows, shards, dropped: { first: 0, norm: 0 }, settings: {},
  }));
}

/**
 * A store with rows that are sums of three quarters of k directions of the SAE and some noise: the frequent ones on most rows, most on
 * few (a share of u² of the latents, u uniform), a third of them beside their neighbour, so that there are pairs. Documents of 512 tokens,
 * 50,000 different tokens.
 */
export async function plantedStore(folder: string, size: Size): Promise<void> {
  const { latents, d, k, rows } = size;
  const all = directions(size);
  const rng = random(2);
  const ids = Int32Array.from({ length: rows }, () => Math.floor(50_000 * rng.uniform() ** 3));
  await writeStore(folder, size, 512, ids, (from, to) => {
    const x = new Float32Array((to - from) * d);
    for (let r = 0; r < to - from; r++) {
      const row = x.subarray(r * d, (r + 1) * d);
      for (let i = 0; i < d; i++) row[i] = (0.1 * (rng.uniform() - 0.5)) / Math.sqrt(d);
      let f = 0;
      for (let j = 0; j < 0.75 * k; j++) {
        f = j % 3 === 2 ? (f + 1) % latents : Math.floor(latents * rng.uniform() ** 2);
        const strength = 1 + rng.uniform();
        for (let i = 0, at = f * d; i < d; i++, at++) row[i] += strength * all[at];
      }
    }
    return x;
  });
}
