import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openModel, type OpenOptions } from "../../src/adapters/open";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";
import type { Model } from "../../src/core/types";
export { scratch } from "./folders";

/** The tiny models of test/oracle, and how tests open and compare them. */
export const ORACLE = join(__dirname, "../../../test/oracle");

export interface Golden {
  prompts: { text: string; ids: number[] }[];
  generate: { plain: number[][]; steered: number[][] };
}

export const golden = (name: string): Golden => JSON.parse(readFileSync(join(ORACLE, "models", name, "golden.json"), "utf8"));

/** Tensors of a safetensors file, as float32. */
export function tensorsOf(path: string): (name: string) => Float32Array {
  const source = bytesSource(new Uint8Array(readFileSync(path)));
  const { tensors } = readHeader(source, path);
  return (name) => {
    const info = tensors.get(name);
    assert.ok(info, `${path}: no ${name}`);
    return readFloats(source, info);
  };
}

/**
 * max|a − b| ≤ tolerance · max|b|. 1e-5 allows float32 sums over at most 96 terms in three blocks; 2e-6 is usual.
 * @returns the difference reached, relative
 */
export function close(found: Float32Array, wanted: ArrayLike<number>, what: string, tolerance = 1e-5): number {
  assert.equal(found.length, wanted.length, what);
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < wanted.length; i++) {
    assert.ok(Number.isFinite(found[i]), `${what}: ${found[i]} at ${i}`);
    difference = Math.max(difference, Math.abs(found[i] - wanted[i]));
    scale = Math.max(scale, Math.abs(wanted[i]));
  }
  assert.ok(difference <= tolerance * scale, `${what}: ${difference} of ${scale}`);
  return scale ? difference / scale : 0;
}

/** Pseudo-random numbers, the same each time. */
export const noise = (n: number, seed = 1): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(seed * 12.9898 + i * 78.233) * 0.8);

/** Shows that a test could fail: the numbers are not those of the other run. */
export function differs(a: Float32Array, b: Float32Array, what: string): void {
  assert.equal(a.length, b.length, what);
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference = Math.max(difference, Math.abs(a[i] - b[i]));
  assert.ok(difference > 1e-2, `${what}: expected other numbers, found them ${difference} apart`);
}

export async function opened<T>(name: string, work: (model: Model) => Promise<T>, options?: OpenOptions): Promise<T> {
  const model = await openModel(name.includes("/") ? name : join(ORACLE, "models", name), options);
  try {
    return await work(model);
  } finally {
    await model.close();
  }
}

export const copyModel = (name: string, to: string): void => cpSync(join(ORACLE, "models", name), to, { recursive: true });
