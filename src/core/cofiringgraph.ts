import { count, percent, short } from "./html";
import { axis, BLUE, column, CONFIG, frame, INK, ORANGE, plain, type Column, type Plot } from "./plot";
import type { Pieces } from "./pieces";
import { brief } from "./shading";

/** Latents that fire on the same rows, as a graph → Plotly figure. Where the nodes stand is decided elsewhere. */

export interface GraphNode {
  latent: number;
  label?: string;
  /** Share of rows on which it fires. */
  density: number;
  /** Asked for; the others are its partners. */
  asked: boolean;
}

export interface GraphPair {
  /** Places of two nodes, or numbers of two latents. */
  a: number;
  b: number;
  /** Rows on which both fire. */
  count: number;
  /** Jaccard: those rows, as a share of the rows on which either fires. */
  score: number;
}

export interface Graph {
  nodes: GraphNode[];
  /** Largest score first. */
  pairs: GraphPair[];
}

/** What a latent's partners are found by. */
type Together = (latent: number) => { latent: number; count: number; score: number }[];

/**
 * Nodes and pairs of a graph around some latents: they, the `partners` of largest score of each, and all pairs between these.
 * @param facts density and label of a latent
 */
export function graphAround(asked: number[], together: Together, partners: number, facts: (latent: number) => Pick<GraphNode, "density" | "label">): Graph {
  const place = new Map<number, number>();
  const add = (latent: number): void => void (place.has(latent) || place.set(latent, place.size));
  asked.forEach(add);
  for (const latent of asked) together(latent).slice(0, partners).forEach((one) => add(one.latent));
  const pairs = new Map<string, GraphPair>();
  for (const [latent, a] of place) {
    for (const one of together(latent)) {
      const b = place.get(one.latent);
      if (b === undefined || b === a) continue;
      pairs.set(`${Math.min(a, b)} ${Math.max(a, b)}`, { a: Math.min(a, b), b: Math.max(a, b), count: one.count, score: one.score });
    }
  }
  return {
    nodes: [...place.keys()].map((latent, i) => ({ latent, ...facts(latent), asked: i < asked.length })),
    pairs: [...pairs.values()].sort((p, q) => q.score - p.score || p.a - q.a || p.b - q.b),
  };
}

/** Of all latents the so many pairs of largest score, by number: what a graph shows that was asked for nothing. Ties: smaller numbers first. */
export function* strongestPairs(latents: Iterable<number>, together: Together, most: number): Pieces<GraphPair[]> {
  const before = (p: GraphPair, q: GraphPair): number => q.score - p.score || p.a - q.a || p.b - q.b;
  let held: GraphPair[] = [];
  let looked = 0;
  let least = 0; // what the last of the kept has
  const seen = new Set<string>(); // a pair is in both its latents' lists
  for (const latent of latents) {
    for (const one of together(latent)) {
      const [a, b] = latent < one.latent ? [latent, one.latent] : [one.latent, latent];
      const key = `${a} ${b}`;
      if (one.score < least || seen.has(key)) continue;
      seen.add(key);
      held.push({ a, b, count: one.count, score: one.score });
    }
    if (++looked % 512 === 0) yield;
    if (held.length < 4 * most) continue; // bounded: pruned now and then
    held = held.sort(before).slice(0, most);
    least = held[most - 1].score;
    seen.clear();
    for (const { a, b } of held) seen.add(`${a} ${b}`);
  }
  return held.sort(before).slice(0, most);
}

const NAMED = 130; // nodes that can have a name
const SHADES = 4; // widths of lines

/** @param at where each node stands, in pixels of the drawing */
export function cofiringFigure({ nodes, pairs }: Graph, at: { x: number; y: number }[], title = "Latents that fire together"): Plot {
  const [least, most] = [pairs.at(-1)?.score ?? 0, pairs[0]?.score ?? 0];
  const level = (score: number): number => Math.min(SHADES - 1, Math.floor((SHADES * (score - least)) / (most - least || 1)));
  const lines = (some: GraphPair[], of: "x" | "y"): Column => column(some.flatMap(({ a, b }) => [at[a][of], at[b][of], NaN])); // NaN: the pen is lifted
  const edges = Array.from({ length: SHADES }, (_, s) => {
    const mine = pairs.filter(({ score }) => level(score) === s);
    return {
      type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, x: lines(mine, "x"), y: lines(mine, "y"),
      line: { color: `rgba(95,105,120,${(0.25 + 0.18 * s).toFixed(2)})`, width: 0.8 + 1.1 * s },
    };
  });
  const nameOf = (i: number): string => `latent ${nodes[i].latent}${nodes[i].label ? ` (${brief(nodes[i].label!, 60)})` : ""}`;
  const dots = (asked: boolean) => {
    const mine = [...nodes.keys()].filter((i) => nodes[i].asked === asked);
    const partners = (i: number): string => pairs.filter(({ a, b }) => a === i || b === i).slice(0, 5).map(({ a, b, score }) => `<br>with ${nodes[a === i ? b : a].latent}: ${short(score)}`).join("");
    return {
      type: "scatter", mode: nodes.length <= NAMED ? "markers+text" : "markers", name: asked ? "asked for" : "partners",
      x: column(mine.map((i) => at[i].x)), y: column(mine.map((i) => at[i].y)), text: mine.map((i) => String(nodes[i].latent)), textposition: "top center", textfont: { size: 10, color: INK }, cliponaxis: false,
      customdata: mine.map((i) => `${plain(nameOf(i))}<br>fires on ${percent(nodes[i].density)} of rows${partners(i)}`), hovertemplate: "%{customdata}<extra></extra>",
      marker: { size: mine.map((i) => Math.round(Math.max(6, Math.min(18, 22 + 4 * Math.log10(nodes[i].density || 1e-9))))), color: asked ? ORANGE : BLUE, opacity: 1, line: { color: "#ffffff", width: 1 } },
      showlegend: nodes.some((node) => node.asked !== asked),
    };
  };
  const middles = {
    type: "scatter", mode: "markers", name: "", showlegend: false, x: column(pairs.map(({ a, b }) => (at[a].x + at[b].x) / 2)), y: column(pairs.map(({ a, b }) => (at[a].y + at[b].y) / 2)),
    customdata: pairs.map(({ a, b, count: times, score }) => `${nodes[a].latent} and ${nodes[b].latent}: on ${count(times)} rows, ${short(score)} of those of either`), hovertemplate: "%{customdata}<extra></extra>", marker: { size: 8, color: "rgba(0,0,0,0)" },
  };
  const room = 26;
  const range = (values: number[]): [number, number] => [Math.min(...values, 0) - room, Math.max(...values, 0) + room];
  const bare = { showgrid: false, showline: false, showticklabels: false, ticks: "", zeroline: false };
  return {
    words:
      `${title}: ${count(nodes.length)} latents, ${count(pairs.length)} pairs` +
      (pairs.length ? `; most alike ${pairs.slice(0, 5).map(({ a, b, score }) => `${nodes[a].latent} and ${nodes[b].latent} (${short(score)})`).join(", ")}.` : ": none fires together with another."),
    figure: {
      data: [...edges, middles, dots(false), dots(true)].filter(({ x }) => x.bdata),
      layout: {
        ...frame(`${title}: thicker lines, a larger share of common rows; larger dots fire more often`, {
          xaxis: axis({ ...bare, range: range(at.map(({ x }) => x)) }),
          yaxis: axis({ ...bare, range: range(at.map(({ y }) => y)), scaleanchor: "x" }),
          hovermode: "closest",
          legend: { orientation: "h", x: 1, xanchor: "right", y: 1.0, yanchor: "bottom" },
          margin: { l: 16, r: 16, t: 70, b: 16 },
        }),
        height: 560,
      },
      config: CONFIG,
    },
  };
}
