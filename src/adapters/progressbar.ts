import { performance } from "node:perf_hooks";
import { count, duration, escapeHtml, MONO, SANS, short } from "../core/html";
import type { Progress } from "../core/types";
import { displayHook } from "./show";

/** How far a long loop is, shown where one looks: a bar in a notebook's cell, a line on stderr else. */

type State = Parameters<Progress>[0];

interface Line {
  state: State;
  begun: number;
  seconds: number;
}

/** "200,000 of 1,000,000 rows, 16,000 rows/s, 50 s left"; when done how long it took. */
function wordsOf({ state: { done, total, unit, rate, secondsLeft, detail }, seconds: took }: Line): string {
  const finished = done >= total;
  const speed = rate > 0 ? `${rate >= 100 ? count(Math.round(rate)) : short(rate)} ${unit}/s` : "";
  const parts = finished
    ? [
        `${count(total)} ${unit}`,
        took >= 0.05 ? `in ${duration(took)}` : "",
        took >= 0.05 && total / took >= 1 ? `(${count(Math.round(total / took))} ${unit}/s)` : "",
      ]
    : [
        `${count(done)} of ${count(total)} ${unit}`,
        speed && `· ${speed}`,
        Number.isFinite(secondsLeft) && done > 0 ? `· ${duration(secondsLeft)} left` : "",
      ];
  return [...parts, detail ? `· ${detail}` : ""].filter(Boolean).join(" ");
}

export function progressHtml(lines: Line[]): string {
  const rows = lines.map((line) => {
    const { stage, done, total } = line.state;
    const share = total > 0 ? Math.min(1, done / total) : 1;
    const bar =
      `<span style="display:inline-block;width:160px;height:7px;border-radius:4px;background:rgba(128,128,128,0.25);overflow:hidden">` +
      `<span style="display:block;height:7px;width:${(100 * share).toFixed(1)}%;background:rgba(255,140,26,${share < 1 ? "0.95" : "0.55"})"></span></span>`;
    return (
      `<div style="display:flex;flex-wrap:wrap;gap:0 0.9em;align-items:center"><span style="min-width:10em">${escapeHtml(stage)}</span>${bar}` +
      `<code style="font-family:${MONO};font-size:12px;background:transparent;opacity:0.8">${escapeHtml(wordsOf(line))}</code></div>`
    );
  });
  return `<div class="saelab-progress" style="font-family:${SANS};font-size:13px;line-height:1.7">${rows.join("")}</div>`;
}

export const progressText = (lines: Line[]): string =>
  lines
    .map((line) => {
      const { stage, done, total } = line.state;
      const filled = total > 0 ? Math.round(20 * Math.min(1, done / total)) : 20;
      return `${stage.padEnd(18)} ${"█".repeat(filled)}${"░".repeat(20 - filled)} ${wordsOf(line)}`;
    })
    .join("\n");

let bars = 0;

/**
 * A progress display that grows a line a stage. In a notebook it is one output, replaced at most ten times a second;
 * nbclient keeps its last state only. On a terminal it is the last line of stderr; where stderr is no terminal, a line
 * when a stage is done.
 * @param title put before the name of each stage
 */
export function progressBar(title?: string, clock = () => performance.now() / 1000): Progress {
  const lines = new Map<string, Line>();
  const display_id = `saelab-progress-${process.pid}-${++bars}`;
  let shownAt = -Infinity;
  let exists = false;
  return (state) => {
    const now = clock();
    const stage = title ? `${title}: ${state.stage}` : state.stage;
    const line = lines.get(stage) ?? { state, begun: now, seconds: 0 };
    line.state = { ...state, stage };
    line.seconds = now - line.begun;
    lines.set(stage, line);
    const finished = state.done >= state.total;
    if (!finished && now - shownAt < 0.1) return;
    shownAt = now;
    const all = [...lines.values()];
    const hook = displayHook();
    if (hook) {
      hook({ "text/html": progressHtml(all), "text/plain": progressText(all) }, { display_id, update: exists });
      exists = true;
      return;
    }
    const text = progressText([line]);
    if (process.stderr.isTTY)
      process.stderr.write(`\r\u001b[2K${text.slice(0, (process.stderr.columns || 80) - 1)}${finished ? "\n" : ""}`);
    else if (finished) process.stderr.write(`${text}\n`);
  };
}

/** What long loops show when they are not told: a bar in a notebook, nothing elsewhere. */
export const defaultProgress = (): Progress | undefined => (displayHook() ? progressBar() : undefined);
