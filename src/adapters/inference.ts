import { measuring } from "../core/measure";
import { addSkip } from "../core/sae";
import { trainingWeights, type StepState } from "../core/trained";
import { coder, encodeRows } from "./coder";
import { saeValue } from "./saevalue";
import type { StepNow } from "./step";
import type { Engine } from "./tensorflow";

/**
 * What a state's SAE gives in use, rows in training units: thresholds in place of a choice over the batch. Every step has it
 * from here.
 * @param state as it is now; only what is used of it is read
 * @param ranked a step's own way to the k largest
 */
export function inference(
  engine: Engine, state: () => StepState, ranked?: StepNow["encodeTopK"],
): Pick<StepNow, "encodeTopK" | "decode" | "measure"> {
  const value = () => saeValue(trainingWeights(state()));
  const largest: StepNow["encodeTopK"] = ranked ?? ((x, options) => {
    const { d, latents, k, transcoder, parameters } = state();
    const bDec = transcoder ? new Float32Array(d) : parameters.bDec;
    return encodeRows(engine, coder(d, latents, k, { ...parameters, bDec }), x, options);
  });
  const byRank = (): boolean => ["topk", "multitopk"].includes(state().kind);
  return {
    encodeTopK: (x, options = {}) =>
      byRank() || options.k !== undefined || options.only !== undefined ? largest(x, options) : value().encode(x),
    decode: (sparse) => value().decode(sparse),
    measure(x, target = x) {
      const { dOut, latents } = state();
      const sae = value();
      const tally = measuring(dOut, latents);
      const sparse = byRank() ? largest(x) : sae.encode(x);
      tally.rows(target, addSkip(sae.weights, x, sae.decode(sparse)));
      tally.latents(sparse.index, sparse.value);
      return tally.result();
    },
  };
}
