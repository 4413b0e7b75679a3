import { measuring } from "../core/measure";
import { decode as plainDecode, wholeRows } from "../core/sae";
import { auxiliary } from "../core/schedule";
import type { Sparse } from "../core/types";
import type { Parameters } from "./coder";
import { checkRows, TINY, type Losses, type Step, type StepState } from "./step";
import { BETA1, BETA2, EPSILON, type Engine } from "./tensorflow";

/**
 * Dense, with TF.js's own gradients: every latent is computed, and a mask of 0 and 1 keeps the chosen. Slow; the reference
 * of the stock step.
 */
export function plainStep({ tf }: Engine, initial: StepState): Step {
  const { d, latents, k } = initial;
  const names = ["wEnc", "bEnc", "wDec", "bDec"] as const;
  const shapes: Record<(typeof names)[number], number[]> = { wEnc: [latents, d], bEnc: [latents], wDec: [latents, d], bDec: [d] };
  type Tensor = ReturnType<typeof tf.tensor>;
  type Variables = Record<(typeof names)[number], ReturnType<typeof tf.variable>>;
  const variables = (p: Parameters): Variables => tf.tidy(() => // a variable outlives tidy, the tensor it was made of does not
    Object.fromEntries(names.map((name) => [name, tf.variable(tf.tensor(p[name].slice(), shapes[name]))])) as never) as unknown as Variables;
  const P = variables(initial.parameters);
  const M = variables(initial.m);
  const V = variables(initial.v);
  let steps = initial.steps;
  const parameters = (from: Variables): Parameters =>
    Object.fromEntries(names.map((name) => [name, (from[name].dataSync() as Float32Array).slice()])) as unknown as Parameters;

  const preActivations = (x: Tensor): Tensor => tf.add(tf.matMul(tf.sub(x, P.bDec) as never, P.wEnc as never, false, true), P.bEnc);
  /** 1 at the `count` largest of each row among the allowed latents, else 0. */
  const mask = (pre: Tensor, count: number, allowed: Uint8Array): { chosen: Sparse; mask: Tensor } => {
    const [n] = pre.shape;
    const values = pre.dataSync() as Float32Array;
    const out = new Float32Array(n * latents);
    const index = new Int32Array(n * count), value = new Float32Array(n * count);
    const candidates = [...allowed.keys()].filter((f) => allowed[f]);
    for (let row = 0; row < n; row++) {
      const at = row * latents;
      const order = candidates.slice().sort((a, b) => values[at + b] - values[at + a] || a - b);
      for (let i = 0; i < count; i++) {
        index[row * count + i] = order[i];
        value[row * count + i] = Math.max(values[at + order[i]], 0);
        out[at + order[i]] = 1;
      }
    }
    return { chosen: { n, k: count, index, value }, mask: tf.tensor(out, [n, latents]) };
  };

  const backward = (x: Float32Array, dead: Int32Array, weight: number): Losses & { gradient: Record<(typeof names)[number], Tensor> } => {
    const n = checkRows(x, d);
    const rows = tf.tensor(x, [n, d]);
    const variance = tf.sum(tf.squaredDifference(rows, tf.mean(rows, 0))).dataSync()[0];
    const pre = preActivations(rows);
    const main = mask(pre, k, new Uint8Array(latents).fill(1));
    const { k: kept, scale } = auxiliary(dead.length, d, weight);
    const allowed = new Uint8Array(latents);
    for (const f of dead) allowed[f] = 1;
    const side = kept ? mask(pre, kept, allowed) : undefined;
    let fvu = 0, aux = 0;
    // The residual is a constant in the auxiliary term: it is computed before, outside the gradient.
    const rebuild = (m: Tensor): Tensor => tf.matMul(tf.mul(tf.relu(preActivations(rows)), m) as never, P.wDec as never);
    const residual = tf.sub(rows, tf.add(rebuild(main.mask), P.bDec));
    const { grads } = tf.variableGrads(() => {
      const share = tf.div(tf.sum(tf.square(tf.sub(tf.add(rebuild(main.mask), P.bDec), rows))), variance);
      fvu = share.dataSync()[0];
      if (!side) return share as never;
      const extra = tf.mul(tf.div(tf.sum(tf.square(tf.sub(rebuild(side.mask), residual))), variance), scale);
      aux = extra.dataSync()[0];
      return tf.add(share, extra) as never;
    }, names.map((name) => P[name]));
    const gradient = Object.fromEntries(names.map((name) => [name, grads[P[name].name]])) as Record<(typeof names)[number], Tensor>;
    return { fvu, aux, chosen: main.chosen, gradient };
  };

  return {
    kind: "plain",
    choice: { precision: "f32", groups: [], chunk: 0 },
    encodeTopK: (x, { k: count = k, only } = {}) => tf.tidy(() => {
      const n = wholeRows(x, d);
      const allowed = new Uint8Array(latents).fill(only ? 0 : 1);
      for (const f of only ?? []) allowed[f] = 1;
      return mask(preActivations(tf.tensor(x, [n, d])), count, allowed).chosen as never;
    }) as unknown as Sparse,
    decode: (rows) => plainDecode({ d, latents, k, ...parameters(P) }, rows),
    gradients: (x, { dead = new Int32Array(0), auxWeight = 1 } = {}) => {
      let result: (Losses & { gradient: Parameters }) | undefined;
      tf.tidy(() => {
        const { gradient, ...losses } = backward(x, dead, auxWeight);
        result = { ...losses, gradient: parameters(gradient as Variables) };
      });
      return result!;
    },
    update: (x, { learningRate, dead = new Int32Array(0), auxWeight = 1 }) => {
      let losses: Losses | undefined;
      tf.tidy(() => {
        const { gradient, ...rest } = backward(x, dead, auxWeight);
        losses = rest;
        const along = tf.sum(tf.mul(gradient.wDec, P.wDec), 1, true);
        gradient.wDec = tf.sub(gradient.wDec, tf.mul(along, P.wDec));
        steps++;
        for (const name of names) {
          M[name].assign(tf.add(tf.mul(M[name], BETA1), tf.mul(gradient[name], 1 - BETA1)));
          V[name].assign(tf.add(tf.mul(V[name], BETA2), tf.mul(tf.square(gradient[name]), 1 - BETA2)));
          const mean = tf.div(M[name], 1 - BETA1 ** steps);
          const root = tf.add(tf.sqrt(tf.div(V[name], 1 - BETA2 ** steps)), EPSILON);
          P[name].assign(tf.sub(P[name], tf.mul(tf.div(mean, root), learningRate)));
        }
        P.wDec.assign(tf.mul(P.wDec, tf.rsqrt(tf.add(tf.sum(tf.square(P.wDec), 1, true), TINY))));
      });
      return losses!;
    },
    measure(x) {
      const tally = measuring(d, latents);
      const chosen = this.encodeTopK(x);
      tally.rows(x, this.decode(chosen));
      tally.latents(chosen.index, chosen.value);
      return tally.result();
    },
    state: () => ({ kind: "topk", dOut: d, transcoder: false, d, latents, k, steps, parameters: parameters(P), m: parameters(M), v: parameters(V) }),
    dispose() {
      for (const set of [P, M, V]) for (const name of names) set[name].dispose();
    },
  };
}
