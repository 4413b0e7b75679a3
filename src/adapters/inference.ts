import { measuring } from "../core/measure";
import { addSkip } from "../core/sae";
import { trainingWeights, type Shape, type Trained } from "../core/trained";
import { coder, encodeRows } from "./coder";
import { saeValue } from "./saevalue";
import type { Step } from "./step";
import type { Engine } from "./tensorflow";

/**
 * What a step's SAE gives in use, rows in training units: thresholds in place of a choice over the batch. Every step has it from
 * here.
 * @param now what is trained, as it is now
 * @param ranked a step's own way to the k largest
 */
export function inference(
  engine: Engine, { kind, d, dOut, latents, k, transcoder }: Shape, now: () => Trained, ranked?: Step["encodeTopK"],
): Pick<Step, "encodeTopK" | "decode" | "measure"> {
  const value = () => saeValue(trainingWeights(now()));
  const largest: Step["encodeTopK"] = ranked ?? ((x, options) => {
    const { parameters } = now();
    return encodeRows(engine, coder(d, latents, k, transcoder ? { ...parameters, bDec: new Float32Array(d) } : parameters), x, options);
  });
  const byRank = kind === "topk" || kind === "multitopk";
  return {
    encodeTopK: (x, options = {}) =>
      byRank || options.k !== undefined || options.only !== undefined ? largest(x, options) : value().encode(x),
    decode: (sparse) => value().decode(sparse),
    measure(x, target = x) {
      const sae = value();
      const tally = measuring(dOut, latents);
      const sparse = byRank ? largest(x) : sae.encode(x);
      tally.rows(target, addSkip(sae.weights, x, sae.decode(sparse)));
      tally.latents(sparse.index, sparse.value);
      return tally.result();
    },
  };
}
