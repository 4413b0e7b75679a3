import { ansi, BADGE, columns, count, escapeHtml, MONO, padEnd, padStart, percent, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, short, SMALL } from "./html";
import { DENSE } from "./measure";
import { packSparse, textIndex, numbers, unpackSparse } from "./packing";
import { ansiShade, BOLD, brief, FAINT, GLYPHS, ground, scaleHtml, share, shownToken, tokensHtml } from "./shading";

/**
 * "Type a text, see its features": of each token the latents that fire most, and of the text's strongest latents where in it they fire.
 *
 *   TextView -textHtml-> page, -textText-> terminal, -packText-> JSON for a renderer (application/vnd.saelab.text.v1+json)
 */

/** A latent that fires somewhere in the text. */
export interface TextLatent {
  latent: number;
  label?: string;
  verdict?: string;
  /** Share of a collection's rows on which it fires, where there is a collection. */
  density?: number;
  /** Activation that is shaded in full. */
  max: number;
  /** Its activation at each token. */
  values: ArrayLike<number>;
}

export interface TextView {
  hook: string;
  /** Tokens of the text, as decoded. */
  tokens: string[];
  /** The first so many are shown, but were not encoded: the model's attention rests on them whatever they say. */
  skipped: number;
  /** Whose maximum 100 % of the shade is: that of each latent in its collection, or the largest activation of this text. */
  of: "collection" | "text";
  /** Latents of a token that are shown. */
  top: number;
  /** All that fire, in the order in which lines show them. */
  latents: TextLatent[];
  notes: string[];
}

/** A token's strongest latents: larger activation first, then smaller number. */
export const strongest = ({ latents, top }: Pick<TextView, "latents" | "top">, token: number): TextLatent[] =>
  latents
    .filter(({ values }) => values[token] > 0)
    .sort((a, b) => b.values[token] - a.values[token] || a.latent - b.latent)
    .slice(0, top);

/** Index of a latent's largest activation. */
const peakOf = ({ values }: TextLatent): number => {
  let peak = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[peak]) peak = i;
  return peak;
};

const LINES = 12; // latents that have a line

/** What is said of a latent besides its number. */
const wordsOf = ({ label, verdict, density }: Omit<TextLatent, "values" | "max">): string[] => [
  ...(label ? [brief(label)] : []),
  ...(verdict ? [`[${brief(verdict)}]`] : []),
  ...(density !== undefined && density > DENSE ? ["dense"] : []),
];

const told = ({ latent, density, ...words }: TextLatent, value: number): string =>
  [`latent ${latent}: ${short(value)}`, ...wordsOf({ latent, density, ...words }), ...(density === undefined ? [] : [`fires on ${percent(density)} of rows`])].join("; ");

/** A cell of a table is as wide as its longest word, unless words may be broken anywhere. */
const codeStyle = (text: string): string =>
  `font-family:${MONO};background:transparent;padding:0;font-size:12.5px;white-space:pre-wrap;word-break:${/\S{60}/.test(text) ? "break-all" : "normal"}`;
const CELL = "border:0;vertical-align:baseline";

/** A latent's line: what it is, and the text as it shades it. */
function latentHtml(latent: TextLatent, tokens: string[]): string {
  const peak = peakOf(latent);
  const { label, verdict, density } = latent;
  const words = [
    ...(verdict ? [`<span style="${BADGE};font-size:12px">${escapeHtml(brief(verdict))}</span>`] : []),
    ...wordsOf({ latent: latent.latent, label, density }).map((text) => `<em style="${SMALL}">${escapeHtml(text)}</em>`),
  ];
  return (
    `${ROW}<td style="text-align:right;${CELL};padding:0.2em 0.7em 0.2em 0;white-space:nowrap"><strong>${latent.latent}</strong></td>` +
    `<td style="text-align:right;${CELL};padding:0.2em 0.9em 0.2em 0;white-space:nowrap;opacity:0.8">${short(latent.values[peak])}</td>` +
    `<td style="text-align:left;${CELL};padding:0.2em 0"><code style="${codeStyle(tokens.join(""))}">${tokensHtml(tokens, latent.values, latent.max, { peak })}</code>${words.map((word) => ` ${word}`).join("")}</td></tr>`
  );
}

/** A latent that fires on a token, shaded as the token would be. */
function chipHtml(latent: TextLatent, token: number): string {
  const value = latent.values[token];
  const of = share(value, latent.max);
  const number = of >= BOLD ? `<b>${latent.latent}</b>` : String(latent.latent);
  const dense = latent.density !== undefined && latent.density > DENSE ? " dense" : "";
  return `<span style="${ground(Math.max(of, FAINT))};border-radius:3px;padding:0 0.35em;white-space:nowrap" title="${escapeHtml(told(latent, value))}">${number} <span style="font-size:12px">${short(value)}${dense}</span></span>`;
}

/** A token's row. */
function tokenHtml(view: TextView, token: number): string {
  const chips = token < view.skipped ? [`<span style="${SMALL}">not encoded</span>`] : strongest(view, token).map((latent) => chipHtml(latent, token));
  return (
    `${ROW}<td style="text-align:right;${CELL};padding:0.1em 0.7em 0.1em 0;opacity:0.7">${token}</td>` +
    `<td style="text-align:left;${CELL};padding:0.1em 1.2em 0.1em 0;max-width:24em"><code style="${codeStyle(view.tokens[token])}">${escapeHtml(shownToken(view.tokens[token], 1))}</code></td>` +
    `<td style="text-align:left;${CELL};padding:0.1em 0">${chips.length ? chips.join(" ") : `<span style="${SMALL}">none</span>`}</td></tr>`
  );
}

const headCell = (text: string, align: "left" | "right"): string =>
  `<th style="text-align:${align};border:0;border-bottom:${RULE};padding:0.15em 0.7em 0.15em 0;font-weight:600;white-space:nowrap">${text}</th>`;
const table = (heads: [string, "left" | "right"][], rows: string[]): string =>
  `<div style="overflow-x:auto"><table style="${PLAIN_TABLE};margin:0 0 0.6em"><thead><tr>${heads.map(([text, align]) => headCell(text, align)).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table></div>`;

const OPEN = 40; // tokens up to which the table of tokens is open
const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** As many of the parts as fit, the first one always. */
function fitting(parts: string[], room: number): string[] {
  let held = 0;
  return parts.filter((part, i) => (held += bytesOf(part)) <= room || i === 0);
}

const title = ({ tokens, hook, latents }: TextView): string => `${count(tokens.length)} token${tokens.length === 1 ? "" : "s"}, ${count(latents.length)} latent${latents.length === 1 ? "" : "s"} at ${hook}`;

/**
 * Without script, style sheet or reference; survives JupyterLab's sanitiser unchanged. At most about `bytes` long: lines, then tokens are left out, and
 * the last line says so.
 */
export function textHtml(view: TextView, { bytes = 200_000 }: { bytes?: number } = {}): string {
  const { tokens, latents, of, top } = view;
  const notes = [...view.notes];
  const all = latents.slice(0, LINES).map((latent) => latentHtml(latent, tokens));
  const lines = fitting(all, 0.4 * bytes);
  if (lines.length < latents.length) notes.push(`${count(lines.length)} of ${count(latents.length)} latents have a line${lines.length < all.length ? ", to keep this output small" : ""}.`);
  const rows = fitting(tokens.map((_, token) => tokenHtml(view, token)), 0.5 * bytes);
  if (rows.length < tokens.length) notes.push(`The first ${count(rows.length)} of ${count(tokens.length)} tokens have a row, to keep this output small.`);
  const byToken = table([["at", "right"], ["token", "left"], [`its ${top === 1 ? "strongest latent" : `${top} strongest latents`}: number, activation`, "left"]], rows);
  return (
    `<div class="saelab-text ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5">` +
    `<div style="display:flex;flex-wrap:wrap;gap:0 1.1em;align-items:baseline;font-size:12px;margin-bottom:0.5em"><strong style="font-size:13px">${escapeHtml(title(view))}</strong> ` +
    `${scaleHtml(of === "collection" ? "the latent’s" : "this text’s")} <span><u>underlined</u>: the latent’s peak</span> <span>${GLYPHS}</span></div>` +
    `${lines.length ? table([["latent", "right"], ["peak", "right"], ["where it fires", "left"]], lines) : "<p>No latent fires on this text.</p>"}` +
    `${tokens.length > OPEN ? `<details><summary style="cursor:pointer;opacity:0.8">token by token</summary>${byToken}</details>` : byToken}` +
    `${notes.length ? `<p style="${SMALL};margin:0">${notes.map(escapeHtml).join(" ")}</p>` : ""}</div>`
  );
}

const WIDE = 100; // columns of the text in a terminal
const TOKEN = 24; // columns of a token in the list of tokens

/** The same for a terminal: shaded in 24-bit colour, or plain with the peak in ⟦ ⟧. */
export function textText(view: TextView, color = true): string {
  const paint = ansi(color);
  const { tokens, latents } = view;
  const line = (latent: TextLatent): string => {
    const peak = peakOf(latent);
    let from = 0;
    const width = (a: number, b: number): number => tokens.slice(a, b).reduce((sum, token) => sum + columns(shownToken(token, 1)), 0);
    while (width(from, peak) > WIDE / 2) from++;
    let text = from ? "…" : "";
    let used = 0;
    for (let i = from; i < tokens.length; i++) {
      const of = share(latent.values[i], latent.max);
      const shown = shownToken(tokens[i], of);
      if ((used += columns(shown)) > WIDE && i > peak) return `${text}…`;
      text += i === peak ? (color ? paint(`1;4;${ansiShade(of)}`, shown) : `⟦${shown}⟧`) : of < FAINT ? shown : paint(`${of >= BOLD ? "1;" : ""}${ansiShade(of)}`, shown);
    }
    return text;
  };
  const drawn = latents.slice(0, LINES);
  const number = Math.max(6, ...drawn.map(({ latent }) => String(latent).length));
  const lines = drawn.map((latent) => {
    const words = wordsOf(latent).join(" · ");
    return `${padStart(String(latent.latent), number)}  ${padStart(short(latent.values[peakOf(latent)]), 6)}  ${line(latent)}${words ? `\n${" ".repeat(number + 10)}${words}` : ""}`;
  });
  const narrow = (token: string): string => {
    const text = shownToken(token, 1);
    return columns(text) <= TOKEN ? text : `${[...text].slice(0, TOKEN / 2 - 1).join("")}…`;
  };
  const wide = Math.max(5, ...tokens.map((token) => columns(narrow(token))));
  const rows = tokens.slice(0, OPEN).map((token, t) => {
    const found = t < view.skipped ? "not encoded" : strongest(view, t).map((latent) => paint(ansiShade(share(latent.values[t], latent.max)), `${latent.latent} ${short(latent.values[t])}`)).join("  ");
    return `${padStart(String(t), 4)}  ${padEnd(narrow(token), wide)}  ${found || "none"}`.trimEnd();
  });
  const notes = [
    ...view.notes,
    ...(latents.length > lines.length ? [`${count(lines.length)} of ${count(latents.length)} latents have a line.`] : []),
    ...(tokens.length > rows.length ? [`The first ${count(rows.length)} of ${count(tokens.length)} tokens have a row.`] : []),
  ];
  return [title(view), "", ...(lines.length ? [`${padStart("latent", number)}    peak  where it fires`, ...lines] : ["No latent fires on this text."]), "", `  at  ${padEnd("token", wide)}  strongest latents`, ...rows, ...(notes.length ? ["", ...notes] : [])].join("\n");
}

/** As notebook files keep it: arrays as strings, activations with three digits. */
export interface PackedText extends Omit<TextView, "tokens" | "latents"> {
  version: 1;
  /** Where a kernel listens: the front end opens a comm to "saelab.text" with data { id: live }, sends { text }, and gets { text, view: PackedText } or { text, error }. */
  live?: string;
  strings: string[];
  tokens: string;
  latents: (Omit<TextLatent, "values"> & { values: string })[];
}

export function packText({ tokens, latents, ...rest }: TextView, live?: string): PackedText {
  const { strings, pack } = textIndex();
  const packed = pack(tokens);
  return {
    version: 1, ...(live ? { live } : {}), ...rest, strings, tokens: packed,
    latents: latents.map(({ values, max, ...latent }) => ({ ...latent, max: Number(max.toPrecision(3)), values: packSparse(values) })),
  };
}

export function unpackText({ strings, tokens, latents, hook, skipped, of, top, notes }: PackedText): TextView {
  const texts = numbers(tokens).map((i) => strings[i]);
  return { hook, skipped, of, top, notes, tokens: texts, latents: latents.map(({ values, ...latent }) => ({ ...latent, values: unpackSparse(values, texts.length) })) };
}
