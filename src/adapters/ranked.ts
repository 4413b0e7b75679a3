import type { StateSizes } from "../core/trained";
import type { RowGradients } from "./auxk";
import { defaultGroups, forward, type Choice } from "./coder";
import { lossesOf, type Selection, type Selector } from "./kinds";
import type { Losses } from "./step";
import { DT, kernels, type Engine, type Id } from "./tensorflow";

/** The main loss' gradients by TensorFlow's stock kernels, of kinds that choose latents by rank. */

/** A batch as the encoder reads it and the decoder is to rebuild it. */
export interface Prepared {
  n: number;
  xa: Id; // [x − b_dec, 1, 0 …], of a transcoder [x, 1, 0 …]
  goal: Id; // [n, dOut]: y less b_dec and what the skip connection gives
  variance: number; // V = Σ‖y − ȳ‖²
  we: Id; // [W_enc | b_enc | 0 …]
  wd: Id;
}

export interface Gradients extends RowGradients {
  /** The loss' gradient in ŷ, all levels together, [n, dOut]. */
  total: Id;
  /** y − ŷ of the SAE's own level. */
  residual(): Id;
  dlt?: Id; // of log θ
  losses: Omit<Losses, "aux">;
  /** What moves the running threshold. */
  least?: number;
}

/** To be called inside `tidy`. */
export function rankedGradients(
  engine: Engine, { d, dOut, latents, k }: StateSizes, { n, xa, goal, variance, we, wd }: Prepared, select: Selector, choice: Choice,
): Gradients {
  const { K, encode, groupMax, decode } = forward(engine);
  const groupsFor = (count: number): Choice => (count === k ? choice : { ...choice, groups: defaultGroups(latents, count) });
  const selection = select({
    n,
    largest: (count) => encode(xa, we, { n, d, latents, k: count }, groupsFor(count)),
    groups: () => groupMax(xa, we, { n, latents, k }),
  });
  const { value, columns, weights, main, least } = selection;
  const L = weights.length;
  const scales = weights.map((weight) => (2 * weight) / variance);
  const places = L > 1 ? engine.tensor(placesOf(selection, n), [n, L, columns]) : undefined;
  const sizes = { n, d: dOut, k: columns, chunk: choice.chunk };
  const decoded = decode(selection, wd, goal, places === undefined ? scales[0] : { scales, places }, sizes);
  const { e } = decoded; // of each level its own
  const g = K.reluGrad(decoded.g, value);
  const byLevel = K.reshape(e, [n, L, dOut]);
  const squares = engine.floats(K.sum(K.square(byLevel), [0, 2]));
  const fvus = Array.from(squares, (square, l) => (square * variance) / (4 * weights[l] * weights[l]));
  const own = (): Id => (L === 1 ? e : K.reshape(K.slice(byLevel, [0, main, 0], [n, 1, dOut]), [n, dOut]));
  return {
    ...pairGradients(engine, selection, places, { e, g, xa }, n, latents),
    total: L === 1 ? e : K.sum(byLevel, [1]),
    residual: () => K.mul(own(), K.scalar(-variance / (2 * weights[main]))),
    losses: lossesOf(selection, fvus),
    least,
  };
}

/** [n, L, columns]: 1 where a level has the pair. */
function placesOf({ levels, weights: { length: L }, columns }: Selection, n: number): Float32Array {
  const places = new Float32Array(n * L * columns);
  for (let pair = 0; pair < n * columns; pair++) {
    const row = Math.floor(pair / columns), column = pair % columns;
    for (let l = levels![pair]; l < L; l++) places[(row * L + l) * columns + column] = 1;
  }
  return places;
}

/** e [n·L, dOut], g [n, columns]. A pair meets the errors of every level that has it. */
const pairGradients = (
  engine: Engine, { value, index, columns, weights: { length: L } }: Selection, places: Id | undefined, { e, g, xa }: { e: Id; g: Id; xa: Id },
  n: number, latents: number,
): RowGradients => engine.tidy(() => {
  const K = kernels(engine);
  const flat = (x: Id, rows: number): Id => K.reshape(x, [rows * columns]);
  const { entries, shape } = K.entries(index, n, columns, latents);
  let all = { entries, shape, values: value };
  if (places !== undefined) {
    const repeated = K.addInts(K.reshape(index, [n, 1, columns], DT.i32), engine.tensor(new Int32Array(L), [1, L, 1]));
    all = { ...K.entries(repeated, n * L, columns, latents), values: K.mul(K.reshape(value, [n, 1, columns]), places) };
  }
  return {
    dwd: K.scatterProduct(all.entries, flat(all.values, n * L), all.shape, e),
    dwe: K.scatterProduct(entries, flat(g, n), shape, xa),
    along: K.segmentSum(flat(K.mul(value, g), n), K.reshape(index, [n * columns], DT.i32), latents),
  };
});
