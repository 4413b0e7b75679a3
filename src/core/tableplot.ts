import { colouredPoints, isShaded, type PointColor } from "./colouredpoints";
import { count, escapeHtml, short } from "./html";
import { axis, column, CONFIG, frame, logAxis, naming, ORANGE, type Plot } from "./plot";
import type { TypedColumn } from "./tablefile";

/** Columns of a table → a figure: points, a histogram, or bars, by what the columns are. */
export interface TablePlotColumns {
  x: TypedColumn;
  y?: TypedColumn;
  color?: TypedColumn;
  /** Columns whose text says what a point is. */
  hover: TypedColumn[];
  log: { x: boolean; y: boolean };
}

const POINTS = 4_000; // drawn: more are a cloud anyway, and megabytes in the notebook
const BINS = 40;
const BARS = 20;

const numberAt = ({ values }: TypedColumn, row: number): number => (typeof values[row] === "number" ? values[row] : typeof values[row] === "boolean" ? Number(values[row]) : NaN);
const isText = ({ type }: TypedColumn): boolean => type === "text";

const scale = (values: number[], log: boolean): Record<string, unknown> => (log ? logAxis(values) : axis());
const named = (name: string, log: boolean): string => `${escapeHtml(name)}${log ? " (logarithmic)" : ""}`;

/** @throws RangeError where no row has what is to be drawn */
export function tableFigure(of: TablePlotColumns): Plot {
  return isText(of.x) ? bars(of) : of.y ? points(of) : histogram(of);
}

function points({ x, y, color, hover, log }: TablePlotColumns): Plot {
  const usable = (value: number, logarithmic: boolean): boolean => Number.isFinite(value) && (!logarithmic || value > 0);
  const rows = Array.from(x.values, (_, row) => row).filter((row) => usable(numberAt(x, row), log.x) && usable(numberAt(y!, row), log.y));
  if (!rows.length) throw new RangeError(`expected rows with ${x.name} and ${y!.name}, found none`);
  const step = Math.ceil(rows.length / POINTS);
  const drawn = rows.filter((_, i) => i % step === 0);
  const [xs, ys] = [x, y!].map((one) => drawn.map((row) => numberAt(one, row)));
  const shade: PointColor | undefined = color && {
    name: color.name, values: isText(color) ? drawn.map((row) => (color.values[row] ? String(color.values[row]) : undefined)) : drawn.map((row) => numberAt(color, row)),
  };
  const said = (one: TypedColumn, row: number): string => {
    const value = one.values[row];
    return value === null || value === undefined || value === "" || Number.isNaN(value) ? "" : `${one.name} ${typeof value === "number" && !Number.isInteger(value) ? short(value) : value}`;
  };
  const lines = [...hover, x, y!, ...(color ? [color] : [])].filter((one, i, all) => all.findIndex(({ name }) => name === one.name) === i);
  const data = colouredPoints({ x: xs, y: ys, color: shade, hover: drawn.map((row) => lines.map((one) => said(one, row)).filter(Boolean)) });
  const title = `${y!.name} by ${x.name}: ${count(rows.length)} rows${step > 1 ? ` (one in ${step} drawn)` : ""}`;
  return {
    words: `${title}${color ? `, coloured by ${color.name}` : ""}.`,
    figure: {
      data,
      layout: frame(escapeHtml(title), {
        xaxis: scale(xs, log.x), yaxis: scale(ys, log.y), annotations: naming(named(x.name, log.x), named(y!.name, log.y)), hovermode: "closest",
        showlegend: shade !== undefined && !isShaded(shade) && data.length > 1,
      }),
      config: CONFIG,
    },
  };
}

function histogram({ x, log }: TablePlotColumns): Plot {
  const values = Array.from(x.values, (_, row) => numberAt(x, row)).filter((value) => Number.isFinite(value) && (!log.x || value > 0)).map((value) => (log.x ? Math.log10(value) : value));
  if (!values.length) throw new RangeError(`expected rows with ${x.name}, found none`);
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const width = (high - low) / BINS || 1;
  const counts = new Array<number>(BINS).fill(0);
  for (const value of values) counts[Math.min(BINS - 1, Math.floor((value - low) / width))]++;
  const edges = Array.from({ length: BINS + 1 }, (_, b) => (log.x ? 10 ** (low + b * width) : low + b * width));
  const title = `${x.name}: ${count(values.length)} rows`;
  return {
    words: `${title}, from ${short(edges[0])} to ${short(edges.at(-1)!)}.`,
    figure: {
      data: [{
        type: "bar", x: column(counts.map((_, b) => (edges[b] + edges[b + 1]) / 2)), width: column(counts.map((_, b) => edges[b + 1] - edges[b])), y: column(counts), marker: { color: ORANGE, opacity: 0.8 },
        text: counts.map((n, b) => `${short(edges[b])} to ${short(edges[b + 1])}: ${count(n)}`), textposition: "none", hovertemplate: "%{text}<extra></extra>",
      }],
      layout: frame(escapeHtml(title), { xaxis: scale(edges, log.x), yaxis: axis({ rangemode: "tozero" }), annotations: naming(named(x.name, log.x), "rows"), bargap: 0, showlegend: false }),
      config: CONFIG,
    },
  };
}

/** Of each text how many rows have it, or the mean of y over them; the commonest. */
function bars({ x, y, log }: TablePlotColumns): Plot {
  const groups = new Map<string, { n: number; sum: number; known: number }>();
  Array.from(x.values, (value, row) => {
    const name = value === null || value === undefined || value === "" ? "none" : String(value);
    const group = groups.get(name) ?? { n: 0, sum: 0, known: 0 };
    groups.set(name, group);
    group.n++;
    const number = y ? numberAt(y, row) : NaN;
    if (Number.isFinite(number)) [group.sum, group.known] = [group.sum + number, group.known + 1];
  });
  const all = [...groups].filter(([, { known }]) => !y || known > 0);
  if (!all.length) throw new RangeError(`expected rows with ${x.name}${y ? ` and ${y.name}` : ""}, found none`);
  const shown = all.sort((a, b) => b[1].n - a[1].n || (a[0] < b[0] ? -1 : 1)).slice(0, BARS);
  const heights = shown.map(([, { n, sum, known }]) => (y ? sum / known : n));
  const title = `${y ? `mean ${y.name} by` : "rows by"} ${x.name}${all.length > BARS ? ` (the ${BARS} commonest of ${count(all.length)})` : ""}`;
  const clipped = (name: string): string => escapeHtml([...name].length > 18 ? `${[...name].slice(0, 17).join("")}…` : name);
  return {
    words: `${title}: ${shown.slice(0, 5).map(([name], i) => `${name} ${short(heights[i])}`).join(", ")}.`,
    figure: {
      data: [{
        type: "bar", x: column(shown.map((_, i) => i)), y: column(heights), marker: { color: ORANGE, opacity: 0.8 },
        text: shown.map(([name, { n }], i) => `${escapeHtml(name)}: ${short(heights[i])}${y ? ` (${count(n)} rows)` : ""}`), textposition: "none", hovertemplate: "%{text}<extra></extra>",
      }],
      layout: {
        ...frame(escapeHtml(title), {
          xaxis: axis({ tickmode: "array", tickvals: shown.map((_, i) => i), ticktext: shown.map(([name]) => clipped(name)), tickangle: shown.length > 6 ? -40 : 0, ticks: "", showgrid: false }),
          yaxis: log.y ? logAxis(heights) : axis({ rangemode: "tozero" }), annotations: naming("", y ? `mean ${named(y.name, log.y)}` : "rows").slice(1), showlegend: false,
        }),
        margin: { l: 64, r: 56, t: 76, b: shown.length > 6 ? 120 : 60 },
      },
      config: CONFIG,
    },
  };
}
