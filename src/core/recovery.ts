import type { Pieces } from "./pieces";

/**
 * How much of a planted dictionary an SAE found again: for each true direction the living latent whose decoder row points most the same way.
 * @see Sharkey, Braun, Millidge 2022, "Taking features out of superposition with sparse autoencoders", which calls the mean of
 *   these cosines MMCS (there over the learned rows' best partner in the larger dictionary; here over the true directions, so that rows to spare cost nothing)
 */
export interface Recovery {
  /** Mean over true directions of the largest cosine: mean max cosine similarity. */
  meanMaxCosine: number;
  /** Share of true directions with a cosine above `above`. */
  recovered: number;
  /** Both with each direction counted as often as it fires, where that is known. */
  weighted?: { meanMaxCosine: number; recovered: number };
  /** Share of true directions whose latent is no other one's too: one latent for two directions is not two found. */
  distinct: number;
  /** Largest cosine of each true direction, and the latent that has it, [m]. */
  cosine: Float64Array;
  latent: Int32Array;
}

/** A direction counts as found above this cosine. */
export const FOUND = 0.9;

/**
 * @param decoder rows [F, d], of any norm @param directions true ones [m, d], of any norm
 * @param alive 1 for latents that count, [F]; all by default. A dead latent may point anywhere, and is not found by anyone
 * @param probability that a true direction fires, of any scale, [m]
 * @throws RangeError if shapes differ, a direction is 0, or no latent lives
 */
export function* recovery(
  decoder: Float32Array, directions: ArrayLike<number>, d: number, { alive, probability, above = FOUND }: { alive?: ArrayLike<number>; probability?: ArrayLike<number>; above?: number } = {},
): Pieces<Recovery> {
  const F = decoder.length / d, m = directions.length / d;
  if (!Number.isInteger(F) || !Number.isInteger(m) || !m) throw new RangeError(`recovery: expected rows of width ${d}, found ${decoder.length} numbers of a decoder and ${directions.length} of directions`);
  if ((alive && alive.length !== F) || (probability && probability.length !== m)) throw new RangeError(`recovery: expected ${F} latents and ${m} probabilities, found ${alive?.length ?? F} and ${probability?.length ?? m}`);
  const norm = (rows: ArrayLike<number>, i: number): number => {
    let sum = 0;
    for (let j = i * d; j < (i + 1) * d; j++) sum += rows[j] * rows[j];
    return Math.sqrt(sum);
  };
  const living: number[] = [];
  for (let f = 0; f < F; f++) if (!alive || alive[f]) living.push(f);
  if (!living.length) throw new RangeError(`recovery: expected a living latent, found that all ${F} are dead`);
  const lengths = Float64Array.from(living, (f) => norm(decoder, f));
  const cosine = new Float64Array(m), latent = new Int32Array(m);
  for (let i = 0; i < m; i++) {
    if (i % 4 === 3) yield;
    const length = norm(directions, i);
    if (!(length > 0)) throw new RangeError(`recovery: expected directions that are not 0, found direction ${i} of norm ${length}`);
    cosine[i] = -Infinity;
    for (let l = 0; l < living.length; l++) {
      let sum = 0;
      for (let j = 0, a = living[l] * d, b = i * d; j < d; j++, a++, b++) sum += decoder[a] * directions[b];
      const c = lengths[l] > 0 ? sum / (lengths[l] * length) : 0;
      if (c > cosine[i]) [cosine[i], latent[i]] = [c, living[l]];
    }
  }
  const means = (weight: (i: number) => number): { meanMaxCosine: number; recovered: number } => {
    let [sum, found, total] = [0, 0, 0];
    for (let i = 0; i < m; i++) {
      total += weight(i);
      sum += weight(i) * cosine[i];
      found += cosine[i] > above ? weight(i) : 0;
    }
    return { meanMaxCosine: sum / total, recovered: found / total };
  };
  const times = new Map<number, number>();
  for (const f of latent) times.set(f, (times.get(f) ?? 0) + 1);
  return {
    ...means(() => 1), ...(probability ? { weighted: means((i) => probability[i]) } : {}),
    distinct: latent.reduce((sum, f) => sum + (times.get(f) === 1 ? 1 : 0), 0) / m, cosine, latent,
  };
}
