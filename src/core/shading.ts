import { count, escapeHtml, shade, short } from "./html";
import { visible } from "./token";

/**
 * One token shaded by an activation, as all views of features draw it. What the shade says is also said without it: bold from half of the
 * maximum, the peak underlined.
 */

/** "linear": t = v ÷ maximum. "log": t = ln(1 + 99·v ÷ maximum) ÷ ln 100, so that a hundredth of the maximum is seen. */
export type Shading = "linear" | "log";

export const FAINT = 0.005; // below half a percent there is no shade
export const BOLD = 0.5; // of the maximum
const BLACK = 0.66; // shade from which text is black, whatever the page's colours are: contrast ≥ 8:1

/** v ÷ maximum, within 0 … 1. */
export const share = (value: number, max: number): number => (max > 0 ? Math.min(1, Math.max(0, value / max)) : 0);

/** @param of v ÷ maximum @returns 0 … 1, how full the colour is */
export const shadeOf = (of: number, shading: Shading = "linear"): number => (shading === "log" ? Math.log1p(99 * of) / Math.log(100) : of);

const LONGEST = 200; // characters of a token: what is longer is a blob, and would push all else off the page

const NOTE = 24; // characters that say how many are left out

/** Text cut to so many characters, with how many more there are, where that is shorter. */
export function brief(text: string, most = LONGEST): string {
  if (text.length <= most + NOTE) return visible(text);
  const head = [...text.slice(0, most)].slice(0, -1).join(""); // no half of a character
  return `${visible(head)}‹… ${count(text.length - head.length)} more characters›`;
}

/** A token as it is shown. A lone space that is hardly shaded stays one: what follows shows that it is there. */
export const shownToken = (token: string, t: number): string => (token === " " && t < 0.05 ? " " : brief(token));

/** The style of a token's ground. */
export const ground = (t: number): string => `background:${shade(t)}${t >= BLACK ? ";color:#000" : ""}`;

/** Tokens as HTML; neighbours without activation are one piece of text. @param peak index that is underlined, none by default */
export function tokensHtml(tokens: string[], values: ArrayLike<number>, max: number, { from = 0, to = tokens.length, peak = -1, shading }: { from?: number; to?: number; peak?: number; shading?: Shading } = {}): string {
  let html = "";
  for (let i = from; i < to; i++) {
    const of = share(values[i], max);
    const t = shadeOf(of, shading);
    let text = escapeHtml(shownToken(tokens[i], t));
    if (of < FAINT && i !== peak) {
      html += text;
      continue;
    }
    if (i === peak) text = `<u>${text}</u>`;
    if (of >= BOLD) text = `<b>${text}</b>`;
    html += `<span style="${ground(t)}" title="${short(values[i])}">${text}</span>`;
  }
  return html;
}

const STEPS: Record<Shading, number[]> = { linear: [0.1, 0.3, 0.5, 0.7, 1], log: [0.01, 0.03, 0.1, 0.3, 1] };

/** The scale, in the very style of the tokens. @param of whose maximum it is a share of */
export function scaleHtml(of: string, shading: Shading = "linear"): string {
  const steps = STEPS[shading]
    .map((part) => {
      const text = ` ${part * 100} `;
      return `<span style="${ground(shadeOf(part, shading))}">${part >= BOLD ? `<b>${text}</b>` : text}</span>`;
    })
    .join("");
  return `<span>shade: <span style="white-space:pre">${steps}</span> % of ${of} maximum, ${shading === "log" ? "logarithmic" : "linear"}</span>`;
}

/** What stands for characters that could not be seen. */
export const GLYPHS = "↵ new line, → tab, · trailing space";

/** Colours of a terminal, whose background is unknown: both colours are set, black on pale to full orange. */
export const ansiShade = (t: number): string => `38;2;0;0;0;48;2;255;${Math.round(236 - 96 * t)};${Math.round(214 - 188 * t)}`;

/** Hues that tell several things in one text apart, by lightness too; each readable as a bar, and half transparent behind text, on white and on black. */
export type Hue = [number, number, number];
export const ORANGE: Hue = [255, 140, 26];
export const HUES: Hue[] = [
  [58, 134, 214],
  [46, 160, 100],
  [196, 86, 170],
  [214, 64, 69],
  [120, 110, 210],
  [0, 152, 160],
  [150, 120, 60],
  [120, 130, 140],
];

export const rgba = ([r, g, b]: Hue, alpha: number): string => `rgba(${r},${g},${b},${alpha})`;
