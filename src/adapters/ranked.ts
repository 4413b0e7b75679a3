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
  /** Rows encoded at a time. */
  most: number;
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
  engine: Engine, state: StateSizes, { n, xa, goal, variance, we, wd, most }: Prepared, select: Selector, choice: Choice,
): Gradients {
  const { d, dOut, latents, k } = state;
  const { K, encode, groupMax, decode } = forward(engine);
  const groupsFor = (count: number): Choice => (count === k ? choice : { ...choice, groups: defaultGroups(latents, count) });
  const selection = select({
    n,
    largest: (count, some) => {
      const rows = some ? K.gather(xa, engine.tensor(some, [some.length])) : xa;
      return encode(rows, we, { n: some?.length ?? n, d, latents, k: count }, groupsFor(count), most);
    },
    groups: () => groupMax(xa, we, { n, d, latents, k }, most),
  });
  const { value, columns, weights, main, least } = selection;
  const L = weights.length;
  const scales = weights.map((weight) => (2 * weight) / variance);
  const places = L > 1 ? engine.tensor(placesOf(selection, n), [n, L, columns]) : undefined;
  const sizes = { n, d: dOut, k: columns, chunk: choice.chunk };
  const decoded = places === undefined
    ? decode(selection, wd, goal, K.scalar(scales[0]), sizes)
    : decode(selection, wd, goal, engine.tensor(Float32Array.from(scales), [1, L, 1]), sizes, { count: L, places, rows: "each its own" });
  const { e } = decoded; // of each level its own
  const g = K.reluGrad(decoded.g, value);
  const byLevel = K.reshape(e, [n, L, dOut]);
  const squares = engine.floats(L === 1 ? K.sum(K.square(e), [0, 1]) : K.sum(K.square(byLevel), [0, 2]));
  const fvus = Array.from(squares, (square, l) => (square * variance) / (4 * weights[l] * weights[l]));
  const own = (): Id => (L === 1 ? e : K.reshape(K.slice(byLevel, [0, main, 0], [n, 1, dOut]), [n, dOut]));
  return {
    ...pairGradients(engine, selection, { e, g, xa }, n, state),
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
  engine: Engine, { value, index, columns, levels, weights: { length: L }, pairs }: Selection, { e, g, xa }: { e: Id; g: Id; xa: Id }, n: number,
  { k, latents }: StateSizes,
): RowGradients => engine.tidy(() => {
  const K = kernels(engine);
  const flat = (x: Id): Id => K.reshape(x, [n * columns]);
  const along = K.segmentSum(flat(K.mul(value, g)), K.reshape(index, [n * columns], DT.i32), latents);
  if (L === 1 && columns === k) {
    const { entries, shape } = K.entries(index, n, k, latents);
    return { dwd: K.scatterProduct(entries, flat(value), shape, e), dwe: K.scatterProduct(entries, flat(g), shape, xa), along };
  }
  // Places are empty, or belong to several levels: only what is there is entered.
  const isThere = (pair: number): boolean => pair === 0 || pairs.value[pair] !== 0; // one at least, as the binding makes no empty matrices
  let single = 0, repeated = 0;
  for (let pair = 0; pair < n * columns; pair++) {
    if (!isThere(pair)) continue;
    single++;
    repeated += L - (levels?.[pair] ?? 0);
  }
  const places = new Int32Array(single), once = entriesOf(engine, single), often = entriesOf(engine, repeated), values = new Float32Array(repeated);
  for (let row = 0, p = 0, q = 0; row < n; row++) {
    for (let l = 0; l < L; l++) { // rows of a sparse matrix ascend
      for (let pair = row * columns; pair < (row + 1) * columns; pair++) {
        if (!isThere(pair)) continue;
        if (l === 0) {
          places[p] = pair;
          once.put(p++, row, pairs.index[pair]);
        }
        if (l < (levels?.[pair] ?? 0)) continue;
        values[q] = pairs.value[pair];
        often.put(q++, row * L + l, pairs.index[pair]);
      }
    }
  }
  const shape = (rows: number): Id => K.cast(engine.tensor(Int32Array.of(rows, latents), [2]), DT.i32, DT.i64);
  return {
    dwd: K.scatterProduct(often.ids(), engine.tensor(values, [repeated]), shape(n * L), e),
    dwe: K.scatterProduct(once.ids(), K.gather(flat(g), engine.tensor(places, [single])), shape(n), xa),
    along,
  };
});

/** Places (row, latent) of a sparse matrix, [count, 2]. */
function entriesOf(engine: Engine, count: number) {
  const at = new Int32Array(2 * count);
  return {
    put(i: number, row: number, latent: number): void {
      at[2 * i] = row;
      at[2 * i + 1] = latent;
    },
    ids: (): Id => kernels(engine).cast(engine.tensor(at, [count, 2]), DT.i32, DT.i64),
  };
}
