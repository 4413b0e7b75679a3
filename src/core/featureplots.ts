import type { DocumentLatent } from "./documentview";
import { mergeBins } from "./featurehead";
import { count, percent, short } from "./html";
import { axis, column, CONFIG, frame, INK, LINE, naming, ORANGE, plain, type Plot } from "./plot";
import { brief, HUES, rgba } from "./shading";
import { lettersOf } from "./trace";
import type { Feature } from "./types";

/** Features → Plotly figures: how strongly one fires, and where along a document several do. */

const BARS = 40;

/** Where a decimal logarithm stands for a round number: 1, 2, 5 of each decade, or decades alone where there are many. */
function roundTicks(low: number, high: number): { tickmode: "array"; tickvals: number[]; ticktext: string[] } {
  const steps = high - low > 2.5 ? [1] : high - low > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const ticks: number[] = [];
  for (let decade = Math.floor(low); decade <= high; decade++)
    for (const step of steps) if (Math.log10(step) + decade >= low && Math.log10(step) + decade <= high) ticks.push(Number(`${step}e${decade}`));
  return { tickmode: "array", tickvals: ticks.map(Math.log10), ticktext: ticks.map((tick) => tick.toLocaleString("en", { maximumSignificantDigits: 3 })) };
}

const nameOf = ({ latent, label }: { latent: number; label?: string }): string => `latent ${latent}${label ? ` (${brief(label, 60)})` : ""}`;

/**
 * Rows on which a latent fires by its activation, a bar for each bin; its mean and maximum marked.
 * @throws RangeError where it never fires
 */
export function activationFigure(feature: Pick<Feature, "latent" | "label" | "density" | "mean" | "max" | "histogram">): Plot {
  const { density, mean, max } = feature;
  const { edges, counts } = mergeBins(feature.histogram, BARS);
  const rows = counts.reduce((sum, n) => sum + n, 0);
  if (!rows) throw new RangeError(`expected a latent that fires, found ${feature.latent}, which never does`);
  const logs = edges.map(Math.log10);
  let below = 0;
  const middle = counts.findIndex((n) => (below += n) >= rows / 2);
  const title = nameOf(feature);
  const mark = (x: number, text: string): Record<string, unknown> => ({ x: Math.log10(x), y: 1, yref: "paper", yanchor: "bottom", text, showarrow: false, font: { size: 11, color: INK } });
  const line = (x: number): Record<string, unknown> => ({ type: "line", x0: Math.log10(x), x1: Math.log10(x), y0: 0, y1: 1, yref: "paper", line: { color: LINE, width: 1, dash: "dash" } });
  const apart = Math.log10(max / mean) > 0.09 * (logs.at(-1)! - logs[0]); // else the two names would cover each other
  return {
    words: `${title}: fires on ${count(rows)} rows (${percent(density)}); half of its activations are below ${short(edges[middle + 1])}, the mean is ${short(mean)}, the maximum ${short(max)}.`,
    figure: {
      data: [{
        type: "bar", name: "rows", x: column(counts.map((_, b) => (logs[b] + logs[b + 1]) / 2)), y: column(counts), width: column(counts.map((_, b) => logs[b + 1] - logs[b])),
        marker: { color: ORANGE, line: { color: "#ffffff", width: 1 } },
        customdata: counts.map((_, b) => `${short(edges[b])} to ${short(edges[b + 1])}`), hovertemplate: "activation %{customdata}<br>%{y} rows<extra></extra>",
      }],
      layout: frame(`${plain(title)} fires on ${percent(density)} of rows`, {
        xaxis: axis({ range: [logs[0] - 0.02, logs.at(-1)! + 0.02], ...roundTicks(logs[0], logs.at(-1)!) }),
        yaxis: axis({ rangemode: "tozero" }),
        annotations: [...naming("activation (logarithmic)", "rows"), ...(apart ? [mark(mean, "mean")] : []), mark(max, apart ? "maximum" : "mean, maximum")],
        shapes: [line(mean), line(max)],
        showlegend: false,
      }),
      config: CONFIG,
    },
  };
}

export interface Timeline {
  id: string;
  /** Text of each token, as decoded. */
  tokens: string[];
  /** With an activation a token. */
  latents: DocumentLatent[];
  /** Labelled sentences, as ranges of tokens; `end` exclusive. */
  sentences: { label: string; start: number; end: number }[];
}

const PANEL = 96; // units of height of a latent's panel
const TITLE = 50; // of the title, above all else
const LEGEND = 50; // of the labels' names, two lines of them
const NAME = 22; // of a panel's name, above it
const STRIP = 16; // of the band with the labels' letters
const FOOT = 60;

/** Share of a latent's activation within the sentences of a label, and share of the tokens that these are, the largest first. */
export function labelShares({ sentences }: Pick<Timeline, "sentences">, values: ArrayLike<number>): { label: string; share: number; tokens: number }[] {
  const total = Array.from(values).reduce((sum, value) => sum + value, 0);
  const names = [...new Set(sentences.map(({ label }) => label))];
  return names
    .map((label) => {
      const within = new Set(sentences.filter((one) => one.label === label).flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i)));
      return { label, share: total > 0 ? [...within].reduce((sum, t) => sum + (values[t] ?? 0), 0) / total : 0, tokens: within.size / values.length };
    })
    .sort((a, b) => b.share - a.share);
}

/** A panel for each latent, one above the other, over the tokens of one document; behind them its labelled sentences as bands. */
export function timelineFigure({ id, tokens, latents, sentences }: Timeline): Plot {
  const names = [...new Set([...sentences].sort((a, b) => a.start - b.start).map(({ label }) => label))];
  const letters = lettersOf(names);
  const hue = (label: string) => HUES[names.indexOf(label) % HUES.length];
  const strip = names.length ? STRIP : 0;
  const above = TITLE + (names.length ? LEGEND : 0);
  const height = above + strip + PANEL * latents.length + FOOT;
  const inner = height - above - FOOT;
  const top = 1 - strip / inner; // of the panels, on paper
  const panel = (i: number): [number, number] => [(top * (latents.length - 1 - i)) / latents.length, (top * (latents.length - i)) / latents.length - NAME / inner];
  const axisName = (i: number): string => (i ? `y${i + 1}` : "y");
  const shown = tokens.map((token) => brief(token, 40));
  const around = (t: number): string => `${plain(shown.slice(Math.max(0, t - 5), t).join(""))}<b>${plain(shown[t])}</b>${plain(shown.slice(t + 1, t + 6).join(""))}`;
  const hovered = tokens.map((_, t) => around(t));
  const said = latents.map((one) => {
    const { values } = one;
    const peak = Array.from(values).reduce((best, value, t) => (value > values[best] ? t : best), 0);
    if (!(values[peak] > 0)) return `${nameOf(one)} does not fire`;
    const [first] = labelShares({ sentences }, values);
    return `${nameOf(one)} peaks at token ${peak}, “${shown[peak]}” (${short(values[peak])})${first?.share > 0 ? `; ${percent(first.share)} of its activation is in ${first.label}, ${percent(first.tokens)} of the tokens` : ""}`;
  });
  return {
    words: `${brief(id, 60)}, ${count(tokens.length)} tokens. ${said.join(". ")}.`,
    figure: {
      data: [
        ...latents.map((one, i) => ({
          type: "scatter", mode: "lines", name: `latent ${one.latent}`, showlegend: false,
          // a token lasts until the next one begins, the last one too
          x: column([...tokens.keys(), tokens.length]), y: column([...Array.from(one.values), one.values[tokens.length - 1] ?? 0]), yaxis: axisName(i),
          line: { color: ORANGE, width: 1.2, shape: "hv" }, fill: "tozeroy", fillcolor: "rgba(217,102,10,0.45)",
          text: hovered, hovertemplate: `token %{x}: %{text}<br>latent ${one.latent}: %{y:.3g}<extra></extra>`,
        })),
        ...names.map((label, l) => ({
          type: "scatter", mode: "markers", x: [null], y: [null], name: plain(`${letters[l]} ${brief(label, 40)}`), marker: { symbol: "square", size: 11, color: rgba(hue(label), 0.85) },
        })),
      ],
      layout: {
        ...frame("", {
          xaxis: axis({ range: [0, Math.max(1, tokens.length)], anchor: axisName(latents.length - 1), showgrid: false }),
          ...Object.fromEntries(latents.map(({ max, values }, i) => [
            `yaxis${i ? i + 1 : ""}`, axis({ domain: panel(i), range: [0, 1.05 * Math.max(max, ...Array.from(values)) || 1], nticks: 3, fixedrange: true }),
          ])),
          shapes: sentences.flatMap(({ label, start, end }) => {
            const band = { type: "rect", xref: "x", yref: "paper", x0: start, x1: end, line: { width: 0 }, layer: "below" };
            return [{ ...band, y0: 0, y1: top, fillcolor: rgba(hue(label), 0.13) }, { ...band, y0: top, y1: 1, fillcolor: rgba(hue(label), 0.85) }];
          }),
          annotations: [
            ...naming("token", "").slice(0, 1),
            ...latents.map((one, i) => ({ text: plain(nameOf(one)), xref: "paper", yref: "paper", x: 0, xanchor: "left", y: panel(i)[1], yshift: NAME / 2, yanchor: "middle", align: "left", showarrow: false, font: { size: 12, color: INK } })),
            ...sentences
              .filter(({ start, end }) => (640 * (end - start)) / tokens.length > 9) // where a letter has room
              .map(({ label, start, end }) => ({ text: plain(letters[names.indexOf(label)]), x: (start + end) / 2, xref: "x", yref: "paper", y: (top + 1) / 2, yanchor: "middle", showarrow: false, font: { size: 11, color: "#ffffff" } })),
          ],
          title: { text: plain(brief(id, 60)), x: 0.015, xanchor: "left", y: 1 - 16 / height, yanchor: "top", font: { size: 16 } },
          margin: { l: 64, r: 56, t: above, b: FOOT },
          legend: { orientation: "h", x: 1, xanchor: "right", y: 1 + 6 / inner, yanchor: "bottom", font: { size: 11 }, itemclick: false, itemdoubleclick: false },
          hovermode: "x",
          showlegend: names.length > 0,
          bargap: 0,
        }),
        height,
      },
      config: CONFIG,
    },
  };
}
