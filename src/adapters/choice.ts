import { mkdir, readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, homedir } from "node:os";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { chooseCard } from "../core/cards";
import { MemoryError } from "../core/errors";
import { random } from "../core/random";
import { forward, groupings, PADDING, type Choice } from "./coder";
import { writeAtomic } from "./files";
import { FUSED, fusedKernels, fusedOps } from "./fusedstep";
import { HALVES } from "./ops";
import { readNvidia } from "./nvidia";
import { DT, type Engine, type Id } from "./tensorflow";

/**
 * What is faster on this machine, measured once and remembered: the fused ops or TensorFlow's stock kernels; with these, how
 * the k largest latents are found, whether the encoder product pays in bfloat16, how many rows are decoded at a time. All
 * choices compute the same step; they differ in rounding at most, which is why the one that was taken stands in the
 * checkpoint.
 */

export interface Sizes {
  d: number;
  latents: number;
  k: number;
  batch: number;
}

/** Where choices are kept: $XDG_CACHE_HOME/saelab/step.json, by default in ~/.cache. */
export const choiceFile = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "saelab", "step.json");

/** Names the machine as far as timings and rounding depend on it: products are cut by the number of threads. */
export const machine = ({ device, name }: Engine): string =>
  `${cpus()[0]?.model.trim() ?? "unknown"} × ${availableParallelism()}, ${device}${device === "cuda" ? ` ${cardName()}` : ""}, ${name}`;

let card: string | undefined;

/** Of the card that is in use; asked once a process. */
function cardName(): string {
  return (card ??= chooseCard(readNvidia(), process.env).card?.name ?? "card");
}

/**
 * The remembered choice for these sizes, or a new one, which is then remembered. A cache that cannot be read or written is
 * done without.
 * @param fused the id of the fused ops, where they may be chosen
 */
export async function choiceFor(engine: Engine, sizes: Sizes, file = choiceFile(), fused?: string): Promise<Choice> {
  const { d, latents, k, batch } = sizes;
  const key = `${machine(engine)}; d ${d}, latents ${latents}, k ${k}, batch ${batch}${fused ? `; fused ops ${fused}` : ""}`;
  const known = await remembered(file);
  const found = known[key];
  if (isChoice(found, latents, k)) return found;
  const choice = measureChoice(engine, sizes, fused !== undefined);
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeAtomic(file, [`${JSON.stringify({ ...(await remembered(file)), [key]: choice }, null, 2)}\n`]);
  } catch {
    // measured again next time
  }
  return choice;
}

async function remembered(file: string): Promise<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(await readFile(file, "utf8"));
    return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Whether it is one that could have been chosen for these sizes: another version or a hand may have written it. */
export function isChoice(value: unknown, latents: number, k: number): value is Choice {
  const { step = "stock", product = "joined", moments = "f32", precision, groups, chunk } = (value ?? {}) as Partial<Choice>;
  return ["fused", "stock"].includes(step) && ["apart", "joined", ...HALVES].includes(product) && (moments === "f32" || (moments === "bf16" && step === "fused")) &&
    (precision === "f32" || precision === "bf16") && Number.isInteger(chunk) && (chunk as number) > 0 &&
    groupings(latents, k).some((known) => JSON.stringify(known) === JSON.stringify(groups));
}

const BEYOND_CACHES = 2 ** 28; // bytes

/**
 * How a fused step keeps its moments where nobody says: as bfloat16 where float32 ones are more than a processor's caches hold, as
 * Adam then waits for memory; smaller ones gain nothing by it. By size and not by a timing, which would flip where the two are near:
 * unlike a product, they round differently in every step, and the memory that a run needs is to be known before it begins.
 */
export const momentsFor = ({ d, dOut, latents }: { d: number; dOut: number; latents: number }): NonNullable<Choice["moments"]> =>
  2 * 4 * latents * (d + dOut) > BEYOND_CACHES ? "bf16" : "f32";

/** A choice that nobody made, with the moments for these sizes; float32 ones go unsaid. */
export const withMoments = (choice: Choice, sizes: { d: number; dOut: number; latents: number }): Choice =>
  choice.step === "fused" && momentsFor(sizes) === "bf16" ? { ...choice, moments: "bf16" } : choice;

/**
 * bfloat16 products gain only where the hardware multiplies them; elsewhere they are several times as slow, and not worth
 * timing.
 */
function mayGainFromBfloat16(engine: Engine): boolean {
  if (engine.device !== "cpu") return engine.device === "cuda";
  try {
    return /\bamx_bf16\b/.test(readFileSync("/proc/cpuinfo", "latin1"));
  } catch {
    return false; // not Linux
  }
}

const ROUNDS = 4;

/** Stock kernels must be this much faster: Adam, which is fused too, is not timed. */
const STOCK = 1.25;

const ROWS = 512; // enough to keep both cores busy; times grow with the rows alike
const CARD_ROWS = 4096; // fewer do not keep a card busy
const GATHERED = 2 ** 29; // bytes of decoder rows that are decoded at a time on a card, at most

/**
 * Times the alternatives on random rows of these sizes: some tenths of a second for a small SAE, some seconds for a large
 * one. On as many rows as there is memory for.
 * @param card as the step of a card computes, which is to be waited for
 */
export function measureChoice(engine: Engine, sizes: Sizes, fused = false, card = engine.device === "cuda"): Choice {
  for (let rows = Math.min(sizes.batch, card ? CARD_ROWS : ROWS); ; rows = Math.ceil(rows / 4)) {
    try {
      return measured(engine, sizes, rows, fused, card);
    } catch (error) {
      if (!(error instanceof MemoryError) || rows < 32) throw error;
    }
  }
}

function measured(engine: Engine, { d, latents, k }: Sizes, n: number, fused: boolean, card: boolean): Choice {
  const sizesOfGroups = new Map<number, Id>();
  const { K, topK, encode, decode } = forward(engine, card ? { type: DT.i64, number: (value) => sizesOfGroups.get(value)! } : undefined);
  const rng = random(0);
  const width = d + PADDING;
  const noise = (n: number): Float32Array => Float32Array.from({ length: n }, () => rng.uniform() - 0.5);
  /** The least time of each, taking turns: what else runs on the machine then hits all alike. */
  const fastest = <T>(candidates: T[], body: (candidate: T) => void, weight: (candidate: T) => number = () => 1): T => {
    if (candidates.length < 2) return candidates[0];
    const times = candidates.map(() => Infinity);
    for (let round = 0; round <= ROUNDS; round++) { // the first one warms caches and allocators
      candidates.forEach((candidate, i) => {
        const begun = performance.now();
        engine.tidy(() => {
          body(candidate);
          if (card) engine.floats(K.add(one, one)); // comes when all before it is done
        });
        if (round) times[i] = Math.min(times[i], performance.now() - begun);
      });
    }
    const weighed = times.map((time, i) => time * weight(candidates[i]));
    return candidates[weighed.indexOf(Math.min(...weighed))];
  };
  let one: Id;
  return engine.tidy(() => {
    one = K.scalar(1);
    if (card) for (const G of new Set(groupings(latents, k).flat())) sizesOfGroups.set(G, K.cast(K.int(G), DT.i32, DT.i64));
    const xa = engine.tensor(noise(n * width), [n, width]);
    const we = engine.tensor(noise(latents * width), [latents, width]);
    const wd = engine.tensor(noise(latents * d), [latents, d]);
    const target = K.slice(xa, [0, 0], [n, d]);
    const pre = K.matMul(xa, we, { transposeB: true });
    const groups = fastest(groupings(latents, k), (candidate) => void topK(pre, n, latents, k, candidate));
    const chosen = topK(pre, n, latents, k, groups);
    const chunks = card ? [128, 512, 2048].filter((c) => c === 128 || (c <= n && 4 * c * k * d <= GATHERED)) : [64, 128, 256].filter((c) => c <= Math.max(64, n));
    const chunk = fastest(chunks, (c) => void decode(chosen, wd, target, one, { n, d, k, chunk: c }));
    const precisions = mayGainFromBfloat16(engine) ? (["f32", "bf16"] as const) : (["f32"] as const);
    const precision = fastest([...precisions], (p) => void encode(xa, we, { n, d, latents, k }, { precision: p, groups, chunk }));
    const stock: Choice = { precision, groups, chunk };
    if (!fused) return stock;
    // Encoder to gradients of a batch. Adam is left out: fused, it reads the gradients from the cache and can only gain.
    const bEnc = engine.tensor(new Float32Array(latents), [latents]);
    const plain = K.slice(we, [0, 0], [latents, d]);
    const ops = fusedKernels(engine);
    const body = (choice: Choice): void => {
      if (choice.step === "fused") {
        const { value, index } = ops.encode(target, plain, bEnc, k, choice.product);
        const levels = engine.tensor(new Int32Array(1), [1, 1]), tied = K.int(1);
        const { e, g, eSum } = ops.decode(target, { value, index, levels }, target, [1], wd);
        ops.gradients([target, value, index, levels, e, g, eSum, tied], plain);
      } else {
        const { value, index } = encode(xa, we, { n, d, latents, k }, stock);
        const { e, g } = decode({ value, index }, wd, target, one, { n, d, k, chunk });
        const { entries, shape } = K.entries(index, n, k, latents);
        K.scatterProduct(entries, K.reshape(value, [n * k]), shape, e);
        K.scatterProduct(entries, K.reshape(g, [n * k]), shape, xa);
      }
    };
    const built = fusedOps(engine);
    const products = ["apart", ...("id" in built ? built.halves : [])] as const;
    const candidates = [FUSED, ...products.map((product): Choice => ({ ...FUSED, product })), stock];
    return fastest<Choice>(candidates, body, ({ step }) => (step === "fused" ? 1 : STOCK));
  });
}
