import { fieldsOf, parseObject } from "./config";
import { CheckpointError } from "./errors";
import { lazyWeights, saeTensors, sized, type ReadSae } from "./saetensors";
import type { StoredTensor } from "./storedtensor";

/**
 * The JumpReLU SAEs of two large releases: v = ReLU(p)·[p > θ], b_dec not subtracted before encoding.
 *
 *   Gemma Scope      params.npz: W_enc [d, F], W_dec [F, d], b_enc, threshold [F], b_dec [d]
 *   Llama Scope R1   config.json; sae_weights.safetensors: encoder.weight [F, d], encoder.bias [F], decoder.weight [d, F],
 *                    decoder.bias [d], log_jumprelu_threshold [F]: θ = exp of it
 *
 * @see arXiv 2408.05147 (Gemma Scope), arXiv 2410.20526 (Llama Scope), SAELens 6.18, pretrained_sae_loaders.py
 */
export const GEMMA_WEIGHTS = "params.npz";

/** @throws CheckpointError when arrays are missing or do not fit each other */
export function readGemmaScope(tensors: Map<string, StoredTensor>, where: string, latents?: number[]): ReadSae {
  const file = saeTensors(tensors, where, latents);
  const [d = 0, F = 0] = file.shape("W_enc").length === 2 ? file.shape("W_enc") : [];
  const perLatent = (name: string): Float32Array => file.vector({ name, shape: [F], meaning: "columns of W_enc", latents: 0 });
  const wEnc = file.matrix({ name: "W_enc", shape: [d, F], meaning: "d_in × latents", latents: 1, transposed: true });
  const weights = lazyWeights({
    d, ...sized(F, F, file.subset), kind: "jumprelu", threshold: perLatent("threshold"), subtractBDec: false,
    bEnc: perLatent("b_enc"), bDec: file.vector({ name: "b_dec", shape: [d], meaning: "rows of W_enc" }),
  }, { wEnc, wDec: file.matrix({ name: "W_dec", shape: [F, d], meaning: "W_enc's, transposed", latents: 0 }) });
  return { weights, warnings: [] };
}

/** @throws CheckpointError when tensors are missing or of other shapes than config.json says */
export function readLlamaScope(tensors: Map<string, StoredTensor>, text: string, configWhere: string, where: string, latents?: number[]): ReadSae {
  const { json, count, flag, text: word, fail } = fieldsOf(parseObject(text, configWhere), configWhere);
  const d = count("d_model", 1);
  const F = json.d_sae === undefined ? d * count("expansion_factor", 1) : count("d_sae", 1);
  const activation = word("act_fn") ?? "jumprelu";
  if (activation !== "jumprelu") fail(`act_fn: expected "jumprelu", found ${JSON.stringify(activation)}`, "Choose another checkpoint of the release.");
  const file = saeTensors(tensors, where, latents);
  const perLatent = (name: string): Float32Array => file.vector({ name, shape: [F], meaning: "d_model × expansion_factor in config.json", latents: 0 });
  const threshold = perLatent("log_jumprelu_threshold").map(Math.exp);
  if (threshold.some((value) => !Number.isFinite(value))) {
    throw new CheckpointError(`${where}: log_jumprelu_threshold: expected logarithms of thresholds, found one whose exponential is no float32. The file is damaged: copy or download it again.`);
  }
  const weights = lazyWeights({
    d, ...sized(F, F, file.subset), kind: "jumprelu", threshold, subtractBDec: flag("apply_decoder_bias_to_pre_encoder", false),
    bEnc: perLatent("encoder.bias"), bDec: file.vector({ name: "decoder.bias", shape: [d], meaning: "d_model in config.json" }),
  }, {
    wEnc: file.matrix({ name: "encoder.weight", shape: [F, d], meaning: "latents × d_model in config.json", latents: 0 }),
    wDec: file.matrix({ name: "decoder.weight", shape: [d, F], meaning: "d_model × latents in config.json", latents: 1, transposed: true }),
  });
  const normalized = json.norm_activation === "dataset-wise";
  return {
    weights, hook: word("hook_point_in"),
    warnings: normalized ? [
      `${configWhere}: norm_activation is dataset-wise: rows are taken as they are, as SAELens takes them. ` +
      "If FVU is near 1, multiply rows by √d/norm, with the norm of config.json.",
    ] : [],
  };
}
