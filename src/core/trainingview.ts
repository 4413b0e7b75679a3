import { base64, columns, count, duration, escapeHtml, MONO, padEnd, percent, PLAIN, RULE, SANS, shade, short } from "./html";
import { curvesSvg, thinned } from "./trainingcurve";
import type { TrainingPoint } from "./types";

/** How a training goes, for a cell, for a terminal's one line, and as the still picture that stays: state → HTML and text. */

export interface TrainingState {
  /** Tells several SAEs of one run apart. */
  name: string;
  /** Tokens seen, and those there will be. */
  done: number;
  total: number;
  /** The curve so far, oldest first; its last point is the newest. */
  points: TrainingPoint[];
  /** Tokens a second, and seconds until it is done (Infinity while unknown). */
  rate: number;
  secondsLeft: number;
  /** Before the first step: what is done meanwhile. */
  preparing?: string;
  /** Nothing more comes: it is done, or was stopped (`note` says why). */
  finished?: boolean;
  note?: string;
}

export interface TrainingView {
  title?: string;
  /** One an SAE, in the order of their beginning; never empty. */
  states: TrainingState[];
  /** The one that is furthest: how far it is stands above all. */
  latest: TrainingState;
  /** Seconds since the first step was told of, and tokens seen since then (a run that goes on has seen more). */
  seconds: number;
  moved: number;
}

const ROWS = 24; // more SAEs than these are counted, not listed
const share = ({ done, total }: TrainingState): number => (total > 0 ? Math.min(1, done / total) : 1);

/** "1,200,000 of 4,000,000 tokens · 52,000 tokens/s · 54 s left"; at the end how long it took: "4,000,000 tokens in 77 s · 52,000 tokens/s". */
function progressWords({ states, latest, seconds, moved }: TrainingView): string {
  if (latest.preparing && !latest.finished) return `${count(latest.done)} of ${count(latest.total)} tokens · ${latest.preparing}`;
  const speed = (rate: number): string => (rate > 0 && Number.isFinite(rate) ? `${rate >= 100 ? count(Math.round(rate)) : short(rate)} tokens/s` : "");
  const timed = seconds >= 0.05 ? ` in ${duration(seconds)}` : "";
  const goneOn = moved < 0.95 * latest.done && timed; // of a run that went on only these took the time
  const parts = states.every((state) => state.finished)
    ? [
        `${latest.done < latest.total ? `${count(latest.done)} of ${count(latest.total)}` : count(latest.done)} tokens${goneOn ? `, ${count(moved)} of them` : ""}${timed}`,
        seconds >= 0.05 ? speed(moved / seconds) : "",
      ]
    : [
        `${count(latest.done)} of ${count(latest.total)} tokens`,
        speed(latest.rate),
        Number.isFinite(latest.secondsLeft) ? `${duration(latest.secondsLeft)} left` : "",
      ];
  return parts.filter(Boolean).join(" · ");
}

/** What each SAE is measured by: name → words, "–" where a curve has it not. */
function measures({ points }: TrainingState): { FVU: string; loss: string; L0: string; dead: string } {
  const last = points.at(-1);
  const shown = (value: number | undefined, words: (x: number) => string): string => (value === undefined || Number.isNaN(value) ? "–" : words(value));
  return { FVU: shown(last?.fvu, short), loss: shown(last?.loss, short), L0: shown(last?.l0, short), dead: shown(last?.dead, percent) };
}

const heading = ({ title, states }: TrainingView): string =>
  states.length === 1 ? [title, states[0].name].filter(Boolean).join(" · ") : `${title ? `${title} · ` : ""}${states.length} SAEs`;

/** Whether the SAEs are not all equally far. */
const apart = (states: TrainingState[]): boolean => states.some((state) => share(state) !== share(states[0]));

/** A row an SAE: what it is measured by. */
function tableOf({ states }: TrainingView): { head: string[]; rows: string[][]; left: number } {
  const several = states.length > 1;
  const far = several && apart(states);
  const shown = states.slice(0, ROWS);
  return {
    head: [...(several ? ["SAE"] : []), ...(far ? ["done"] : []), "loss", "FVU", "L0", "dead"],
    rows: shown.map((state) => {
      const { loss, FVU, L0, dead } = measures(state);
      return [...(several ? [state.name] : []), ...(far ? [percent(share(state))] : []), loss, FVU, L0, dead];
    }),
    left: states.length - shown.length,
  };
}

const notes = ({ states }: TrainingView): string[] =>
  states.filter((state) => state.note).map((state) => (states.length > 1 ? `${state.name}: ${state.note}` : state.note!));

/**
 * @param still the curves as a PNG in base64: what saved notebooks keep, since some readers take SVG out; while it runs the
 *   curves are an SVG
 */
export function trainingHtml(view: TrainingView, still?: string): string {
  const bar =
    `<span style="display:inline-block;width:160px;height:7px;border-radius:4px;background:rgba(128,128,128,0.25);overflow:hidden">` +
    `<span style="display:block;height:7px;width:${(100 * share(view.latest)).toFixed(1)}%;background:${shade(share(view.latest) < 1 ? 0.95 : 0.55)}"></span></span>`;
  const first = view.states.length > 1 ? 1 : 0;
  const align = (i: number): string => `text-align:${i < first ? "left" : "right"};padding:1px 12px 1px ${i ? "12px" : "0"};border-bottom:${RULE}`;
  const { head, rows, left } = tableOf(view);
  const picture = curvesSvg(view.states);
  const source = still ? `image/png;base64,${still}` : picture && `image/svg+xml;base64,${base64(new TextEncoder().encode(picture.svg))}`;
  return [
    `<div class="saelab-training ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.6">`,
    `<div style="display:flex;flex-wrap:wrap;gap:0 12px;align-items:center"><b>${escapeHtml(heading(view))}</b>${bar}`,
    `<code style="font-family:${MONO};font-size:12px;background:transparent;opacity:0.8">${escapeHtml(progressWords(view))}</code></div>`,
    `<table style="border-collapse:collapse;margin:6px 0;font-size:13px"><thead><tr>`,
    ...head.map((name, i) => `<th style="${align(i)};font-weight:600">${escapeHtml(name)}</th>`),
    `</tr></thead><tbody>`,
    ...rows.map((row) => `<tr>${row.map((cell, i) => `<td style="${align(i)}">${escapeHtml(cell)}</td>`).join("")}</tr>`),
    `</tbody></table>`,
    left ? `<div style="opacity:0.8">and ${left} more SAEs</div>` : "",
    ...notes(view).map((note) => `<div><i>${escapeHtml(note)}</i></div>`),
    picture ? `<img alt="${escapeHtml(picture.words)}" src="data:${source}" width="${picture.width}" style="max-width:100%;height:auto">` : "",
    `</div>`,
  ].join("");
}

const BLOCKS = "▁▂▃▄▅▆▇█";

/** FVU over time in a few characters, logarithmic; what cannot be drawn is a gap. */
function sparkline(points: TrainingPoint[], width = 24): string {
  const drawn = thinned(points, width).slice(-width).map(({ fvu }) => Math.log(fvu));
  const seen = drawn.filter(Number.isFinite);
  const low = Math.min(...seen);
  const high = Math.max(...seen);
  return drawn.map((y) => (Number.isFinite(y) ? BLOCKS[high > low ? Math.round((7 * (y - low)) / (high - low)) : 3] : " ")).join("");
}

/** The same for readers of plain text: bar, numbers, and the curve in small. */
export function trainingText(view: TrainingView): string {
  const filled = Math.round(20 * share(view.latest));
  const { head, rows, left } = tableOf(view);
  const cells = [[...head, "FVU over tokens"], ...rows.map((row, i) => [...row, sparkline(view.states[i].points)])];
  const widths = head.map((_, c) => Math.max(...cells.map((row) => columns(row[c]))));
  const first = view.states.length > 1 ? 1 : 0;
  return [
    `${heading(view)}  ${"█".repeat(filled)}${"░".repeat(20 - filled)}  ${progressWords(view)}`,
    ...cells.map((row) =>
      row.map((cell, c) => (c === row.length - 1 ? cell : c < first ? padEnd(cell, widths[c]) : " ".repeat(widths[c] - columns(cell)) + cell)).join("  ").trimEnd()),
    ...(left ? [`and ${left} more SAEs`] : []),
    ...notes(view),
  ].join("\n");
}

/** "0.19" or, of several SAEs, "0.19…0.31". */
function range(values: (number | undefined)[], words: (x: number) => string): string {
  const seen = values.filter((value): value is number => value !== undefined && !Number.isNaN(value));
  if (!seen.length) return "–";
  const [low, high] = [words(Math.min(...seen)), words(Math.max(...seen))];
  return low === high ? low : `${low}…${high}`;
}

/** One line for a terminal; of several SAEs the least and the largest of each number. */
export function trainingLine(view: TrainingView): string {
  const lasts = view.states.map(({ points }) => points.at(-1));
  const note = notes(view).join("; ");
  return [
    `${heading(view)} ${percent(share(view.latest))}`,
    `loss ${range(lasts.map((point) => point?.loss), short)}`,
    `FVU ${range(lasts.map((point) => point?.fvu), short)}`,
    `L0 ${range(lasts.map((point) => point?.l0), short)}`,
    `dead ${range(lasts.map((point) => point?.dead), percent)}`,
    progressWords(view),
    ...(note ? [note] : []),
  ].join(" · ");
}
