import { MemoryError } from "../core/errors";
import { auxiliary } from "../core/schedule";
import { partsOf, sizesOf, TINY, type Parameter, type Parameters, type StateSizes, type StepState } from "../core/trained";
import type { Sparse } from "../core/types";
import { atOnce } from "./atonce";
import { checkBatch, meanActive } from "./batch";
import { inference } from "./inference";
import { bandwidthOf, L0_WEIGHT, THRESHOLD_SPEED } from "./jumprelu";
import { movedThreshold } from "./kinds";
import { memoryErrorOf } from "./outofmemory";
import type { Losses, StepNow, UpdateOptions } from "./step";
import { BETA1, BETA2, EPSILON, type Engine } from "./tensorflow";

/**
 * Dense, with TF.js's own gradients, of every kind and structure: every latent is computed, and masks of 0 and 1 keep the
 * chosen. Slow; the reference of the stock step.
 */
export function plainStep(engine: Engine, initial: StepState): StepNow {
  const { tf } = engine;
  const { kind, d, dOut, latents, k, transcoder, widths } = initial;
  const names = partsOf(initial.parameters);
  const shapes: Record<Parameter, number[]> = {
    wEnc: [latents, d], bEnc: [latents], wDec: [latents, dOut], bDec: [dOut], wSkip: [dOut, d], logThreshold: [latents],
  };
  type Tensor = ReturnType<typeof tf.tensor>;
  type Variables = Record<Parameter, ReturnType<typeof tf.variable>>;
  const variables = (p: Parameters): Variables => tf.tidy(() => // a variable outlives tidy, the tensor it was made of does not
    Object.fromEntries(names.map((name) => [name, tf.variable(tf.tensor(p[name]!.slice(), shapes[name]))])) as never) as unknown as Variables;
  const P = variables(initial.parameters);
  const M = variables(initial.m);
  const V = variables(initial.v);
  let { steps, threshold } = initial;
  const parameters = (from: Record<Parameter, Tensor>): Parameters =>
    Object.fromEntries(names.map((name) => [name, (from[name].dataSync() as Float32Array).slice()])) as unknown as Parameters;

  const product = (a: Tensor, b: Tensor, transposeB = false): Tensor => tf.matMul(a as never, b as never, false, transposeB);
  const preActivations = (x: Tensor): Tensor => tf.add(product(transcoder ? x : tf.sub(x, P.bDec), P.wEnc, true), P.bEnc);

  /** 1 at the pairs, else 0; with `below` only at latents less than that. */
  const mask = (n: number, { k: columns, index, value }: Sparse, below = latents): Tensor => {
    const out = new Float32Array(n * latents);
    index.forEach((f, i) => {
      if (f < below && !(value[i] === 0)) out[Math.floor(i / columns) * latents + f] = 1;
    });
    return tf.tensor(out, [n, latents]);
  };
  /** The `count` largest of each row among the allowed latents. */
  const largest = (pre: Float32Array, n: number, count: number, allowed: ArrayLike<number>): Sparse => {
    const index = new Int32Array(n * count), value = new Float32Array(n * count);
    for (let row = 0; row < n; row++) {
      const at = row * latents;
      const order = Array.from(allowed).sort((a, b) => pre[at + b] - pre[at + a] || a - b);
      for (let i = 0; i < count; i++) {
        index[row * count + i] = order[i];
        value[row * count + i] = Math.max(pre[at + order[i]], 0);
      }
    }
    return { n, k: count, index, value };
  };
  const everyone = Array.from({ length: latents }, (_, f) => f);
  /** Rows of pairs [n, …], filled up with zeros. */
  const padded = (n: number, pairs: Iterable<[row: number, latent: number, value: number]>): Sparse => {
    const rows: [number, number][][] = Array.from({ length: n }, () => []);
    for (const [row, f, value] of pairs) rows[row].push([f, value]);
    const columns = Math.max(1, ...rows.map((row) => row.length));
    const out: Sparse = { n, k: columns, index: new Int32Array(n * columns), value: new Float32Array(n * columns) };
    rows.forEach((row, b) => row.forEach(([f, value], j) => {
      out.index[b * columns + j] = f;
      out.value[b * columns + j] = value;
    }));
    return out;
  };

  /** What fires, and each level's mask and weight; the main level's number. Of JumpReLU no mask, as its gate has gradients. */
  const chooses = (pre: Float32Array, n: number): { chosen: Sparse; levels: { mask: Tensor; weight: number }[]; main: number } => {
    const one = (chosen: Sparse) => ({ chosen, levels: [{ mask: mask(n, chosen), weight: 1 }], main: 0 });
    switch (kind) {
      case "topk": return one(largest(pre, n, k, everyone));
      case "multitopk": {
        const { chosen, levels } = one(largest(pre, n, k, everyone));
        return { chosen, levels: [...levels, { mask: mask(n, largest(pre, n, Math.min(4 * k, latents), everyone)), weight: 1 / 8 }], main: 0 };
      }
      case "groupmax": {
        const size = latents / k;
        return one(padded(n, Array.from({ length: n * k }, (_, i): [number, number, number] => {
          const row = Math.floor(i / k), from = (i % k) * size;
          const f = largest(pre.subarray(row * latents), 1, 1, everyone.slice(from, from + size)).index[0];
          return [row, f, Math.max(0, pre[row * latents + f])];
        })));
      }
      case "batchtopk":
      case "matryoshka": {
        const order = Array.from(pre.keys()).filter((i) => pre[i] > 0).sort((a, b) => pre[b] - pre[a] || a - b).slice(0, n * k);
        const chosen = padded(n, order.map((i) => [Math.floor(i / latents), i % latents, pre[i]]));
        if (kind === "batchtopk") return one(chosen);
        return { chosen, levels: widths!.map((width) => ({ mask: mask(n, chosen, width), weight: 1 / widths!.length })), main: widths!.length - 1 };
      }
      case "jumprelu": {
        const theta = tf.exp(P.logThreshold).dataSync() as Float32Array;
        const pairs = Array.from(pre.keys()).filter((i) => pre[i] > theta[i % latents]);
        return { chosen: padded(n, pairs.map((i) => [Math.floor(i / latents), i % latents, pre[i]])), levels: [], main: 0 };
      }
    }
  };

  const bandwidth = bandwidthOf(initial);
  /**
   * H(p − θ) and p·H(p − θ) as functions of p and θ with the straight-through gradients of jumprelu.ts. What these gradients
   * are made of is computed here, from the values: it has to outlive the forward pass.
   */
  const gates = (pre: Tensor): { open: (p: Tensor, theta: Tensor) => Tensor; v: (p: Tensor, theta: Tensor) => Tensor } => {
    const now = tf.exp(P.logThreshold);
    const H = tf.cast(tf.greater(pre, now), "float32");
    const near = tf.mul(tf.cast(tf.less(tf.abs(tf.sub(pre, now)), bandwidth / 2), "float32"), -1 / bandwidth);
    const [nothing, nearTheta] = [tf.zerosLike(pre), tf.mul(near, now)];
    return {
      open: tf.customGrad(() => ({ value: H.clone(), gradFunc: (dy: Tensor) => [nothing.clone(), tf.sum(tf.mul(dy, near), 0)] }) as never) as never,
      v: tf.customGrad(((p: Tensor) => ({ value: tf.mul(p, H), gradFunc: (dy: Tensor) => [tf.mul(dy, H), tf.sum(tf.mul(dy, nearTheta), 0)] })) as never) as never,
    };
  };

  const backward = (
    x: Float32Array, { dead = new Int32Array(0), auxWeight = 1, target, l0Weight = L0_WEIGHT }: Omit<UpdateOptions, "learningRate">,
  ): Losses & { gradient: Record<Parameter, Tensor> } => {
    const n = checkBatch(initial, x, target);
    const rows = tf.tensor(x, [n, d]);
    const y = target ? tf.tensor(target, [n, dOut]) : rows;
    const variance = tf.sum(tf.squaredDifference(y, tf.mean(y, 0))).dataSync()[0];
    const preNow = preActivations(rows), pre = preNow.dataSync() as Float32Array;
    const { chosen, levels, main } = chooses(pre, n);
    const { k: kept, scale } = auxiliary(dead.length, dOut, auxWeight);
    const side = kept ? mask(n, largest(pre, n, kept, dead)) : undefined;
    const decoded = (v: Tensor): Tensor => product(v, P.wDec);
    const error = (v: Tensor): Tensor => {
      const rebuilt = tf.add(decoded(v), P.bDec);
      return tf.sub(P.wSkip ? tf.add(rebuilt, product(rows, P.wSkip, true)) : rebuilt, y);
    };
    const share = (e: Tensor): Tensor => tf.div(tf.sum(tf.square(e)), variance);
    const masked = (m: Tensor): Tensor => tf.mul(tf.relu(preActivations(rows)), m);
    const gate = kind === "jumprelu" ? gates(preNow) : undefined;
    const through = (name: "open" | "v"): Tensor => gate![name](preActivations(rows), tf.exp(P.logThreshold));
    // The residual is a constant in the auxiliary term: it is computed before, outside the gradient.
    const residual = tf.neg(error(gate ? through("v") : masked(levels[main].mask)));
    let fvu = 0, aux = 0, extra = 0;
    const number = (t: Tensor): number => t.dataSync()[0];
    const { grads } = tf.variableGrads(() => {
      let loss: Tensor;
      if (gate) {
        const own = share(error(through("v")));
        const excess = tf.sub(tf.div(tf.sum(through("open")), n * k), 1), penalty = tf.mul(tf.square(excess), l0Weight);
        [fvu, extra] = [number(own), number(penalty)];
        loss = tf.add(own, penalty);
      } else {
        const shares = levels.map((level) => share(error(masked(level.mask))));
        loss = shares.map((one, l) => tf.mul(one, levels[l].weight) as Tensor).reduce((a, b) => tf.add(a, b));
        fvu = number(shares[main]);
        extra = levels.length > 1 ? number(loss) - fvu : 0;
      }
      if (!side) return loss as never;
      const revived = tf.mul(share(tf.sub(decoded(masked(side)), residual)), scale);
      aux = number(revived);
      return tf.add(loss, revived) as never;
    }, names.map((name) => P[name]));
    const gradient = Object.fromEntries(names.map((name) => [name, grads[P[name].name]])) as Record<Parameter, Tensor>;
    return { fvu, aux, extra, l0: meanActive(chosen), chosen, gradient };
  };

  /** @throws MemoryError in place of what TF.js throws for want of memory */
  const typed = (intact: () => boolean, body: () => void): void => {
    try {
      body();
    } catch (error) {
      const memory = memoryErrorOf("the plain step", error);
      throw memory ? new MemoryError(memory.message, { intact: intact(), bytes: memory.bytes, cause: error }) : error;
    }
  };

  const now = (): StateSizes => ({ ...sizesOf(initial), steps, ...(threshold === undefined ? {} : { threshold }) });
  const state = (): StepState => ({
    ...now(), parameters: parameters(P), m: parameters(M), v: parameters(V),
  });
  return {
    kind: "plain",
    choice: { precision: "f32", groups: [], chunk: 0 },
    rows: Infinity,
    ...inference(engine, state),
    gradients: (x, options = {}) => {
      let result: (Losses & { gradient: Parameters }) | undefined;
      typed(() => true, () => tf.tidy(() => {
        const { gradient, ...losses } = backward(x, options);
        result = { ...losses, gradient: parameters(gradient) };
      }));
      return result!;
    },
    ...atOnce((x, options) => {
      let losses: Losses | undefined, moved = false;
      typed(() => !moved, () => tf.tidy(() => {
        const { gradient, ...rest } = backward(x, options);
        losses = rest;
        const along = tf.sum(tf.mul(gradient.wDec, P.wDec), 1, true);
        gradient.wDec = tf.sub(gradient.wDec, tf.mul(along, P.wDec));
        moved = true;
        steps++;
        const positive = rest.chosen.value.filter((v) => v > 0);
        if (kind === "batchtopk" || kind === "matryoshka") threshold = movedThreshold(threshold, positive.length ? positive.reduce((a, b) => Math.min(a, b)) : undefined);
        for (const name of names) {
          M[name].assign(tf.add(tf.mul(M[name], BETA1), tf.mul(gradient[name], 1 - BETA1)));
          V[name].assign(tf.add(tf.mul(V[name], BETA2), tf.mul(tf.square(gradient[name]), 1 - BETA2)));
          const mean = tf.div(M[name], 1 - BETA1 ** steps);
          const root = tf.add(tf.sqrt(tf.div(V[name], 1 - BETA2 ** steps)), EPSILON);
          P[name].assign(tf.sub(P[name], tf.mul(tf.div(mean, root), options.learningRate * (name === "logThreshold" ? THRESHOLD_SPEED : 1))));
        }
        P.wDec.assign(tf.mul(P.wDec, tf.rsqrt(tf.add(tf.sum(tf.square(P.wDec), 1, true), TINY))));
      }));
      return losses!;
    }, latents),
    sizes: now,
    state,
    live: state,
    settle() {}, // of a reference, memory is no matter
    dispose() {
      for (const set of [P, M, V]) for (const name of names) set[name].dispose();
    },
  };
}
