import { short } from "../core/html";
import { defaultLearningRate } from "../core/schedule";
import type { Progress } from "../core/types";
import { meter } from "./progress";
import { displayHook } from "./show";
import type { SharedOptions } from "./train";
import { trainingDisplay } from "./traindisplay";
import type { Run } from "./training";
import type { Plan } from "./trainplan";

/** Tells how a training goes: to `progress`, and to a view, which is a live picture in a notebook. */

export interface Teller {
  /** A run begins, or goes on, after so many tokens. */
  from(done: number): void;
  /** Before the first step: what is done meanwhile. */
  preparing(what: string): void;
  /** Steps begin: from now on the speed counts. */
  begin(): void;
  /** So many tokens were seen. */
  at(done: number): void;
  /** Something that is to be known from here on: it stands beside the numbers. */
  remark(text: string): void;
  /** Nothing more comes; with why if it is not done. The first call counts. */
  end(done?: number, note?: string): void;
}

/**
 * @param runs of the plans; may be filled later
 * @param total tokens
 */
export function teller(
  plans: Plan[], runs: Run[], total: number, { progress, view = progress === undefined && displayHook() ? trainingDisplay() : undefined }: SharedOptions,
): Teller {
  const labels = labelsOf(plans);
  let over = false;
  let remarked: string | undefined;
  let last: Parameters<Progress>[0] = { stage: "train", done: 0, total, unit: "tokens", rate: 0, secondsLeft: Infinity };
  const show = (note?: string, finished = note !== undefined || last.done >= total, preparing?: string): void => plans.forEach(({ batch }, i) => {
    const { curve = [], diverged } = runs[i] ?? {};
    view?.({
      name: labels[i], done: diverged ? diverged.step * batch : last.done, total, points: curve, rate: last.rate, secondsLeft: last.secondsLeft,
      ...(preparing ? { preparing } : {}), ...(finished || diverged ? { finished: true } : {}), ...(diverged ? { note: `diverged at step ${diverged.step}` } : note ?? remarked ? { note: note ?? remarked } : {}),
    });
  });
  const measured = (): ReturnType<typeof meter> => meter("train", total, "tokens", progress || view ? (state) => {
    last = state;
    progress?.(state);
    if (state.done < total) show();
  } : undefined, last.done);
  let told: ReturnType<typeof meter> | undefined;
  return {
    from(done) {
      last = { ...last, done };
      told = undefined;
    },
    preparing: (what) => show(undefined, false, what),
    begin() {
      told = measured();
      show(undefined, false);
    },
    at(done) {
      const fvu = runs.find(({ diverged }) => !diverged)?.curve.at(-1)?.fvu ?? NaN;
      (told ??= measured())(done, [`FVU ${fvu.toFixed(3)}`, ...(remarked === undefined ? [] : [remarked])].join(" · "));
    },
    remark(text) {
      remarked = text;
      show();
    },
    end(done = last.done, note) {
      if (over) return;
      over = true;
      last = { ...last, done };
      show(note);
    },
  };
}

/** What tells SAEs of one pass apart: the options in which they differ; learning rates where one is not the recipe's. */
export function labelsOf(plans: Plan[]): string[] {
  if (plans.length === 1) return [plans[0].hooks.join(" + ")];
  const asked = plans.some(({ learningRate, d, batch, tokens }) => learningRate !== defaultLearningRate(d, batch, tokens));
  const named: [string, (plan: Plan) => unknown][] = [
    ["", ({ kind }) => kind], ["", ({ hooks, targets }) => [hooks.join(" + "), ...(targets ? [targets.join(" + ")] : [])].join(" → ")], ["latents", ({ latents }) => latents],
    ["k", ({ k }) => k], ...(asked ? [["lr", ({ learningRate }) => short(learningRate)] as [string, (plan: Plan) => unknown]] : []), ["seed", ({ initSeed }) => initSeed],
  ];
  const differing = named.filter(([, of]) => new Set(plans.map(of)).size > 1);
  const labels = plans.map((plan) => differing.map(([name, of]) => `${name} ${of(plan)}`.trim()).join(", "));
  return labels.map((label, i) => (label && labels.indexOf(label) === labels.lastIndexOf(label) ? label : `${i}${label ? `: ${label}` : ""}`));
}
