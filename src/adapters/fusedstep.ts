import { measuring } from "../core/measure";
import { random } from "../core/random";
import { coder, decodeRows, encodeChunks, PADDING, type Choice, type Parameters } from "./coder";
import { loadOps, type Ops } from "./ops";
import { auxiliaryGradients, checkRows, freshState, stockStep, type Step, type StepState, type UpdateOptions } from "./step";
import { BETA1, BETA2, DT, EPSILON, kernels, type Engine, type Id } from "./tensorflow";

/**
 * The stock step's arithmetic by the fused ops of src/native/ops.cc, where it stands written. Only the encoder's product and
 * the auxiliary term are TensorFlow's own kernels.
 */

/** What stands in the card of a fused run: only the product is left to choose. */
export const FUSED: Choice = { step: "fused", product: "joined", precision: "f32", groups: [], chunk: 1 };

/** The ops by name; to be called inside `tidy`. */
export function fusedKernels(engine: Engine) {
  const { run, tensor } = engine;
  const K = kernels(engine);
  return {
    /** The k latents of rows x [n, d], the rows less b_dec. */
    encode(x: Id, wEnc: Id, bEnc: Id, k: number, product: Choice["product"]): { value: Id; index: Id } {
      if (product !== "apart") return this.encodeTopK(x, wEnc, bEnc, k);
      const pre = K.matMul(x, wEnc, { transposeB: true });
      const chosen = this.topK(pre, bEnc, k);
      engine.free(pre); // the largest tensor of a step
      return chosen;
    },
    /** Of pre [n, F] + b_enc [F] the k largest of each row, after ReLU: larger first, ties by smaller index. */
    topK(pre: Id, bEnc: Id, k: number): { value: Id; index: Id } {
      const [value, index] = run("SaeTopK", {}, [pre, bEnc, tensor(Int32Array.of(k), [])], 2);
      return { value, index };
    },
    /** The same from x [n, d], the rows less b_dec, and W_enc [F, d]; pre is never whole in memory. */
    encodeTopK(x: Id, wEnc: Id, bEnc: Id, k: number): { value: Id; index: Id } {
      const [value, index] = run("SaeEncodeTopK", {}, [x, wEnc, bEnc, tensor(Int32Array.of(k), [])], 2);
      return { value, index };
    },
    /** stats: the loss and Σ(x − x̄)². */
    decode(x: Id, value: Id, index: Id, wDec: Id): { e: Id; g: Id; eSum: Id; stats: Id } {
      const [e, g, eSum, stats] = run("SaeDecode", {}, [x, value, index, wDec], 4);
      return { e, g, eSum, stats };
    },
    gradients(inputs: Id[], wEnc: Id): Id[] {
      return run("SaeGrads", {}, [...inputs, wEnc], 4);
    },
    /** Changes the parameters and moments in place. */
    update: (inputs: Id[], rest: Id[]): void => void run("SaeUpdate", {}, [...inputs, ...rest], 1),
  };
}

const names = ["wEnc", "bEnc", "wDec", "bDec"] as const;

export function fusedStep(engine: Engine, initial: StepState, choice: Choice = FUSED): Step {
  const { d, latents, k } = initial;
  const K = kernels(engine);
  const ops = fusedKernels(engine);
  const shapes: Record<(typeof names)[number], number[]> = { wEnc: [latents, d], bEnc: [latents], wDec: [latents, d], bDec: [d] };
  /** Tensors of their own memory, as they are changed in place: one made of an array may share the caller's. */
  const tensors = (p: Parameters): Record<(typeof names)[number], Id> => Object.fromEntries(names.map((name) => {
    const given = engine.tensor(p[name], shapes[name]), own = K.mul(given, one);
    engine.free(given);
    return [name, own];
  })) as Record<(typeof names)[number], Id>;
  const one = K.scalar(1);
  const P = tensors(initial.parameters);
  const M = tensors(initial.m);
  const V = tensors(initial.v);
  engine.free(one);
  let steps = initial.steps;

  interface Auxiliary { at: Id; dwe: Id; dbe: Id; dwd: Id; weDead: Id; loss: number }

  /** No latents: one entry of −1, as the binding makes no empty matrices. */
  const noAuxiliary = (): Auxiliary => {
    const row = engine.tensor(new Float32Array(d), [1, d]);
    return { at: engine.tensor(Int32Array.of(-1), [1]), dwe: row, dwd: row, weDead: row, dbe: engine.tensor(new Float32Array(1), [1]), loss: 0 };
  };

  const auxiliaryOf = (xc: Id, e: Id, variance: number, n: number, dead: Int32Array, weight: number): Auxiliary => {
    const m = dead.length;
    const at = engine.tensor(dead, [m]);
    const ones = new Float32Array(n * PADDING);
    for (let i = 0; i < n; i++) ones[i * PADDING] = 1;
    const xa = K.concat([xc, engine.tensor(ones, [n, PADDING])], 1);
    const wEnc = K.gather(P.wEnc, at);
    const bEnc = K.reshape(K.gather(P.bEnc, at), [m, 1]);
    const weDead = K.concat([wEnc, bEnc, engine.tensor(new Float32Array(m * (PADDING - 1)), [m, PADDING - 1])], 1);
    const { dwe, dwd, loss } = auxiliaryGradients(
      engine, { weDead, wdDead: K.gather(P.wDec, at) }, { n, d, dead: m, weight }, { xa, e, variance });
    return {
      at, dwd, loss, weDead: wEnc,
      dwe: K.slice(dwe, [0, 0], [m, d]), dbe: K.reshape(K.slice(dwe, [0, d], [m, 1]), [m]),
    };
  };

  /** To be called inside `tidy`. `inputs`: what the gradients are made of. */
  const backward = (x: Float32Array, { dead = new Int32Array(0), auxWeight = 1 }: Omit<UpdateOptions, "learningRate">) => {
    const n = checkRows(x, d);
    const xc = K.sub(engine.tensor(x, [n, d]), P.bDec);
    const { value, index } = ops.encode(xc, P.wEnc, P.bEnc, k, choice.product);
    const { e, g, eSum, stats } = ops.decode(xc, value, index, P.wDec);
    const [fvu, variance] = engine.floats(stats);
    const revives = dead.length > 0 && auxWeight > 0;
    const aux = revives ? auxiliaryOf(xc, e, variance, n, dead, auxWeight) : noAuxiliary();
    const chosen = { n, k, index: engine.ints(index), value: engine.floats(value) };
    return { inputs: [xc, value, index, e, g, eSum], aux, revives, losses: { fvu, aux: aux.loss, chosen } };
  };

  const encodeTopK: Step["encodeTopK"] = (x, { k: count = k, only } = {}) => engine.tidy(() => {
    const list = only && engine.tensor(only, [only.length]);
    const wEnc = list ? K.gather(P.wEnc, list) : P.wEnc;
    const bEnc = list ? K.gather(P.bEnc, list) : P.bEnc;
    return encodeChunks({ d, latents, k: count, only }, x, (rows, n) => engine.tidy(() => {
      const { value, index } = ops.encode(K.sub(engine.tensor(rows, [n, d]), P.bDec), wEnc, bEnc, count, choice.product);
      return { index: engine.ints(index), value: engine.floats(value) };
    }));
  });
  const readAll = (set: Record<(typeof names)[number], Id>): Parameters =>
    Object.fromEntries(names.map((name) => [name, engine.floats(set[name])])) as unknown as Parameters;
  const decode: Step["decode"] = (sparse) => decodeRows(engine, coder(d, latents, k, readAll(P)), sparse);

  return {
    kind: "fused",
    choice,
    encodeTopK,
    decode,
    gradients: (x, options = {}) => engine.tidy(() => {
      const { inputs, aux, revives, losses } = backward(x, options);
      let [wEnc, bEnc, wDec, bDec] = ops.gradients(inputs, P.wEnc);
      if (revives) {
        const m = options.dead!.length;
        const at = K.reshape(aux.at, [m, 1], DT.i32);
        wEnc = K.addToRows(wEnc, at, aux.dwe);
        bEnc = K.addToRows(bEnc, at, aux.dbe);
        wDec = K.addToRows(wDec, at, aux.dwd);
        bDec = K.sub(bDec, K.reshape(K.matMul(K.reshape(aux.dbe, [1, m]), aux.weDead), [d]));
      }
      return { ...losses, gradient: readAll({ wEnc, bEnc, wDec, bDec }) };
    }),
    update: (x, options) => engine.tidy(() => {
      const { inputs, aux, losses } = backward(x, options);
      const t = steps + 1;
      const hyper = [options.learningRate / (1 - BETA1 ** t), 1 / Math.sqrt(1 - BETA2 ** t), BETA1, BETA2, EPSILON];
      const all = [P, M, V].flatMap((set) => names.map((name) => set[name]));
      ops.update(inputs, [engine.tensor(Float32Array.from(hyper), [5]), aux.at, aux.dwe, aux.dbe, aux.dwd, ...all]);
      steps = t;
      return losses;
    }),
    measure(x) {
      const tally = measuring(d, latents);
      const sparse = encodeTopK(x);
      tally.rows(x, decode(sparse));
      tally.latents(sparse.index, sparse.value);
      return tally.result();
    },
    state: () => ({ kind: "topk", dOut: d, transcoder: false, d, latents, k, steps, parameters: readAll(P), m: readAll(M), v: readAll(V) }),
    dispose() {
      for (const set of [P, M, V]) engine.free(...Object.values(set));
    },
  };
}

let tested: Ops | undefined;

/** The fused ops, when they are there and pass their self-test; else why not. Tested once a process. */
export function fusedOps(engine: Engine): Ops {
  if (tested) return tested;
  const ops = loadOps(engine);
  if ("why" in ops) return (tested = ops);
  const fault = differs(engine, fusedStep) ?? differs(engine, (e, initial) => fusedStep(e, initial, { ...FUSED, product: "apart" }));
  return (tested = fault === undefined ? ops : { why: `they differ from the stock step on this machine (${fault})` });
}

/**
 * A gradient and an update with and without dead latents, of sizes that divide nothing, beside the stock step's. Rows and
 * encoder are small multiples of 1/16: pre-activations are exact in any order of summing, many tie, and the chosen latents
 * must be the same. The rest is held against rounding: float32 sums over fewer than 100 numbers.
 * @returns where a step differs; nothing when it agrees
 */
export function differs(engine: Engine, make: (engine: Engine, initial: StepState) => Step): string | undefined {
  const d = 21, latents = 1100, k = 5, n = 67, rng = random(0); // enough latents for the groups of the top-k
  const normals = (count: number, scale = 1): Float32Array => Float32Array.from({ length: count }, () => scale * rng.normal());
  const sixteenths = (count: number, scale: number): Float32Array => normals(count, scale).map((value) => Math.round(16 * value) / 16);
  const parameters = (scale: number): Parameters => ({
    wEnc: sixteenths(latents * d, scale), bEnc: sixteenths(latents, scale), wDec: normals(latents * d, scale), bDec: sixteenths(d, scale),
  });
  const v = parameters(0.1);
  for (const name of names) v[name] = v[name].map((value) => value * value);
  const initial: StepState = { ...freshState(d, latents, k, parameters(0.25)), steps: 6, m: parameters(0.1), v };
  const x = sixteenths(n * d, 1);
  for (const options of [{}, { dead: Int32Array.from({ length: 40 }, (_, i) => 20 * i + 3) }]) {
    const steps: Step[] = [];
    try {
      for (const one of [make, stockStep]) steps.push(one(engine, initial));
      const [a, b] = steps.map((step) => step.gradients(x, options));
      if (far([a.fvu, a.aux], [b.fvu, b.aux], 1e-5)) return "loss";
      if (a.chosen.index.some((f, i) => f !== b.chosen.index[i])) return "chosen latents";
      for (const name of names) if (far(a.gradient[name], b.gradient[name], 1e-5)) return `gradient of ${name}`;
      const [p, q] = steps.map((step) => {
        step.update(x, { learningRate: 0.003, ...options });
        return step.state();
      });
      for (const set of ["parameters", "m", "v"] as const) {
        for (const name of names) if (far(p[set][name], q[set][name], 1e-5)) return `${name} after an update (${set})`;
      }
    } catch (error) {
      return (error as Error).message;
    } finally {
      for (const step of steps) step.dispose();
    }
  }
  return undefined;
}

/** Whether max|a − b| > tolerance·max|b|, or something is NaN. */
function far(a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number): boolean {
  let largest = 0, worst = 0;
  for (let i = 0; i < b.length; i++) {
    largest = Math.max(largest, Math.abs(b[i]));
    const difference = Math.abs(a[i] - b[i]);
    if (Number.isNaN(difference)) return true;
    worst = Math.max(worst, difference);
  }
  return worst > tolerance * largest;
}
