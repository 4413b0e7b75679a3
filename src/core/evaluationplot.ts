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
  const scale = (of: (point: ParetoPoint) => number): Record<string, unknown> & { range: number[] } => {
    const values = known.map(of);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    if (least > 0 && most > LOG * least) return logAxis(values) as ReturnType<typeof scale>;
    const room = 0.08 * (most - least || Math.abs(most) || 1);
    return axis({ range: [least - room, most + room] }) as ReturnType<typeof scale>;
  };
  const [xaxis, yaxis] = [scale((point) => point.x), scale((point) => point.y)];
  const pixel = (value: number, { type, range: [low, high] }: typeof xaxis, length: number): number => (((type === "log" ? Math.log10(value) : value) - low) / (high - low)) * length;
  const places = labelPlaces(known.map((point, i) => ({ name: point.name, first: onFront.has(i), x: pixel(point.x, xaxis, WIDE), y: HIGH - pixel(point.y, yaxis, HIGH) })), y.better === "less" ? "bottom" : "top");
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
            text: mine.map((i) => (places[i] ? known[i].name : "")), textposition: mine.map((i) => places[i] ?? "top center"), textfont: { size: 11, color: INK }, cliponaxis: false,
            customdata: mine.map((i) => known[i].name), hovertemplate: `%{customdata}<br>${x.label} %{x:.4g}<br>${y.label} %{y:.4g}<extra></extra>`,
            marker: { symbol: SYMBOLS[k % SYMBOLS.length], size: 10, color: mine.map((i) => (onFront.has(i) ? ORANGE : "#ffffff")), line: { color: mine.map((i) => (onFront.has(i) ? ORANGE : BLUE)), width: 1.5 } },
            showlegend: false,
          };
        }),
        ...(kinds.length > 1 ? kinds : []).map((kind, k) => ({
          type: "scatter", mode: "markers", name: kind || "SAE", x: [null], y: [null], marker: { symbol: SYMBOLS[k % SYMBOLS.length], size: 10, color: "#ffffff", line: { color: INK, width: 1.5 } },
        })),
      ],
      layout: frame(`${title}: filled, no other is better in both`, {
        xaxis,
        yaxis,
        annotations: naming(`${x.label} (${x.better} is better)`, `${y.label} (${y.better} is better)`),
        legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
        showlegend: true,
      }),
      config: CONFIG,
    },
  };
}

const [WIDE, HIGH] = [640, 244]; // pixels of the drawing area of `frame`
const LETTER = 6.3, LINE_HEIGHT = 14, MARK = 8; // of a name at size 11, and half a marker

/**
 * Where each name stands beside its point, so that names cover neither each other nor a point; undefined where there is no room (hovering tells it). Points of
 * the front choose first, the side away from the beaten ones.
 */
function labelPlaces(points: { name: string; first: boolean; x: number; y: number }[], side: "top" | "bottom"): (string | undefined)[] {
  type Box = [left: number, top: number, right: number, bottom: number];
  const other = side === "top" ? "bottom" : "top";
  const taken: { box: Box; of: number }[] = points.map(({ x, y }, i) => ({ box: [x - MARK, y - MARK, x + MARK, y + MARK], of: i }));
  const boxOf = ({ name, x, y }: (typeof points)[number], place: string): Box => {
    const width = LETTER * name.length;
    const [up, along] = place.split(" ");
    const left = along === "center" ? x - width / 2 : along === "right" ? x + MARK : x - MARK - width;
    const top = up === "top" ? y - MARK - LINE_HEIGHT : up === "bottom" ? y + MARK : y - LINE_HEIGHT / 2;
    return [left, top, left + width, top + LINE_HEIGHT];
  };
  const out = new Array<string | undefined>(points.length).fill(undefined);
  for (const i of [...points.keys()].sort((a, b) => Number(points[b].first) - Number(points[a].first) || a - b)) {
    const [near, far] = points[i].first ? [side, other] : [other, side];
    const beside = points[i].first ? [`${near} left`, `${near} center`] : [`${near} center`, `${near} left`];
    const place = [...beside, `${near} right`, "middle right", "middle left", `${far} right`, `${far} left`, `${far} center`].find((one) => {
      const [left, top, right, bottom] = boxOf(points[i], one);
      return left >= 0 && right <= WIDE + 40 && top >= -8 && bottom <= HIGH && !taken.some(({ box, of }) => of !== i && left < box[2] && right > box[0] && top < box[3] && bottom > box[1]);
    });
    if (!place) continue;
    out[i] = place;
    taken.push({ box: boxOf(points[i], place), of: -1 });
  }
  return out;
}

/**
 * Latents by how often they fire: a bar for each bin, the dead in words.
 * @param marked latents whose places among the others are shown; dead ones have none
 */
export function densityFigure({ edges, counts, dead }: DensityHistogram, title = "Density of the latents", marked: { latent: number; density: number }[] = []): Plot {
  const latents = dead + counts.reduce((sum, one) => sum + one, 0);
  const decades = Array.from({ length: Math.round(-edges[0]) + 1 }, (_, i) => Math.round(edges[0]) + i);
  const share = (power: number): string => `${Number((100 * 10 ** power).toPrecision(1))} %`;
  const living = counts.flatMap((n, b) => new Array<number>(n).fill(b));
  const middle = living.length ? 10 ** ((edges[living[living.length >> 1]] + edges[living[living.length >> 1] + 1]) / 2) : NaN;
  const marks = marked.filter(({ density }) => density > 0).sort((a, b) => a.density - b.density);
  const said = marked.map(({ latent, density }) => ` Latent ${latent} fires on ${percent(density)}.`).join("");
  return {
    words: `${title}: of ${count(latents)} latents ${count(dead)} fire on none of the rows${living.length ? `; half of the others fire on less than about ${percent(middle)}` : ""}.${said}`,
    figure: {
      data: [{
        type: "bar", name: "latents", x: column(counts.map((_, b) => (edges[b] + edges[b + 1]) / 2)), y: column(counts), width: edges[1] - edges[0], marker: { color: ORANGE, line: { color: "#ffffff", width: 1 } },
        customdata: counts.map((_, b) => `${percent(10 ** edges[b])} to ${percent(10 ** edges[b + 1])}`), hovertemplate: "%{customdata}<br>%{y} latents<extra></extra>",
      }],
      layout: frame(`${title}: ${count(latents - dead)} living, ${count(dead)} dead`, {
        xaxis: axis({ range: [edges[0] - 0.05, 0.05], tickmode: "array", tickvals: decades, ticktext: decades.map(share) }),
        yaxis: axis({ rangemode: "tozero" }),
        annotations: [
          ...naming("fires on % of rows (logarithmic)", "latents"),
          { text: "dense", x: Math.log10(DENSE), xanchor: "left", xshift: 3, yref: "paper", y: 1, yanchor: "top", showarrow: false, font: { size: 11, color: INK } },
          ...marks.map(({ latent, density }, i) => ({ text: String(latent), x: Math.log10(density), yref: "paper", y: 1, yshift: 8 + 12 * (i % 3), yanchor: "middle", showarrow: false, font: { size: 11, color: BLUE } })),
        ],
        shapes: [
          { type: "line", x0: Math.log10(DENSE), x1: Math.log10(DENSE), y0: 0, y1: 1, yref: "paper", line: { color: LINE, width: 1, dash: "dash" } },
          ...marks.map(({ density }) => ({ type: "line", x0: Math.log10(density), x1: Math.log10(density), y0: 0, y1: 1, yref: "paper", line: { color: BLUE, width: 1.5 } })),
        ],
        showlegend: false,
      }),
      config: CONFIG,
    },
  };
}
