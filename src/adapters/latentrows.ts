import { closeGaps, keptRows, normLimit } from "../core/sinks";
import type { Sequence } from "../core/injection";
import { rowNorms } from "../core/norms";
import type { Model, Sae, SaeWeights } from "../core/types";
import { breathe, stopIfInterrupted } from "./interrupt";
import { batchesOf } from "./lens";
import { saeOf } from "./saevalue";

/** What some latents make of texts that a model reads now. */

const BATCH = 2048; // tokens of a pass, padding included

/**
 * Encodes rows with some latents only. Where each latent has its own threshold, only theirs are computed; a top-k needs all, as they compete.
 * @param latents each once
 * @returns rows [n, d] → values [n, latents]
 */
export function latentsOf(sae: Sae, latents: number[]): (x: Float32Array) => Float32Array {
  const { weights } = sae;
  const { kind = "topk" } = weights;
  const alone = kind !== "topk" && kind !== "groupmax" && latents.length < weights.latents;
  const order = latents.toSorted((a, b) => a - b);
  const encoder = alone ? saeOf(part(weights, Int32Array.from(order))) : sae;
  const slot = new Map(latents.map((latent, i) => [alone ? order.indexOf(latent) : latent, i]));
  return (x) => {
    const { n, k, index, value } = encoder.encode(x);
    const out = new Float32Array(n * latents.length);
    for (let i = 0; i < n * k; i++) {
      if (!(value[i] > 0)) continue;
      const at = slot.get(index[i]);
      if (at !== undefined) out[Math.floor(i / k) * latents.length + at] = value[i];
    }
    return out;
  };
}

/** The weights of some latents, ascending. */
function part(weights: SaeWeights, latents: Int32Array): SaeWeights {
  const { d, dOut = d } = weights;
  const rows = (matrix: Float32Array, width: number): Float32Array => {
    const out = new Float32Array(latents.length * width);
    latents.forEach((latent, i) => out.set(matrix.subarray(latent * width, (latent + 1) * width), i * width));
    return out;
  };
  return {
    ...weights, latents: latents.length, k: latents.length, subset: latents,
    wEnc: rows(weights.wEnc, d), bEnc: rows(weights.bEnc, 1), wDec: rows(weights.wDec, dOut),
    ...("threshold" in weights && typeof weights.threshold !== "number" ? { threshold: rows(weights.threshold, 1) } : {}),
    ...("bGate" in weights ? { bGate: rows(weights.bGate, 1), rMag: rows(weights.rMag, 1) } : {}),
  } as SaeWeights;
}

export interface ReadOptions {
  hook: string;
  dropNorm: number | false; // rows over so many times the median norm are sinks, as in the harvest
  stopped: string; // what is said of what was done when an interrupt comes
  told: (tokens: number) => void;
}

/**
 * Lets a model read texts and gives some latents' values at the positions asked for; passes end at the hook.
 * @param each called once for each text, in any order, with [to − from, latents]; NaN where the row is a sink
 */
export async function latentValues(
  model: Model, sae: Sae, latents: number[], sequences: Sequence[], { hook, dropNorm, stopped, told }: ReadOptions, each: (sequence: number, values: Float32Array) => void,
): Promise<void> {
  const { d } = sae.weights;
  const encode = latentsOf(sae, latents);
  const L = latents.length;
  const jobs = sequences.map((sequence, i) => ({ ...sequence, i })).sort((a, b) => a.ids.length - b.ids.length);
  let done = 0;
  for (const batch of batchesOf(jobs, BATCH)) {
    stopIfInterrupted(stopped);
    const rows = (await model.run(batch.map(({ ids }) => ids), { hooks: [hook] }))[hook];
    const n = rows.length / d;
    const isFirst = new Uint8Array(n);
    const wanted = new Uint8Array(n);
    let at = 0;
    for (const { ids, from, to } of batch) {
      isFirst[at] = 1;
      wanted.fill(1, at + from, at + to);
      at += ids.length;
    }
    const norms = new Float64Array(n);
    rowNorms(rows, d, norms);
    const { runs } = keptRows([norms], [normLimit(norms, isFirst, { dropFirst: true, dropNorm })], isFirst, true);
    const kept = new Uint8Array(n);
    for (const { from, to } of runs) kept.fill(1, from, to);
    const read = [...wanted.keys()].filter((row) => wanted[row] && kept[row]);
    const values = read.length ? encode(closeGaps(rows, d, read.map((row) => ({ from: row, to: row + 1 }))).slice()) : new Float32Array(0);
    const place = new Int32Array(n).fill(-1);
    read.forEach((row, r) => (place[row] = r));
    at = 0;
    for (const { ids, from, to, i } of batch) {
      const out = new Float32Array((to - from) * L).fill(NaN);
      for (let t = from; t < to; t++) {
        const r = place[at + t];
        if (r >= 0) out.set(values.subarray(r * L, (r + 1) * L), (t - from) * L);
      }
      each(i, out);
      at += ids.length;
    }
    done += n;
    told(done);
    await breathe();
  }
}
