import { random } from "../src/core/random";
import type { Store } from "../src/core/types";

/**
 * Activations with a planted sparse dictionary: what an SAE should find again. Unit directions fire independently with probability ~ 1/(rank + 8)^0.9, scaled
 * to `active` a row on average; magnitudes are lognormal(0, 0.35); a constant offset of norm 3 and noise of standard deviation 0.03 a coordinate are added.
 */
export interface Planted {
  rows: Float32Array; // [rows, d]
  directions: Float32Array; // [directions, d]
}

export function planted({ d, rows, directions, active, seed = 7 }: { d: number; rows: number; directions: number; active: number; seed?: number }): Planted {
  const rng = random(seed);
  const unit = (count: number, norm: number): Float32Array => {
    const out = Float32Array.from({ length: count * d }, () => rng.normal());
    for (let i = 0; i < count; i++) {
      const row = out.subarray(i * d, (i + 1) * d);
      const scale = norm / Math.hypot(...row);
      for (let j = 0; j < d; j++) row[j] *= scale;
    }
    return out;
  };
  const dictionary = unit(directions, 1);
  const offset = unit(1, 3);
  const weights = Array.from({ length: directions }, (_, rank) => 1 / (rank + 8) ** 0.9);
  const total = weights.reduce((a, b) => a + b, 0);
  const probability = weights.map((w) => Math.min(0.9, (w / total) * active));
  const out = new Float32Array(rows * d);
  for (let row = 0; row < rows; row++) {
    const x = out.subarray(row * d, (row + 1) * d);
    for (let j = 0; j < d; j++) x[j] = offset[j] + 0.03 * rng.normal();
    for (let i = 0; i < directions; i++) {
      if (rng.uniform() >= probability[i]) continue;
      const magnitude = Math.exp(0.35 * rng.normal());
      for (let j = 0; j < d; j++) x[j] += magnitude * dictionary[i * d + j];
    }
  }
  return { rows: out, directions: dictionary };
}

/** A store in memory over rows [n, d]; every fourth document of `document` rows is held out. */
export function memoryStore(rows: Float32Array, d: number, { hook = "layers.1", document = 50 } = {}): Store {
  const n = rows.length / d;
  const documents = Math.ceil(n / document);
  const none = (): never => {
    throw new Error("this store has rows only");
  };
  return {
    path: "memory",
    rows: n,
    manifest: {
      format: "saelab-store", version: 1, model: { source: "planted", family: "none", sha256: "0" }, texts: { documents, tokens: n, sha256: "0" },
      hooks: [{ name: hook, kind: "resid_post", layer: 1, width: d }], dtype: "F32", rows: n, shards: [], dropped: { first: 0, norm: 0 }, settings: {},
    },
    hook: () => hook,
    width: () => d,
    documents: () => Array.from({ length: documents }, (_, i) => ({ id: `${i}`, text: "", spans: [], split: i % 4 === 3 ? "heldout" as const : "train" as const })),
    documentRows: () => Int32Array.from({ length: documents + 1 }, (_, i) => Math.min(n, i * document)),
    read: (_hook, from, to) => rows.slice(from * d, to * d),
    tokens: none,
    origin: none,
    tokenizer: { vocabularySize: 0, encode: none, decode: none, bytes: none, isSpecial: none, chat: none },
    close: () => {},
  };
}
