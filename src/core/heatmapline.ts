import { ansi, columns, count, escapeHtml, padStart, PLAIN_PRE, short } from "./html";
import type { HeatMapExample } from "./heatmap";
import { ansiShade, BOLD, FAINT, share, shadeOf, shownToken, tokensHtml, type Shading } from "./shading";
import { visible } from "./token";

/** One example of a heat map as a line: its peak in a column of its own, its value in front, its origin behind. */

/** How the lines of a map are drawn. */
export interface LineStyle {
  /** The activation that shades a token of an example in full. */
  maxOf: (example: HeatMapExample) => number;
  shading?: Shading;
  /** Whole contexts, on as many lines as they take. */
  wrap?: boolean;
}

const LEFT = "flex:3 1 0;min-width:0;overflow:hidden;text-overflow:ellipsis;direction:rtl;text-align:right";
const RIGHT = "flex:2 1 0;min-width:0;overflow:hidden;text-overflow:ellipsis";
const PEAK = "flex:none;max-width:50%;overflow:hidden;text-overflow:ellipsis";
const VALUE = "flex:none;width:3.4em;opacity:0.7";
const WHERE = "flex:none;overflow:hidden;text-overflow:ellipsis;text-align:right;opacity:0.7";
const WIDEST = 22; // characters of an origin: the whole one is in its title

const originOf = ({ document, position, count: times }: HeatMapExample): string =>
  `${times > 1 ? `×${count(times)} ` : ""}${visible(document)}:${position}`;

function lineHtml(example: HeatMapExample, { maxOf, shading, wrap }: LineStyle, width: string): string {
  const { values, peak, tokens, document, position, count: times } = example;
  const max = maxOf(example);
  const part = (from: number, to: number): string => tokensHtml(tokens, values, max, { from, to, peak, shading });
  const before = (position > peak ? "…" : "") + part(0, peak);
  const at = part(peak, peak + 1);
  const after = part(peak + 1, tokens.length) + (example.goesOn ? "…" : "");
  const told = `${visible(document)}, token ${position}${times > 1 ? `; stands for ${count(times)} near-identical contexts` : ""}`;
  const where = `<span style="${WHERE};width:${width}" title="${escapeHtml(told)}">  ${escapeHtml(originOf(example))}\n</span>`;
  const value = `<span style="${VALUE}">${short(values[peak])} </span>`;
  return wrap
    ? `<span style="display:flex;margin-bottom:0.5em">${value}<span style="flex:1 1 0;min-width:0;white-space:pre-wrap;word-break:normal;overflow-wrap:break-word">${before}${at}${after}</span>${where}</span>`
    : `<span style="display:flex">${value}<span style="${LEFT}"><bdi dir="ltr">${before}</bdi></span><span style="${PEAK}">${at}</span><span style="${RIGHT}">${after}</span>${where}</span>`;
}

/** Columns of the origins of some examples, as wide as the longest, so that the peaks of all groups stand below one another. */
export const originColumns = (examples: HeatMapExample[]): number => Math.min(WIDEST, examples.reduce((most, example) => Math.max(most, columns(originOf(example))), 0));

const PRE = `margin:0;${PLAIN_PRE};font-size:12.5px;line-height:1.6;white-space:pre;overflow:hidden`;

/** Lines of one group. @param characters of the column of origins */
export function linesHtml(examples: HeatMapExample[], style: LineStyle, characters = originColumns(examples)): string {
  const width = `${(0.62 * (characters + 2)).toFixed(1)}em`; // of a monospaced font, and the two spaces before it
  return `<pre style="${PRE}">${examples.map((example) => lineHtml(example, style, width)).join("")}</pre>`;
}

const TEXT_LEFT = 44; // columns before the peak and after it
const TEXT_RIGHT = 32;

/** The same for a terminal: shaded in 24-bit colour, or plain with the peak in ⟦ ⟧. */
export function lineText(example: HeatMapExample, { maxOf, shading }: LineStyle, color: boolean): string {
  const paint = ansi(color);
  const { tokens, values, peak, position, count: times, document } = example;
  const max = maxOf(example);
  const piece = (i: number): string => {
    const of = share(values[i], max);
    const t = shadeOf(of, shading);
    const text = shownToken(tokens[i], t);
    if (i === peak) return color ? paint(`1;4;${ansiShade(t)}`, text) : `⟦${text}⟧`;
    return of < FAINT ? text : paint(`${of >= BOLD ? "1;" : ""}${ansiShade(t)}`, text);
  };
  const side = (from: number, to: number, step: 1 | -1, room: number): string => {
    let line = "";
    let left = room;
    const begin = step > 0 ? from : to - 1;
    for (let i = begin; i >= from && i < to; i += step) {
      const width = columns(visible(tokens[i]));
      if (width > left - 1)
        return step > 0 ? `${line}…${" ".repeat(Math.max(0, left - 1))}` : `${" ".repeat(Math.max(0, left - 1))}…${line}`;
      line = step > 0 ? line + piece(i) : piece(i) + line;
      left -= width;
    }
    const begins = step < 0 && position <= peak; // nothing of the document is before the context
    if (step > 0 && example.goesOn && left > 0) return `${line}…${" ".repeat(left - 1)}`;
    if (step < 0 && !begins && left > 0) return `${" ".repeat(left - 1)}…${line}`;
    return step > 0 ? line + " ".repeat(left) : " ".repeat(left) + line;
  };
  const origin = `${visible(document)}:${position}${times > 1 ? ` ×${count(times)}` : ""}`;
  return `${padStart(short(values[peak]), 6)}  ${side(0, peak, -1, TEXT_LEFT)}${piece(peak)}${side(peak + 1, tokens.length, 1, TEXT_RIGHT)}  ${origin}`;
}
