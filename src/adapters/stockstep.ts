import { madeOnDemand, sizesOf, TINY, type Parameters, type StateSizes, type StepState } from "../core/trained";
import { atOnce } from "./atonce";
import { auxiliaryGradients } from "./auxk";
import { checkBatch } from "./batch";
import { defaultGroups, forward, PADDING, withBias, withoutBias, type Choice } from "./coder";
import { inference } from "./inference";
import { jumpGradients, L0_WEIGHT, THRESHOLD_SPEED } from "./jumprelu";
import { movedThreshold, selectorOf } from "./kinds";
import { rankedGradients } from "./ranked";
import type { Losses, StepNow, UpdateOptions } from "./step";
import type { Engine, Id } from "./tensorflow";

/** The step by TensorFlow's stock kernels, on the chosen latents only. */

export const defaultChoice = (latents: number, k: number): Choice => ({
  precision: "f32", groups: defaultGroups(latents, k), chunk: 128,
});

/** The variables of a state, or what is read from them: [W_enc | b_enc | 0 …], W_dec, b_dec, W_skip, log θ. */
interface Tensors { we: Id; wd: Id; bd: Id; ws?: Id; lt?: Id }

/** Only the chosen latents are decoded and get gradients (all of JumpReLU), through kernels that every TensorFlow build has. */
export function stockStep(engine: Engine, initial: StepState, given: Choice = defaultChoice(initial.latents, initial.k)): StepNow {
  const sizes = sizesOf(initial); // not the arrays: they are let go
  const { kind, d, dOut, latents, transcoder } = sizes;
  const { K, centred } = forward(engine);
  const select = kind === "jumprelu" ? undefined : selectorOf(engine, sizes);
  // Other kinds compare values beyond a row's k largest: these are to be float32's own.
  const choice: Choice = kind === "topk" ? given : { ...given, precision: "f32" };
  let { steps, threshold } = initial;
  const variables = ({ wEnc, bEnc, wDec, bDec, wSkip, logThreshold }: Parameters): Tensors => ({
    we: K.variable(withBias(wEnc, bEnc, d), [latents, d + PADDING]), wd: K.variable(wDec, [latents, dOut]), bd: K.variable(bDec, [dOut]),
    ...(wSkip ? { ws: K.variable(wSkip, [dOut, d]) } : {}), ...(logThreshold ? { lt: K.variable(logThreshold, [latents]) } : {}),
  });
  const P = variables(initial.parameters);
  const M = variables(initial.m);
  const V = variables(initial.v);
  const moments = [M, V];
  const read = (set: Tensors): Tensors => Object.fromEntries(Object.entries(set).map(([name, variable]) => [name, K.read(variable)])) as unknown as Tensors;
  const arrays = ({ we, wd, bd, ws, lt }: Tensors): Parameters => ({
    ...withoutBias(engine.floats(we), d), wDec: engine.floats(wd), bDec: engine.floats(bd),
    ...(ws === undefined ? {} : { wSkip: engine.floats(ws) }), ...(lt === undefined ? {} : { logThreshold: engine.floats(lt) }),
  });

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
    const batch = { n, xa, goal, variance, we, wd };
    const main = select ? rankedGradients(engine, sizes, batch, select, choice) : jumpGradients(engine, sizes, batch, lt!, l0Weight);
    const { total, residual, dlt, losses, least } = main;
    let { dwe, dwd, along } = main;
    let aux = 0;
    if (dead.length && auxWeight > 0) {
      const list = engine.tensor(dead, [dead.length]);
      const ofDead = { weDead: K.gather(we, list), wdDead: K.gather(wd, list) };
      const sizes = { n, dOut, dead: dead.length, weight: auxWeight };
      const extra = auxiliaryGradients(engine, ofDead, sizes, { xa, residual: residual(), variance });
      const at = engine.tensor(dead, [dead.length, 1]);
      aux = extra.loss;
      dwd = K.addToRows(dwd, at, extra.dwd);
      dwe = K.addToRows(dwe, at, extra.dwe);
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

  const now = (): StateSizes => ({ ...sizes, steps, ...(threshold === undefined ? {} : { threshold }) });
  const state = (): StepState => ({
    ...now(),
    ...engine.tidy(() => ({ parameters: arrays(read(P)), m: arrays(read(M)), v: arrays(read(V)) })),
  });
  const onDemand = ({ we, wd, bd, ws, lt }: Tensors): Parameters => {
    const floats = (variable: Id, columns?: [from: number, count: number]) => (): Float32Array => engine.tidy(() => {
      const whole = K.read(variable);
      return engine.floats(columns ? K.slice(whole, [0, columns[0]], [latents, columns[1]]) : whole);
    });
    return madeOnDemand({
      wEnc: floats(we, [0, d]), bEnc: floats(we, [d, 1]), wDec: floats(wd), bDec: floats(bd),
      ...(ws === undefined ? {} : { wSkip: floats(ws) }), ...(lt === undefined ? {} : { logThreshold: floats(lt) }),
    });
  };
  const live = (): StepState => ({ ...now(), parameters: onDemand(P), m: onDemand(M), v: onDemand(V) });
  return {
    kind: "stock",
    choice,
    rows: Infinity,
    ...inference(engine, live),
    gradients: (x, options = {}) => engine.tidy(() => {
      const { gradients, losses } = backward(x, options, read(P));
      return { ...losses, gradient: arrays(gradients) };
    }),
    ...atOnce((x, options) => engine.tidy(() => {
      const values = read(P);
      const { gradients, along, losses, least } = backward(x, options, values);
      gradients.wd = K.sub(gradients.wd, K.mul(values.wd, K.reshape(along, [latents, 1])));
      engine.free(...Object.values(values)); // while they are held, Adam copies the variables instead of changing them in place
      steps++;
      threshold = movedThreshold(threshold, least);
      for (const name of Object.keys(P) as (keyof Tensors)[]) {
        K.adam(P[name]!, M[name]!, V[name]!, gradients[name]!, steps, options.learningRate * (name === "lt" ? THRESHOLD_SPEED : 1));
      }
      const moved = K.read(P.wd);
      const norms = K.rsqrt(K.add(K.sum(K.square(moved), [1], true), K.scalar(TINY)));
      K.assign(P.wd, K.mul(moved, norms));
      return losses;
    }), latents),
    sizes: now,
    state,
    live,
    settle() {
      for (const set of moments.splice(0)) for (const variable of Object.values(set)) K.destroy(variable);
    },
    dispose() {
      this.settle();
      for (const variable of Object.values(P)) K.destroy(variable);
    },
  };
}
