import type { Progress } from "../core/types";
import { meter } from "./progress";
import { displayHook } from "./show";
import type { SharedOptions } from "./train";
import { trainingDisplay } from "./traindisplay";
import type { Run } from "./training";
import type { Plan } from "./trainplan";

/** Tells how a training goes: to `progress`, and to a view, which is a live picture in a notebook. */

/**
 * @param total tokens; begun: those seen before
 * @returns `at` so many tokens; `end` when nothing more comes, with why if it is not done
 */
export function teller(runs: Run[], total: number, begun: number, { progress, view = progress === undefined && displayHook() ? trainingDisplay() : undefined }: SharedOptions) {
  const labels = labelsOf(runs.map(({ plan }) => plan));
  let last: Parameters<Progress>[0] = { stage: "train", done: begun, total, unit: "tokens", rate: 0, secondsLeft: Infinity };
  const show = (note?: string, finished = note !== undefined || last.done >= total): void => runs.forEach(({ curve, diverged }, i) => view?.({
    name: labels[i], done: diverged ? diverged.step * runs[i].plan.batch : last.done, total, points: curve, rate: last.rate, secondsLeft: last.secondsLeft,
    ...(finished || diverged ? { finished: true } : {}), ...(diverged ? { note: `diverged at step ${diverged.step}` } : note ? { note } : {}),
  }));
  const told = meter("train", total, "tokens", progress || view ? (state) => {
    last = state;
    progress?.(state);
    if (state.done < total) show();
  } : undefined, begun);
  return {
    at: (done: number): void => told(done, `FVU ${(runs.find(({ diverged }) => !diverged)?.curve.at(-1)?.fvu ?? NaN).toFixed(3)}`),
    end(done: number, note?: string): void {
      last = { ...last, done };
      show(note);
    },
  };
}

/** What tells SAEs of one pass apart: the options in which they differ. */
function labelsOf(plans: Plan[]): string[] {
  if (plans.length === 1) return [plans[0].hooks.join(" + ")];
  const named: [string, (plan: Plan) => unknown][] = [
    ["", ({ kind }) => kind], ["", ({ hooks, targets }) => [hooks.join(" + "), ...(targets ? [targets.join(" + ")] : [])].join(" → ")], ["latents", ({ latents }) => latents],
    ["k", ({ k }) => k], ["lr", ({ learningRate }) => learningRate], ["seed", ({ initSeed }) => initSeed],
  ];
  const differing = named.filter(([, of]) => new Set(plans.map(of)).size > 1);
  const labels = plans.map((plan) => differing.map(([name, of]) => `${name} ${of(plan)}`.trim()).join(", "));
  return labels.map((label, i) => (label && labels.indexOf(label) === labels.lastIndexOf(label) ? label : `${i}${label ? `: ${label}` : ""}`));
}
