import { count, percent, short } from "./html";
import { DENSE, type DensityHistogram } from "./measure";
import { axis, BLUE, column, CONFIG, frame, INK, LINE, logAxis, naming, ORANGE, type Plot } from "./plot";

/** Evaluations → Plotly figures: SAEs against each other, and the latents of one by how often they fire. */

export interface ParetoPoint {
  name: string;
  x: number;
  y: number;
  /** Points of a kind have one shape. */
  kind?: string;
}

/** A measure as an axis. */
export interface Measure {
  label: string;
  better: "less" | "more";
}

/** Points that no other equals in one measure and beats in the other: the Pareto front, by x. What is no number is passed over. */
export function paretoFront(points: Pick<ParetoPoint, "x" | "y">[], x: Pick<Measure, "better">, y: Pick<Measure, "better">): number[] {
  const sign = ({ better }: Pick<Measure, "better">): number => (better === "less" ? 1 : -1);
  const [u, v] = [sign(x), sign(y)];
  const order = [...points.keys()].filter((i) => Number.isFinite(points[i].x) && Number.isFinite(points[i].y));
  order.sort((a, b) => u * (points[a].x - points[b].x) || v * (points[a].y - points[b].y) || a - b);
  const front: number[] = [];
  for (const i of order) {
    const last = points[front.at(-1) ?? i];
    if (!front.length || v * points[i].y < v * last.y) front.push(i);
  }
  return front.sort((a, b) => points[a].x - points[b].x);
}

const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x"];
const NAMED = 24; // points; of more only those of the front have their names beside them
const LOG = 3; // a measure that spans so many times its least one is drawn on a logarithmic axis

/**
 * SAEs by two measures, those that no other beats in both drawn filled and joined.
 * @throws RangeError when no point has both measures
 */
export function paretoFigure(points: ParetoPoint[], x: Measure, y: Measure, title = "SAEs"): Plot {
  const known = points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  if (!known.length) throw new RangeError(`expected an SAE with ${x.label} and ${y.label}, found none`);
  const front = paretoFront(known, x, y);
  const onFront = new Set(front);
  const kinds = [...new Set(known.map(({ kind }) => kind ?? ""))];
  const scale = (of: (point: ParetoPoint) => number): Record<string, unknown> => {
    const values = known.map(of);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    if (least > 0 && most > LOG * least) return logAxis(values);
    const room = 0.08 * (most - least || Math.abs(most) || 1);
    return axis({ range: [least - room, most + room] });
  };
  const beaten = known.length - front.length;
  return {
    words:
      `${title}: ${x.label} against ${y.label} of ${count(known.length)} SAEs. No other beats ${front.map((i) => `${known[i].name} (${short(known[i].x)}, ${short(known[i].y)})`).join(", ")}` +
      `${beaten ? `; ${count(beaten)} are beaten in both` : ""}.`,
    figure: {
      data: [
        {
          type: "scatter", mode: "lines", name: "Pareto front", x: column(front.map((i) => known[i].x)), y: column(front.map((i) => known[i].y)),
          line: { color: ORANGE, width: 1.5, dash: "dash" }, hoverinfo: "skip", showlegend: front.length > 1,
        },
        ...kinds.map((kind, k) => {
          const mine = [...known.keys()].filter((i) => (known[i].kind ?? "") === kind);
          return {
            type: "scatter", mode: "markers+text", name: kind || "SAE",
            x: column(mine.map((i) => known[i].x)), y: column(mine.map((i) => known[i].y)),
            text: mine.map((i) => (known.length <= NAMED || onFront.has(i) ? known[i].name : "")), textposition: "top center", textfont: { size: 11, color: INK }, cliponaxis: false,
            customdata: mine.map((i) => known[i].name), hovertemplate: `%{customdata}<br>${x.label} %{x:.4g}<br>${y.label} %{y:.4g}<extra></extra>`,
            marker: { symbol: SYMBOLS[k % SYMBOLS.length], size: 10, color: mine.map((i) => (onFront.has(i) ? ORANGE : "#ffffff")), line: { color: mine.map((i) => (onFront.has(i) ? ORANGE : BLUE)), width: 1.5 } },
            showlegend: kinds.length > 1,
          };
        }),
      ],
      layout: frame(`${title}: filled, no other is better in both`, {
        xaxis: scale((point) => point.x),
        yaxis: scale((point) => point.y),
        annotations: naming(`${x.label} (${x.better} is better)`, `${y.label} (${y.better} is better)`),
        legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
        showlegend: true,
      }),
      config: CONFIG,
    },
  };
}

/** Latents by how often they fire: a bar for each bin, the dead in words. */
export function densityFigure({ edges, counts, dead }: DensityHistogram, title = "Density of the latents"): Plot {
  const latents = dead + counts.reduce((sum, one) => sum + one, 0);
  const decades = Array.from({ length: Math.round(-edges[0]) + 1 }, (_, i) => Math.round(edges[0]) + i);
  const share = (power: number): string => `${Number((100 * 10 ** power).toPrecision(1))} %`;
  const living = counts.flatMap((n, b) => new Array<number>(n).fill(b));
  const middle = living.length ? 10 ** ((edges[living[living.length >> 1]] + edges[living[living.length >> 1] + 1]) / 2) : NaN;
  return {
    words: `${title}: of ${count(latents)} latents ${count(dead)} fire on none of the rows${living.length ? `; half of the others fire on less than about ${percent(middle)}` : ""}.`,
    figure: {
      data: [{
        type: "bar", name: "latents", x: column(counts.map((_, b) => (edges[b] + edges[b + 1]) / 2)), y: column(counts), width: edges[1] - edges[0], marker: { color: ORANGE, line: { color: "#ffffff", width: 1 } },
        customdata: counts.map((_, b) => `${percent(10 ** edges[b])} to ${percent(10 ** edges[b + 1])}`), hovertemplate: "%{customdata}<br>%{y} latents<extra></extra>",
      }],
      layout: frame(`${title}: ${count(latents - dead)} living, ${count(dead)} dead`, {
        xaxis: axis({ range: [edges[0] - 0.05, 0.05], tickmode: "array", tickvals: decades, ticktext: decades.map(share) }),
        yaxis: axis({ rangemode: "tozero" }),
        annotations: naming("fires on % of rows (logarithmic)", "latents"),
        shapes: [{ type: "line", x0: Math.log10(DENSE), x1: Math.log10(DENSE), y0: 0, y1: 1, yref: "paper", line: { color: LINE, width: 1, dash: "dash" } }],
        showlegend: false,
      }),
      config: CONFIG,
    },
  };
}
