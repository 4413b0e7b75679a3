import { escapeHtml, short } from "./html";
import { column, ORANGE } from "./plot";
import { visible } from "./token";

/** Points of a scatter plot with words where the mouse is, coloured by a number or by a text. */
export interface ColouredPoints {
  x: ArrayLike<number>;
  y: ArrayLike<number>;
  /** What is said of each point: lines of text. */
  hover: string[][];
  color?: PointColor;
}

/** A number a point (NaN: grey), or a text (a colour each of the commonest). */
export interface PointColor {
  name: string;
  values: ArrayLike<number> | (string | undefined)[];
  /** Shaded by the logarithm. */
  log?: boolean;
}

// Okabe and Ito's, told apart with any colour vision; https://jfly.uni-koeln.de/color/
const CLASSES = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000"];
const OTHERS = "#9aa2ad";

const trace = (name: string, at: number[], { x, y, hover }: ColouredPoints, marker: Record<string, unknown>): Record<string, unknown> => ({
  type: "scatter",
  mode: "markers",
  name,
  x: column(at.map((i) => x[i])),
  y: column(at.map((i) => y[i])),
  text: at.map((i) => hover[i].map((line) => escapeHtml(visible(line))).join("<br>")), // Plotly takes some HTML for HTML
  hovertemplate: "%{text}<extra></extra>",
  marker: { size: 5, opacity: 0.7, ...marker },
});

/** By a text: a trace each of the commonest, the rest and those without one in grey below them. */
function classes(points: ColouredPoints, values: (string | undefined)[]): Record<string, unknown>[] {
  const counts = new Map<string, number>();
  for (const value of values) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  const named = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, CLASSES.length).map(([value]) => value);
  const places = (wanted: (value: string | undefined) => boolean): number[] => points.hover.map((_, i) => i).filter((i) => wanted(values[i]));
  const rest = places((value) => !value || !named.includes(value));
  return [
    ...(rest.length ? [trace(counts.size > named.length ? "others" : "none", rest, points, { color: OTHERS, opacity: 0.4 })] : []),
    ...named.map((value, i) => trace(escapeHtml(visible(value)), places((one) => one === value), points, { color: CLASSES[i] })),
  ];
}

/** By a number: one scale, of its logarithm where it says so. */
function shades(points: ColouredPoints, { name, values, log = false }: { name: string; values: ArrayLike<number>; log?: boolean }): Record<string, unknown>[] {
  const shown = Array.from(values, (value) => (log ? Math.log10(value) : value));
  const all = shown.map((_, i) => i);
  const known = all.filter((i) => Number.isFinite(shown[i]));
  const unknown = all.filter((i) => !Number.isFinite(shown[i]));
  const bounds = known.reduce(([low, high], i) => [Math.min(low, shown[i]), Math.max(high, shown[i])], [Infinity, -Infinity]);
  const decades = log && known.length ? Array.from({ length: Math.max(0, Math.floor(bounds[1]) - Math.ceil(bounds[0]) + 1) }, (_, i) => Math.ceil(bounds[0]) + i) : [];
  const ticks = decades.length > 1 ? { tickmode: "array", tickvals: decades, ticktext: decades.map((decade) => String(Number(`1e${decade}`))) }
    : log ? { tickmode: "array", tickvals: bounds, ticktext: bounds.map((at) => short(10 ** at)) } : {};
  return [
    ...(unknown.length ? [trace("none", unknown, points, { color: OTHERS, opacity: 0.4 })] : []),
    ...(known.length ? [trace(escapeHtml(name), known, points, {
      color: column(known.map((i) => shown[i])), colorscale: "Viridis", reversescale: true, showscale: true,
      colorbar: { title: { text: escapeHtml(name), side: "right" }, thickness: 12, outlinewidth: 0, ...ticks },
    })] : []),
  ];
}

/** Whether a colour is a number's. */
export const isShaded = ({ values }: PointColor): boolean => typeof Array.from(values as ArrayLike<unknown>).find((value) => value !== undefined) === "number";

/** Plotly's traces; more than one where a legend is worth it. */
export function colouredPoints(points: ColouredPoints): Record<string, unknown>[] {
  const { color } = points;
  if (!color) return [trace("latent", points.hover.map((_, i) => i), points, { color: ORANGE })];
  return isShaded(color) ? shades(points, color as { name: string; values: ArrayLike<number>; log?: boolean }) : classes(points, Array.from(color.values as (string | undefined)[]));
}
