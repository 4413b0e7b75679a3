import { fieldsOf, isObject, parseObject, type Fields } from "./config";
import { CheckpointError } from "./errors";
import { decoderNorms } from "./sae";
import { lazyWeights, saeTensors, sized, type ReadSae } from "./saetensors";
import { writeSafetensors } from "./safetensors";
import type { StoredTensor } from "./storedtensor";
import type { Activation, SaeParts, SaeWeights } from "./types";

/**
 * The SAELens layout ↔ plain arrays.
 *
 *   cfg.json                   architecture, d_in, d_sae, k, apply_b_dec_to_input, normalize_activations, metadata …
 *   sae_weights.safetensors    W_enc [d, F], b_enc [F], W_dec [F, dOut], b_dec [dOut], threshold [F], W_skip [dOut, d];
 *                              gated: b_gate, b_mag, r_mag [F]
 *
 * Version 6 keeps its version in `metadata`; before, the configuration is flat, a top-k is a "standard" one with an activation function, and
 * what is missing has other defaults. `expected_average_only_in` changes nothing on load, as in SAELens itself; hook_z rows are flat here.
 * @see SAELens 6.54, sae_lens/saes/*.py, and its loading of older ones
 */
export const LENS_WEIGHTS = "sae_weights.safetensors";

const TRANSCODERS = ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"];
const ARCHITECTURES = ["standard", "topk", "jumprelu", "gated", "batchtopk", "matryoshka_batchtopk", ...TRANSCODERS];
const NORMALIZATIONS = ["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"];

interface LensConfig {
  architecture: string;
  d: number;
  dOut: number;
  latents: number;
  k?: number;
  parts: Pick<SaeParts, "subtractBDec" | "normalize" | "rescaleByDecoderNorm" | "transcoder">;
  skip: boolean;
  hook?: string;
  target?: string;
  warnings: string[];
}

/** @throws CheckpointError when it is not a configuration, or of an SAE that is not known */
export function parseLensConfig(text: string, where: string): LensConfig {
  const fields = fieldsOf(parseObject(text, where), where);
  const { json, count, fail } = fields;
  const metadata = isObject(json.metadata) ? json.metadata : {};
  const version = metadata.sae_lens_version ?? json.sae_lens_version;
  const six = typeof version === "string" && parseInt(version, 10) >= 6;
  const { architecture, k } = six ? { architecture: fields.text("architecture") ?? "standard", k: undefined } : flat(fields);
  if (!ARCHITECTURES.includes(architecture)) {
    return fail(`architecture: expected one of ${ARCHITECTURES.join(", ")}, found ${JSON.stringify(architecture)}`, "This version does not read such an SAE: choose another checkpoint.");
  }
  const transcoder = TRANSCODERS.includes(architecture);
  const d = count("d_in", 1), latents = count("d_sae", 1);
  const given = json.normalize_activations ?? "none";
  const normalization = typeof given === "boolean" ? (given ? "expected_average_only_in" : "none") : given;
  if (!NORMALIZATIONS.includes(normalization as string)) {
    fail(`normalize_activations: expected one of ${NORMALIZATIONS.join(", ")}, found ${JSON.stringify(given).slice(0, 100)}`, "Choose another checkpoint.");
  }
  const chosen = architecture === "topk" ? k ?? count("k", 1) : undefined;
  if (chosen !== undefined && chosen > latents) fail(`k: expected 1 to ${latents} (d_sae), found ${chosen}`, "Set it to what the SAE was trained with.");
  const subtracts = fields.flag("apply_b_dec_to_input", true) && !transcoder;
  const rescales = ["topk", "batchtopk", "matryoshka_batchtopk"].includes(architecture) && fields.flag("rescale_acts_by_decoder_norm", false);
  const named = (...names: unknown[]): string | undefined => names.find((name): name is string => typeof name === "string" && name !== "");
  return {
    architecture, d, dOut: count("d_out", 1, d), latents, k: chosen,
    parts: {
      ...(subtracts ? {} : { subtractBDec: false }),
      ...(normalization === "constant_norm_rescale" || normalization === "layer_norm" ? { normalize: normalization } : {}),
      ...(rescales ? { rescaleByDecoderNorm: true } : {}),
      ...(transcoder ? { transcoder } : {}),
    },
    skip: architecture.includes("skip"),
    hook: named(metadata.hook_name, json.hook_name, json.hook_point),
    target: transcoder ? named(metadata.hook_name_out, json.hook_name_out) : undefined,
    warnings: normalization === "expected_average_only_in"
      ? [`${where}: normalize_activations is expected_average_only_in: rows are taken as they are, as SAELens does on load; the scale is folded into the weights when training ends.`] : [],
  };
}

/** What a flat configuration, of before version 6, calls its architecture by. */
function flat({ json, text, fail }: Fields): { architecture: string; k?: number } {
  const architecture = text("architecture") ?? "standard";
  const name = text("activation_fn_str") ?? text("activation_fn") ?? "relu";
  if (architecture !== "standard" || name === "relu") return { architecture };
  const kwargs = isObject(json.activation_fn_kwargs) ? json.activation_fn_kwargs : {};
  if (name !== "topk") return fail(`activation_fn_str: expected "relu" or "topk", found ${JSON.stringify(name)}`, "Choose another checkpoint.");
  if (!Number.isSafeInteger(kwargs.k) || (kwargs.k as number) < 1) {
    fail(`activation_fn_kwargs.k: expected a whole number of at least 1, found ${JSON.stringify(kwargs.k) ?? "nothing"}`, "Set it to what the SAE was trained with.");
  }
  return { architecture: "topk", k: kwargs.k as number };
}

/** @throws CheckpointError as readSparsify does */
export function readLens(tensors: Map<string, StoredTensor>, config: LensConfig, where: string, wanted?: number[]): ReadSae {
  const { architecture, d, dOut, latents: F, k = F, parts, skip } = config;
  const file = saeTensors(tensors, where, wanted);
  const perLatent = (name: string): Float32Array => file.vector({ name, shape: [F], meaning: "d_sae in cfg.json", latents: 0 });
  const scaling = file.has("scaling_factor") ? perLatent("scaling_factor") : undefined;
  if (scaling?.some((factor) => factor !== 1)) {
    throw new CheckpointError(`${where}: scaling_factor: expected ones, found others (a fine-tuned SAE of SAELens 5). SAELens 6 refuses it too: fold it into W_dec, and set it to ones.`);
  }
  let activation: Activation;
  switch (architecture) {
    case "topk": activation = { kind: "topk" }; break;
    case "gated": activation = { kind: "gated", bGate: perLatent("b_gate"), rMag: perLatent("r_mag") }; break;
    case "jumprelu": case "jumprelu_transcoder": case "jumprelu_skip_transcoder": activation = { kind: "jumprelu", threshold: perLatent("threshold") }; break;
    case "batchtopk": case "matryoshka_batchtopk": activation = { kind: "batchtopk", threshold: file.scalar("topk_threshold") }; break;
    default: activation = { kind: "relu" };
  }
  const weights = lazyWeights({
    d, ...(dOut === d ? {} : { dOut }), ...sized(k, F, file.subset), ...activation, ...parts,
    bEnc: perLatent(architecture === "gated" ? "b_mag" : "b_enc"),
    bDec: file.vector({ name: "b_dec", shape: [dOut], meaning: `${dOut === d ? "d_in" : "d_out"} in cfg.json` }),
  }, {
    wEnc: file.matrix({ name: "W_enc", shape: [d, F], meaning: "d_in × d_sae in cfg.json", latents: 1, transposed: true }),
    wDec: file.matrix({ name: "W_dec", shape: [F, dOut], meaning: `d_sae × ${dOut === d ? "d_in" : "d_out"} in cfg.json`, latents: 0 }),
    ...(skip ? { wSkip: file.matrix({ name: "W_skip", shape: [dOut, d], meaning: "d_out × d_in in cfg.json" }) } : {}),
  });
  return { weights, hook: config.hook, target: config.target, warnings: config.warnings };
}

/** Whether a cfg.json is of this layout. */
export function isLens(text: string): boolean {
  try {
    return Number.isInteger(JSON.parse(text)?.d_sae);
  } catch {
    return false;
  }
}

const WRITTEN = "6.18.0"; // the oldest version of the layout that is written

/**
 * cfg.json and the tensors, as SAELens 6 writes and reads them. Norms that it applies only to a top-k are folded into the weights.
 * @throws CheckpointError when it has no architecture for what the SAE does
 */
export function lensFiles(weights: SaeWeights, { hook, target, model }: { hook?: string; target?: string; model?: string }): { config: string; bytes: Uint8Array[] } {
  const { d, dOut = d, latents: F, k, transcoder = false, subtractBDec = true, normalize = "none" } = weights;
  const kind = weights.kind ?? "topk";
  const fails = (found: string): never => {
    throw new CheckpointError(`save: expected an SAE that SAELens has an architecture for, found ${found}. Save it in the other layout: sae.save(folder).`);
  };
  if (kind === "groupmax") fails("one of kind groupmax");
  if (transcoder && !["relu", "jumprelu", "batchtopk"].includes(kind)) fails(`a ${kind} transcoder`);
  if (!transcoder && (weights.wSkip || dOut !== d)) fails(`${weights.wSkip ? "a skip connection" : `rows of width ${dOut} out of ${d}`} without a transcoder`);
  const jumps = kind === "jumprelu" || kind === "batchtopk";
  const architecture = !transcoder ? ({ topk: "topk", relu: "standard", gated: "gated" } as Record<string, string>)[kind] ?? "jumprelu"
    : `${jumps ? "jumprelu_" : ""}${weights.wSkip ? "skip_" : ""}transcoder`;
  const { wEnc, bEnc, wDec } = kind === "topk" ? weights : folded(weights);
  const metadata = { sae_lens_version: WRITTEN, sae_lens_training_version: null, ...(model ? { model_name: model } : {}), ...(hook ? { hook_name: hook } : {}), ...(transcoder && target ? { hook_name_out: target } : {}) };
  const config = JSON.stringify({
    d_in: d, d_sae: F, dtype: "float32", device: "cpu", apply_b_dec_to_input: subtractBDec && !transcoder, normalize_activations: normalize, reshape_activations: "none",
    metadata, ...(transcoder ? { d_out: dOut } : {}), ...(kind === "topk" ? { k, rescale_acts_by_decoder_norm: weights.rescaleByDecoderNorm ?? false } : {}), architecture,
  }, undefined, 1);
  const vector = (name: string, data: Float32Array) => ({ name, shape: [data.length], data });
  const threshold = weights.kind === "jumprelu" || weights.kind === "batchtopk" ? weights.threshold : undefined;
  return {
    config,
    bytes: writeSafetensors([
      { name: "W_dec", shape: [F, dOut], data: wDec },
      { name: "W_enc", shape: [d, F], data: transpose(wEnc, F, d) },
      ...(weights.wSkip ? [{ name: "W_skip", shape: [dOut, d], data: weights.wSkip }] : []),
      vector("b_dec", weights.bDec),
      ...(weights.kind === "gated" ? [vector("b_gate", weights.bGate), vector("b_mag", bEnc), vector("r_mag", weights.rMag)] : [vector("b_enc", bEnc)]),
      ...(threshold === undefined ? [] : [vector("threshold", typeof threshold === "number" ? new Float32Array(F).fill(threshold) : threshold)]),
    ], { format: "pt" }),
  };
}

/** The same SAE without rescaling by decoder norms: W_enc and b_enc times them, decoder rows of norm 1. */
function folded(weights: SaeWeights): Pick<SaeWeights, "wEnc" | "bEnc" | "wDec"> {
  if (!weights.rescaleByDecoderNorm) return weights;
  const { d, dOut = d, wEnc, bEnc, wDec } = weights;
  const norms = decoderNorms(weights);
  return {
    wEnc: wEnc.map((value, i) => value * norms[Math.floor(i / d)]),
    bEnc: bEnc.map((value, f) => value * norms[f]),
    wDec: wDec.map((value, i) => value / (norms[Math.floor(i / dOut)] || 1)),
  };
}

function transpose(x: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = x[i * columns + j];
  return out;
}
