import { CheckpointError, OptionError } from "./errors";
import { isFloating, readMatrix, readScalar, readVector, type StoredTensor } from "./storedtensor";
import type { SaeParts, SaeWeights } from "./types";

/** What all formats share: tensors of a file, checked against what is expected of them, as the arrays of an SAE. */

/** A checkpoint as its format's reader gives it; the matrices are not read yet. */
export interface ReadSae {
  weights: SaeWeights;
  /** Hook by the checkpoint's own words; of a transcoder also the one that it predicts. */
  hook?: string;
  target?: string;
  /** The tensors that lie in the file as the arrays do, where all do, as float32: byte offsets. */
  offsets?: Record<"wEnc" | "bEnc" | "wDec" | "bDec", number>;
  /** What was ignored or assumed, in words. */
  warnings: string[];
}

/** Names an array of the SAE: of which tensor, in which shape there. `latents`: the dimension that counts them, if one does. */
interface Wanted {
  name: string;
  shape: number[];
  /** Where the shape comes from, for messages: "num_latents × d_in in cfg.json". */
  meaning: string;
  latents?: 0 | 1;
}

export interface SaeTensors {
  has(name: string): boolean;
  names(): string[];
  shape(name: string): number[];
  scalar(name: string): number;
  vector(wanted: Wanted): Float32Array;
  /** Reads a matrix when it is called. Transposed: into rows that are the tensor's columns. */
  matrix(wanted: Wanted & { transposed?: boolean }): () => Float32Array;
  subset?: Int32Array;
}

/**
 * @param where path of the file, for messages
 * @param latents the numbers of those that are loaded alone
 * @throws CheckpointError, from its parts, when a tensor is missing, of another shape or type, or holds NaN or infinity
 */
export function saeTensors(tensors: Map<string, StoredTensor>, where: string, latents?: number[]): SaeTensors {
  const subset = latents && Int32Array.from(new Set(latents)).sort();
  const find = ({ name, shape, meaning }: Wanted): StoredTensor => {
    const tensor = tensors.get(name);
    if (!tensor) {
      const names = [...tensors.keys()].join(", ") || "none";
      throw new CheckpointError(
        `${where}: ${name}: expected [${shape}] (${meaning}), found tensors ${names.slice(0, 300)}. ${otherLayout(tensors) ?? "The checkpoint is not whole: copy or download it again."}`);
    }
    const found = tensor.shape;
    if (found.length !== shape.length || found.some((size, i) => size !== shape[i])) {
      const transposed = shape.length === 2 && found.length === 2 && found[0] === shape[1] && found[1] === shape[0];
      const remedy = transposed ? "It is transposed: store one row a latent, as this format has it."
        : "The configuration and the weights are not of one SAE: copy both from the same folder.";
      throw new CheckpointError(`${where}: ${name}: expected [${shape}] (${meaning}), found [${found}]. ${remedy}`);
    }
    if (!isFloating(tensor)) {
      throw new CheckpointError(
        `${where}: ${name}: expected F32, F16, BF16 or F64, found ${tensor.dtype}. Quantised checkpoints are not read: choose a floating one.`);
    }
    return tensor;
  };
  const finite = <T extends Float32Array | Float64Array>(name: string, values: T): T => {
    for (let i = 0; i < values.length; i++) {
      if (Number.isFinite(values[i])) continue;
      throw new CheckpointError(
        `${where}: ${name}: expected finite numbers, found ${values[i]} at ${i}. The training diverged or the file is damaged: take another checkpoint.`);
    }
    return values;
  };
  const inRange = (count: number): void => {
    const bad = subset && (subset.length ? [...subset].find((latent) => latent < 0 || latent >= count) : "none");
    if (bad !== undefined) throw new OptionError(`latents: expected numbers from 0 to ${count - 1} of ${where}, found ${bad}.`);
  };
  return {
    has: (name) => tensors.has(name),
    names: () => [...tensors.keys()],
    shape: (name) => tensors.get(name)?.shape ?? [],
    scalar: (name) => {
      const tensor = tensors.get(name);
      if (!tensor) {
        const names = [...tensors.keys()].join(", ").slice(0, 300);
        throw new CheckpointError(`${where}: ${name}: expected a number, found tensors ${names}. The checkpoint is not whole: copy or download it again.`);
      }
      return finite(name, Float64Array.of(readScalar(tensor, `${where}: ${name}`)))[0];
    },
    vector(wanted) {
      const tensor = find(wanted);
      const values = finite(wanted.name, readVector(tensor));
      if (!subset || wanted.latents !== 0) return values;
      inRange(values.length);
      return Float32Array.from(subset, (latent) => values[latent]);
    },
    matrix(wanted) {
      const tensor = find(wanted);
      const { name, transposed = false, latents: dimension } = wanted;
      if (subset && dimension !== undefined) inRange(tensor.shape[dimension]);
      const rows = dimension === (transposed ? 1 : 0) ? subset : undefined;
      return () => finite(name, readMatrix(tensor, { transposed, rows }));
    },
    subset,
  };
}

/** A word on tensors that another format would have. */
function otherLayout(tensors: Map<string, StoredTensor>): string | undefined {
  if (tensors.has("W_enc")) return 'W_enc is the SAELens layout, cfg.json beside sae_weights.safetensors: say { format: "saelens" }.';
  if (tensors.has("encoder.weight") && tensors.has("W_dec")) return 'encoder.weight beside W_dec is the sparsify layout: say { format: "sparsify" }.';
  return undefined;
}

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never; // of each kind by itself

/**
 * An SAE whose matrices are read when they are first asked for, and kept then.
 * @param parts everything else
 */
export function lazyWeights(
  parts: Without<SaeWeights, "wEnc" | "wDec" | "wSkip">, matrices: { wEnc: () => Float32Array; wDec: () => Float32Array; wSkip?: () => Float32Array },
): SaeWeights {
  const weights = Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as unknown as SaeWeights;
  for (const [name, read] of Object.entries(matrices)) {
    if (!read) continue;
    Object.defineProperty(weights, name, {
      enumerable: true, configurable: true,
      get: () => {
        const value = read();
        Object.defineProperty(weights, name, { value, enumerable: true, configurable: true, writable: true });
        return value;
      },
    });
  }
  return weights;
}

/** The fields of a part of an SAE: as many latents as were asked for, of which all may be active. */
export const sized = (k: number, latents: number, subset: Int32Array | undefined): Pick<SaeParts, "k" | "latents" | "subset"> =>
  subset ? { latents: subset.length, k: Math.min(k, subset.length), subset } : { latents, k };
