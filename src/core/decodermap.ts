import { count, escapeHtml, percent, short } from "./html";
import { axis, column, CONFIG, frame, ORANGE, PALETTE, type Plot } from "./plot";
import { visible } from "./token";

/** Directions of latents in two dimensions → a Plotly figure, a point each. */

export interface MapPoints {
  latents: ArrayLike<number>;
  x: Float32Array;
  y: Float32Array;
  /** What is said of each latent besides its number: lines of text. */
  hover: string[][];
  /** A number a latent (NaN: grey) or a text (a colour each of the commonest). */
  color?: { name: string; values: ArrayLike<number> | (string | undefined)[]; log?: boolean };
  method: "umap" | "pca";
  /** Latents that the SAE has. */
  total: number;
  /** Of PCA, the shares of the variance that the two axes hold. */
  explained?: [number, number];
}

// Okabe and Ito's, told apart with any colour vision; https://jfly.uni-koeln.de/color/
const CLASSES = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000"];
const OTHERS = "#9aa2ad";

const points = (name: string, at: number[], map: MapPoints, marker: Record<string, unknown>): Record<string, unknown> => ({
  type: "scatter",
  mode: "markers",
  name,
  x: column(at.map((i) => map.x[i])),
  y: column(at.map((i) => map.y[i])),
  text: at.map((i) => [`latent ${map.latents[i]}`, ...map.hover[i]].map((line) => escapeHtml(visible(line))).join("<br>")), // Plotly takes some HTML for HTML
  hovertemplate: "%{text}<extra></extra>",
  marker: { size: 5, opacity: 0.7, ...marker },
});

/** By a text: a trace each of the commonest, the rest and those without one in grey below them. */
function classes(map: MapPoints, values: (string | undefined)[]): Record<string, unknown>[] {
  const counts = new Map<string, number>();
  for (const value of values) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
  const named = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, CLASSES.length).map(([value]) => value);
  const places = (wanted: (value: string | undefined) => boolean): number[] => Array.from(map.latents, (_, i) => i).filter((i) => wanted(values[i]));
  const rest = places((value) => !value || !named.includes(value));
  return [
    ...(rest.length ? [points(counts.size > named.length ? "others" : "–", rest, map, { color: OTHERS, opacity: 0.4 })] : []),
    ...named.map((value, i) => points(escapeHtml(visible(value)), places((one) => one === value), map, { color: CLASSES[i] })),
  ];
}

/** By a number: one scale, of its logarithm where it says so. */
function shades(map: MapPoints, { name, values, log = false }: { name: string; values: ArrayLike<number>; log?: boolean }): Record<string, unknown>[] {
  const shown = Array.from(values, (value) => (log ? Math.log10(value) : value));
  const all = shown.map((_, i) => i);
  const known = all.filter((i) => Number.isFinite(shown[i]));
  const unknown = all.filter((i) => !Number.isFinite(shown[i]));
  const bounds = known.reduce(([low, high], i) => [Math.min(low, shown[i]), Math.max(high, shown[i])], [Infinity, -Infinity]);
  const decades = log && known.length ? Array.from({ length: Math.floor(bounds[1]) - Math.ceil(bounds[0]) + 1 }, (_, i) => Math.ceil(bounds[0]) + i) : [];
  const ticks = decades.length > 1 ? { tickmode: "array", tickvals: decades, ticktext: decades.map((decade) => String(Number(`1e${decade}`))) } : log ? { tickmode: "array", tickvals: bounds, ticktext: bounds.map((at) => short(10 ** at)) } : {};
  return [
    ...(unknown.length ? [points("–", unknown, map, { color: OTHERS, opacity: 0.4 })] : []),
    ...(known.length ? [points(name, known, map, {
      color: column(known.map((i) => shown[i])), colorscale: "Viridis", reversescale: true, showscale: true,
      colorbar: { title: { text: escapeHtml(name), side: "right" }, thickness: 12, outlinewidth: 0, ...ticks },
    })] : []),
  ];
}

export function mapFigure(map: MapPoints, title = "Decoder directions"): Plot {
  const { color, explained, total, method } = map;
  const n = map.latents.length;
  const numeric = color && typeof Array.from(color.values as ArrayLike<unknown>).find((value) => value !== undefined) === "number";
  const data = !color ? [points("latent", Array.from(map.latents, (_, i) => i), map, { color: ORANGE })]
    : numeric ? shades(map, color as { name: string; values: ArrayLike<number>; log?: boolean }) : classes(map, Array.from(color.values as (string | undefined)[]));
  const how = method === "umap" ? "UMAP by cosine" : `PCA${explained ? `, ${percent(explained[0])} and ${percent(explained[1])} of the variance` : ""}`;
  const bare = axis({ showticklabels: false, ticks: "", showline: false, showgrid: false, zeroline: method === "pca", zerolinecolor: PALETTE.grid }); // units say nothing
  const many = !numeric && data.length > 1;
  return {
    words: `${title}: ${count(n)}${n < total ? ` of ${count(total)}` : ""} latents in two dimensions (${how})${color ? `, coloured by ${color.name}` : ""}.`,
    figure: {
      data,
      layout: {
        ...frame(`${title}: ${count(n)}${n < total ? ` of ${count(total)}` : ""} latents, ${how}`, {
          xaxis: bare, yaxis: { ...bare, ...(method === "umap" ? { scaleanchor: "x" } : {}) }, showlegend: many, legend: { font: { size: 12 } }, hovermode: "closest", plot_bgcolor: PALETTE.plot,
        }),
        height: 560, margin: { l: 24, r: 24, t: 64, b: 24 },
      },
      config: CONFIG,
    },
  };
}
