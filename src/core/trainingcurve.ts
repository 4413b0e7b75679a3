import { count, escapeHtml, percent, short } from "./html";
import { PALETTE } from "./plot";
import type { TrainingPoint } from "./types";

/**
 * Curves of a training as one drawing: a panel an SAE, FVU (left) and the share of dead latents (right) against the tokens
 * seen. All panels have the same axes, so that they can be compared. A ground of its own keeps it readable on any page.
 */

export interface Curve {
  name: string;
  /** Tokens when it is done: where the axis ends. */
  total: number;
  points: TrainingPoint[];
}

const WIDTH = 720;
const PANELS = 12; // more than these are counted, not drawn
const LOG_FROM = 2; // largest ÷ least FVU from which a logarithmic axis shows more than a linear one
const EDGE = { left: 46, right: 40, top: 46, bottom: 40 };
const FONT = "Open Sans, system-ui, -apple-system, Segoe UI, Roboto, sans-serif";

const isSeen = (x: number): boolean => Number.isFinite(x) && x > 0;

/**
 * At most about `most` points of a curve, the least and the largest FVU of each stretch: a spike stays to be seen.
 */
export function thinned(points: TrainingPoint[], most: number): TrainingPoint[] {
  if (points.length <= most) return points;
  const stretches = Math.max(1, Math.floor(most / 2));
  const kept = new Set<TrainingPoint>();
  for (let s = 0; s < stretches; s++) {
    const stretch = points.slice(Math.floor((s * points.length) / stretches), Math.floor(((s + 1) * points.length) / stretches));
    const least = stretch.reduce((a, b) => (b.fvu < a.fvu ? b : a));
    const largest = stretch.reduce((a, b) => (b.fvu > a.fvu || !Number.isFinite(b.fvu) ? b : a));
    for (const point of least.step < largest.step ? [least, largest] : [largest, least]) kept.add(point);
  }
  return [...kept.add(points.at(-1)!)];
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const decade = 10 ** Math.floor(Math.log10(least));
  return decade * ([1, 2, 5].find((step) => step * decade >= least * (1 - 1e-9)) ?? 10);
}

const linearTicks = (high: number, most: number): number[] => {
  const step = niceStep(high / most);
  return Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)));
};

function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const steps = decades < 0.5 ? [1, 1.5, 2, 3, 4, 5, 7] : decades < 1.1 ? [1, 2, 3, 5, 7] : decades < 2 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let decade = Math.floor(Math.log10(low)); 10 ** decade <= high; decade++) {
    for (const step of steps) {
      const tick = Number(`${step}e${decade}`);
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  const every = Math.ceil(ticks.length / 6);
  return ticks.filter((_, i) => i % every === 0);
}

/** 0, 500k, 1.5M, 2G. */
const tokensShort = (n: number): string =>
  n >= 1e9 ? `${Number((n / 1e9).toPrecision(3))}G` : n >= 1e6 ? `${Number((n / 1e6).toPrecision(3))}M` : n >= 1e3 ? `${Number((n / 1e3).toPrecision(3))}k` : String(n);

interface Scales {
  /** Positions 0 … 1 within a panel, 0 left or below. */
  x(tokens: number): number;
  left(fvu: number): number;
  right(dead: number): number;
  ticks: { x: number[]; left: number[]; right: number[] };
  logarithmic: boolean;
}

/** Axes that hold all curves. */
function scalesOf(curves: Curve[], columns: number): Scales {
  const fvus = curves.flatMap(({ points }) => points.map((point) => point.fvu).filter(isSeen));
  const least = fvus.reduce((a, b) => Math.min(a, b), Infinity);
  const largest = fvus.reduce((a, b) => Math.max(a, b), 0);
  const tokens = curves.reduce((most, { total, points }) => Math.max(most, total, points.at(-1)?.tokens ?? 0), 1);
  const dead = 100 * curves.reduce((most, { points }) => points.reduce((m, point) => (point.dead > m ? point.dead : m), most), 0);
  const deadHigh = Math.min(100, Math.max(5, 1.1 * dead));
  const logarithmic = largest >= LOG_FROM * least;
  const low = logarithmic ? least / 1.15 : 0;
  const high = fvus.length ? largest * (logarithmic ? 1.15 : 1.05) : 1;
  return {
    logarithmic,
    x: (n) => n / tokens,
    left: logarithmic ? (y) => Math.log(y / low) / Math.log(high / low) : (y) => y / high,
    right: (share) => (100 * share) / deadHigh,
    ticks: {
      x: linearTicks(tokens, columns === 1 ? 8 : columns === 2 ? 5 : 3),
      left: logarithmic ? logTicks(low, high) : linearTicks(high, 5),
      right: linearTicks(deadHigh, 4),
    },
  };
}

const tag = (name: string, attributes: Record<string, string | number>, inner = ""): string =>
  `<${name}${Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`).join("")}${inner ? `>${inner}</${name}>` : "/>"}`;

const fixed = (x: number): number => Number(x.toFixed(1));

/** A path through the points that can be drawn; where one cannot, it breaks off. */
function path(at: [number, number][]): string {
  let drawing = false;
  return at
    .map(([x, y]) => {
      if (!Number.isFinite(x) || !Number.isFinite(y)) return (drawing = false), "";
      const command = `${drawing ? "L" : "M"}${fixed(x)} ${fixed(y)}`;
      drawing = true;
      return command;
    })
    .join("");
}

/** One SAE's panel, its upper left corner at 0, 0. */
function panel({ name: given, points }: Curve, width: number, height: number, scales: Scales): string {
  const name = given.replaceAll(" → ", " to "); // the picture's font (data/fonts) has no arrow
  const w = width - EDGE.left - EDGE.right;
  const h = height - EDGE.top - EDGE.bottom;
  const x = (share: number): number => EDGE.left + w * share;
  const y = (share: number): number => EDGE.top + h * (1 - Math.min(1, Math.max(0, share)));
  const write = (at: number, down: number, text: string, more: Record<string, string | number> = {}): string =>
    tag("text", { x: fixed(at), y: fixed(down), ...more }, escapeHtml(text.replace(/[\u0000-\u001f\ufffe\uffff]/g, " "))); // XML has no such characters
  const line = (x1: number, y1: number, x2: number, y2: number, color: string, more: Record<string, string | number> = {}): string =>
    tag("line", { x1: fixed(x1), y1: fixed(y1), x2: fixed(x2), y2: fixed(y2), stroke: color, ...more });
  const { orange, blue, grid, line: axis, plot } = PALETTE;
  const drawn = thinned(points, w);
  const last = points.at(-1)!;
  const wide = width > 300; // else there is no room for more than the numbers, each above its axis
  const most = Math.floor((width - 20) / 7);
  const fvuPath = path(drawn.map((point) => [x(scales.x(point.tokens)), isSeen(point.fvu) ? y(scales.left(point.fvu)) : NaN]));
  const deadPath = path(drawn.map((point) => [x(scales.x(point.tokens)), y(scales.right(point.dead))]));
  const dot = (share: number, color: string): string =>
    Number.isFinite(share) ? tag("circle", { cx: fixed(x(scales.x(last.tokens))), cy: fixed(y(share)), r: 2.5, fill: color }) : "";
  return [
    write(10, 16, name.length > most ? `${name.slice(0, most - 1)}…` : name, { "font-weight": 600, "font-size": 12.5 }),
    line(10, 30, 28, 30, orange, { "stroke-width": 2.5 }),
    write(33, 34, `FVU ${short(last.fvu)}${wide ? (scales.logarithmic ? " (left, log)" : " (left)") : scales.logarithmic ? ", log" : ""}`),
    line(width - 28, 30, width - 10, 30, blue, { "stroke-width": 2, "stroke-dasharray": "2 3" }),
    write(width - 33, 34, `dead ${percent(last.dead)}${wide ? " (right)" : ""}`, { "text-anchor": "end" }),
    tag("rect", { x: EDGE.left, y: EDGE.top, width: fixed(w), height: fixed(h), fill: plot }),
    ...scales.ticks.left.map((tick) => line(x(0), y(scales.left(tick)), x(1), y(scales.left(tick)), grid)),
    line(x(0), y(0), x(1), y(0), axis),
    line(x(0), y(0), x(0), y(1), axis),
    ...scales.ticks.left.map((tick) => write(x(0) - 5, y(scales.left(tick)) + 4, String(tick), { "text-anchor": "end" })),
    ...scales.ticks.right.map((tick) => write(x(1) + 5, y(scales.right(tick / 100)) + 4, `${tick} %`)),
    ...scales.ticks.x.flatMap((tick) => [
      line(x(scales.x(tick)), y(0), x(scales.x(tick)), y(0) + 4, axis),
      write(x(scales.x(tick)), y(0) + 16, tokensShort(tick), { "text-anchor": "middle" }),
    ]),
    write(x(0.5), height - 6, "tokens", { "text-anchor": "middle" }),
    tag("path", { d: deadPath, fill: "none", stroke: blue, "stroke-width": 1.5, "stroke-dasharray": "2 3" }),
    tag("path", { d: fvuPath, fill: "none", stroke: orange, "stroke-width": 2, "stroke-linejoin": "round" }),
    dot(isSeen(last.fvu) ? scales.left(last.fvu) : NaN, orange),
    dot(scales.right(last.dead), blue),
  ].join("");
}

/** Curves as an SVG with a ground of its own; undefined while no curve has a point. */
export function curvesSvg(all: Curve[]): { svg: string; width: number; words: string } | undefined {
  const begun = all.filter(({ points }) => points.length);
  if (!begun.length) return undefined;
  const curves = begun.slice(0, PANELS);
  const columns = curves.length === 1 ? 1 : curves.length <= 4 ? 2 : 3;
  const [width, height] = [WIDTH / columns, columns === 1 ? 250 : 200];
  const rows = Math.ceil(curves.length / columns);
  const left = begun.length - curves.length;
  const whole = rows * height + (left ? 20 : 0);
  const scales = scalesOf(curves, columns);
  const panels = curves.map((curve, i) =>
    tag("g", { transform: `translate(${(i % columns) * width} ${Math.floor(i / columns) * height})` }, panel(curve, width, height, scales)));
  const more = left ? tag("text", { x: 10, y: whole - 7 }, `and ${left} more`) : "";
  const { ink, paper } = PALETTE;
  const words = begun
    .map(({ name, points }) => `${name}: over ${count(points.at(-1)!.tokens)} tokens FVU went from ${short(points[0].fvu)} to ${short(points.at(-1)!.fvu)}, ${percent(points.at(-1)!.dead)} dead`)
    .join("; ");
  return {
    width: WIDTH,
    words,
    svg: tag("svg", { xmlns: "http://www.w3.org/2000/svg", width: WIDTH, height: whole, viewBox: `0 0 ${WIDTH} ${whole}`, "font-family": FONT, "font-size": 11.5, fill: ink },
      tag("rect", { width: WIDTH, height: whole, rx: 6, fill: paper }) + panels.join("") + more),
  };
}
