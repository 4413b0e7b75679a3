import { base64, count, percent, short } from "./html";
import type { TrainingPoint } from "./types";

/**
 * Series → Plotly figures, as plain JSON. A figure has a light ground of its own, so that it reads the same on a light
 * and on a dark page.
 */

/**
 * A column of numbers as Plotly reads it from JSON: base64 of little-endian float32, since notebook files write a number
 * of a list on each line.
 */
export interface Column {
  dtype: "f4";
  bdata: string;
}

export interface Figure {
  data: Record<string, unknown>[];
  layout: Record<string, unknown> & { width: number; height: number };
  config: Record<string, unknown>;
}

/** A figure and what it shows in words: the alternative text of its picture, and what a terminal prints. */
export interface Plot {
  figure: Figure;
  words: string;
}

/** Colours on a figure's own ground. */
export const PALETTE = { orange: "#d9660a", blue: "#3b6ea8", ink: "#2b2f36", grid: "#e4e7eb", line: "#9aa2ad", paper: "#ffffff", plot: "#fafbfc" } as const;
export const { orange: ORANGE, blue: BLUE, ink: INK, line: LINE } = PALETTE;
const GRID = PALETTE.grid;

/** @param values any numbers; written as float32 */
export function column(values: ArrayLike<number>): Column {
  return { dtype: "f4", bdata: base64(new Uint8Array(Float32Array.from(values).buffer)) };
}

/** Text that is no markup: Plotly reads tags such as <b> and <a> in all that it writes. */
export const plain = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

export const axis = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  gridcolor: GRID,
  linecolor: LINE,
  showline: true,
  zeroline: false,
  ticks: "outside",
  tickcolor: LINE,
  ...more,
});

/** A logarithmic axis with its numbers written out: 1, 2, 5 of each decade when there are few, else the decades. */
export function logAxis(values: ArrayLike<number>, more: Record<string, unknown> = {}): Record<string, unknown> {
  const positive = Array.from(values).filter((value) => value > 0 && Number.isFinite(value));
  const least = positive.length ? positive.reduce((a, b) => Math.min(a, b)) : 0.1;
  const largest = positive.length ? positive.reduce((a, b) => Math.max(a, b)) : 1;
  const low = Math.log10(least) - 0.06 * Math.max(0.5, Math.log10(largest / least));
  const high = Math.log10(largest) + 0.06 * Math.max(0.5, Math.log10(largest / least));
  const steps = high - low < 0.9 ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8] : high - low < 2.5 ? [1, 2, 5] : [1];
  const tickvals: number[] = [];
  for (let decade = Math.floor(low); decade <= high; decade++) {
    for (const step of steps)
      if (Math.log10(step) + decade >= low && Math.log10(step) + decade <= high) tickvals.push(Number(`${step}e${decade}`));
  }
  return axis({ type: "log", range: [low, high], tickmode: "array", tickvals, ticktext: tickvals.map(String), ...more });
}

/**
 * Names of the axes as annotations: where they stand then does not hang on measured text, which a picture drawn without a
 * browser lacks.
 */
export const naming = (x: string, left: string, right?: string): Record<string, unknown>[] => {
  const name = (text: string, color: string, where: Record<string, unknown>): Record<string, unknown> => ({
    text,
    xref: "paper",
    yref: "paper",
    showarrow: false,
    font: { size: 13, color },
    ...where,
  });
  return [
    name(x, INK, { x: 0.5, y: 0, yshift: -48, xanchor: "center", yanchor: "middle" }),
    name(left, right ? ORANGE : INK, { x: 0, y: 1, yshift: 14, xshift: -52, xanchor: "left", yanchor: "middle" }),
    ...(right ? [name(right, BLUE, { x: 1, y: 1, yshift: 14, xshift: 44, xanchor: "right", yanchor: "middle" })] : []),
  ];
};

export const frame = (title: string, more: Record<string, unknown>): Figure["layout"] => ({
  width: 760,
  height: 380,
  margin: { l: 64, r: 56, t: 76, b: 60 },
  title: { text: title, x: 0.015, xanchor: "left", y: 0.95, yanchor: "top", font: { size: 16 } },
  font: { family: "Open Sans, system-ui, sans-serif", size: 13, color: INK },
  paper_bgcolor: PALETTE.paper,
  plot_bgcolor: PALETTE.plot,
  ...more,
});

/** Typesetting is off: what stands between two $ of a label or a token is text. */
export const CONFIG = { displaylogo: false, responsive: true, typesetMath: false };

/**
 * Fraction of variance unexplained (left, logarithmic) and share of dead latents (right) against the tokens seen.
 * @throws RangeError without points
 */
export function trainingFigure(curve: TrainingPoint[], title = "Training"): Plot {
  if (!curve.length) throw new RangeError("expected at least one point of the training curve, found none");
  const tokens = column(curve.map((point) => point.tokens));
  const dead = curve.map((point) => 100 * point.dead);
  const first = curve[0];
  const last = curve.at(-1)!;
  return {
    words:
      `${title}: over ${count(last.tokens)} tokens the variance left unexplained went from ${short(first.fvu)} to ${short(last.fvu)}; ` +
      `${percent(last.dead)} of the latents are dead at the end.`,
    figure: {
      data: [
        {
          type: "scatter",
          mode: curve.length > 1 ? "lines" : "markers",
          name: "FVU",
          x: tokens,
          y: column(curve.map((point) => point.fvu)),
          line: { color: ORANGE, width: 2 },
        },
        {
          type: "scatter",
          mode: curve.length > 1 ? "lines" : "markers",
          name: "dead latents",
          x: tokens,
          y: column(dead),
          yaxis: "y2",
          line: { color: BLUE, width: 1.5, dash: "dot" },
        },
      ],
      layout: frame(title, {
        xaxis: axis({ rangemode: "tozero" }),
        yaxis: logAxis(curve.map((point) => point.fvu)),
        yaxis2: axis({
          overlaying: "y",
          side: "right",
          showgrid: false,
          tickmode: "auto",
          range: [0, Math.max(5, 1.1 * Math.max(...dead))],
        }),
        annotations: naming("tokens", "FVU (logarithmic)", "dead latents, %"),
        showlegend: false,
      }),
      config: CONFIG,
    },
  };
}

const MOST_POINTS = 4_000;

/**
 * Each living latent as a point: on how many rows it fires against its maximum, both logarithmic.
 * Of more than 4,000 latents every so-manieth is drawn, and the title says so.
 */
export function scatterFigure(density: ArrayLike<number>, max: ArrayLike<number>, title = "Features"): Plot {
  const alive = Array.from({ length: density.length }, (_, f) => f).filter((f) => density[f] > 0);
  const step = Math.ceil(alive.length / MOST_POINTS) || 1;
  const drawn = alive.filter((_, i) => i % step === 0);
  const dense = alive.filter((f) => density[f] > 0.1).length;
  const dead = density.length - alive.length;
  return {
    words: `${title}: of ${count(density.length)} latents ${count(dead)} are dead and ${count(dense)} fire on more than a tenth of the tokens.`,
    figure: {
      data: [
        {
          type: "scatter",
          mode: "markers",
          name: "latent",
          x: column(drawn.map((f) => 100 * density[f])),
          y: column(drawn.map((f) => max[f])),
          customdata: column(drawn),
          hovertemplate: "latent %{customdata}<br>fires on %{x:.3g} %<br>maximum %{y:.3g}<extra></extra>",
          marker: { color: ORANGE, size: 5, opacity: 0.55 },
        },
      ],
      layout: frame(
        `${title}: ${count(alive.length)} living, ${count(dead)} dead${step > 1 ? ` (one in ${step} drawn)` : ""}`,
        {
          xaxis: logAxis(drawn.map((f) => 100 * density[f])),
          yaxis: logAxis(drawn.map((f) => max[f])),
          showlegend: false,
          annotations: naming("fires on % of rows (logarithmic)", "maximum (logarithmic)"),
          shapes: [
            { type: "line", x0: 10, x1: 10, y0: 0, y1: 1, yref: "paper", line: { color: LINE, width: 1, dash: "dash" } },
          ],
        },
      ),
      config: CONFIG,
    },
  };
}
