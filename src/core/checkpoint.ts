import { CheckpointError } from "./errors";
import { readFloats, readHeader, writeSafetensors, type ByteSource } from "./safetensors";
import type { Sae, SaeWeights } from "./types";

/**
 * The sparsify layout of an SAE ↔ plain arrays.
 *
 *   cfg.json          d_in, num_latents, k, activation …
 *   sae.safetensors   encoder.weight [F, d], encoder.bias [F], W_dec [F, d], b_dec [d]
 *
 * ReLU comes before top-k, b_dec is always subtracted before encoding, and nothing is normalised on load.
 * @see sparsify 1.3, config.py and sparse_coder.py
 */
export const CFG = "cfg.json";
export const WEIGHTS = "sae.safetensors";

/** Keys of cfg.json that are known; the others are ignored with a warning. */
const KNOWN = [
  "activation", "expansion_factor", "normalize_decoder", "num_latents", "k", "multi_topk", "skip_connection", "transcode", "d_in", "signed",
];

export interface Config {
  d: number;
  latents: number;
  k: number;
  /** What was ignored, in words. */
  warnings: string[];
}

/**
 * @param where path of the file, for messages
 * @throws CheckpointError when it is not a configuration, or is of an SAE with features that cannot be read
 */
export function parseConfig(text: string, where: string): Config {
  const fail = (what: string, remedy: string): never => {
    throw new CheckpointError(`${where}: ${what}. ${remedy}`);
  };
  const copyAgain = "The file is damaged: copy or download it again.";
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    fail(`expected JSON, found: ${(error as Error).message}`, copyAgain);
  }
  const object = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!object(json)) return fail("expected a JSON object", copyAgain);
  // Early releases kept the whole training configuration, the SAE's own under "sae"; d_in may stay outside.
  const cfg: Record<string, unknown> = object(json.sae)
    ? { ...(json.d_in === undefined ? {} : { d_in: json.d_in }), ...json.sae }
    : json;
  const count = (key: string, from: number): number => {
    const value = cfg[key];
    if (!Number.isSafeInteger(value) || (value as number) < from) {
      const found = JSON.stringify(value) ?? "nothing";
      fail(`${key}: expected a whole number of at least ${from}, found ${found}`, "Set it to what the SAE was trained with.");
    }
    return value as number;
  };
  const activation = cfg.activation ?? "topk";
  const unsupported = (key: string, value: unknown, meaning: string): never =>
    fail(
      `${key}: expected a plain top-k SAE, found ${JSON.stringify(value)} (${meaning})`,
      "This version reads top-k SAEs only: choose such a checkpoint.");
  if (activation === "groupmax") unsupported("activation", activation, "one latent of each of k groups");
  if (activation !== "topk") {
    fail(`activation: expected "topk", found ${JSON.stringify(activation)}`, "sparsify knows topk and groupmax: check the file.");
  }
  if (cfg.transcode) unsupported("transcode", cfg.transcode, "it predicts another hook's rows");
  if (cfg.skip_connection) unsupported("skip_connection", cfg.skip_connection, "a linear path W_skip beside the latents");
  const d = count("d_in", 1);
  const latents = (cfg.num_latents ?? 0) === 0 ? d * count("expansion_factor", 1) : count("num_latents", 1);
  const k = count("k", 1);
  if (k > latents) fail(`k: expected 1 to ${latents} (num_latents), found ${k}`, "Set it to what the SAE was trained with.");
  const unknown = Object.keys(cfg).filter((key) => !KNOWN.includes(key));
  const warnings = unknown.length ? [`${where}: ignored keys that are not known: ${unknown.join(", ")}.`] : [];
  return { d, latents, k, warnings };
}

/** Whether a cfg.json is of this layout, whatever its activation: sparsify counts latents by num_latents or expansion_factor. */
export function isSparsify(text: string): boolean {
  try {
    const json = JSON.parse(text);
    const cfg = json?.sae ?? json;
    return Number.isInteger(cfg?.k) && (Number.isInteger(cfg.num_latents) || Number.isInteger(cfg.expansion_factor));
  } catch {
    return false;
  }
}

/**
 * @param source bytes of sae.safetensors; half precision is widened exactly
 * @param where path of the file, for messages
 * @throws CheckpointError when tensors are missing, of other shapes than cfg.json says, or hold NaN or infinity;
 *   FormatError when it is no safetensors file
 */
export function readWeights(source: ByteSource, { d, latents, k }: Config, where: string): {
  weights: SaeWeights;
  /** Where the arrays begin in the file, if they are stored as float32. */
  offsets?: NonNullable<Sae["stored"]>["offsets"];
  warnings: string[];
} {
  const { tensors } = readHeader(source, where);
  const read = (name: string, shape: number[], meaning: string): Float32Array => {
    const info = tensors.get(name);
    if (!info) {
      const remedy = tensors.has("W_enc")
        ? "W_enc is the SAELens layout, which this version does not read."
        : "The checkpoint is not whole: copy or download it again.";
      throw new CheckpointError(
        `${where}: ${name}: expected [${shape}] (${meaning}), found ` +
        `tensors ${[...tensors.keys()].join(", ") || "none"}. ${remedy}`);
    }
    if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
      const transposed = shape.length === 2 && info.shape.length === 2 && info.shape[0] === shape[1] && info.shape[1] === shape[0];
      const remedy = transposed
        ? "It is transposed: store one row a latent."
        : "cfg.json and the weights are not of one SAE: copy both from the same folder.";
      throw new CheckpointError(`${where}: ${name}: expected [${shape}] (${meaning} in cfg.json), found [${info.shape}]. ${remedy}`);
    }
    if (!["F32", "F16", "BF16", "F64"].includes(info.dtype)) {
      throw new CheckpointError(
        `${where}: ${name}: expected F32, F16, BF16 or F64, found ${info.dtype}. ` +
        "Quantised checkpoints are not read: choose a floating one.");
    }
    const values = readFloats(source, info);
    for (let i = 0; i < values.length; i++) {
      if (Number.isFinite(values[i])) continue;
      throw new CheckpointError(
        `${where}: ${name}: expected finite numbers, found ${values[i]} at ${i}. ` +
        "The training diverged or the file is damaged: take another checkpoint.");
    }
    return values;
  };
  const weights = {
    d, latents, k,
    bDec: read("b_dec", [d], "d_in"),
    bEnc: read("encoder.bias", [latents], "num_latents"),
    wEnc: read("encoder.weight", [latents, d], "num_latents × d_in"),
    wDec: read("W_dec", [latents, d], "num_latents × d_in"),
  };
  const stored = { wEnc: tensors.get("encoder.weight")!, bEnc: tensors.get("encoder.bias")!, wDec: tensors.get("W_dec")!, bDec: tensors.get("b_dec")! };
  const offsets = Object.values(stored).every(({ dtype }) => dtype === "F32")
    ? { wEnc: stored.wEnc.offset, bEnc: stored.bEnc.offset, wDec: stored.wDec.offset, bDec: stored.bDec.offset } : undefined;
  const extra = [...tensors.keys()].filter((name) => !["b_dec", "encoder.bias", "encoder.weight", "W_dec"].includes(name));
  return { weights, offsets, warnings: extra.length ? [`${where}: ignored tensors that are not known: ${extra.join(", ")}.`] : [] };
}

/** cfg.json, as sparsify writes and reads it. */
export const configText = ({ d, latents, k }: SaeWeights): string => JSON.stringify({
  activation: "topk",
  expansion_factor: Math.max(1, Math.round(latents / d)), // num_latents wins over it
  normalize_decoder: true,
  num_latents: latents,
  k,
  multi_topk: false,
  skip_connection: false,
  transcode: false,
  d_in: d,
});

/** sae.safetensors in pieces, to be written one after the other. */
export const weightBytes = ({ d, latents, wEnc, bEnc, wDec, bDec }: SaeWeights): Uint8Array[] => writeSafetensors([
  { name: "W_dec", shape: [latents, d], data: wDec },
  { name: "b_dec", shape: [d], data: bDec },
  { name: "encoder.bias", shape: [latents], data: bEnc },
  { name: "encoder.weight", shape: [latents, d], data: wEnc },
], { format: "pt" });

/** A little of everything that could be wrong with weights made in memory. @throws CheckpointError */
export function checkWeights({ d, latents, k, wEnc, bEnc, wDec, bDec }: SaeWeights, where: string): void {
  const sizes: [string, Float32Array, number][] = [
    ["wEnc", wEnc, latents * d], ["bEnc", bEnc, latents], ["wDec", wDec, latents * d], ["bDec", bDec, d],
  ];
  for (const [name, data, size] of sizes) {
    if (data.length !== size) {
      throw new CheckpointError(
        `${where}: ${name}: expected ${size} numbers for ${latents} ` +
        `latents of width ${d}, found ${data.length}. Give whole arrays.`);
    }
  }
  if (!Number.isInteger(k) || k < 1 || k > latents) {
    throw new CheckpointError(`${where}: k: expected 1 to ${latents}, found ${k}. Choose within the number of latents.`);
  }
}
