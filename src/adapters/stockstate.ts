import { madeOnDemand, sizesOf, type Parameters, type StateSizes, type StepState } from "../core/trained";
import { PADDING, withBias, withoutBias } from "./coder";
import { kernels, type Engine, type Id } from "./tensorflow";

/** The state of a stock step: TensorFlow's variables, and how they are read. */

/** The variables of a state, or what is read from them: [W_enc | b_enc | 0 …], W_dec, b_dec, W_skip, log θ. */
export interface Tensors { we: Id; wd: Id; bd: Id; ws?: Id; lt?: Id }

/** @param initial its arrays are let go: they are as large as the variables */
export function stockState(engine: Engine, initial: StepState) {
  const K = kernels(engine);
  const sizes = sizesOf(initial);
  const { d, dOut, latents } = sizes;
  const variables = ({ wEnc, bEnc, wDec, bDec, wSkip, logThreshold }: Parameters): Tensors => ({
    we: K.variable(withBias(wEnc, bEnc, d), [latents, d + PADDING]), wd: K.variable(wDec, [latents, dOut]), bd: K.variable(bDec, [dOut]),
    ...(wSkip ? { ws: K.variable(wSkip, [dOut, d]) } : {}), ...(logThreshold ? { lt: K.variable(logThreshold, [latents]) } : {}),
  });
  const P = variables(initial.parameters);
  const M = variables(initial.m);
  const V = variables(initial.v);
  const moments = [M, V];
  const progress: Pick<StepState, "steps" | "threshold"> = { steps: initial.steps, threshold: initial.threshold };
  const read = (set: Tensors): Tensors => Object.fromEntries(Object.entries(set).map(([name, variable]) => [name, K.read(variable)])) as unknown as Tensors;
  const arrays = ({ we, wd, bd, ws, lt }: Tensors): Parameters => ({
    ...withoutBias(engine.floats(we), d), wDec: engine.floats(wd), bDec: engine.floats(bd),
    ...(ws === undefined ? {} : { wSkip: engine.floats(ws) }), ...(lt === undefined ? {} : { logThreshold: engine.floats(lt) }),
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
  const now = (): StateSizes => ({ ...sizes, steps: progress.steps, ...(progress.threshold === undefined ? {} : { threshold: progress.threshold }) });
  return {
    P, progress, read, arrays, sizes: now,
    state: (): StepState => ({ ...now(), ...engine.tidy(() => ({ parameters: arrays(read(P)), m: arrays(read(M)), v: arrays(read(V)) })) }),
    live: (): StepState => ({ ...now(), parameters: onDemand(P), m: onDemand(M), v: onDemand(V) }),
    /** Adam on each, in place; then W_dec's rows go back to unit norm. @param tiny TINY as a scalar */
    move(gradients: Tensors, hyper: (name: keyof Tensors) => Id[], tiny: Id): void {
      for (const name of Object.keys(P) as (keyof Tensors)[]) K.adam(P[name]!, M[name]!, V[name]!, gradients[name]!, hyper(name));
      const moved = K.read(P.wd);
      const norms = engine.tidy(() => K.rsqrt(K.add(K.sum(K.square(moved), [1], true), tiny)));
      K.assign(P.wd, K.mul(moved, norms));
    },
    settle(): void {
      for (const set of moments.splice(0)) for (const variable of Object.values(set)) K.destroy(variable);
    },
    dispose(): void {
      this.settle();
      for (const variable of Object.values(P)) K.destroy(variable);
    },
  };
}
