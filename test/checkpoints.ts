import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { constants, inflateRawSync } from "node:zlib";
import type { CheckpointFiles } from "../src/core/checkpoint";
import { bytesSource, readFloats, readHeader, readInts } from "../src/core/safetensors";
import type { Sparse } from "../src/core/types";

/** Checkpoints with golden results beside them, as test/oracle/saes describes them. */

export const inflate: CheckpointFiles["inflate"] = (bytes, { atMost, partial }) =>
  inflateRawSync(bytes, { maxOutputLength: atMost, ...(partial ? { finishFlush: constants.Z_SYNC_FLUSH } : {}) });

/** A folder whose files are read whole into memory. `read` is told of every range that is asked for. */
export const folderOf = (folder: string, weights?: string, read: (file: string, bytes: number) => void = () => {}): CheckpointFiles => ({
  where: folder,
  files: readdirSync(folder),
  weights,
  text: (file) => readFileSync(join(folder, file), "utf8"),
  bytes: (file) => {
    const source = bytesSource(readFileSync(join(folder, file)));
    return { byteLength: source.byteLength, slice: (from, to) => (read(file, to - from), source.slice(from, to)) };
  },
  inflate,
});

/** Folders with a golden.json, at most two levels down. */
export function cases(root: string): string[] {
  if (!existsSync(root)) return [];
  const inside = (folder: string): string[] => readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
  const all = inside("").flatMap((folder) => [folder, ...inside(folder)]);
  return all.filter((folder) => existsSync(join(root, folder, "golden.json"))).sort();
}

export interface Golden {
  x: Float32Array;
  recon: Float32Array;
  decode?: Float32Array;
  k: number;
  index: Int32Array;
  value: Float32Array;
  /** `batch_topk_*`, where a batch was encoded together. */
  batch?: { k: number; index: Int32Array; value: Float32Array };
}

/** golden.safetensors, or that of the case that has the same results. */
export function goldenOf(folder: string): Golden {
  const facts = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8")) as { same_as?: string };
  const own = join(folder, "golden.safetensors");
  const bytes = bytesSource(readFileSync(existsSync(own) ? own : join(folder, facts.same_as ?? "golden.safetensors")));
  const { tensors } = readHeader(bytes, own);
  const floats = (name: string) => readFloats(bytes, tensors.get(name)!);
  const sparse = (name: string) => ({ k: tensors.get(`${name}_indices`)!.shape[1], index: readInts(bytes, tensors.get(`${name}_indices`)!), value: floats(`${name}_values`) });
  return {
    x: floats("x"), recon: floats("recon"), ...(tensors.has("decode") ? { decode: floats("decode") } : {}), ...sparse("acts"),
    ...(tensors.has("batch_topk_indices") ? { batch: sparse("batch_topk") } : {}),
  };
}

/** max|a − b| / max|b|. */
export function worst(actual: Float32Array, expected: Float32Array): number {
  assert.equal(actual.length, expected.length);
  const largest = expected.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  return actual.reduce((max, v, i) => Math.max(max, Math.abs(v - expected[i])), 0) / largest;
}

/** Rows as a map from latent to value, of what is not 0; then the sets must be equal, and the values' worst difference is given. */
export function worstActivation(got: Sparse, want: { k: number; index: Int32Array; value: Float32Array }): number {
  const largest = want.value.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  let difference = 0;
  for (let row = 0; row < got.n; row++) {
    const active = ({ k, index, value }: { k: number; index: Int32Array; value: Float32Array }) => {
      const places = Array.from({ length: k }, (_, i) => row * k + i).filter((i) => value[i] !== 0);
      return new Map(places.map((i) => [index[i], value[i]]));
    };
    const [mine, theirs] = [active(got), active(want)];
    assert.deepEqual([...mine.keys()].sort((a, b) => a - b), [...theirs.keys()].sort((a, b) => a - b), `row ${row}`);
    for (const [latent, value] of theirs) difference = Math.max(difference, Math.abs(value - mine.get(latent)!));
  }
  return difference / largest;
}
