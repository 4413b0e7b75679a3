import { OptionError } from "../core/errors";
import { tableHtml, tableText } from "../core/featuretable";
import { count as counted, short } from "../core/html";
import { chanceCosine, cosinesWith, inverseNorms, pairFigure, pairTable, partnerMeasures, type ComparedPair, type PartnerMeasures, type Partners } from "../core/similarity";
import { visible } from "../core/token";
import type { Progress, Sae } from "../core/types";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { requireLatents } from "./latents";
import { plotted } from "./plots";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { requireWholeSae } from "./samesae";
import { DISPLAY, showing, type Bundle, type Shown, type ShownNow } from "./show";
import { dataFrame, notedBundle, type DataFrame } from "./table";
import { kernels, tensorflow, type Id } from "./tensorflow";

/** Which latents are alike: within an SAE, and across SAEs and layers of one width. */

const STOPPED = "Nothing of this comparison was kept: run it again.";
const PRODUCT = 2 ** 24; // cosines at once: 64 MB

const widthOf = ({ weights: { d, dOut = d } }: Sae): number => dOut;

const requireCount = (what: string, value: number): void => {
  if (!Number.isSafeInteger(value) || value < 1) throw new OptionError(`${what}: count: expected a whole number from 1 on, found ${value}.`);
};

export interface SimilarFeature {
  latent: number;
  /** Of the decoder rows; NaN where only firing together was asked for. */
  cosine: number;
  /** Rows on which both fire, and Jaccard: as a share of the rows on which one of them does; absent where it was not asked for, or too little. */
  together?: { count: number; score: number };
}

export interface SimilarOptions {
  /** "both" where SAE and features are there, else what can be said: "decoder", cosine of the decoder rows; "together", firing on the same rows. */
  by?: "decoder" | "together" | "both";
  count?: number; // 10
  sae?: Sae; // of features: whose decoder is asked
  features?: Features; // of an SAE: which latents fire, and with which others
}

/**
 * Latents that are most like one: by the direction they write, by firing on the same rows, or by either (then the larger of cosine and score orders).
 * Latents that never fire are passed over where features are there to tell.
 * @returns the most alike first; shows itself as a table
 * @throws OptionError for a latent out of range, or when what `by` needs was not given
 */
export function similarFeatures(of: Features | Sae, latent: number, options: SimilarOptions = {}): SimilarFeature[] & ShownNow {
  const sae = "weights" in of ? of : options.sae;
  const features = "weights" in of ? options.features : of;
  const { by = sae && features ? "both" : sae ? "decoder" : "together", count = 10 } = options;
  if (!["decoder", "together", "both"].includes(by)) throw new OptionError(`similarFeatures: by: expected "decoder", "together" or "both", found ${JSON.stringify(by)}.`);
  requireCount("similarFeatures", count);
  if (sae) requireWholeSae("similarFeatures", sae);
  if (by !== "together" && !sae) throw new OptionError(`similarFeatures: by "${by}" needs the SAE's decoder: expected { sae }, found features only.`);
  if (by !== "decoder" && !features) throw new OptionError(`similarFeatures: by "${by}" needs what fires together: expected { features }, found an SAE only.`);
  const latents = sae?.weights.latents ?? features!.count;
  if (sae && features && features.count !== latents) throw new OptionError(`similarFeatures: expected features of this SAE's ${latents} latents, found ${features.count}.`);
  requireLatents([latent], latents, "similarFeatures");

  const cosine = by === "together" ? undefined : cosinesWith(sae!.weights.wDec, widthOf(sae!), latent);
  const together = new Map(by === "decoder" ? [] : features!.together(latent).map((one) => [one.latent, { count: one.count, score: one.score }]));
  const size = (f: number): number => Math.max(cosine?.[f] ?? -1, together.get(f)?.score ?? -1);
  const candidates = cosine ? Array.from(cosine.keys()) : [...together.keys()];
  const found = candidates
    .filter((f) => f !== latent && (!features || features.fired[f] > 0))
    .sort((f, g) => size(g) - size(f) || f - g)
    .slice(0, count)
    .map((f): SimilarFeature => ({ latent: f, cosine: cosine?.[f] ?? NaN, ...(together.has(f) ? { together: together.get(f)! } : {}) }));
  const notes = [
    ...(cosine ? [`Cosine: of the decoder rows; that of the nearest of ${counted(latents)} random directions is about ${short(chanceCosine(latents, widthOf(sae!)))}.`] : []),
    ...(by === "decoder" ? [] : ["Together: rows on which both fire; score: as a share of the rows on which either does (Jaccard). Empty: not among the 16 partners that a collection keeps of a latent."]),
  ];
  return showing(found, () => notedBundle({
    columns: ["latent", ...(cosine ? ["cosine"] : []), ...(by === "decoder" ? [] : ["together", "score"]), ...(features ? ["label", "tokens"] : [])],
    rows: found.map(({ latent: f, cosine: c, together: pair }) => [
      f, ...(cosine ? [c] : []), ...(by === "decoder" ? [] : [pair?.count ?? null, pair?.score ?? null]), ...(features ? wordsOf(features, f) : []),
    ]),
    total: found.length,
    notes,
  }));
}

/** Label and tokens of a latent. */
function wordsOf(features: Features, latent: number): [string, string] {
  const { label = "", triggers } = features.feature(latent);
  return [label, triggers.map(({ text }) => visible(text).trim()).join(" ")];
}

export interface Nearest extends ShownNow {
  /** The latents that were asked about, [n]. */
  latents: Int32Array;
  /** Of each, the nearest latents of the other SAE and their cosines, [n, count], nearest first; −1 and NaN where there is none. */
  latent: Int32Array;
  cosine: Float32Array;
  count: number;
  of(latent: number): { latent: number; cosine: number }[];
}

export interface NearestOptions {
  count?: number; // 1
  latents?: number[]; // all of the first SAE
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

/**
 * For each latent of one SAE those of another whose decoder rows point most nearly the same way: SAEs of other seeds, sizes and layers, so long as
 * their rows have one width, and parts of them that were loaded alone. The cosines, F × F of them, are never held at once. Of an SAE with itself a latent is not its own neighbour.
 * @throws OptionError when the widths differ or a latent is out of range; InterruptError
 */
export async function nearestFeatures(a: Sae, b: Sae, { count = 1, latents, progress = defaultProgress() }: NearestOptions = {}): Promise<Nearest> {
  requireWidths("nearestFeatures", a, b);
  requireCount("nearestFeatures", count);
  const { subset } = a.weights; // of a part rows are not numbered as latents are
  const rowOf = subset && new Map(Array.from(subset, (latent, row) => [latent, row]));
  for (const latent of latents ?? []) {
    if (!rowOf) requireLatents([latent], a.weights.latents, "nearestFeatures");
    else if (!rowOf.has(latent)) throw new OptionError(`nearestFeatures: expected some of the ${rowOf.size} latents that were loaded, found ${latent}.`);
  }
  const asked = Int32Array.from(latents ?? subset ?? Array(a.weights.latents).keys());
  const rowsAsked = rowOf ? asked.map((latent) => rowOf.get(latent)!) : asked;
  const same = a.weights === b.weights;
  const most = Math.min(count, b.weights.latents - (same ? 1 : 0));
  const out = { latent: new Int32Array(asked.length * most).fill(-1), cosine: new Float32Array(asked.length * most).fill(NaN) };
  const told = meter("nearest latents", asked.length, "latents", progress);
  await cosineBlocks(a, b, rowsAsked, {}, ({ K, engine, cosines, inverse, from, n }) => {
    const columns = Math.min(most + (same ? 1 : 0), b.weights.latents);
    const [values, index] = K.topK(cosines, columns);
    const [value, latent] = [engine.floats(values), engine.ints(index)];
    for (let r = 0; r < n; r++) {
      if (!inverse[rowsAsked[from + r]]) continue;
      for (let j = 0, at = (from + r) * most; j < columns && at < (from + r + 1) * most; j++) {
        const row = latent[r * columns + j];
        if (same && row === rowsAsked[from + r]) continue;
        out.latent[at] = b.weights.subset ? b.weights.subset[row] : row;
        out.cosine[at++] = Math.min(1, Math.max(-1, value[r * columns + j]));
      }
    }
  }, told);
  const place = new Map<number, number>();
  const pairs = (i: number): { latent: number; cosine: number }[] =>
    Array.from({ length: most }, (_, j) => ({ latent: out.latent[i * most + j], cosine: out.cosine[i * most + j] })).filter((one) => one.latent >= 0);
  return showing({
    ...out, latents: asked, count: most,
    of(latent: number) {
      if (!place.size) asked.forEach((f, i) => place.set(f, i));
      if (!place.has(latent)) throw new OptionError(`nearestFeatures: expected one of the ${asked.length} latents that were asked about, found ${latent}.`);
      return pairs(place.get(latent)!);
    },
  }, () => {
    const rows = Array.from(asked.subarray(0, 20), (f, i) => [f, ...pairs(i).flatMap((one) => [one.latent, one.cosine])]);
    const names = Array.from({ length: most }, (_, j) => (j ? [`${j + 1}.`, "cosine"] : ["nearest", "cosine"])).flat();
    const chance = short(chanceCosine(b.weights.latents, widthOf(b)));
    return notedBundle({
      columns: ["latent", ...names], rows, total: asked.length,
      notes: [`The nearest of ${counted(b.weights.latents)} latents by the cosine of their decoder rows; of as many random directions the nearest has about ${chance}.`],
    });
  });
}

const requireWidths = (what: string, a: Sae, b: Sae): void => {
  if (widthOf(a) === widthOf(b)) return;
  throw new OptionError(`${what}: expected decoder rows of one width, found ${widthOf(a)} and ${widthOf(b)}: directions of different spaces have no cosine. Take SAEs of one model's stream.`);
};

interface CosineBlock {
  engine: ReturnType<typeof tensorflow>;
  K: ReturnType<typeof kernels>;
  /** 1/‖row‖ of every latent of a, 0 of one without a direction. */
  inverse: Float32Array;
  /** [n, latents of b] of latents `from` … of those asked for; freed when the block is done. */
  cosines: Id;
  from: number;
  n: number;
}

/** Cosines of some latents of one SAE with all of another, some rows at a time. Latents that `alive` leaves out have the cosine 0 with all. */
async function cosineBlocks(
  a: Sae, b: Sae, asked: Int32Array, alive: { a?: Int32Array; b?: Int32Array }, work: (block: CosineBlock) => void, told: (done: number) => void,
): Promise<void> {
  const engine = tensorflow();
  const K = kernels(engine);
  const d = widthOf(a);
  const [A, B] = [a.weights.wDec, b.weights.wDec];
  const inverse = { a: inverseNorms(A, d, living(alive.a)), b: inverseNorms(B, d, living(alive.b)) };
  const F = b.weights.latents;
  const rows = Math.max(1, Math.min(1024, Math.floor(PRODUCT / F)));
  const held = [engine.lasting(B, [F, d]), engine.lasting(inverse.b, [1, F])];
  try {
    for (let from = 0; from < asked.length; from += rows) {
      stopIfInterrupted(STOPPED);
      const part = asked.subarray(from, from + rows);
      const directions = new Float32Array(part.length * d);
      part.forEach((f, r) => {
        const own = A.subarray(f * d, (f + 1) * d);
        for (let i = 0; i < d; i++) directions[r * d + i] = own[i] * inverse.a[f];
      });
      engine.tidy(() => {
        const cosines = K.mul(K.matMul(engine.tensor(directions, [part.length, d]), held[0], { transposeB: true }), held[1]);
        work({ engine, K, cosines, inverse: inverse.a, from, n: part.length });
      });
      told(from + part.length);
      await breathe();
    }
  } finally {
    engine.free(...held);
  }
}

const living = (fired?: Int32Array): ((latent: number) => boolean) | undefined => fired && ((f) => fired[f] > 0);

export interface FeatureComparison extends Shown {
  threshold: number;
  /** Of the latents of the first SAE, how many have a partner in the second; and the other way round. */
  forth: PartnerMeasures;
  back: PartnerMeasures;
  partners: { forth: Partners; back: Partners };
  /** A row a latent of the first SAE: its nearest of the second, the cosine, and whether they are each other's nearest. */
  table(): DataFrame;
}

export interface CompareFeaturesOptions {
  threshold?: number; // 0.7: from this cosine on, two latents are the same
  /** Collected with the two SAEs on the same text: only latents that fire are compared. */
  features?: [Features, Features];
  names?: [string, string]; // "first" and "second", or the hooks where they differ
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

/**
 * Two SAEs side by side: how many latents of one have a partner in the other, by the cosine of decoder rows. Of two seeds of one recipe
 * few have (12 % above 0.7 at 4,608 latents): a latent without a partner may be the seed's rather than the model's.
 * @returns shows itself as a histogram (Plotly, PNG) with a table of both directions
 * @throws OptionError when the widths differ; InterruptError
 */
export async function compareFeatures(a: Sae, b: Sae, options: CompareFeaturesOptions = {}): Promise<FeatureComparison> {
  const { threshold = 0.7, features, progress = defaultProgress() } = options;
  requireWidths("compareFeatures", a, b);
  for (const sae of [a, b]) requireWholeSae("compareFeatures", sae);
  if (!(threshold > 0 && threshold <= 1)) throw new OptionError(`compareFeatures: threshold: expected a cosine above 0, at most 1, found ${threshold}.`);
  const [Fa, Fb] = [a.weights.latents, b.weights.latents];
  if (features && (features[0].count !== Fa || features[1].count !== Fb)) {
    throw new OptionError(`compareFeatures: features: expected those of the two SAEs, of ${Fa} and ${Fb} latents, found ${features[0].count} and ${features[1].count}.`);
  }
  const names = options.names ?? (a.hook && b.hook && a.hook !== b.hook ? [a.hook, b.hook] as [string, string] : ["first", "second"] as [string, string]);
  const d = widthOf(a);
  const alive = { a: features?.[0].fired, b: features?.[1].fired };
  const forth = partnersOf(Fa), back = partnersOf(Fb);
  const best = new Float32Array(Fb).fill(-2);
  const told = meter("compare features", Fa, "latents", progress);
  await cosineBlocks(a, b, Int32Array.from(Array(Fa).keys()), alive, ({ engine, K, cosines, from, n }) => {
    const [value, latent] = K.topK(cosines, 1).map((id, i) => (i ? engine.ints(id) : engine.floats(id)));
    for (let r = 0; r < n; r++) [forth.cosine[from + r], forth.latent[from + r]] = [Math.min(1, value[r]), latent[r]];
    const columns = engine.floats(K.max(cosines, 0));
    const argument = { T: { type: 1 }, Tidx: { type: 3 }, output_type: { type: 3 } } as const;
    const rows = engine.ints(engine.run("ArgMax", argument, [cosines, K.int(0)])[0]);
    for (let f = 0; f < Fb; f++) if (columns[f] > best[f]) [best[f], back.latent[f]] = [columns[f], from + rows[f]];
  }, told);
  back.cosine.set(best.map((value) => Math.min(1, value)));
  forget(forth, inverseNorms(a.weights.wDec, d, living(alive.a)));
  forget(back, inverseNorms(b.weights.wDec, d, living(alive.b)));
  const livingIn = (latents: number, fired?: Int32Array): number => (fired ? fired.reduce((sum, n) => sum + (n > 0 ? 1 : 0), 0) : latents);
  const pair: ComparedPair = {
    names, threshold,
    forth: { partners: forth, measures: partnerMeasures(forth, threshold, chanceCosine(livingIn(Fb, alive.b), d)) },
    back: { partners: back, measures: partnerMeasures(back, threshold, chanceCosine(livingIn(Fa, alive.a), d)) },
  };
  const plot = plotted(pairFigure(pair));
  const table = pairTable(pair);
  const words = `${pairFigure(pair).words}\n${tableText(table)}`;
  return showing({
    threshold, forth: pair.forth.measures, back: pair.back.measures, partners: { forth, back },
    table: () => dataFrame(
      Array.from(forth.latent, (partner, f) => [f, partner, forth.cosine[f], partner >= 0 && back.latent[partner] === f ? 1 : 0]).filter(([, partner]) => partner >= 0),
      ["latent", "partner", "cosine", "mutual"]),
  }, async () => {
    const drawn = await (plot[DISPLAY]() as Promise<Bundle>);
    return { ...drawn, "text/html": `<div>${String(drawn["text/html"])}${tableHtml(table)}</div>`, "text/plain": words };
  }, () => words);
}

const partnersOf = (latents: number): Partners => ({ latent: new Int32Array(latents).fill(-1), cosine: new Float32Array(latents).fill(NaN) });

/** A latent without a direction has no partner. */
function forget({ latent, cosine }: Partners, inverse: Float32Array): void {
  inverse.forEach((size, f) => {
    if (size === 0) [latent[f], cosine[f]] = [-1, NaN];
  });
}
