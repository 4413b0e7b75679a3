/**
 * How positions are stretched: GGUF → `rope_scaling` of a config.json. llama3's parameters are not in the file, only the factor of every
 * frequency that they lead to (`rope_freqs.weight`); here they are found again.
 */
export interface RopeSource {
  /** Fields under the architecture's prefix. */
  text(field: string): string | undefined;
  number(field: string, otherwise?: number): number;
  theta: number;
  /** Dimensions of a head that are rotated. */
  headDim: number;
  /** Numbers of a tensor, undefined where there is none. */
  factors(name: string): Float32Array | undefined;
  fail(what: string, remedy?: string): never;
}

/** @returns rope_scaling, null for none */
export function ropeScaling(source: RopeSource): Record<string, unknown> | null {
  const { text, number, factors, fail } = source;
  const free = factors("rope_freqs.weight") ?? factors("blk.0.rope_freqs.weight");
  const [long, short] = ["long", "short"].map((which) => factors(`rope_factors_${which}.weight`) ?? factors(`blk.0.rope_factors_${which}.weight`));
  const kind = text("rope.scaling.type") ?? "none";
  if (long && short) {
    for (const list of [long, short]) if (list.length !== source.headDim / 2) fail(`tensor rope_factors: expected ${source.headDim / 2} factors, found ${list.length}`);
    return { type: "longrope", rope_type: "longrope", long_factor: Array.from(long), short_factor: Array.from(short) };
  }
  if (long || short) fail("expected rope_factors_long and rope_factors_short together, found one of them");
  if (free) return llama3(free, source);
  const old = number("rope.scale_linear", 1);
  const factor = number("rope.scaling.factor", 0) || 1;
  switch (kind) {
    case "none": return old === 1 ? null : { type: "linear", rope_type: "linear", factor: old };
    case "linear": return factor === 1 ? null : { type: "linear", rope_type: "linear", factor };
    case "yarn": return {
      type: "yarn", rope_type: "yarn", factor, original_max_position_embeddings: number("rope.scaling.original_context_length"),
    };
    default: return fail(`metadata rope.scaling.type: expected none, linear, yarn or, with its factors, longrope, found ${JSON.stringify(kind)}`);
  }
}

/**
 * llama3: with wavelength λ of a pair and original context C, s = (C/λ − low)/(high − low);
 *
 *   factor of the pair = 1 where s ≥ 1, F where s ≤ 0, else 1/((1 − s)/F + s).
 *
 * F is the largest factor; s of the pairs between is linear in 1/λ, and its slope C/(high − low) and zero low/(high − low) are all that counts.
 * Tried first: low 1, high 4, and the context that a pair between leads to (8192 in every published model). All factors must come out again.
 * @see transformers, modeling_rope_utils.py, _compute_llama3_parameters; llama.cpp, convert_hf_to_gguf.py, generate_extra_tensors
 */
function llama3(found: Float32Array, { theta, headDim, fail }: RopeSource): Record<string, unknown> | null {
  const pairs = headDim / 2;
  if (found.length !== pairs) fail(`tensor rope_freqs.weight: expected ${pairs} factors, one a pair of a head, found ${found.length}`);
  const waves = Array.from(found, (_, i) => 2 * Math.PI * theta ** (i / pairs));
  const F = found.reduce((a, b) => Math.max(a, b));
  if (found.every((factor) => factor === 1)) return null;
  const factorOf = (wave: number, low: number, high: number, context: number): number => {
    const s = (context / wave - low) / (high - low);
    return s >= 1 ? 1 : s <= 0 ? F : 1 / ((1 - s) / F + s);
  };
  const between = waves.map((wave, i) => ({ wave, s: (1 / found[i] - 1 / F) / (1 - 1 / F) })).filter((_, i) => found[i] > 1 && found[i] < F);
  const candidates: [low: number, high: number, context: number][] = [];
  for (const { wave, s } of between) candidates.push([1, 4, Math.round(wave * (3 * s + 1))]);
  if (between.length > 1) {
    const [first, last] = [between[0], between[between.length - 1]];
    const slope = (first.s - last.s) / (1 / first.wave - 1 / last.wave); // C/(high − low)
    const zero = slope / last.wave - last.s; // low/(high − low)
    if (zero > 0) candidates.push([1, 1 + 1 / zero, slope / zero]);
  }
  if (!between.length) {
    const one = Math.max(0, ...waves.filter((_, i) => found[i] === 1));
    const all = Math.min(...waves.filter((_, i) => found[i] === F));
    candidates.push([1, 4, 8192], [1, one ? all / one / 1.0001 : 4, all / 1.00005]);
  }
  const right = candidates.find(([low, high, context]) => high > low && waves.every((wave, i) => Math.abs(factorOf(wave, low, high, context) - found[i]) <= 1e-4 * found[i]));
  if (!right) {
    return fail("tensor rope_freqs.weight: expected the factors of a llama3 scaling (1, then a slope, then one factor), found others",
      "Such a scaling has no place in a config.json: take a model in another form.");
  }
  return { rope_type: "llama3", factor: F, low_freq_factor: right[0], high_freq_factor: right[1], original_max_position_embeddings: right[2] };
}
