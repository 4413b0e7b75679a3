import { performance } from "node:perf_hooks";
import { curvesSvg } from "../core/trainingcurve";
import { trainingHtml, trainingLine, trainingText, type TrainingState, type TrainingView } from "../core/trainingview";
import { svgPng } from "./png";
import { displayHook } from "./show";

/** Where the view of a training is put: a cell's output, or the last line of stderr. */

export type { TrainingState };

const PAUSE = 0.25; // seconds between two updates: four a second
const LINE_PAUSE = 30; // seconds between two lines where stderr is a file or a pipe

let displays = 0;

/** Where lines go when there is no notebook: stderr, or what a test puts in its place. */
export interface LineOutput {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/**
 * Shows a training, or several of one pass told apart by their names. In a notebook it is one output, replaced at most four
 * times a second; once all are finished it is a still picture that saved notebooks keep (a PNG, a table, text). On a terminal
 * it is the last line of stderr; where stderr is no terminal, a line every half minute and one at the end.
 * @param title put before the names
 * @param clock seconds, from any beginning
 * @returns to be called with each new state, as often as one likes; the one after which all are finished is always shown, and in a
 *   notebook or on a terminal one that says something new (what is prepared, a note)
 */
export function trainingDisplay(title?: string, clock = () => performance.now() / 1000, output: LineOutput = process.stderr): (state: TrainingState) => void {
  const states = new Map<string, TrainingState>();
  const begun = new Map<string, number>();
  const display_id = `saelab-training-${process.pid}-${++displays}`;
  let start: number | undefined;
  let shownAt = -Infinity;
  let exists = false;
  return (state) => {
    const now = clock();
    if (!state.preparing) start ??= now;
    const told = states.get(state.name);
    const other = told?.note !== state.note || told?.preparing !== state.preparing;
    states.set(state.name, state);
    if (!begun.has(state.name)) begun.set(state.name, state.done);
    const hook = displayHook();
    const over = Boolean(state.finished) && [...states.values()].every(({ finished }) => finished);
    const live = hook || output.isTTY;
    if (!live && !over && !state.points.length) return; // a file is told of numbers
    if (!over && !(other && live) && now - shownAt < (live ? PAUSE : LINE_PAUSE)) return;
    shownAt = now;
    const latest = [...states.values()].reduce((a, b) => (b.done > a.done ? b : a), state);
    const view: TrainingView = { title, states: [...states.values()], latest, seconds: now - (start ?? now), moved: latest.done - begun.get(latest.name)! };
    if (hook) {
      hook(over ? stillBundle(view) : { "text/html": trainingHtml(view), "text/plain": trainingText(view) }, { display_id, update: exists });
      exists = true;
    } else if (over) output.write(`${output.isTTY ? "\r\u001b[2K" : ""}${view.states.length > 1 ? trainingText(view) : trainingLine(view)}\n`);
    else if (output.isTTY) output.write(`\r\u001b[2K${trainingLine(view).slice(0, (output.columns || 80) - 1)}`);
    else output.write(`${trainingLine(view)}\n`);
  };
}

/** What stays: the curves as PNG, in the page and beside it, so that readers that take out scripts, styles or SVG show them. */
function stillBundle(view: TrainingView): Record<string, string> {
  const picture = curvesSvg(view.states);
  const png = picture && Buffer.from(svgPng(picture.svg)).toString("base64");
  return { "text/html": trainingHtml(view, png), ...(png ? { "image/png": png } : {}), "text/plain": trainingText(view) };
}
