import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../src/core/checkpoint";
import { CheckpointError, FormatError } from "../src/core/errors";
import { readNpz } from "../src/core/npz";
import { random, type Random } from "../src/core/random";
import type { ByteSource } from "../src/core/safetensors";
import { readMatrix, readScalar, readVector, safetensorsIn, type StoredTensor } from "../src/core/storedtensor";
import { readTorch } from "../src/core/torchfile";
import { folderOf, inflate } from "./checkpoints";

/** Seeded damage of checkpoints: 500 cases in npm test, 10,000 in check:slow. */

const TINY = join(__dirname, "../../test/oracle/saes/tiny");

export const typed = (error: unknown): boolean => error instanceof CheckpointError || error instanceof FormatError;

/** The tensors of a file, by its name. */
export const container = (name: string, source: ByteSource): Map<string, StoredTensor> =>
  name.endsWith(".npz") ? readNpz(source, name, inflate) : name.endsWith(".pt") ? readTorch(source, name) : safetensorsIn(source, name);

/** All numbers of all tensors. */
export function readAll(tensors: Map<string, StoredTensor>): Map<string, number[]> {
  const floats = [...tensors].filter(([, { dtype }]) => /^B?F\d/.test(dtype));
  for (const [name, tensor] of tensors) if (tensor.shape.length === 0) readScalar(tensor, name);
  return new Map(floats.filter(([, { shape }]) => shape.length <= 2).map(([name, tensor]) => [name, [...(tensor.shape.length === 2 ? readMatrix(tensor) : readVector(tensor))]]));
}

/** Bytes changed, cut, repeated, or numbers replaced by extreme ones, mostly where headers and pickles are. */
function mutated(bytes: Uint8Array, begin: number, end: number, rng: Random): Uint8Array {
  let out = Uint8Array.from(bytes);
  const within = (): number => (rng.below(10) ? begin + rng.below(Math.max(1, Math.min(end, out.length) - begin)) : rng.below(out.length));
  for (let change = 0, changes = 1 + rng.below(4); change < changes && out.length > 1; change++) {
    const at = Math.min(within(), out.length - 1);
    switch (rng.below(6)) {
      case 0: out[at] = rng.below(256); break;
      case 1: out[at] ^= 1 << rng.below(8); break;
      case 2: out.set(Array.from({ length: Math.min(8, out.length - at) }, () => (rng.below(3) ? 255 : rng.below(256))), at); break; // a length, or an offset
      case 3: out = out.subarray(0, at + 1).slice(); break;
      case 4: { // a piece twice
        const piece = out.subarray(at, at + 1 + rng.below(40));
        out = Uint8Array.from([...out.subarray(0, at), ...piece, ...out.subarray(at)]);
        break;
      }
      case 5: { // a piece from elsewhere
        const from = Math.min(within(), out.length - 1);
        out.copyWithin(at, from, Math.min(out.length, from + 1 + rng.below(30)));
        break;
      }
    }
  }
  return out;
}


const targets = ["dictionary_learning/ae.pt", "dictionary_legacy/ae.pt", "gemma_scope/params.npz", "gemma_scope_deflated/params.npz", "saelens/sae_weights.safetensors"]
  .map((name) => join(TINY, name));

/** Damages archives, pickles and headers: each reading ends in a value or a typed error, and neither reads nor makes more than the file's size allows. */
export function damageContainers(count: number): void {
  let refused = 0;
  for (let seed = 0; seed < count; seed++) {
    const path = targets[seed % targets.length];
    const whole = readFileSync(path);
    const [begin, end] = path.endsWith(".safetensors") ? [0, 8 + Number(whole.readBigUInt64LE(0))] : [0, whole.length];
    const bytes = mutated(whole, begin, end, random(seed));
    let asked = 0;
    const source: ByteSource = { byteLength: bytes.length, slice: (from, to) => ((asked += to - from), bytes.subarray(from, to)) };
    try {
      const values = readAll(container(path, source));
      const numbers = [...values.values()].reduce((sum, list) => sum + list.length, 0);
      assert.ok(2 * numbers <= 64 * bytes.length, `seed ${seed}: ${numbers} numbers of ${bytes.length} bytes`);
    } catch (error) {
      assert.ok(typed(error), `seed ${seed} of ${path}: ${(error as Error).stack}`);
      refused++;
    }
    assert.ok(asked <= 200 * bytes.length + 2 ** 20, `seed ${seed}: read ${asked} of ${bytes.length}`);
  }
  assert.ok(refused > count / 4 && refused < count, `${refused} of ${count} refused`); // most damage shows, some is of numbers only
}

/** Damages configurations beside whole weights. */
export function damageConfigurations(count: number): void {
  const folders = ["sparsify", "saelens", "dictionary_learning", "llama_scope"].map((name) => join(TINY, name));
  for (let seed = 0; seed < count; seed++) {
    const folder = folderOf(folders[seed % folders.length]);
    const rng = random(seed);
    const text = (file: string): string => {
      const whole = new TextEncoder().encode(folder.text(file));
      return new TextDecoder().decode(mutated(whole, 0, whole.length, rng));
    };
    try {
      void { ...openCheckpoint({ ...folder, text }).weights };
    } catch (error) {
      assert.ok(typed(error), `seed ${seed} of ${folder.where}: ${(error as Error).stack}`);
    }
  }
}
