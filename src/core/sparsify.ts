import { fieldsOf, isObject, parseObject, type Json } from "./config";
import { CheckpointError } from "./errors";
import { writeSafetensors } from "./safetensors";
import { lazyWeights, saeTensors, sized, type ReadSae } from "./saetensors";
import type { StoredTensor } from "./storedtensor";
import type { SaeWeights } from "./types";

/**
 * The sparsify layout ↔ plain arrays.
 *
 *   cfg.json          d_in, num_latents, k, activation, transcode, skip_connection …
 *   sae.safetensors   encoder.weight [F, d], encoder.bias [F], W_dec [F, d], b_dec [d], W_skip [d, d]
 *
 * b_dec is subtracted before encoding unless `transcode`; nothing is normalised on load. `multi_topk` is a way of training: encoding is
 * of the k latents whatever it says.
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
  activation: "topk" | "groupmax";
  transcode: boolean;
  skip: boolean;
  /** What was ignored, in words. */
  warnings: string[];
}

/**
 * @param where path of the file, for messages
 * @throws CheckpointError when it is not a configuration, or says what no SAE can do
 */
export function parseConfig(text: string, where: string): Config {
  const json = parseObject(text, where);
  // Early releases kept the whole training configuration, the SAE's own under "sae"; d_in may stay outside.
  const cfg: Json = isObject(json.sae) ? { ...(json.d_in === undefined ? {} : { d_in: json.d_in }), ...json.sae } : json;
  const { count, flag, fail } = fieldsOf(cfg, where);
  const activation = cfg.activation ?? "topk";
  if (activation !== "topk" && activation !== "groupmax") {
    return fail(`activation: expected "topk" or "groupmax", found ${JSON.stringify(activation).slice(0, 100)}`, "sparsify knows these two: check the file.");
  }
  const d = count("d_in", 1);
  const latents = (cfg.num_latents ?? 0) === 0 ? d * count("expansion_factor", 1) : count("num_latents", 1);
  const k = count("k", 1);
  if (k > latents) fail(`k: expected 1 to ${latents} (num_latents), found ${k}`, "Set it to what the SAE was trained with.");
  if (activation === "groupmax" && latents % k) {
    fail(`k: expected a divisor of num_latents ${latents} for groupmax, which has one latent of each of k groups, found ${k}`, "Set it to what the SAE was trained with.");
  }
  const unknown = Object.keys(cfg).filter((key) => !KNOWN.includes(key));
  const warnings = unknown.length ? [`${where}: ignored keys that are not known: ${unknown.join(", ").slice(0, 300)}.`] : [];
  return { d, latents, k, activation, transcode: flag("transcode", false), skip: flag("skip_connection", false), warnings };
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
 * @param tensors of sae.safetensors
 * @param where path of the file, for messages
 * @throws CheckpointError when tensors are missing or of other shapes than cfg.json says; when a matrix is first used, if it holds NaN
 *   or infinity
 */
export function readSparsify(tensors: Map<string, StoredTensor>, config: Config, where: string, latents?: number[]): ReadSae {
  const { d, latents: F, k, activation, transcode, skip } = config;
  const file = saeTensors(tensors, where, latents);
  const bDec = file.vector({ name: "b_dec", shape: [d], meaning: "d_in in cfg.json" });
  const bEnc = file.vector({ name: "encoder.bias", shape: [F], meaning: "num_latents in cfg.json", latents: 0 });
  const matrix = (name: string) => file.matrix({ name, shape: [F, d], meaning: "num_latents × d_in in cfg.json", latents: 0 });
  const wSkip = skip ? file.matrix({ name: "W_skip", shape: [d, d], meaning: "d_in × d_in, by skip_connection in cfg.json" }) : undefined;
  const weights = lazyWeights({
    d, ...sized(k, F, file.subset), bEnc, bDec,
    ...(activation === "groupmax" ? { kind: activation } : {}),
    ...(transcode ? { transcoder: true, subtractBDec: false } : {}),
  }, { wEnc: matrix("encoder.weight"), wDec: matrix("W_dec"), ...(wSkip ? { wSkip } : {}) });
  const stored = { wEnc: tensors.get("encoder.weight")!, bEnc: tensors.get("encoder.bias")!, wDec: tensors.get("W_dec")!, bDec: tensors.get("b_dec")! };
  const plain = activation === "topk" && !transcode && !skip && !latents && Object.values(stored).every(({ dtype }) => dtype === "F32");
  const extra = file.names().filter((name) => !["b_dec", "encoder.bias", "encoder.weight", "W_dec", ...(skip ? ["W_skip"] : [])].includes(name));
  return {
    weights,
    ...(plain ? { offsets: { wEnc: stored.wEnc.offset, bEnc: stored.bEnc.offset, wDec: stored.wDec.offset, bDec: stored.bDec.offset } } : {}),
    warnings: [...config.warnings, ...(extra.length ? [`${where}: ignored tensors that are not known: ${extra.join(", ").slice(0, 300)}.`] : [])],
  };
}

/** cfg.json, as sparsify writes and reads it. @throws CheckpointError when it has no words for what the SAE does */
export function configText(weights: SaeWeights): string {
  const { d, dOut = d, latents, k, kind = "topk", transcoder = false, subtractBDec = true, normalize = "none", rescaleByDecoderNorm = false, wSkip } = weights;
  const foreign = kind !== "topk" && kind !== "groupmax" ? `kind ${kind}` : rescaleByDecoderNorm ? "activations rescaled by the decoder's norms" : normalize !== "none" ? `rows normalised by ${normalize}`
    : dOut !== d ? `rows of width ${dOut} out of ${d}` : transcoder === subtractBDec ? `b_dec ${subtractBDec ? "subtracted by a transcoder" : "not subtracted"}` : undefined;
  if (foreign) {
    throw new CheckpointError(
      `save: expected a top-k or groupmax SAE as sparsify has them, found ${foreign}. ` +
      'Save it in the other layout: sae.save(folder, { format: "saelens" }).');
  }
  return JSON.stringify({
    activation: kind,
    expansion_factor: Math.max(1, Math.round(latents / d)), // num_latents wins over it
    normalize_decoder: true,
    num_latents: latents,
    k,
    multi_topk: false,
    skip_connection: wSkip !== undefined,
    transcode: transcoder,
    d_in: d,
  });
}

/** sae.safetensors in pieces, to be written one after the other. */
export const weightBytes = ({ d, latents, wEnc, bEnc, wDec, bDec, wSkip }: SaeWeights): Uint8Array[] => writeSafetensors([
  { name: "W_dec", shape: [latents, d], data: wDec },
  { name: "b_dec", shape: [d], data: bDec },
  { name: "encoder.bias", shape: [latents], data: bEnc },
  { name: "encoder.weight", shape: [latents, d], data: wEnc },
  ...(wSkip ? [{ name: "W_skip", shape: [d, d], data: wSkip }] : []),
], { format: "pt" });
