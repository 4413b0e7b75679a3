import { mapFigure } from "../core/decodermap";
import { OptionError } from "../core/errors";
import { DENSE } from "../core/measure";
import { random } from "../core/random";
import { inverseNorms } from "../core/similarity";
import type { Progress, Sae } from "../core/types";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { plotted } from "./plots";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { DISPLAY, showing, type Bundle, type Shown } from "./show";
import { requireWholeSae } from "./samesae";
import { nearestFeatures } from "./similarity";
import { kernels, tensorflow } from "./tensorflow";

/** Decoder directions in two dimensions: UMAP by umap-js on exact neighbours, PCA by TensorFlow's eigendecomposition. */

const STOPPED = "Nothing of this map was kept: draw it again.";

export interface DecoderMapOptions {
  features?: Features; // none: which latents fire, their labels and tokens
  method?: "umap" | "pca"; // "umap": who is whose neighbour; "pca": where the variance is
  latents?: number[]; // of features the strongest that fire, not densely; else so many evenly spaced
  count?: number; // 2,000 latents: the map of all 65,536 is minutes of work and a page of megabytes
  color?: string; // "density" with features; a column of theirs, numbers or texts such as "verdict"
  neighbours?: number; // 15: fewer show small groups, more the whole
  seed?: number; // 0: same seed, same map
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface DecoderMap extends Shown {
  latents: Int32Array;
  x: Float32Array;
  y: Float32Array;
}

const MOST = 20_000; // umap-js keeps objects a neighbour

/**
 * A map of the decoder's directions, a point a latent: near ones write alike. Distances on a UMAP map mean little beyond who is near whom.
 * @returns shows itself as a Plotly figure (number, label and tokens where the mouse is), a picture, and a sentence
 * @throws OptionError for latents out of range, fewer than 3 or more than 20,000 of them, an unknown column; InterruptError
 * @see https://arxiv.org/abs/1802.03426
 */
export async function decoderMap(sae: Sae, options: DecoderMapOptions = {}): Promise<DecoderMap> {
  const { features, method = "umap", count = 2_000, neighbours = 15, seed = 0, progress = defaultProgress() } = options;
  if (method !== "umap" && method !== "pca") throw new OptionError(`decoderMap: method: expected "umap" or "pca", found ${JSON.stringify(method)}.`);
  for (const [name, value, least] of [["count", count, 3], ["neighbours", neighbours, 2]] as const) {
    if (!Number.isSafeInteger(value) || value < least) throw new OptionError(`decoderMap: ${name}: expected a whole number from ${least} on, found ${value}.`);
  }
  requireWholeSae("decoderMap", sae);
  const { latents: F, d, dOut = d } = sae.weights;
  if (features && features.count !== F) throw new OptionError(`decoderMap: expected features of this SAE's ${F} latents, found ${features.count}.`);
  const wrong = options.latents?.find((f) => !Number.isInteger(f) || f < 0 || f >= F);
  if (wrong !== undefined) throw new OptionError(`decoderMap: latents: expected numbers from 0 to ${F - 1}, found ${wrong}.`);
  const inverse = inverseNorms(sae.weights.wDec, dOut);
  const latents = Int32Array.from((options.latents ?? chosen(F, count, features)).filter((f) => inverse[f] > 0)); // a row of zeros is no direction
  const n = latents.length;
  if (n < 3 || n > MOST) throw new OptionError(`decoderMap: expected 3 to ${MOST.toLocaleString("en")} latents with a direction, found ${n}. Name others: { latents } or { count }.`);
  const colorName = options.color ?? (features ? "density" : undefined);
  const color = colorName === undefined ? undefined : colorOf(colorName, latents, features);

  const directions = new Float32Array(n * dOut);
  latents.forEach((f, i) => {
    for (let j = 0; j < dOut; j++) directions[i * dOut + j] = sae.weights.wDec[f * dOut + j] * inverse[f];
  });
  const placed = method === "pca" ? principal(directions, n, dOut) : await umap(directions, n, dOut, { neighbours, seed, progress });
  const hover = Array.from(latents, (f) => (features ? wordsOf(features, f) : []));
  const plot = plotted(mapFigure({ latents, hover, color, method, total: F, ...placed }));
  return showing({ latents, x: placed.x, y: placed.y }, () => plot[DISPLAY]() as Promise<Bundle>, () => mapFigure({ latents, hover, color, method, total: F, ...placed }).words);
}

/** Living latents that are not dense, the strongest; without features every so-manieth. */
function chosen(F: number, count: number, features?: Features): number[] {
  const all = Array.from({ length: F }, (_, f) => f);
  if (!features) {
    const step = Math.max(1, F / count);
    return all.length <= count ? all : Array.from({ length: count }, (_, i) => Math.floor(i * step));
  }
  const { fired, rows, statistics: { max } } = features;
  return all.filter((f) => fired[f] > 0 && fired[f] <= DENSE * rows).sort((f, g) => max[g] - max[f] || f - g).slice(0, count).sort((f, g) => f - g);
}

function colorOf(name: string, latents: Int32Array, features?: Features): { name: string; values: number[] | (string | undefined)[]; log?: boolean } {
  if (!features) throw new OptionError(`decoderMap: color: expected { features } beside a column's name, found none.`);
  const { density, mean, max } = features.statistics;
  if (name === "density") return { name: "density", values: Array.from(latents, (f) => density[f]), log: true };
  const values = name === "mean" ? mean : name === "max" ? max : features.column(name);
  return values instanceof Float32Array ? { name, values: Array.from(latents, (f) => values[f]) } : { name, values: Array.from(latents, (f) => values[f]) };
}

function wordsOf(features: Features, latent: number): string[] {
  const { label, verdict, triggers, density } = features.feature(latent);
  return [...(label ? [label] : []), ...(verdict ? [verdict] : []), triggers.map(({ text }) => text.trim()).join(" "), `fires on ${(100 * density).toPrecision(2)} %`].filter(Boolean);
}

interface Placed {
  x: Float32Array;
  y: Float32Array;
  explained?: [number, number];
}

/** The two directions of largest variance of [n, d], and what lies along them; the larger side of each axis is the positive one. */
function principal(rows: Float32Array, n: number, d: number): Placed {
  const engine = tensorflow();
  const K = kernels(engine);
  const mean = new Float64Array(d);
  for (let i = 0; i < rows.length; i++) mean[i % d] += rows[i] / n;
  const centred = rows.map((value, i) => value - mean[i % d]);
  return engine.tidy(() => {
    const X = engine.tensor(centred, [n, d]);
    const small = n < d; // then of the products of rows, whose eigenvectors are the coordinates
    const [values, vectors] = K.eigen(small ? K.matMul(X, X, { transposeB: true }) : K.matMul(X, X, { transposeA: true })).map((id) => engine.floats(id));
    const size = small ? n : d;
    const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
    const along = (rank: number): Float32Array => {
      const last = size - 1 - rank;
      const vector = Float32Array.from({ length: size }, (_, i) => vectors[i * size + last]);
      const at = small ? vector.map((value) => value * Math.sqrt(Math.max(0, values[last]))) : engine.floats(K.matMul(X, engine.tensor(vector, [d, 1])));
      const farthest = at.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
      return farthest < 0 ? at.map((value) => -value) : at;
    };
    return { x: along(0), y: along(1), explained: [0, 1].map((rank) => (total > 0 ? Math.max(0, values[size - 1 - rank]) / total : 0)) as [number, number] };
  });
}

/** umap-js on exact neighbours by cosine, which it would look for itself by comparing arrays of numbers. */
async function umap(rows: Float32Array, n: number, d: number, { neighbours, seed, progress }: { neighbours: number; seed: number; progress?: Progress }): Promise<Placed> {
  const { UMAP } = require("umap-js") as typeof import("umap-js");
  const k = Math.min(neighbours, n - 1);
  const none = new Float32Array(0);
  const part = { weights: { d, latents: n, k: 1, wEnc: none, bEnc: none, wDec: rows, bDec: none } } as unknown as Sae;
  const near = await nearestFeatures(part, part, { count: k - 1, progress });
  const index = Array.from({ length: n }, (_, i) => [i, ...near.of(i).map(({ latent }) => latent)]); // each is its own first
  const distance = Array.from({ length: n }, (_, i) => [0, ...near.of(i).map(({ cosine }) => Math.max(0, 1 - cosine))]);
  const layout = new UMAP({ nComponents: 2, nNeighbors: k, minDist: 0.1, random: random(seed).uniform });
  layout.setPrecomputedKNN(index, distance);
  const epochs = layout.initializeFit(Array.from({ length: n }, () => [0])); // only how many there are is asked
  const told = meter("map", epochs, "epochs", progress);
  for (let epoch = 1; epoch <= epochs; epoch++) {
    layout.step();
    told(epoch);
    stopIfInterrupted(STOPPED);
    await breathe();
  }
  const at = layout.getEmbedding();
  return { x: Float32Array.from(at, ([x]) => x), y: Float32Array.from(at, ([, y]) => y) };
}
