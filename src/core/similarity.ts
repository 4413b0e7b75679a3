import type { TableView } from "./featuretable";
import { count, percent, short } from "./html";
import { axis, BLUE, column, CONFIG, frame, INK, LINE, naming, ORANGE, plain, type Plot } from "./plot";

/**
 * How alike latents are: by the cosine of their decoder rows, and by how often they fire together. F latents, rows of width d.
 *
 *   cosine(f, g) = W_dec[f]·W_dec[g] / (‖W_dec[f]‖·‖W_dec[g]‖)
 */

/** 1/‖row‖ of each row of [n, d]; 0 of a row of zeros, which has no direction, and of rows that `keep` leaves out. */
export function inverseNorms(matrix: Float32Array, d: number, keep?: (row: number) => boolean): Float32Array {
  return Float32Array.from({ length: matrix.length / d }, (_, row) => {
    if (keep && !keep(row)) return 0;
    let sum = 0;
    for (let i = row * d; i < (row + 1) * d; i++) sum += matrix[i] * matrix[i];
    return sum > 0 ? 1 / Math.sqrt(sum) : 0;
  });
}

/** Cosine of one row of [n, d] with every row: [n]; 0 with a row that has no direction. */
export function cosinesWith(matrix: Float32Array, d: number, row: number): Float32Array {
  const own = matrix.subarray(row * d, (row + 1) * d);
  let size = 0;
  for (const value of own) size += value * value;
  return Float32Array.from({ length: matrix.length / d }, (_, other) => {
    let dot = 0, square = 0;
    for (let i = 0, j = other * d; i < d; i++, j++) {
      dot += own[i] * matrix[j];
      square += matrix[j] * matrix[j];
    }
    return size > 0 && square > 0 ? Math.min(1, Math.max(-1, dot / Math.sqrt(size * square))) : 0;
  });
}

/**
 * The largest cosine that n random directions of width d have with a given one, about: where one of them is to be expected beyond, by the tail
 * P(cosine > t) ≈ (1 − t²)^((d − 1)/2) / (t·√(2πd)) of the uniform distribution on the sphere.
 */
export function chanceCosine(n: number, d: number): number {
  if (n < 2 || d < 2) return n < 2 ? 0 : 1;
  let t = 0.5;
  for (let i = 0; i < 50; i++) t = Math.sqrt(Math.max(1e-12, 1 - ((t * Math.sqrt(2 * Math.PI * d)) / n) ** (2 / (d - 1))));
  return t;
}

/** Nearest partner of each latent in the other SAE: [F]; −1 and NaN where there is none. */
export interface Partners {
  latent: Int32Array;
  cosine: Float32Array;
}

/** One direction of a comparison, of the latents that have a direction (and fire, where that is known). */
export interface PartnerMeasures {
  latents: number;
  /** Latents with a partner above the threshold, and their share. */
  matched: number;
  share: number;
  /** Mean and median of the cosine with the nearest. */
  mean: number;
  median: number;
  /** What the nearest of as many random directions would have, about. */
  chance: number;
}

export function partnerMeasures({ cosine }: Partners, threshold: number, chance: number): PartnerMeasures {
  const known = cosine.filter((value) => !Number.isNaN(value)).sort();
  const matched = known.reduce((sum, value) => sum + (value > threshold ? 1 : 0), 0);
  const n = known.length;
  return {
    latents: n,
    matched,
    share: n ? matched / n : NaN,
    mean: n ? known.reduce((sum, value) => sum + value, 0) / n : NaN,
    median: n ? (known[(n - 1) >> 1] + known[n >> 1]) / 2 : NaN,
    chance,
  };
}

const BINS = 50;

/** Shares of latents by cosine, in bins of 0.02 from 0 to 1; what is below 0 falls into the first. */
export function cosineShares(cosine: Float32Array): number[] {
  const counts = new Array<number>(BINS).fill(0);
  let n = 0;
  for (const value of cosine) {
    if (Number.isNaN(value)) continue;
    counts[Math.min(BINS - 1, Math.max(0, Math.floor(value * BINS)))]++;
    n++;
  }
  return counts.map((one) => (n ? one / n : 0));
}

export interface ComparedPair {
  names: [string, string];
  threshold: number;
  forth: { partners: Partners; measures: PartnerMeasures };
  back: { partners: Partners; measures: PartnerMeasures };
}

const sentence = (from: string, to: string, { latents, share, mean, chance }: PartnerMeasures, threshold: number): string =>
  `${percent(share)} of the ${count(latents)} latents of ${from} have a partner above ${threshold} in ${to} (mean of the nearest ${short(mean)}; random directions: about ${short(chance)})`;

/** Cosine with the nearest latent of the other SAE, both ways, as a histogram; the threshold drawn. */
export function pairFigure({ names: [a, b], threshold, forth, back }: ComparedPair): Plot {
  const middles = column(Array.from({ length: BINS }, (_, i) => (i + 0.5) / BINS));
  const line = (name: string, { partners }: ComparedPair["forth"], color: string): Record<string, unknown> => ({
    type: "scatter",
    mode: "lines",
    name: plain(name),
    x: middles,
    y: column(cosineShares(partners.cosine).map((share) => 100 * share)),
    line: { color, width: 2, shape: "hvh" },
    fill: "tozeroy",
    fillcolor: `${color}22`,
    hovertemplate: "cosine %{x:.2f}: %{y:.2f} %<extra></extra>",
  });
  const chance = (forth.measures.chance + back.measures.chance) / 2; // of the nearest of as many random directions: the two hardly differ
  const upright = (x: number): Record<string, unknown> => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color: LINE, width: 1, dash: "dash" } });
  const beside = (x: number, text: string): Record<string, unknown> => ({ text, x, xanchor: "right", xshift: -3, yref: "paper", y: 1, yanchor: "top", showarrow: false, font: { size: 11, color: INK } });
  const title = `${plain(a)} and ${plain(b)}: ${percent(forth.measures.share)} and ${percent(back.measures.share)} with a partner above ${threshold}`;
  return {
    words: `${sentence(a, b, forth.measures, threshold)}; ${sentence(b, a, back.measures, threshold)}.`,
    figure: {
      data: [line(`${a} in ${b}`, forth, ORANGE), line(`${b} in ${a}`, back, BLUE)],
      layout: frame(title, {
        xaxis: axis({ range: [0, 1] }),
        yaxis: axis({ range: [0, 112 * Math.max(0.01, ...cosineShares(forth.partners.cosine), ...cosineShares(back.partners.cosine))] }), // room for the names of the lines
        annotations: [...naming("cosine of the decoder row with the nearest of the other", "% of latents"), beside(threshold, `partner: ${threshold}`), beside(chance, "random directions")],
        shapes: [upright(threshold), upright(chance)],
        legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
      }),
      config: CONFIG,
    },
  };
}

/** The same as a small table. */
export function pairTable({ names: [a, b], threshold, forth, back }: ComparedPair): TableView {
  const row = (name: string, { latents, matched, share, mean, median, chance }: PartnerMeasures): (string | number)[] =>
    [name, count(latents), count(matched), percent(share), mean, median, chance];
  return {
    columns: ["latents of → nearest in", "latents", `partner above ${threshold}`, "share", "mean cosine", "median", "random directions"],
    rows: [row(`${a} → ${b}`, forth.measures), row(`${b} → ${a}`, back.measures)],
    total: 2,
    words: true,
  };
}
