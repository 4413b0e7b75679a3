import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bytesSource, readFloats, readHeader, type ByteSource, type SafetensorsHeader } from "../../src/core/safetensors";
import type { Hook, HookRow } from "../../src/core/types";

/** What PyTorch computed of a tiny model, and how ours is held against it. */

export interface Golden {
  model_type: string;
  layers: number;
  prompts: { text: string; ids: number[] }[];
  generate: { plain: number[][]; steered: number[][] };
  steer: { point: string };
  ablate: { point: string };
  has(name: string): boolean;
  tensor(name: string): Float32Array;
}

export function golden(folder: string): Golden {
  const source: ByteSource = bytesSource(new Uint8Array(readFileSync(join(folder, "golden.safetensors"))));
  const header: SafetensorsHeader = readHeader(source, "golden.safetensors");
  const meta = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
  /** resid_mid, where it is not stored: the two whose float32 sum it is, bit for bit (the maker checks it). */
  const sum = (name: string): [string, string] | undefined => {
    const [, k, i] = /^(p\d+)\.resid_mid\.(\d+)$/.exec(name) ?? [];
    if (k === undefined || !meta.points["resid_mid.{i}"] || header.tensors.has(name)) return undefined;
    const added = [`${k}.attn_add.${i}`, `${k}.attn_out.${i}`].find((part) => header.tensors.has(part))!;
    return [i === "0" ? `${k}.embed` : `${k}.resid_post.${Number(i) - 1}`, added];
  };
  const tensor = (name: string): Float32Array => {
    const parts = sum(name);
    if (!parts) return readFloats(source, header.tensors.get(name)!);
    const [before, added] = parts.map(tensor);
    return before.map((x, j) => x + added[j]);
  };
  return { ...meta, has: (name) => header.tensors.has(name) || sum(name) !== undefined, tensor };
}

export const goldenName = ({ kind, layer }: Pick<Hook, "kind" | "layer">): string => (["tok_embed", "embed", "final_norm", "logits"].includes(kind) ? kind : `${kind}.${layer}`);

/** max|a − b| ≤ 1e-5·max|b|: float32 sums over at most 96 terms and three blocks; 1.8e-6 is reached. */
export function close(found: Float32Array, wanted: Float32Array, what: string, tolerance = 1e-5): number {
  assert.equal(found.length, wanted.length, what);
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < wanted.length; i++) {
    assert.ok(Number.isFinite(found[i]), what);
    difference = Math.max(difference, Math.abs(found[i] - wanted[i]));
    scale = Math.max(scale, Math.abs(wanted[i]));
  }
  assert.ok(scale > 0.1 && difference <= tolerance * scale, `${what}: ${difference} of ${scale}`);
  return difference / scale;
}

/** Numbers that a hook gives for a text of so many tokens. */
export const sizeOf = (hook: HookRow, length: number): number => (hook.kind === "pattern" ? hook.width * length * length : length * hook.width);
