import { fieldsOf, isObject, parseObject } from "./config";
import { CheckpointError } from "./errors";
import { lazyWeights, saeTensors, sized, type ReadSae, type SaeTensors } from "./saetensors";
import type { StoredTensor } from "./storedtensor";

/**
 * The layout of dictionary_learning: ae.pt (core/torchfile), config.json beside it.
 *
 *   AutoEncoder, AutoEncoderTopK, BatchTopKSAE   encoder.weight [F, d], encoder.bias [F], decoder.weight [d, F], b_dec (or bias) [d], k, threshold
 *   GatedAutoEncoder                             encoder.weight, decoder.weight, decoder_bias, gate_bias, mag_bias, r_mag
 *   JumpReluAutoEncoder, MatryoshkaBatchTopKSAE  W_enc [d, F], b_enc, W_dec [F, d], b_dec, threshold [F] (JumpReLU: b_dec is not subtracted)
 *
 * An AutoEncoder is normalised when the library loads it: activations are times the norms of the decoder's columns. A threshold of −1
 * was never set: every positive latent is active.
 * @see dictionary_learning 0.1.0, dictionary.py and trainers/
 */
export const DICTIONARY_CONFIG = "config.json";

const CLASSES = ["AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder", "GatedAutoEncoder"];

/**
 * @param text config.json; without it the class is told from the tensors, where they can tell
 * @throws CheckpointError
 */
export function readDictionary(tensors: Map<string, StoredTensor>, text: string | undefined, configWhere: string, where: string, latents?: number[]): ReadSae {
  const json = text === undefined ? {} : parseObject(text, configWhere);
  const trainer = fieldsOf(isObject(json.trainer) ? json.trainer : json, `${configWhere}: trainer`);
  const file = saeTensors(tensors, where, latents);
  const name = trainer.text("dict_class") ?? guessed(file, where);
  const encoder = file.has("W_enc") ? file.shape("W_enc").slice().reverse() : file.shape("encoder.weight");
  const [F = 0, d = 0] = encoder.length === 2 ? encoder : [];
  if (!F || !d) {
    const names = file.names().join(", ").slice(0, 300) || "no tensors";
    throw new CheckpointError(`${where}: expected encoder.weight [latents, d_in] or W_enc [d_in, latents], found ${names}. Give a file that dictionary_learning saved.`);
  }
  const perLatent = (tensor: string): Float32Array => file.vector({ name: tensor, shape: [F], meaning: "latents", latents: 0 });
  const ofRow = (tensor: string): Float32Array => file.vector({ name: tensor, shape: [d], meaning: "d_in" });
  const linear = {
    wEnc: () => file.matrix({ name: "encoder.weight", shape: [F, d], meaning: "latents × d_in", latents: 0 }),
    wDec: () => file.matrix({ name: "decoder.weight", shape: [d, F], meaning: "d_in × latents", latents: 1, transposed: true }),
  };
  const plain = {
    wEnc: () => file.matrix({ name: "W_enc", shape: [d, F], meaning: "d_in × latents", latents: 1, transposed: true }),
    wDec: () => file.matrix({ name: "W_dec", shape: [F, d], meaning: "latents × d_in", latents: 0 }),
  };
  const all = { d, ...sized(F, F, file.subset) };
  const read = (): ReadSae["weights"] => {
    switch (name) {
      case "AutoEncoder":
        return lazyWeights({ ...all, kind: "relu", rescaleByDecoderNorm: true, bEnc: perLatent("encoder.bias"), bDec: ofRow("bias") }, matrices(linear));
      case "AutoEncoderTopK": {
        const k = file.scalar("k");
        if (!Number.isInteger(k) || k < 1 || k > F) throw new CheckpointError(`${where}: k: expected 1 to ${F}, found ${k}. The file is damaged: copy or download it again.`);
        return lazyWeights({ ...all, ...sized(k, F, file.subset), bEnc: perLatent("encoder.bias"), bDec: ofRow("b_dec") }, matrices(linear));
      }
      case "BatchTopKSAE":
        return lazyWeights({ ...all, kind: "batchtopk", threshold: file.scalar("threshold"), bEnc: perLatent("encoder.bias"), bDec: ofRow("b_dec") }, matrices(linear));
      case "MatryoshkaBatchTopKSAE":
        return lazyWeights({ ...all, kind: "batchtopk", threshold: file.scalar("threshold"), bEnc: perLatent("b_enc"), bDec: ofRow("b_dec") }, matrices(plain));
      case "JumpReluAutoEncoder":
        return lazyWeights({ ...all, kind: "jumprelu", threshold: perLatent("threshold"), subtractBDec: false, bEnc: perLatent("b_enc"), bDec: ofRow("b_dec") }, matrices(plain));
      case "GatedAutoEncoder":
        return lazyWeights({ ...all, kind: "gated", bGate: perLatent("gate_bias"), rMag: perLatent("r_mag"), bEnc: perLatent("mag_bias"), bDec: ofRow("decoder_bias") }, matrices(linear));
      default:
        return trainer.fail(`dict_class: expected one of ${CLASSES.join(", ")}, found ${JSON.stringify(name)}`, "This version does not read such an SAE: choose another checkpoint.");
    }
  };
  const weights = read();
  const unset = weights.kind === "batchtopk" && weights.threshold === -1;
  return {
    weights, hook: hookOf(trainer.json.submodule_name),
    warnings: unset ? [`${where}: threshold is −1: it was trained for too few steps to have one, so that every positive latent is active.`] : [],
  };
}

const matrices = ({ wEnc, wDec }: Record<"wEnc" | "wDec", () => () => Float32Array>) => ({ wEnc: wEnc(), wDec: wDec() });

function guessed(file: SaeTensors, where: string): string {
  if (file.has("gate_bias")) return "GatedAutoEncoder";
  if (file.has("bias")) return "AutoEncoder";
  if (file.has("W_enc")) return file.shape("threshold").length === 1 ? "JumpReluAutoEncoder" : "MatryoshkaBatchTopKSAE";
  throw new CheckpointError(`${where}: expected ${DICTIONARY_CONFIG} beside it, which says whether it is a TopK or a BatchTopK SAE, found none. Download it too.`);
}

/** "resid_post_layer_3" as a hook. */
function hookOf(submodule: unknown): string | undefined {
  const [, place, layer] = /^(resid_post|mlp_out|attention_out)_layer_(\d{1,4})$/.exec(typeof submodule === "string" ? submodule : "") ?? [];
  return place && `layers.${layer}${{ resid_post: "", mlp_out: ".mlp", attention_out: ".self_attn" }[place]}`;
}
