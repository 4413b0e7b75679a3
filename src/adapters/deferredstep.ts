import { auxiliary } from "../core/schedule";
import { TINY, type StepState } from "../core/trained";
import type { TrainKind } from "../core/types";
import { auxiliaryGradients } from "./auxk";
import { checkBatch } from "./batch";
import { defaultGroups, forward, PADDING, paddingOf, SPARE, type Choice, type Chosen } from "./coder";
import { inference } from "./inference";
import { lossOf } from "./kinds";
import { changing } from "./outofmemory";
import type { Losses, StepNow, Taken, UpdateOptions } from "./step";
import { stockState, type Tensors } from "./stockstate";
import { adamNumbers, DT, type Engine, type Id } from "./tensorflow";

/**
 * The stock step for a card: the same arithmetic, of which nothing is read before `taken`, and nothing is sent but at the beginning of
 * an update, since either waits until the card has done all that it was given.
 *
 * Latents are counted by int64: kernels for int32 run on the host. The length of W_dec's gradient along its rows is Σ dW_dec∘W_dec of
 * the dense gradient, where the stock step sums v·g by latent: a card's segment sums add in no fixed order. So do none of the kernels
 * here, but for those of NVIDIA's libraries that make no such promise. test/adapters/gpukernels.test.ts holds every kernel that runs
 * against those of TensorFlow's CUDA build, and where its tensors lie.
 */
export const DEFERRED: readonly TrainKind[] = ["topk", "groupmax", "multitopk"];

/** Updates between two readings: what fires is known so late, and a read costs about a tenth of a step. */
const STRIDE = 8;

type Options = Omit<UpdateOptions, "learningRate">;

/** Dead latents as they were sent last. */
interface Dead { list: Int32Array; at: Id; column: Id }

/** @throws RangeError for other kinds */
export function deferredStep(engine: Engine, initial: StepState, choice: Choice): StepNow {
  const { P, progress, read, arrays, move, ...held } = stockState(engine, initial);
  const { kind, d, dOut, latents, k, transcoder } = held.sizes();
  if (!DEFERRED.includes(kind)) throw new RangeError(`deferredStep: expected one of ${DEFERRED.join(", ")}, found ${kind}`);
  const stays = new Map<string, Id>();
  /** A tensor that stays until the step ends; to be made outside `tidy`. */
  const keep = (name: string, make: () => Id): Id => {
    const known = stays.get(name);
    if (known !== undefined) return known;
    const made = engine.tidy(make);
    stays.set(name, made);
    return made;
  };
  const kept = (name: string): Id => {
    const id = stays.get(name);
    if (id === undefined) throw new RangeError(`deferredStep: ${name} was not made`);
    return id;
  };
  const drop = (of: string): void => {
    for (const [name, id] of stays) {
      if (!name.startsWith(of)) continue;
      engine.free(id);
      stays.delete(name);
    }
  };
  const { K, topK: _, ...F } = forward(engine, { type: DT.i64, number: (value) => kept(`number ${value}`) });
  const long = (values: Int32Array, shape: number[]): Id => K.cast(engine.tensor(values, shape), DT.i32, DT.i64);
  const scalar = (value: number): Id => kept(`scalar ${value}`);

  const columns = kind === "multitopk" ? Math.min(4 * k, latents) : k;
  const levels = kind === "multitopk" ? [{ columns: k, weight: 1 }, { columns, weight: 1 / 8 }] : [{ columns, weight: 1 }];
  const L = levels.length, weights = levels.map(({ weight }) => weight);
  for (const G of [...choice.groups, ...defaultGroups(latents, columns), ...defaultGroups(latents, Math.min(latents, k + SPARE))]) keep(`number ${G}`, () => long(Int32Array.of(G), []));
  for (const value of [0, -0.5, TINY]) keep(`scalar ${value}`, () => K.scalar(value));
  keep("doubled weights", () => engine.tensor(Float32Array.from(weights, (weight) => 2 * weight), L === 1 ? [] : [1, L, 1]));
  keep("never", () => engine.tensor(new Float32Array(latents), [latents]));
  if (kind === "groupmax") keep("starts", () => F.groupStarts(latents, k));
  if (L > 1) {
    keep("places", () => engine.tensor(Float32Array.from({ length: L * columns }, (_, i) => (i % columns < levels[Math.floor(i / columns)].columns ? 1 : 0)), [1, L, columns]));
  }
  let rowsOfBatch = 0;
  /** What does not change while batches have as many rows. */
  const prepare = (n: number): void => {
    if (n === rowsOfBatch) return;
    drop("batch ");
    rowsOfBatch = 0;
    keep("batch padding", () => engine.tensor(paddingOf(n), [n, PADDING]));
    keep("batch share", () => K.scalar(1 / n));
    // Sparse kernels want their shape on the host: what BroadcastArgs gives lies there.
    keep("batch shape", () => {
      const shape = long(Int32Array.of(n, latents), [2]);
      return engine.run("BroadcastArgs", { T: { type: DT.i64 } }, [shape, shape])[0];
    });
    for (const { columns: width } of levels) {
      keep(`batch rows of ${width}`, () => long(Int32Array.from({ length: n * width }, (_, i) => Math.floor(i / width)), [n * width]));
    }
    rowsOfBatch = n;
  };
  let dead: Dead | undefined;
  const sendDead = (list: Int32Array | undefined, auxWeight: number): Dead | undefined => {
    if (!list?.length || !(auxWeight > 0)) return undefined;
    if (dead && dead.list.length === list.length && dead.list.every((f, i) => f === list[i])) return dead;
    drop("dead ");
    dead = undefined;
    const at = keep("dead latents", () => long(list, [list.length]));
    const column = keep("dead column", () => K.reshape(at, [list.length, 1], DT.i64));
    return (dead = { list: list.slice(), at, column });
  };

  /** What is sent of an update; `numbers` come as scalars. To be called inside `tidy`, before anything is computed. */
  const uploaded = (x: Float32Array, { dead: list, auxWeight = 1, target }: Options, n: number, numbers: number[]) => {
    const rows = engine.tensor(x, [n, d]);
    const y = target ? engine.tensor(target, [n, dOut]) : rows;
    const revived = auxiliary(list?.length ?? 0, dOut, auxWeight);
    const all = Float32Array.from([2 * revived.scale, ...numbers]);
    const [auxFactor, ...rest] = K.unpack(engine.tensor(all, [all.length]), all.length);
    return { rows, y, auxFactor, kept: revived.k, numbers: rest };
  };
  type Uploaded = ReturnType<typeof uploaded>;

  const chosenOf = (xa: Id, we: Id, n: number): Chosen => (kind === "groupmax"
    ? F.groupMax(xa, we, { n, d, latents, k }, step.rows, kept("starts"))
    : F.encode(xa, we, { n, d, latents, k: columns }, columns === k ? choice : { ...choice, groups: defaultGroups(latents, columns) }, step.rows));

  /** Gradients, what was chosen, and numbers: `lossesOf` reads them. To be called inside `tidy`. */
  const backward = ({ rows, y, auxFactor, kept: keptOfDead }: Uploaded, n: number, deadNow: Dead | undefined, { we, wd, bd, ws }: Tensors) => {
    const mean = K.mul(K.sum(y, [0], true), kept("batch share"));
    const variance = K.sum(K.squaredDifference(y, mean), [0, 1]);
    const { xc, xa } = F.centred(rows, transcoder ? undefined : bd, n, kept("batch padding"));
    let goal = transcoder ? K.sub(y, bd) : xc;
    if (ws !== undefined) goal = K.sub(goal, K.matMul(rows, ws, { transposeB: true }));
    const { value, index } = chosenOf(xa, we, n);
    const factor = K.divide(kept("doubled weights"), variance);
    const decoded = F.decode({ value, index }, wd, goal, factor, { n, d: dOut, k: columns, chunk: choice.chunk },
      L > 1 ? { count: L, places: kept("places"), rows: "all alike" } : undefined);
    const g = K.reluGrad(decoded.g, value);
    const byLevel = K.reshape(decoded.e, [n, L, dOut]);
    const errors = L === 1 ? [decoded.e] : levels.map((_, l) => K.reshape(K.slice(byLevel, [0, l, 0], [n, 1, dOut]), [n, dOut]));
    const firsts = (x: Id, width: number, dtype: typeof DT.f32 | typeof DT.i64): Id =>
      K.reshape(width === columns ? x : K.slice(x, [0, 0], [n, width], dtype), [n * width], dtype);
    const entries = (width: number): Id => K.pack([kept(`batch rows of ${width}`), firsts(index, width, DT.i64)], 1, DT.i64);
    const places = levels.map(({ columns: width }) => entries(width));
    const shape = kept("batch shape");
    /** A matrix made of others, which are as large and go. */
    const from = (parts: Id[], make: () => Id): Id => {
      const made = engine.tidy(make);
      engine.free(...parts);
      return made;
    };
    const ofLevels = levels.map(({ columns: width }, l) => engine.tidy(() => K.scatterProduct(places[l], firsts(value, width, DT.f32), shape, errors[l])));
    let dwd = L === 1 ? ofLevels[0] : from(ofLevels, () => ofLevels.reduce(K.add));
    let dwe = engine.tidy(() => K.scatterProduct(places[L - 1], K.reshape(g, [n * columns]), shape, xa));
    const squares = [L === 1 ? K.reshape(K.sum(K.square(decoded.e), [0, 1]), [1]) : K.sum(K.square(byLevel), [0, 2])];
    if (deadNow) {
      const { at, column, list } = deadNow, m = list.length;
      const ofDead = { weDead: K.gather(we, at, { indices: DT.i64 }), wdDead: K.gather(wd, at, { indices: DT.i64 }) };
      const residual = K.mul(errors[0], K.mul(variance, scalar(-0.5)));
      const extra = auxiliaryGradients(
        engine, ofDead, { n, dOut, dead: m, kept: keptOfDead, width: d + PADDING, most: step.rows },
        { xa, residual, factor: K.divide(auxFactor, variance) }, (v, c) => K.keepLargest(v, keptOfDead, c, true, scalar(0)));
      squares.push(K.reshape(extra.squares, [1]));
      const [ownD, ownE] = [dwd, dwe];
      dwd = from([ownD, extra.dwd], () => K.addToRows(ownD, column, extra.dwd, DT.i64));
      dwe = from([ownE, extra.dwe], () => K.addToRows(ownE, column, extra.dwe, DT.i64));
    }
    const total = L === 1 ? decoded.e : K.sum(byLevel, [1]);
    let dbd = K.sum(total, [0]);
    if (!transcoder) {
      const through = K.slice(K.matMul(K.slice(dwe, [0, d], [latents, 1]), we, { transposeA: true }), [0, 0], [1, d]);
      dbd = K.sub(dbd, K.reshape(through, [d]));
    }
    const ofLevel = firsts(value, k, DT.f32);
    const active = K.sum(K.cast(K.greater(ofLevel, scalar(0)), DT.bool, DT.f32), [0]);
    return {
      gradients: { we: dwe, wd: dwd, bd: dbd, ...(ws === undefined ? {} : { ws: K.matMul(total, rows, { transposeA: true }) }) } as Tensors,
      numbers: K.concat([K.reshape(variance, [1]), K.reshape(active, [1]), ...squares], 0),
      best: K.segmentMax(ofLevel, firsts(index, k, DT.i64), latents), // of each latent
      value: K.reshape(ofLevel, [n, k]), index: K.reshape(firsts(index, k, DT.i64), [n, k], DT.i64),
    };
  };

  /** @param scale of the auxiliary loss */
  const lossesOf = (numbers: Float32Array, n: number, scale: number): Omit<Losses, "chosen"> => {
    const [variance, active, ...squares] = numbers;
    const fvus = weights.map((weight, l) => (squares[l] * variance) / (4 * weight * weight));
    return { ...lossOf(weights, 0, fvus), aux: squares.length > L ? squares[L] * (variance / (4 * scale)) : 0, l0: active / n };
  };

  let pending: { numbers: Id; n: number; scale: number }[] = [];
  let last: Id | undefined; // of each latent the number of the update in which it fired last, of those that were sent, from 1; 0: in none
  const forget = (): void => {
    engine.free(...pending.map(({ numbers }) => numbers), ...(last === undefined ? [] : [last]));
    pending = [];
    last = undefined;
  };

  const scaleOf = ({ dead: list, auxWeight = 1 }: Options): number => auxiliary(list?.length ?? 0, dOut, auxWeight).scale;
  const step: StepNow = {
    kind: "stock",
    choice,
    stride: STRIDE,
    rows: Infinity,
    ...inference(engine, held.live),
    gradients: (x, options = {}) => {
      const n = checkBatch(held.sizes(), x, options.target);
      prepare(n);
      const deadNow = sendDead(options.dead, options.auxWeight ?? 1);
      return engine.tidy(() => {
        const { gradients, numbers, value, index } = backward(uploaded(x, options, n, []), n, deadNow, read(P));
        const chosen = { n, k, index: engine.ints(K.cast(index, DT.i64, DT.i32)), value: engine.floats(value) };
        return { ...lossesOf(engine.floats(numbers), n, scaleOf(options)), chosen, gradient: arrays(gradients) };
      });
    },
    update() {
      throw new RangeError(`update: expected a step that is read at once, found one that is read every ${STRIDE} updates. Use send and taken.`);
    },
    send(x, options) {
      const n = checkBatch(held.sizes(), x, options.target);
      prepare(n);
      const deadNow = sendDead(options.dead, options.auxWeight ?? 1);
      const t = progress.steps + 1;
      const { numbers, fired } = engine.tidy(() => {
        const sent = uploaded(x, options, n, [...adamNumbers(t, options.learningRate), pending.length + 1]);
        const values = read(P);
        const done = engine.tidy(() => {
          const { gradients, numbers: made, best } = backward(sent, n, deadNow, values);
          const whole = gradients.wd, along = engine.tidy(() => K.sum(K.mul(whole, values.wd), [1], true));
          gradients.wd = engine.tidy(() => K.sub(whole, K.mul(values.wd, along)));
          const latest = K.select(K.greater(best, scalar(0)), sent.numbers[6], last ?? kept("never"));
          return { ...gradients, made, latest };
        });
        engine.free(...Object.values(values)); // while they are held, Adam copies the variables instead of changing them in place
        const { made, latest, ...gradients } = done;
        changing(() => move(gradients, () => sent.numbers.slice(0, 6), scalar(TINY)));
        return { numbers: made, fired: latest };
      });
      if (last !== undefined) engine.free(last);
      last = fired;
      pending.push({ numbers, n, scale: scaleOf(options) });
      progress.steps = t;
    },
    async taken(): Promise<Taken> {
      const silent = new Int32Array(latents);
      if (!pending.length) return { losses: [], silent };
      const losses = pending.map(({ numbers, n, scale }) => lossesOf(engine.floats(numbers), n, scale));
      engine.floats(last!).forEach((number, f) => (silent[f] = losses.length - number));
      forget();
      return { losses, silent };
    },
    ...held,
    dispose() {
      forget();
      drop("");
      held.dispose();
    },
  };
  return step;
}
