import { firstOf } from "../core/batchtopk";
import { DeviceLostError, EngineError, MemoryError, OptionError } from "../core/errors";
import { measuring } from "../core/measure";
import { addSkip, encode, wholeRows } from "../core/sae";
import { sizesOf, type Parameters, type StepState } from "../core/trained";
import type { SaeWeights, Sparse, TrainKind } from "../core/types";
import { checkBatch } from "./batch";
import { encodeChunks } from "./coder";
import { movedThreshold } from "./kinds";
import type { Losses, Step, Taken, UpdateOptions } from "./step";
import type { Gpu } from "./webgpu";
import { listed } from "./webgpuaux";
import { chosenOfBatch, joined, rowsAt, type Chosen } from "./webgpuchoice";
import { CARD, commands, compiler, SOFTWARE, type Shape, type Trace } from "./webgpukernels";
import { memory, type Memory } from "./webgpumemory";
import { fours, resident } from "./webgpuparameters";
import { MOST_COLUMNS, passOf, requireRow, selecting, type BatchGiven } from "./webgpupass";

/**
 * The step on any card that WebGPU reaches. What was sent is computed while the next batch is made; what it gave is read every
 * `stride` updates. All in float32, sums in an order of their own: two runs on a card give the same bits, two cards need not.
 */

export const WEBGPU_KINDS: TrainKind[] = ["topk", "groupmax", "multitopk", "batchtopk", "matryoshka"];

export interface WebGpuOptions {
  rows?: number; // encoded at a time; as many as 256 MB of pre-activations hold
  stride?: number; // 8 updates between two readings; of a kind that chooses over the batch always 1, as it reads each
  shape?: Shape; // CARD, or SOFTWARE where the CPU computes
  trace?: Trace; // none; measures each kernel
}

const STRIDE = 8;
const SLOTS = 64; // updates that may be sent before they are taken
const ROWS = 4096; // used at a time outside training

const plainText = (error: unknown): string => String((error as Error)?.message ?? error).trim().split("\n")[0];

/**
 * @throws OptionError for what it has not got: JumpReLU, k above 1024; MemoryError when the state does not fit,
 *   DeviceLostError
 */
export async function webgpuStep(gpu: Gpu, initial: StepState, { rows = Infinity, stride: asked = STRIDE, shape = gpu.software ? SOFTWARE : CARD, trace }: WebGpuOptions = {}): Promise<Step> {
  const sizes = sizesOf(initial);
  const { kind, d, dOut, latents, k } = sizes;
  const how = selecting(sizes);
  const stride = how?.entry ? asked : 1;
  const elsewhere = 'Train it on the CPU: { device: "cpu" }.';
  if (!how) throw new OptionError(`kind: expected one that WebGPU has (${WEBGPU_KINDS.join(", ")}), found ${kind}. ${elsewhere}`);
  if (how.entry !== "groups_largest" && how.columns > MOST_COLUMNS) {
    throw new OptionError(`k: expected at most ${Math.floor((MOST_COLUMNS * k) / how.columns)} on WebGPU, found ${k}. Take a smaller k. ${elsewhere}`);
  }
  requireRow(gpu, latents);
  const memories = memory(gpu), queue = commands(gpu, trace), compile = compiler(gpu);
  try {
    const P = await resident(gpu, memories, initial);
    const pass = await passOf(gpu, memories, queue, compile, sizes, P, how, SLOTS + 1, shape);
    pass.rows = rows;
    const fault = gpu.lost() ?? gpu.fault();
    if (fault) throw fault;
    return stepOf();

    function stepOf(): Step {
      const L = how!.weights.length, width = L + 2;
      let { steps, threshold } = initial;
      let sent = 0, applied = 0, disposed = false;
      let withAux: boolean[] = [];
      /** What ended the updates that were sent since the last taking; what ended the step. */
      let failure: Error | undefined, broken: Error | undefined;
      let chain: Promise<unknown> = Promise.resolve();

      const requireWhole = (): void => {
        broken ??= gpu.lost() ?? gpu.fault();
        if (broken) throw broken;
        if (disposed) throw new RangeError("step: expected one in use, found one that was disposed of");
      };
      /** Behind all that was asked before. */
      const behind = <T>(work: () => Promise<T>): Promise<T> => {
        const done = chain.then(async () => {
          requireWhole();
          const result = await work();
          requireWhole();
          return result;
        });
        chain = done.catch(() => undefined);
        return done;
      };
      const batchOf = (x: Float32Array, { dead = new Int32Array(0), auxWeight = 1, target }: Omit<UpdateOptions, "learningRate">): BatchGiven => {
        const n = checkBatch(sizes, x, target);
        return { n, x, target, dead: auxWeight > 0 ? dead : new Int32Array(0), auxWeight };
      };
      const lossesAt = (numbers: Float32Array, slot: number, n: number, aux: boolean): Omit<Losses, "chosen"> => {
        const at = numbers.subarray(slot * width, (slot + 1) * width);
        const fvu = at[how!.main];
        const extra = L === 1 ? 0 : how!.weights.reduce((sum, weight, l) => sum + weight * at[l], -fvu);
        return { fvu, aux: aux ? at[L + 1] : 0, extra, l0: at[L] / n };
      };
      let rowsSent: number[] = [];

      const step: Step = {
        kind: "webgpu",
        choice: { precision: "f32", groups: [], chunk: 0 },
        stride,
        get rows() { return pass.rows; },
        set rows(count) { pass.rows = count; },
        update() {
          throw new RangeError(`update: expected send and taken, as this step is read every ${stride} updates, found update. Use those.`);
        },
        send(x, options) {
          requireWhole();
          const batch = batchOf(x, options);
          if (sent >= SLOTS) throw new RangeError(`send: expected at most ${SLOTS} updates before they are taken, found one more. Call taken().`);
          const slot = sent++;
          rowsSent.push(batch.n);
          withAux.push(batch.dead.length > 0);
          chain = chain.then(async () => {
            if (failure || disposed) return;
            try {
              requireWhole();
              const chosen = how!.entry ? undefined : await chooses(batch);
              await pass.prepare(batch.n, batch.dead, chosen?.pairs.k);
              pass.forward(batch, slot, true, chosen?.pairs);
              pass.apply(batch.n, options.learningRate, steps + slot + 1);
              queue.submit();
              threshold = movedThreshold(threshold, chosen?.least);
              applied++;
            } catch (error) {
              failure = applied > 0 && error instanceof MemoryError ? new MemoryError(error.message, { intact: false, bytes: error.bytes, cause: error }) : error as Error;
            }
          });
        },
        async taken(): Promise<Taken> {
          await chain;
          const [count, aux, ns] = [sent, withAux, rowsSent];
          steps += applied;
          [sent, applied, withAux, rowsSent] = [0, 0, [], []];
          const failed = failure;
          failure = undefined;
          if (failed && !(failed instanceof MemoryError)) broken ??= failed;
          const clear = (): void => {
            queue.clear(pass.silent);
            queue.submit();
          };
          if (failed) {
            return behind(async () => {
              clear();
              throw failed;
            });
          }
          return behind(async () => {
            const numbers = new Float32Array(await memories.read(pass.losses, 0, 4 * width * Math.max(1, count)));
            const silent = new Int32Array(await memories.read(pass.silent, 0, 4 * latents));
            clear();
            return { losses: Array.from({ length: count }, (_, i) => lossesAt(numbers, i, ns[i], aux[i])), silent };
          }).catch((error: unknown) => {
            if (error instanceof MemoryError && sent === 0) { // nothing was read: they can be taken again
              [sent, applied, withAux, rowsSent] = [count, count, aux, ns];
              steps -= count;
            }
            throw error;
          });
        },
        gradients: (x, options = {}) => {
          const batch = batchOf(x, options);
          return behind(async () => {
            const { n } = batch;
            const chosen = how!.entry ? undefined : (await chooses(batch)).pairs;
            await pass.prepare(n, batch.dead, chosen?.k);
            pass.forward(batch, SLOTS, false, chosen);
            queue.submit();
            const numbers = new Float32Array(await memories.read(pass.losses, 0, 4 * width * (SLOTS + 1)));
            const { values, indices } = pass.sized();
            const pairs = chosen ?? (await readPairs(memories, { values, indices }, n, how!.columns));
            const latent = new Float32Array(await memories.read(pass.latents, 0, 16 * latents));
            const gradient: Parameters = {
              wEnc: await matrix("wEnc", d), wDec: await matrix("wDec", dOut), bEnc: Float32Array.from({ length: latents }, (_, f) => latent[4 * f + 2]),
              bDec: (await held(16 * fours(dOut), (out) => pass.bDecGradient(n, out))).subarray(0, dOut),
            };
            if (P.wSkip) {
              const out = pass.skipGradient(n);
              queue.submit();
              const rows = new Float32Array(await memories.read(out, 0, 16 * dOut * fours(d)));
              gradient.wSkip = Float32Array.from({ length: dOut * d }, (_, i) => rows[Math.floor(i / d) * 4 * fours(d) + (i % d)]);
            }
            return { ...lossesAt(numbers, SLOTS, n, batch.dead.length > 0), chosen: how!.columns === k ? pairs : firstOf(pairs, k), gradient };
          });
        },
        encodeTopK: (x, options = {}) => {
          const { k: count = k, only } = options;
          const ranked = ["topk", "multitopk"].includes(kind) || options.k !== undefined || only !== undefined;
          if (!ranked && !how!.entry) return behind(() => passing(x, threshold ?? 0));
          if (ranked && count > MOST_COLUMNS) throw new OptionError(`k: expected at most ${MOST_COLUMNS} on WebGPU, found ${count}. Choose fewer.`);
          const n = wholeRows(x, d);
          const check = (part: (from: number, rows: number) => Sparse): Sparse => {
            let from = 0;
            return encodeChunks({ d, latents, k: count, only }, x, (_, rows) => part((from += rows) - rows, rows));
          };
          if (!(count >= 1 && count <= (only?.length ?? latents))) check(() => { throw new RangeError("k was to be refused"); });
          return behind(async () => {
            const parts: Sparse[] = [];
            const list = only && listed(only, P.tiles);
            const buffer = list && (await memories.make("listed latents", 4 * list.padded.length));
            if (buffer) memories.write(buffer, list.padded);
            try {
              for (let from = 0; from < n; from += ROWS) {
                const rows = Math.min(ROWS, n - from);
                parts.push(await encoded(x.subarray(from * d, (from + rows) * d), rows, ranked ? count : undefined, count, list && { ...list, buffer: buffer! }));
              }
            } finally {
              memories.free(buffer);
            }
            const index = new Int32Array(n * count), value = new Float32Array(n * count);
            parts.forEach((part, i) => {
              index.set(list ? part.index.map((place) => placeIn(only!, list.padded[place])) : part.index, i * ROWS * count);
              value.set(part.value, i * ROWS * count);
            });
            return check((from, rows) => ({
              n: rows, k: count, index: index.subarray(from * count, (from + rows) * count), value: value.subarray(from * count, (from + rows) * count),
            }));
          });
        },
        decode: (sparse) => {
          requirePairs(sparse, latents);
          return behind(() => decoded(sparse));
        },
        measure: async (x, target = x) => {
          const tally = measuring(dOut, latents), n = wholeRows(x, d);
          const wSkip = P.wSkip && (await behind(() => P.part("parameters", "wSkip", 0, dOut * d)));
          for (let from = 0; from < n; from += ROWS) {
            const end = Math.min(n, from + ROWS);
            const sparse = await step.encodeTopK(x.subarray(from * d, end * d));
            tally.rows(target.subarray(from * dOut, end * dOut), addSkip({ d, dOut, wSkip }, x.subarray(from * d, end * d), await step.decode(sparse)));
            tally.latents(sparse.index, sparse.value);
          }
          return tally.result();
        },
        sizes: () => ({ ...sizes, steps: steps + sent, ...(threshold === undefined ? {} : { threshold }) }),
        state: () => {
          const now = steps + sent;
          return behind(async () => ({ ...step.sizes(), steps: now, parameters: await P.read("parameters"), m: await P.read("m"), v: await P.read("v") }));
        },
        live: () => step.state(),
        part: (set, name, from, to) => behind(() => P.part(set, name, from, to)),
        settle: () => P.settle(),
        dispose() {
          disposed = true;
          void chain.then(() => {
            memories.dispose();
            queue.dispose();
          });
        },
      };

      /** Latents above a threshold, as rows filled up with zeros. */
      async function passing(x: Float32Array, above: number): Promise<Sparse> {
        const parts: Sparse[] = [];
        // the rule of core/sae.ts, whose product and biases are the card's already
        const weights: SaeWeights = {
          d, latents, k: latents, kind: "batchtopk", threshold: above, wEnc: new Float32Array(0), bEnc: new Float32Array(latents), wDec: new Float32Array(0), bDec: new Float32Array(d),
        };
        await pass.preActivations(x, wholeRows(x, d), (pre, rows) => parts.push(encode(weights, new Float32Array(rows * d), () => pre)));
        return joined(parts);
      }

      const chooses = ({ x, n }: BatchGiven): Promise<Chosen> => chosenOfBatch(sizes, n, {
        largest: (count) => encoded(x, n, count, count),
        positive: (rows) => passing(rowsAt(x, rows, d), 0),
      });

      /** What a kernel writes into a buffer that is there for it alone. */
      async function held(bytes: number, write: (out: GPUBuffer) => void): Promise<Float32Array> {
        const out = await memories.make("what is read", bytes);
        try {
          write(out);
          queue.submit();
          return new Float32Array(await memories.read(out, 0, bytes));
        } finally {
          memories.free(out);
        }
      }

      async function matrix(name: "wEnc" | "wDec", columns: number): Promise<Float32Array> {
        const all = new Float32Array(latents * columns), padded = 4 * fours(columns);
        for (const [number, { first, count }] of P.tiles.entries()) {
          const part = await held(4 * padded * count, (out) => pass.gradient(name, number, out));
          for (let f = 0; f < count; f++) all.set(part.subarray(f * padded, f * padded + columns), (first + f) * columns);
        }
        return all;
      }

      async function encoded(x: Float32Array, n: number, ranked: number | undefined, count: number, list?: ReturnType<typeof listed> & { buffer: GPUBuffer }): Promise<Sparse> {
        const values = await memories.make("values", 4 * n * count), indices = await memories.make("indices", 4 * n * count);
        try {
          await pass.encode(x, n, { values, indices }, { count: ranked, listed: list });
          return await readPairs(memories, { values, indices }, n, count);
        } finally {
          memories.free(values, indices);
        }
      }

      async function decoded({ n, k: columns, index, value }: Sparse): Promise<Float32Array> {
        const out = new Float32Array(n * dOut), padded = 4 * fours(dOut);
        const bDec = await P.part("parameters", "bDec", 0, dOut);
        for (let from = 0; from < n; from += ROWS) {
          const rows = Math.min(ROWS, n - from), [a, b] = [from * columns, (from + rows) * columns];
          const values = await memories.make("values", 4 * rows * columns), indices = await memories.make("indices", 4 * rows * columns);
          try {
            memories.write(values, value.subarray(a, b));
            memories.write(indices, index.subarray(a, b));
            const part = await held(4 * rows * padded, (to) => pass.rebuild(rows, columns, { values, indices }, to));
            for (let r = 0; r < rows; r++) for (let c = 0; c < dOut; c++) out[(from + r) * dOut + c] = part[r * padded + c] + bDec[c];
          } finally {
            memories.free(values, indices);
          }
        }
        return out;
      }
      return step;
    }
  } catch (error) {
    memories.dispose();
    queue.dispose();
    if (error instanceof EngineError || error instanceof OptionError || error instanceof DeviceLostError) throw error;
    throw gpu.lost() ?? new EngineError(`WebGPU on ${gpu.name}: expected a step, found: ${plainText(error)}. Please report it.`);
  }
}

async function readPairs(memories: Memory, { values, indices }: { values: GPUBuffer; indices: GPUBuffer }, n: number, k: number): Promise<Sparse> {
  const index = new Int32Array(await memories.read(indices, 0, 4 * n * k)), value = new Float32Array(await memories.read(values, 0, 4 * n * k));
  return { n, k, index, value };
}

/** Of a latent in an ascending list. */
function placeIn(list: Int32Array, latent: number): number {
  let low = 0, high = list.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < latent) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @throws RangeError when an index is out of range or the arrays do not fit */
function requirePairs({ n, k, index, value }: Sparse, latents: number): void {
  if (index.length !== n * k || value.length !== n * k) {
    throw new RangeError(`sparse rows: expected index and value of ${n} × ${k}, found ${index.length} and ${value.length} entries`);
  }
  for (let i = 0; i < index.length; i++) {
    if ((index[i] < 0 || index[i] >= latents) && value[i] !== 0) throw new RangeError(`row ${Math.floor(i / k)}: expected latents 0 to ${latents - 1}, found ${index[i]}`);
  }
}
