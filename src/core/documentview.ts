import { ansi, BADGE, columns, count, escapeHtml, padEnd, PLAIN, PLAIN_PRE, RULE, SANS, short, SMALL } from "./html";
import { numbers, packSparse, textIndex, unpackSparse } from "./packing";
import { BOLD, brief, FAINT, HUES, ORANGE, rgba, share, type Hue } from "./shading";
import { lettersOf, shownText } from "./trace";
import type { Document } from "./types";

/**
 * One document, several features in their own colours.
 *
 *   Document + activations -documentView-> DocumentView -documentHtml-> page, -documentText-> terminal, -packDocument-> JSON for a renderer
 *
 * The ground of a token has the colour of the latent that fires most of its own maximum, bars below and above it those of the next two. It reads without
 * colour too: a letter stands where a latent begins to fire, bold is from half of a maximum on, a latent's peak is underlined.
 */

export interface DocumentLatent {
  latent: number;
  label?: string;
  verdict?: string;
  /** Activation that is shown in full. */
  max: number;
  /** Its activation at each piece. */
  values: ArrayLike<number>;
}

export interface DocumentView {
  id: string;
  /** The text, cut at the ends of tokens and at the beginnings of labelled sentences. */
  pieces: string[];
  /** At most {@link MOST_LATENTS}. */
  latents: DocumentLatent[];
  /** Labels of sentences, with the pieces at which one begins. */
  labels: { name: string; letter: string; begins: number[] }[];
  notes: string[];
}

/** Latents that can be told apart in one text. */
export const MOST_LATENTS = 8;

/** Colour and letter of a latent, by its place. */
const hueOf = (place: number): Hue => (place ? HUES[place - 1] : ORANGE);
export const markOf = (place: number): string => String.fromCharCode(97 + place);

/** @param tokens offsets of the document's tokens, in UTF-16 units; `values` of a latent are one a token */
export function documentView(document: Document, tokens: { start: ArrayLike<number>; end: ArrayLike<number> }, latents: DocumentLatent[], notes: string[] = []): DocumentView {
  const { id, text, spans = [] } = document;
  const at = new Set([0, text.length]);
  const bound = (offset: number): number => Math.min(text.length, Math.max(0, offset));
  for (let t = 0; t < tokens.start.length; t++) at.add(bound(tokens.start[t])).add(bound(tokens.end[t]));
  for (const { start } of spans) at.add(bound(start));
  const cuts = [...at].sort((a, b) => a - b);
  const place = new Map(cuts.map((cut, i) => [cut, i]));
  const pieces = cuts.slice(1).map((to, i) => text.slice(cuts[i], to));
  const spread = (values: ArrayLike<number>): Float32Array => {
    const out = new Float32Array(pieces.length);
    for (let t = 0; t < values.length; t++) {
      if (!values[t]) continue;
      // a character of several tokens is shown once, by the one that fires most
      for (let i = place.get(bound(tokens.start[t]))!; i < out.length && cuts[i] < tokens.end[t]; i++) out[i] = Math.max(out[i], values[t]);
    }
    return out;
  };
  const names = [...new Set([...spans].sort((a, b) => a.start - b.start).map(({ label }) => label))];
  const letters = lettersOf(names);
  return {
    id, pieces, notes,
    latents: latents.map(({ values, ...latent }) => ({ ...latent, values: spread(values) })),
    labels: names.map((name, l) => ({ name, letter: letters[l], begins: spans.filter(({ label, start }) => label === name && start < text.length).map(({ start }) => place.get(bound(start))!) })),
  };
}

/** Places of the latents that fire on a piece, largest share of its maximum first. */
export const firingOn = ({ latents }: Pick<DocumentView, "latents">, piece: number): { place: number; of: number; value: number }[] =>
  latents
    .map(({ values, max }, place) => ({ place, value: values[piece], of: share(values[piece], max) }))
    .filter(({ of }) => of >= FAINT)
    .sort((a, b) => b.of - a.of || a.place - b.place);

const peakOf = ({ values }: DocumentLatent): number => {
  let peak = -1;
  for (let i = 0; i < values.length; i++) if (values[i] > 0 && (peak < 0 || values[i] > values[peak])) peak = i;
  return peak;
};

const SEEN = 0.1; // of its maximum, from which a latent's letter is set
const GAP = 3; // pieces on which it may be silent without being named again

/** Places whose letter stands before each piece: of latents that begin to fire, or are at their peak. */
function marks({ latents, pieces }: DocumentView): number[][] {
  const out: number[][] = pieces.map(() => []);
  latents.forEach(({ values, max }, place) => {
    let silent = GAP + 1;
    for (let i = 0; i < pieces.length; i++) {
      if (share(values[i], max) < SEEN) silent++;
      else {
        if (silent > GAP) out[i].push(place);
        silent = 0;
      }
    }
  });
  return out;
}

const FULL = 0.5; // alpha of a full ground: text keeps the page's own colour, at a contrast of 4.5 or more on white and on black
const groundOf = (hue: Hue, of: number): string => rgba(hue, Number((0.07 + (FULL - 0.07) * of).toFixed(2)));
const bar = (hue: Hue, of: number): string => `2px solid ${rgba(hue, Number((0.4 + 0.6 * of).toFixed(2)))}`;
const SUP = "font-size:10px;line-height:0";

/** Text that is shaded: a line break has to be seen to be seen shaded. */
const shaded = (text: string): string => shownText(text.replaceAll("\n", "↵\n"));

function pieceHtml(view: DocumentView, piece: number, peaks: number[], letters: number[], numbered: boolean): string {
  const firing = firingOn(view, piece);
  if (!firing.length) return escapeHtml(shownText(view.pieces[piece]));
  const text = escapeHtml(shaded(view.pieces[piece]));
  const [first, second, third] = firing;
  let inner = text;
  if (firing.some(({ place }) => peaks[place] === piece)) inner = `<u>${inner}</u>`;
  if (first.of >= BOLD) inner = `<b>${inner}</b>`;
  const mark = letters.map((place) => `<sup style="${SUP}">${markOf(place)}</sup>`).join("");
  const style = [
    `background:${groundOf(hueOf(first.place), first.of)}`,
    ...(second ? [`border-bottom:${bar(hueOf(second.place), second.of)}`] : []),
    ...(third ? [`border-top:${bar(hueOf(third.place), third.of)}`] : []),
  ].join(";");
  const told = firing.map(({ place, value, of }) => `${markOf(place)} latent ${view.latents[place].latent}: ${short(value)} (${Math.round(100 * of)} %)`).join("\n");
  return `<span style="${style}"${numbered ? ` data-piece="${piece}"` : ""} title="${escapeHtml(told)}">${mark}${inner}</span>`;
}

const labelMark = (letter: string, name: string): string =>
  `<span style="font-size:11px;opacity:0.8" title="${escapeHtml(brief(name))} begins">[${escapeHtml(letter)}]</span>`;

/** The legend's entry of a latent. */
function latentHtml({ latent, label, verdict, max, values }: DocumentLatent, place: number): string {
  const hue = hueOf(place);
  const peak = peakOf({ latent, max, values });
  const words = [...(label ? [`<em>${escapeHtml(brief(label))}</em>`] : []), ...(verdict ? [`<span style="${BADGE}">${escapeHtml(brief(verdict))}</span>`] : [])];
  return (
    `<div style="margin:0.1em 0"><span style="background:${groundOf(hue, 1)};border-bottom:${bar(hue, 1)};padding:0 0.4em"><b>${markOf(place)}</b></span> <strong>latent ${latent}</strong> ` +
    `${words.length ? `${words.join(" ")} ` : ""}<span style="opacity:0.8">${peak < 0 ? "does not fire here" : `peak here ${short(values[peak])} of ${short(max)}`}</span></div>`
  );
}

/**
 * Without script, style sheet or reference; survives JupyterLab's sanitiser unchanged. At most about `bytes` long: the end of a long text is left out, and the last line says so.
 * @param options `numbered`: each shaded piece carries its index as data-piece, for a renderer that answers to the pointer
 */
export function documentHtml(view: DocumentView, { bytes = 200_000, numbered = false }: { bytes?: number; numbered?: boolean } = {}): string {
  const { id, pieces, latents, labels } = view;
  const peaks = latents.map(peakOf);
  const letters = marks(view);
  const beginning = new Map<number, string>();
  for (const { name, letter, begins } of labels) for (const i of begins) beginning.set(i, (beginning.get(i) ?? "") + labelMark(letter, name));
  const notes = [...view.notes];
  let body = "";
  let held = 4000; // frame and legend
  for (let i = 0; i < pieces.length; i++) {
    const html = (beginning.get(i) ?? "") + pieceHtml(view, i, peaks, letters[i], numbered);
    held += new TextEncoder().encode(html).length;
    if (held > bytes && i > 0) {
      notes.push(`The last ${count(pieces.slice(i).reduce((sum, piece) => sum + piece.length, 0))} characters are not shown, to keep this output small.`);
      break;
    }
    body += html;
  }
  const legend = labels.length
    ? `<div style="font-size:12px;margin-bottom:0.4em"><span style="opacity:0.85">[letter]: a sentence begins that is labelled</span> ${labels.map(({ name, letter, begins }) => `${labelMark(letter, name)} ${escapeHtml(brief(name))} <span style="opacity:0.8">${count(begins.length)}</span>`).join(" &nbsp;")}</div>`
    : "";
  return (
    `<div class="saelab-document ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5;border-top:${RULE};padding-top:0.5em"><strong>${escapeHtml(brief(id))}</strong>` +
    `<div style="margin:0.3em 0 0.4em">${latents.map(latentHtml).join("")}</div>` +
    `<div style="${SMALL};margin-bottom:0.4em">ground: the latent that fires most of its maximum; bars below and above: the next two; small letter: it begins to fire; <b>bold</b>: at least half of its maximum; <u>underlined</u>: its peak</div>${legend}` +
    `<pre style="margin:0;${PLAIN_PRE};font-size:13px;line-height:1.85;white-space:pre-wrap;word-break:normal;overflow-wrap:break-word">${body}</pre>` +
    `${notes.length ? `<p style="${SMALL};margin:0.4em 0 0">${notes.map(escapeHtml).join(" ")}</p>` : ""}</div>`
  );
}

/** Over black: colours of a terminal. */
const paleOf = (hue: Hue, of: number): string => hue.map((part) => Math.round(255 - (255 - part) * (0.25 + 0.6 * of))).join(";");

/** The same for a terminal: letters in ‹ › where a latent begins to fire, in [ ] where a labelled sentence begins; 24-bit colour where it is on. */
export function documentText(view: DocumentView, color = true): string {
  const paint = ansi(color);
  const letters = marks(view);
  const peaks = view.latents.map(peakOf);
  const begins = new Map<number, string>();
  for (const { letter, begins: at } of view.labels) for (const i of at) begins.set(i, `${begins.get(i) ?? ""}[${letter}]`);
  const body = view.pieces
    .map((piece, i) => {
      const [first] = firingOn(view, i);
      const shown = first ? shaded(piece) : shownText(piece);
      const mark = letters[i].map((place) => `‹${markOf(place)}›`).join("");
      const painted = first
        ? shown
            .split("\n")
            .map((line) => paint(`${peaks.includes(i) ? "4;" : ""}${first.of >= BOLD ? "1;" : ""}38;2;0;0;0;48;2;${paleOf(hueOf(first.place), first.of)}`, line))
            .join("\n")
        : shown;
      return `${begins.get(i) ?? ""}${mark}${painted}`;
    })
    .join("");
  const latents = view.latents.map((latent, place) => {
    const peak = peaks[place];
    return `  ${paint(`38;2;0;0;0;48;2;${paleOf(hueOf(place), 1)}`, `‹${markOf(place)}›`)} latent ${latent.latent}${latent.label ? `  ${brief(latent.label)}` : ""}${latent.verdict ? `  [${brief(latent.verdict)}]` : ""}  ${peak < 0 ? "does not fire here" : `peak here ${short(latent.values[peak])} of ${short(latent.max)}`}`;
  });
  const width = Math.max(0, ...view.labels.map(({ name }) => columns(brief(name))));
  const labels = view.labels.map(({ name, letter, begins: at }) => `  [${letter}] ${padEnd(brief(name), width)}  ${count(at.length)}`);
  return [brief(view.id), ...latents, ...labels, "", body, ...(view.notes.length ? ["", ...view.notes] : [])].join("\n");
}

/** As notebook files keep it: arrays as strings, activations with three digits. */
export interface PackedDocument extends Omit<DocumentView, "pieces" | "latents" | "labels"> {
  version: 1;
  strings: string[];
  pieces: string;
  latents: (Omit<DocumentLatent, "values"> & { values: string })[];
  labels: { name: string; letter: string; begins: string }[];
}

export function packDocument({ id, pieces, latents, labels, notes }: DocumentView): PackedDocument {
  const { strings, pack } = textIndex();
  const packed = pack(pieces);
  return {
    version: 1, id, notes, strings, pieces: packed,
    latents: latents.map(({ values, max, ...latent }) => ({ ...latent, max: Number(max.toPrecision(3)), values: packSparse(values) })),
    labels: labels.map(({ begins, ...label }) => ({ ...label, begins: begins.join(" ") })),
  };
}

export function unpackDocument({ id, notes, strings, pieces, latents, labels }: PackedDocument): DocumentView {
  const texts = numbers(pieces).map((i) => strings[i]);
  return {
    id, notes, pieces: texts,
    latents: latents.map(({ values, ...latent }) => ({ ...latent, values: unpackSparse(values, texts.length) })),
    labels: labels.map(({ begins, ...label }) => ({ ...label, begins: numbers(begins) })),
  };
}
