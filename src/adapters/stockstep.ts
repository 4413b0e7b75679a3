import { auxiliary } from "../core/schedule";
import { sizesOf, TINY, type StepState } from "../core/trained";
import { atOnce } from "./atonce";
import { auxiliaryGradients } from "./auxk";
import { checkBatch } from "./batch";
import { defaultGroups, forward, PADDING, type Choice } from "./coder";
import { DEFERRED, deferredStep } from "./deferredstep";
import { inference } from "./inference";
import { jumpGradients, L0_WEIGHT, THRESHOLD_SPEED } from "./jumprelu";
import { movedThreshold, selectorOf } from "./kinds";
import { changing } from "./outofmemory";
import { rankedGradients } from "./ranked";
import type { Losses, StepNow, UpdateOptions } from "./step";
import { stockState, type Tensors } from "./stockstate";
import { adamNumbers, type Engine, type Id } from "./tensorflow";

/** The step by TensorFlow's stock kernels, on the chosen latents only. */

export const defaultChoice = (latents: number, k: number): Choice => ({
  precision: "f32", groups: defaultGroups(latents, k), chunk: 128,
});

/**
 * Only the chosen latents are decoded and get gradients (all of JumpReLU), through kernels that every TensorFlow build has.
 * @param options.deferred by deferredstep.ts, for kinds that it has: by default on a card
 */
export function stockStep(
  engine: Engine, initial: StepState, given: Choice = defaultChoice(initial.latents, initial.k),
  { deferred = engine.device === "cuda" }: { deferred?: boolean } = {},
): StepNow {
  const sizes = sizesOf(initial);
  const { kind, d, dOut, latents, transcoder } = sizes;
  // Other kinds compare values beyond a row's k largest: these are to be float32's own.
  const choice: Choice = kind === "topk" ? given : { ...given, precision: "f32" };
  if (deferred && DEFERRED.includes(kind)) return deferredStep(engine, initial, choice);
  const { K, centred } = forward(engine);
  const select = kind === "jumprelu" ? undefined : selectorOf(engine, sizes);
  const { P, progress, read, arrays, move, ...held } = stockState(engine, initial);

  /** Gradients by what they are of, and Σ v·g of each latent. To be called inside `tidy`. */
  const backward = (
    x: Float32Array, { dead = new Int32Array(0), auxWeight = 1, target, l0Weight = L0_WEIGHT }: Omit<UpdateOptions, "learningRate">,
    { we, wd, bd, ws, lt }: Tensors,
  ): { gradients: Tensors; along: Id; losses: Losses; least?: number } => {
    const n = checkBatch(sizes, x, target);
    const rows = engine.tensor(x, [n, d]);
    const y = target ? engine.tensor(target, [n, dOut]) : rows;
    const mean = K.mul(K.sum(y, [0], true), K.scalar(1 / n));
    const variance = engine.floats(K.sum(K.squaredDifference(y, mean), [0, 1]))[0];
    const { xc, xa } = centred(rows, transcoder ? undefined : bd, n);
    let goal = transcoder ? K.sub(y, bd) : xc;
    if (ws !== undefined) goal = K.sub(goal, K.matMul(rows, ws, { transposeB: true }));
    const batch = { n, xa, goal, variance, we, wd, most: step.rows };
    const main = select ? rankedGradients(engine, sizes, batch, select, choice) : jumpGradients(engine, sizes, batch, lt!, l0Weight);
    const { total, residual, dlt, losses, least } = main;
    let { dwe, dwd, along } = main;
    let aux = 0;
    if (dead.length && auxWeight > 0) {
      const m = dead.length, list = engine.tensor(dead, [m]);
      const ofDead = { weDead: K.gather(we, list), wdDead: K.gather(wd, list) };
      const { k: kept, scale } = auxiliary(m, dOut, auxWeight);
      const extra = auxiliaryGradients(
        engine, ofDead, { n, dOut, dead: m, kept, width: d + PADDING, most: step.rows },
        { xa, residual: residual(), factor: K.scalar((2 * scale) / variance) });
      const at = engine.tensor(dead, [m, 1]);
      aux = engine.floats(extra.squares)[0] * (variance / (4 * scale));
      const alone = [dwd, dwe];
      dwd = K.addToRows(dwd, at, extra.dwd);
      dwe = K.addToRows(dwe, at, extra.dwe);
      engine.free(...alone); // as large as the weights
      along = K.addToRows(along, at, extra.along);
    }
    let dbd = K.sum(total, [0]);
    if (!transcoder) { // x − b_dec enters every pre-activation: b_dec's gradient loses b_enc's, carried back through W_enc
      const through = K.slice(K.matMul(K.slice(dwe, [0, d], [latents, 1]), we, { transposeA: true }), [0, 0], [1, d]);
      dbd = K.sub(dbd, K.reshape(through, [d]));
    }
    const gradients: Tensors = {
      we: dwe, wd: dwd, bd: dbd, ...(ws === undefined ? {} : { ws: K.matMul(total, rows, { transposeA: true }) }), ...(dlt === undefined ? {} : { lt: dlt }),
    };
    return { gradients, along, losses: { ...losses, aux }, least };
  };

  const step: StepNow = {
    kind: "stock",
    choice,
    rows: Infinity,
    ...inference(engine, held.live),
    gradients: (x, options = {}) => engine.tidy(() => {
      const { gradients, losses } = backward(x, options, read(P));
      return { ...losses, gradient: arrays(gradients) };
    }),
    ...atOnce((x, options) => engine.tidy(() => {
      const values = read(P);
      const { gradients, along, losses, least } = backward(x, options, values);
      gradients.wd = K.sub(gradients.wd, K.mul(values.wd, K.reshape(along, [latents, 1])));
      engine.free(...Object.values(values)); // while they are held, Adam copies the variables instead of changing them in place
      const t = progress.steps + 1, tiny = K.scalar(TINY);
      const hyper = (speed: number): Id[] => adamNumbers(t, options.learningRate * speed).map(K.scalar);
      const usual = hyper(1), thresholds = P.lt === undefined ? [] : hyper(THRESHOLD_SPEED);
      changing(() => move(gradients, (name) => (name === "lt" ? thresholds : usual), tiny));
      progress.steps = t;
      progress.threshold = movedThreshold(progress.threshold, least);
      return losses;
    }), latents),
    ...held,
  };
  return step;
}
