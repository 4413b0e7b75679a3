import { ansi, columns, count, escapeHtml, MONO, padEnd, PLAIN, RULE, SANS, shade, short } from "./html";
import { HUES, rgba, type Hue } from "./shading";
import { visible } from "./token";
import type { Document } from "./types";

/**
 * One whole document, as it reads: its labelled sentences marked, or its tokens shaded by a latent, or both.
 * A sentence is marked by a bar in the colour of its label and by the label's letter, so that it reads without colour
 * too.
 */

export interface TraceView {
  id: string;
  /** The whole text in pieces: tokens where `values` are there, any pieces else. */
  pieces: { text: string; value?: number; label?: string; begins?: boolean }[];
  labels: { name: string; letter: string; color: Hue; sentences: number }[];
  latent?: { number: number; max: number };
}

/** A letter for each label: its own first one where that is free, else another of its letters, else a number. */
export function lettersOf(labels: string[]): string[] {
  const taken = new Set<string>();
  return labels.map((label, i) => {
    const letters = [label.toUpperCase(), ...label.toUpperCase()]
      .map((part) => part[0])
      .filter((letter) => /\p{L}/u.test(letter ?? ""));
    const letter = letters.find((one) => !taken.has(one)) ?? String(i + 1);
    taken.add(letter);
    return letter;
  });
}

/**
 * @param labels in the order of their colours; those of the document, by first appearance, when absent
 * @param tokens offsets and a latent's activation at each token, for the shaded kind
 */
export function traceView(
  document: Document,
  labels?: string[],
  tokens?: { start: ArrayLike<number>; end: ArrayLike<number>; values: ArrayLike<number>; latent: number; max: number },
): TraceView {
  const { id, text, spans = [] } = document;
  const sorted = [...spans].sort((a, b) => a.start - b.start || b.end - a.end);
  const names = labels ?? [...new Set(sorted.map(({ label }) => label))];
  const letters = lettersOf(names);
  // where the text is cut: at the ends of spans and of tokens
  const cuts = new Set([0, text.length]);
  for (const { start, end } of spans) cuts.add(Math.max(0, start)).add(Math.min(text.length, end));
  const valueAt = new Map<number, number>();
  for (let t = 0; tokens && t < tokens.values.length; t++) {
    cuts.add(tokens.start[t]).add(tokens.end[t]);
    if (tokens.end[t] > tokens.start[t])
      valueAt.set(tokens.start[t], Math.max(valueAt.get(tokens.start[t]) ?? 0, tokens.values[t]));
  }
  const at = [...cuts].sort((a, b) => a - b);
  const pieces: TraceView["pieces"] = [];
  let open = 0; // spans that end before here are passed for good
  let value = 0;
  for (let i = 0; i + 1 < at.length; i++) {
    while (open < sorted.length && sorted[open].end <= at[i]) open++;
    let found = -1;
    for (let s = open; s < sorted.length && sorted[s].start <= at[i]; s++) if (sorted[s].end > at[i]) found = s;
    value = valueAt.get(at[i]) ?? value;
    pieces.push({
      text: text.slice(at[i], at[i + 1]),
      ...(tokens ? { value } : {}),
      ...(found < 0 ? {} : { label: sorted[found].label, begins: sorted[found].start === at[i] }),
    });
  }
  return {
    id,
    pieces,
    ...(tokens ? { latent: { number: tokens.latent, max: tokens.max } } : {}),
    labels: names.map((name, l) => ({
      name,
      letter: letters[l],
      color: HUES[l % HUES.length],
      sentences: spans.filter(({ label }) => label === name).length,
    })),
  };
}

/** Text with its line breaks kept, and shown. */
export const shownText = (text: string): string =>
  text
    .split("\n")
    .map((line) => (/^ +$/.test(line) ? line : visible(line).replace(/·+$/, (dots) => " ".repeat(dots.length))))
    .join("\n");

/** Survives JupyterLab's sanitiser unchanged. */
export function traceHtml({ id, pieces, labels, latent }: TraceView): string {
  const byName = new Map(labels.map((label) => [label.name, label]));
  let peak = -1;
  if (latent) pieces.forEach(({ value = 0 }, i) => value > 0 && (peak < 0 || value > pieces[peak].value!) && (peak = i));
  let body = "";
  for (let i = 0; i < pieces.length;) {
    const label = byName.get(pieces[i].label ?? "");
    let j = i + 1;
    while (j < pieces.length && pieces[j].label === pieces[i].label && !pieces[j].begins) j++;
    let inner = "";
    for (let p = i; p < j; p++) {
      const t = latent && latent.max > 0 ? Math.min(1, (pieces[p].value ?? 0) / latent.max) : 0;
      let text = escapeHtml(shownText(pieces[p].text));
      if (t >= 0.005) {
        if (p === peak) text = `<u>${text}</u>`;
        if (t >= 0.5) text = `<b>${text}</b>`;
        text = `<span style="background:${shade(t)}${t >= 0.66 ? ";color:#000" : ""}" title="${short(pieces[p].value!)}">${text}</span>`;
      }
      inner += text;
    }
    if (label) {
      const mark = pieces[i].begins ? `<sup style="font-size:10px;line-height:0;opacity:0.85">${label.letter}</sup>` : "";
      const ground = latent ? "" : `background:${rgba(label.color, 0.12)};`;
      inner = `<span style="${ground}border-bottom:2px solid ${rgba(label.color, 0.85)};padding-bottom:1px" title="${escapeHtml(label.name)}">${mark}${inner}</span>`;
    }
    body += inner;
    i = j;
  }
  const legend = labels
    .filter(({ sentences }) => sentences)
    .map(
      ({ name, letter, color, sentences }) =>
        `<span><span style="${latent ? "" : `background:${rgba(color, 0.12)};`}border-bottom:2px solid ${rgba(color, 0.85)}"><sup style="font-size:10px;line-height:0">${letter}</sup>${escapeHtml(name)}</span> ${count(sentences)}</span>`,
    )
    .join(" ");
  const scale = latent
    ? `<span>shaded by latent ${latent.number}, full at its maximum ${short(latent.max)}; peak underlined</span>`
    : "";
  return (
    `<div class="saelab-trace ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5;border-top:${RULE};padding-top:0.5em">` +
    `<div style="display:flex;flex-wrap:wrap;gap:0.1em 1.2em;align-items:baseline;margin-bottom:0.5em"><strong>${escapeHtml(visible(id))}</strong> ${scale} ${legend}</div>` +
    `<pre style="margin:0;padding:0;border:0;background:transparent;font-family:${MONO};font-size:13px;line-height:1.75;white-space:pre-wrap;word-break:normal;overflow-wrap:break-word">${body}</pre></div>`
  );
}

/** The same for a terminal: letters in brackets where a sentence begins. */
export function traceText({ id, pieces, labels, latent }: TraceView, color = true): string {
  const paint = ansi(color);
  const byName = new Map(labels.map((label) => [label.name, label]));
  const body = pieces
    .map(({ text, value = 0, label, begins }) => {
      const found = byName.get(label ?? "");
      const t = latent && latent.max > 0 ? Math.min(1, value / latent.max) : 0;
      const shown = shownText(text);
      const painted =
        t >= 0.005
          ? paint(`38;2;0;0;0;48;2;255;${Math.round(236 - 96 * t)};${Math.round(214 - 188 * t)}`, shown)
          : found && !latent
            ? shown
                .split("\n")
                .map((line) => paint(`4;38;2;${found.color.join(";")}`, line))
                .join("\n")
            : shown;
      return `${found && begins ? `[${found.letter}]` : ""}${painted}`;
    })
    .join("");
  const width = Math.max(0, ...labels.map(({ name }) => columns(name)));
  const legend = labels
    .filter(({ sentences }) => sentences)
    .map(({ name, letter, sentences }) => `  [${letter}] ${padEnd(name, width)}  ${count(sentences)}`);
  return [`${id}${latent ? `, shaded by latent ${latent.number}` : ""}`, ...legend, "", body].join("\n");
}
