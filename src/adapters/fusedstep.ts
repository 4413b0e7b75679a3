import { OptionError } from "../core/errors";
import { random } from "../core/random";
import { far } from "../core/referencestep";
import { auxiliary } from "../core/schedule";
import { fromBfloat16, toBfloat16 } from "../core/safetensors";
import { freshState, madeOnDemand, partLengths, sizesOf, type FreshOptions, type Parameters, type StateSizes, type StepState } from "../core/trained";
import { atOnce } from "./atonce";
import { auxiliaryGradients } from "./auxk";
import { checkBatch } from "./batch";
import { encodeChunks, forward, PADDING, paddingOf, type Choice } from "./coder";
import { inference } from "./inference";
import { lossesOf, movedThreshold, selectorOf } from "./kinds";
import { HALVES, loadOps, type Half, type Ops } from "./ops";
import { changing } from "./outofmemory";
import { stockStep, type Losses, type StepNow, type UpdateOptions } from "./step";
import { adamNumbers, BETA1, BETA2, DT, EPSILON, kernels, type Engine, type Id } from "./tensorflow";

/**
 * The stock step's arithmetic by the fused ops of src/native/ops.cc, where it stands written. TensorFlow's own kernels do the
 * encoder's product where the choice says "apart" (of group-max always), the auxiliary term and a skip connection; batch-top-k's
 * choice among each row's candidates is made in core/batchtopk.ts. JumpReLU has nothing here: its step is the stock one.
 */

const isHalf = (product: Choice["product"]): product is Half => HALVES.includes(product as Half);

/** What stands in the card of a fused run: only the product is left to choose. */
export const FUSED: Choice = { step: "fused", product: "joined", precision: "f32", groups: [], chunk: 1 };

/** The ops by name; to be called inside `tidy`. */
export function fusedKernels(engine: Engine) {
  const { run, tensor } = engine;
  const K = kernels(engine);
  return {
    /** The k latents of rows x [n, d], the rows less b_dec. */
    encode(x: Id, wEnc: Id, bEnc: Id, k: number, product: Choice["product"]): { value: Id; index: Id } {
      if (isHalf(product)) return this.encodeHalf(x, wEnc, bEnc, k, product);
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
    /** The same again, candidates found by a product in half precision and rescored. */
    encodeHalf(x: Id, wEnc: Id, bEnc: Id, k: number, half: Half): { value: Id; index: Id } {
      const number = tensor(Int32Array.of(HALVES.indexOf(half)), []);
      const [value, index] = run("SaeEncodeTopKHalf", {}, [x, wEnc, bEnc, tensor(Int32Array.of(k), []), number], 2);
      return { value, index };
    },
    /** The largest of each of k groups of neighbours of pre + b_enc, after ReLU. */
    groupMax(pre: Id, bEnc: Id, k: number): { value: Id; index: Id } {
      const [value, index] = run("SaeGroupMax", {}, [pre, bEnc, tensor(Int32Array.of(k), [])], 2);
      return { value, index };
    },
    /**
     * @param goal what is to be rebuilt; y has its variance; levels [n, k], or [1, 1] for one
     * @returns e by level [n, L, dOut]; stats: the levels' FVU, then Σ(y − ȳ)²
     */
    decode(goal: Id, { value, index, levels }: Pairs, y: Id, weights: number[], wDec: Id): { e: Id; g: Id; eSum: Id; stats: Id } {
      const [e, g, eSum, stats] = run("SaeDecode", {}, [goal, value, index, levels, y, tensor(Float32Array.from(weights), [weights.length]), wDec], 4);
      return { e, g, eSum, stats };
    },
    gradients(inputs: Id[], wEnc: Id): Id[] {
      return run("SaeGrads", {}, [...inputs, wEnc], 4);
    },
    /** Changes the parameters and moments in place. */
    update: (inputs: Id[], rest: Id[], moments: Choice["moments"] = "f32"): void =>
      void run("SaeUpdate", { T: { type: moments === "bf16" ? DT.i32 : DT.f32 } }, [...inputs, ...rest], 1),
  };
}

/** Pairs as the ops take them. */
interface Pairs { value: Id; index: Id; levels: Id }

/** What the update op changes; a skip connection is TensorFlow's. */
const names = ["wEnc", "bEnc", "wDec", "bDec"] as const;
type Tensors = Record<(typeof names)[number], Id>;
const isMatrix = (name: keyof Tensors): boolean => name === "wEnc" || name === "wDec";

/** @throws OptionError when this processor has not got the choice's product */
export function requireProduct(engine: Engine, { product }: Choice): void {
  const built = loadOps(engine);
  if (!isHalf(product) || ("id" in built && built.halves.includes(product))) return;
  throw new OptionError(
    `choice: product: expected one that this processor has (joined, apart${"id" in built ? built.halves.map((half) => `, ${half}`).join("") : ""}), ` +
    `found ${product}. Leave the choice out: another product rounds differently, and the choice of latents is the same but for near ties.`);
}

export function fusedStep(engine: Engine, initial: StepState, given: Choice = FUSED): StepNow {
  const sizes = sizesOf(initial); // not the arrays: they are let go
  const { kind, d, dOut, latents, k, transcoder } = sizes;
  if (kind === "jumprelu") return stockStep(engine, initial);
  const choice: Choice = kind === "groupmax" ? { ...given, product: "apart" } : given;
  requireProduct(engine, choice);
  const { K, inPieces } = forward(engine);
  const ops = fusedKernels(engine);
  const select = selectorOf(engine, sizes);
  const shapes: Record<keyof Tensors, number[]> = { wEnc: [latents, d], bEnc: [latents], wDec: [latents, dOut], bDec: [dOut] };
  /** Tensors of their own memory, as they are changed in place. */
  const tensors = (p: Parameters): Tensors => Object.fromEntries(names.map((name) => [name, K.own(p[name], shapes[name])])) as Tensors;
  const P = tensors(initial.parameters);
  const brief = choice.moments === "bf16";
  const momentTensors = (p: Parameters): Tensors => !brief ? tensors(p) : Object.fromEntries(
    names.map((name) => [name, isMatrix(name) ? K.ownPairs(p[name]) : K.own(p[name], shapes[name])])) as Tensors;
  const M = momentTensors(initial.m);
  const V = momentTensors(initial.v);
  const moments = [M, V];
  const skips = initial.parameters.wSkip ? [initial.parameters, initial.m, initial.v].map((p) => K.variable(p.wSkip!, [dOut, d])) : [];
  let { steps, threshold } = initial;

  interface Auxiliary { at: Id; dwe: Id; dbe: Id; dwd: Id; weDead: Id; loss: number }

  /** No latents: one entry of −1, as the binding makes no empty matrices. */
  const noAuxiliary = (): Auxiliary => {
    const row = engine.tensor(new Float32Array(d), [1, d]);
    const dwd = d === dOut ? row : engine.tensor(new Float32Array(dOut), [1, dOut]);
    return { at: engine.tensor(Int32Array.of(-1), [1]), dwe: row, dwd, weDead: row, dbe: engine.tensor(new Float32Array(1), [1]), loss: 0 };
  };

  const auxiliaryOf = (read: Id, residual: Id, variance: number, n: number, dead: Int32Array, weight: number): Auxiliary => {
    const m = dead.length;
    const at = engine.tensor(dead, [m]);
    const xa = K.concat([read, engine.tensor(paddingOf(n), [n, PADDING])], 1);
    const wEnc = K.gather(P.wEnc, at);
    const bEnc = K.reshape(K.gather(P.bEnc, at), [m, 1]);
    const weDead = K.concat([wEnc, bEnc, engine.tensor(new Float32Array(m * (PADDING - 1)), [m, PADDING - 1])], 1);
    const { k: kept, scale } = auxiliary(m, dOut, weight);
    const { dwe, dwd, squares } = auxiliaryGradients(
      engine, { weDead, wdDead: K.gather(P.wDec, at) }, { n, dOut, dead: m, kept, width: d + PADDING, most: step.rows },
      { xa, residual, factor: K.scalar((2 * scale) / variance) });
    return {
      at, dwd, weDead: wEnc, loss: engine.floats(squares)[0] * (variance / (4 * scale)),
      dwe: K.slice(dwe, [0, 0], [m, d]), dbe: K.reshape(K.slice(dwe, [0, d], [m, 1]), [m]),
    };
  };

  /** To be called inside `tidy`. `inputs`: what the gradients are made of. */
  const backward = (x: Float32Array, { dead = new Int32Array(0), auxWeight = 1, target }: Omit<UpdateOptions, "learningRate">) => {
    const n = checkBatch(sizes, x, target);
    const rows = engine.tensor(x, [n, d]);
    const read = transcoder ? rows : K.sub(rows, P.bDec); // by the encoder
    const y = target ? engine.tensor(target, [n, dOut]) : read;
    let goal = transcoder ? K.sub(y, P.bDec) : read;
    if (skips.length) goal = K.sub(goal, K.matMul(rows, K.read(skips[0]), { transposeB: true }));
    const selection = select({
      n,
      largest: (count, some) => inPieces(
        some ? K.gather(read, engine.tensor(some, [some.length])) : read, some?.length ?? n, d, choice.product === "apart" ? step.rows : Infinity,
        (part) => ops.encode(part, P.wEnc, P.bEnc, count, choice.product)),
      groups: () => inPieces(read, n, d, step.rows, (part) => ops.groupMax(K.matMul(part, P.wEnc, { transposeB: true }), P.bEnc, k)),
    });
    const { value, index, weights, main } = selection;
    const L = weights.length;
    const levels = selection.levels ? engine.tensor(selection.levels, [n, selection.columns]) : engine.tensor(new Int32Array(1), [1, 1]);
    const { e, g, eSum, stats } = ops.decode(goal, { value, index, levels }, y, weights, P.wDec);
    const numbers = engine.floats(stats), variance = numbers[L];
    const level = (l: number): Id => (L === 1 ? K.reshape(e, [n, dOut]) : K.reshape(K.slice(e, [0, l, 0], [n, 1, dOut]), [n, dOut]));
    /** y − ŷ of the SAE's own level, whose error is in e with those behind it. */
    const residual = (): Id => {
      const own = main + 1 < L ? K.sub(level(main), level(main + 1)) : level(main);
      return K.mul(own, K.scalar(-variance / (2 * weights[main])));
    };
    const revives = dead.length > 0 && auxWeight > 0;
    const aux = revives ? auxiliaryOf(read, residual(), variance, n, dead, auxWeight) : noAuxiliary();
    const losses: Losses = { ...lossesOf(selection, numbers), aux: aux.loss };
    const tied = engine.tensor(Int32Array.of(transcoder ? 0 : 1), []);
    const skip = skips.length ? K.matMul(level(0), rows, { transposeA: true }) : undefined;
    return { inputs: [read, value, index, levels, e, g, eSum, tied], aux, revives, losses, least: selection.least, skip };
  };

  const ranked: StepNow["encodeTopK"] = (x, { k: count = k, only } = {}) => engine.tidy(() => {
    const list = only && engine.tensor(only, [only.length]);
    const wEnc = list ? K.gather(P.wEnc, list) : P.wEnc;
    const bEnc = list ? K.gather(P.bEnc, list) : P.bEnc;
    return encodeChunks({ d, latents, k: count, only }, x, (rows, n) => engine.tidy(() => {
      const given = engine.tensor(rows, [n, d]);
      const { value, index } = ops.encode(transcoder ? given : K.sub(given, P.bDec), wEnc, bEnc, count, choice.product);
      return { index: engine.ints(index), value: engine.floats(value) };
    }));
  });
  const lengths = partLengths(sizes);
  const read = (set: Tensors, name: keyof Tensors): Float32Array =>
    brief && isMatrix(name) && (set === M || set === V) ? K.pairsOf(set[name], 0, lengths[name]) : engine.floats(set[name]);
  const readAll = (set: Tensors, skip?: Id): Parameters => ({
    ...Object.fromEntries(names.map((name) => [name, read(set, name)])) as unknown as Parameters,
    ...(skip === undefined ? {} : { wSkip: engine.floats(skip) }),
  });
  const now = (): StateSizes => ({ ...sizes, steps, ...(threshold === undefined ? {} : { threshold }) });
  const state = (): StepState => engine.tidy(() => {
    const [p, m, v] = [P, M, V].map((set, i) => readAll(set, skips.length ? K.read(skips[i]) : undefined));
    return { ...now(), parameters: p, m, v };
  });

  const onDemand = (set: Tensors, skip?: Id): Parameters => madeOnDemand({
    ...Object.fromEntries(names.map((name) => [name, () => read(set, name)])),
    ...(skip === undefined ? {} : { wSkip: () => engine.tidy(() => engine.floats(K.read(skip))) }),
  });
  const live = (): StepState => ({
    ...now(), parameters: onDemand(P, skips[0]), m: onDemand(M, skips[1]), v: onDemand(V, skips[2]),
  });

  const step: StepNow = {
    kind: "fused",
    choice,
    rows: Infinity,
    ...inference(engine, live, ranked),
    gradients: (x, options = {}) => engine.tidy(() => {
      const { inputs, aux, revives, losses, skip } = backward(x, options);
      let [wEnc, bEnc, wDec, bDec] = ops.gradients(inputs, P.wEnc);
      if (revives) {
        const m = options.dead!.length;
        const at = K.reshape(aux.at, [m, 1], DT.i32);
        wEnc = K.addToRows(wEnc, at, aux.dwe);
        bEnc = K.addToRows(bEnc, at, aux.dbe);
        wDec = K.addToRows(wDec, at, aux.dwd);
        if (!transcoder) bDec = K.sub(bDec, K.reshape(K.matMul(K.reshape(aux.dbe, [1, m]), aux.weDead), [d]));
      }
      return { ...losses, gradient: readAll({ wEnc, bEnc, wDec, bDec }, skip) };
    }),
    ...atOnce((x, options) => engine.tidy(() => {
      const { inputs, aux, losses, least, skip } = backward(x, options);
      const t = steps + 1;
      const hyper = [options.learningRate / (1 - BETA1 ** t), 1 / Math.sqrt(1 - BETA2 ** t), BETA1, BETA2, EPSILON];
      const all = [P, M, V].flatMap((set) => names.map((name) => set[name]));
      const rest = [engine.tensor(Float32Array.from(hyper), [5]), K.int(t), aux.at, aux.dwe, aux.dbe, aux.dwd, ...all];
      const forSkip = skip === undefined ? [] : adamNumbers(t, options.learningRate).map(K.scalar);
      changing(() => {
        ops.update(inputs, rest, choice.moments);
        if (skip !== undefined) K.adam(skips[0], skips[1], skips[2], skip, forSkip);
      });
      steps = t;
      threshold = movedThreshold(threshold, least);
      return losses;
    }), latents),
    sizes: now,
    state,
    live,
    part: (set, name, from, to) => engine.tidy(() => {
      const whole = name === "wSkip" ? K.read(skips[{ parameters: 0, m: 1, v: 2 }[set]]) : { parameters: P, m: M, v: V }[set][name as keyof Tensors];
      if (brief && set !== "parameters" && isMatrix(name as keyof Tensors)) return K.pairsOf(whole, from, to);
      return engine.floats(K.slice(K.reshape(whole, [lengths[name]]), [from], [to - from])); // a reshaped tensor shares its memory
    }),
    settle() {
      for (const set of moments.splice(0)) engine.free(...Object.values(set));
      for (const skip of skips.splice(1)) K.destroy(skip);
    },
    dispose() {
      this.settle();
      engine.free(...Object.values(P));
      for (const skip of skips) K.destroy(skip);
    },
  };
  return step;
}

let tested: Ops | undefined;

/** The fused ops, when they are there and pass their self-test; else why not. Tested once a process. */
export function fusedOps(engine: Engine): Ops {
  if (tested) return tested;
  const ops = loadOps(engine);
  if ("why" in ops) return (tested = ops);
  const faultOf = (product: Choice["product"], moments?: Choice["moments"]) => differs(engine, (e, initial) => fusedStep(e, initial, { ...FUSED, product, moments }));
  const fault = faultOf("joined") ?? faultOf("apart") ?? faultOf("joined", "bf16");
  if (fault !== undefined) return (tested = { why: `they differ from the stock step on this machine (${fault})` });
  return (tested = { ...ops, halves: ops.halves.filter((half) => faultOf(half) === undefined) });
}

/**
 * A gradient and an update with and without dead latents, of sizes that divide nothing, beside the stock step's; of a top-k
 * SAE, a matryoshka transcoder (levels, another width) and a group-max one. Rows and encoder are small multiples of 1/16:
 * pre-activations are exact in any order of summing, many tie, and the chosen latents must be the same. The rest is held
 * against rounding: float32 sums over fewer than 100 numbers. Moments begin as bfloat16 can be, and a step that keeps them so is
 * held against its last place.
 * @returns where a step differs; nothing when it agrees
 */
export function differs(engine: Engine, make: (engine: Engine, initial: StepState) => StepNow): string | undefined {
  const d = 21, latents = 1100, k = 5, n = 67, rng = random(0); // enough latents for the groups of the top-k
  const normals = (count: number, scale = 1): Float32Array => Float32Array.from({ length: count }, () => scale * rng.normal());
  const sixteenths = (count: number, scale: number): Float32Array => normals(count, scale).map((value) => Math.round(16 * value) / 16);
  const x = sixteenths(n * d, 1), dead = Int32Array.from({ length: 40 }, (_, i) => 20 * i + 3);
  const other = { dOut: 13, transcoder: true }, target = normals(n * other.dOut);
  const cases: [FreshOptions, Omit<UpdateOptions, "learningRate">][] = [
    [{}, {}], [{}, { dead }], [{ kind: "matryoshka", widths: [100, latents], ...other }, { dead, target }], [{ kind: "groupmax", ...other }, { target }],
  ];
  for (const [shape, options] of cases) {
    const { dOut = d } = shape;
    const parameters = (scale: number): Parameters => ({
      wEnc: sixteenths(latents * d, scale), bEnc: sixteenths(latents, scale), wDec: normals(latents * dOut, scale), bDec: sixteenths(dOut, scale),
    });
    const m = parameters(0.1), v = parameters(0.1);
    for (const name of names) [m[name], v[name]] = [bfloat16s(m[name]), bfloat16s(v[name].map((value) => value * value))];
    const initial: StepState = { ...freshState(d, latents, k, parameters(0.25), shape), steps: 6, m, v };
    const what = shape.kind ? `, ${shape.kind}` : "";
    const steps: StepNow[] = [];
    try {
      for (const one of [make, stockStep]) steps.push(one(engine, initial));
      const [a, b] = steps.map((step) => step.gradients(x, options));
      if (far([a.fvu, a.aux, a.extra], [b.fvu, b.aux, b.extra], 1e-5)) return `loss${what}`;
      if (a.chosen.index.some((f, i) => f !== b.chosen.index[i])) return `chosen latents${what}`;
      for (const name of names) if (far(a.gradient[name], b.gradient[name], 1e-5)) return `gradient of ${name}${what}`;
      const [p, q] = steps.map((step) => {
        step.update(x, { learningRate: 0.003, ...options });
        return step.state();
      });
      for (const set of ["parameters", "m", "v"] as const) {
        const brief = set !== "parameters" && steps[0].choice.moments === "bf16";
        for (const name of names) if (far(p[set][name], q[set][name], brief ? 2 ** -7 : 1e-5)) return `${name} after an update (${set})${what}`;
      }
    } catch (error) {
      return (error as Error).message;
    } finally {
      for (const step of steps) step.dispose();
    }
  }
  return undefined;
}

/** Rounded to what a bfloat16 can be. */
function bfloat16s(values: Float32Array): Float32Array {
  const halves = new Uint16Array(values.length);
  toBfloat16(values, halves);
  return fromBfloat16(new Uint8Array(halves.buffer));
}
