import { createHash } from "node:crypto";
import { rmdirSync } from "node:fs";
import { join } from "node:path";
import { planBatches, planShards, sampleOf, type Context } from "../core/batches";
import { OptionError, StoreError } from "../core/errors";
import { permutation, random, sample } from "../core/random";
import { closeGaps, keptRows } from "../core/sinks";
import type { Range } from "../core/split";
import type { Document, Model } from "../core/types";
import { formatted, noRows, planContexts, tokenize } from "./contexts";
import { requireSpace } from "./files";
import type { HarvestOptions } from "./harvest";
import { checkDocuments, checkSettings, findHooks, identityHash, identityOf, type HookRow, type Settings } from "./harvestsettings";
import { breathe, stopIfInterrupted } from "./interrupt";
import { takeLock } from "./lock";
import { checkedNorms, eachContext, markRows, passes, sampledLimits, type Reading } from "./passes";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { diskSlots, memorySlots } from "./rowbuffer";
import { requireSame, type RowSource, type SourceState } from "./rows";

/** Which tokens give rows, as for a harvest; and where they wait. */
export interface ModelRowsOptions extends Pick<HarvestOptions,
  "cut" | "context" | "tooLong" | "chat" | "mask" | "batchTokens" | "dropFirst" | "dropNorm" | "progress"> {
  buffer?: number; // bytes of rows that wait, of all hooks together: defaultBuffer
  on?: "memory" | "disk"; // memory
  folder?: string; // where a buffer on disk lies: .saelab/buffers/<hash of model, texts, settings and seed>
  rows?: number; // endless; rows that will be asked for in all: the model is not run for more
  state?: SourceState; // of a source of the same model, documents, hooks, seed and options
}

const BUFFER_ROWS = 2 ** 17;
const BUFFER_BYTES = 2 ** 30;

/**
 * Bytes of the buffer by default, for rows of so many numbers, of all hooks together: 131,072 rows, at most 1 GiB. In a batch of
 * 1,024 a row then meets 0.8 (GSM8K) or 1.0 (data/reasoning) others of its own document, as in a full shuffle of 262,144 rows; 6.5 or
 * 7.4 with an eighth of it, 0.4 or 0.5 with twice as much: `npm run bench -- mixing`. With documents of 512 tokens and more it is 2.
 * Held-out FVU after 400,000 rows of data/reasoning (F 1024, k 16, two seeds): .0834 and .0859 with 1,024 rows, .0814 and .0836 with
 * 16,384, .0808 and .0809 with 131,072; .0810 and .0819 of a store, fully shuffled.
 */
export const defaultBuffer = (width: number): number => Math.min(BUFFER_BYTES, BUFFER_ROWS * 4 * width);

const ROUND = 16; // batches whose contexts are sorted by length together: padding stays small, lengths mix
const AHEAD = 2; // passes that are asked for before their rows are needed
const DRAWS = 2; // streams of the seed: as a store's rows
const ORDERS = 2 ** 20; // and one for each pass over the documents

/**
 * Rows of some hooks straight from a running model, in random order, pass after pass over the documents; hooks share a pass, which
 * ends at the deepest. Whoever trains several SAEs on them runs the model once.
 *
 * Contexts, batches and what is dropped are those of harvest with the same options, limits of the norm included; but contexts are
 * read in an order that is new in each pass. Their rows go into a buffer that is filled before the first is drawn; whichever row
 * is drawn, the next one takes its place. Rows are thus as mixed as in a full shuffle of twice as many as the buffer holds
 * (core/mixing). The model's worker is always two passes ahead; the order of rows depends on the seed alone.
 *
 * The state holds the buffer: the rows in memory, or a copy of the file on disk, which stays in the folder. Its numbers go on to the
 * same bits on the same machine.
 *
 * @param given all documents that are to be read: leave those held out away
 * @throws HookError, OptionError, TextError, StoreError, DiskError before the model runs; from `next` ModelError when a row is not
 *   finite, TextError when all rows are dropped, InterruptError while the buffer fills, from where it goes on
 */
export async function modelRows(model: Model, given: Document[], hooks: string[], seed: number, options: ModelRowsOptions = {}): Promise<RowSource> {
  const places = findHooks(model, hooks);
  const settings = checkSettings(model, places, { ...options, hooks });
  checkDocuments(given, settings);
  const widths = places.map(({ width }) => width);
  const rowBytes = 4 * widths.reduce((a, b) => a + b, 0);
  const { on = "memory", rows: most = Infinity, state } = options;
  const bytes = checkBuffer(options, rowBytes);
  const progress = options.progress ?? defaultProgress();
  const documents = settings.chat ? await formatted(model, given, settings.chat, progress) : given;
  const tokens = await tokenize(model, documents, progress);
  const { contexts, unread } = planContexts(model, documents, tokens, settings);
  const reading: Reading = { documents, tokens, contexts };
  const dropped: Record<string, number> = { first: 0, norm: 0, ...unread }; // of the first pass, so far
  const expected = rowsExpected(reading, settings);
  const allTokens = tokens.reduce((sum, { ids }) => sum + ids.length, 0);
  if (!expected.rows) throw noRows(allTokens, { ...dropped, first: expected.first, ...(settings.mask && { prompt: unread.prompt! + expected.prompt }) });
  const wanted = Math.floor(bytes / rowBytes);
  checkCapacity(wanted, contexts, rowBytes, "two contexts");
  const capacity = Math.min(wanted, expected.rows, most);

  const identity = { of: identityHash(await identityOf(model, places, settings, "F32", documents)), hooks: places.map(({ name }) => name), seed, buffer: capacity, on, rows: options.rows ?? null };
  if (state) requireSame("buffer", state.json, identity);
  const begun = state?.json as Position | undefined;
  const { slots, release } = await slotsOf();
  const limits = begun?.limits ?? await limitsOf(model, places, reading, settings, progress).catch((error: unknown) => {
    slots.close(false);
    release();
    throw error;
  });

  let { at, drawn, entered, held } = begun ?? { at: 0, drawn: 0, entered: 0, held: 0 };
  if (begun) Object.assign(dropped, begun.dropped);
  const slotDocuments = new Int32Array(capacity);
  if (state) slotDocuments.set(state.arrays.documents);
  const rng = random(seed, DRAWS);
  for (let i = 0; i < drawn; i++) rng.uniform(); // one number a row
  let last: Int32Array = new Int32Array(0);
  let closed = false;
  const waiting: Read[] = []; // batches that were read, of the first of which `at` rows are in the buffer
  let left = 0; // rows of theirs that are not
  let next = { pass: begun?.pass ?? 0, batch: begun?.batch ?? 0 }; // to be read
  let feed: ReturnType<typeof passes<Job>> | undefined;

  async function read(): Promise<void> {
    if (closed) throw new OptionError("rows: expected an open source, found that it was closed. Make it again.");
    feed ??= passes(model, places, jobs(contexts, settings, seed, next.pass, next.batch), reading, AHEAD);
    const { value } = await feed.next().catch((error: unknown) => {
      feed = undefined; // it has ended: whoever asks again, as after an interrupt, gets another from here
      throw error;
    });
    const { pass, index, last: ends, batch, result } = value as Job & { result: Record<string, Float32Array> };
    const rows = keptOf(reading, places, batch, result, limits, settings);
    next = { pass, batch: index + 1 };
    left += rows.documents.length - (waiting.length ? 0 : at);
    waiting.push({ ...rows, pass, batch: index });
    if (left < 0) throw new StoreError(`buffer: expected ${at} rows and more of a batch that the run had begun to use, found ${at + left}: this machine's model rounds otherwise. Go on where it was begun.`);
    settle();
    if (ends && !entered && !left) throw noRows(allTokens, dropped);
  }

  /** Lets go of the batches all of whose rows are in the buffer. */
  function settle(): void {
    for (; waiting.length && at === waiting[0].documents.length; at = 0) {
      const [{ pass, dropped: these }] = waiting.splice(0, 1);
      if (pass === 0) for (const [reason, count] of Object.entries(these)) dropped[reason] += count ?? 0;
    }
  }

  /** Puts the next row into a slot. */
  function enter(slot: number): void {
    const [{ x, documents: from }] = waiting;
    slots.put(slot, x, at);
    slotDocuments[slot] = from[at++];
    entered++;
    left--;
    settle();
  }

  async function fill(): Promise<void> {
    if (held === capacity || entered >= most) return;
    const goal = Math.min(capacity, held + most - entered);
    const tell = meter("fill the buffer", goal, "rows", progress, held);
    while (held < goal) {
      if (!left) {
        await breathe();
        stopIfInterrupted(`${held} rows are in the buffer: it goes on filling when rows are asked for again.`);
        await read();
        continue;
      }
      enter(held++);
      if (!left || held === goal) tell(held);
    }
  }

  async function draw(n: number): Promise<Float32Array[]> {
    if (n > wanted) throw tooSmall(wanted, n, rowBytes, "a batch");
    await fill();
    if (n > held + most - entered) throw new OptionError(`rows: expected at most ${most} rows to be asked for, as { rows } said, found ${drawn + n}. Give a larger { rows }.`);
    while (left < Math.min(n, most - entered)) await read(); // first of all: a pass that fails leaves things as they were
    const x = widths.map((width) => new Float32Array(n * width));
    last = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      const slot = rng.below(held);
      slots.take(slot, x, i);
      last[i] = slotDocuments[slot];
      drawn++;
      if (entered < most) enter(slot);
      else if (slot < --held) move(held, slot);
    }
    return x;
  }

  const one = widths.map((width) => new Float32Array(width));
  function move(from: number, to: number): void {
    slots.take(from, one, 0);
    slots.put(to, one, 0);
    slotDocuments[to] = slotDocuments[from];
  }

  let turn: Promise<unknown> = Promise.resolve(); // one after the other, whoever asks
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work);
    turn = mine.catch(() => {});
    return mine;
  };

  return {
    kind: "model", hooks: identity.hooks, widths, rows: expected.rows,
    next: (n) => inTurn(() => draw(n)),
    documents: () => last,
    sample: (count, chance) => inTurn(async () => {
      await fill();
      const chosen = sample(held, count, chance);
      const x = widths.map((width) => new Float32Array(chosen.length * width));
      chosen.forEach((slot, i) => slots.take(slot, x, i));
      return x;
    }),
    state() {
      const { json, arrays } = slots.state(held, drawn);
      const { pass, batch } = waiting[0] ?? next;
      const position: Position = { pass, batch, at, drawn, entered, held, dropped: { ...dropped }, limits };
      return { json: { ...identity, ...position, ...json }, arrays: { ...arrays, documents: slotDocuments.subarray(0, held) } };
    },
    describe: () => ({
      kind: "model", documents: documents.length, tokens: allTokens, passes: (waiting[0] ?? next).pass + 1, rowsRead: entered, dropped: { ...dropped },
      buffer: { on, rows: capacity, bytes: capacity * rowBytes }, settings: { ...settings, normLimits: limits },
    }),
    async close(done = true) {
      if (closed) return;
      closed = true;
      await turn;
      await feed?.return(undefined);
      slots.close(done && drawn === most);
      release();
    },
  };

  async function slotsOf(): Promise<{ slots: ReturnType<typeof memorySlots>; release: () => void }> {
    if (on === "memory") return { slots: memorySlots(capacity, widths, state), release: () => {} };
    const { of, hooks: names } = identity;
    const folder = options.folder ?? join(".saelab", "buffers", createHash("sha256").update(JSON.stringify([of, names, seed])).digest("hex").slice(0, 16));
    await requireSpace(folder, 0);
    const lock = join(folder, ".buffer.lock");
    const unlock = takeLock(lock, (holder) => new StoreError(
      `${folder}: expected no other run's buffer in this folder, found one in use: ${holder}. Wait for it, or choose another folder; if that process is gone, delete ${lock}.`));
    const leave = (): void => {
      unlock();
      if (options.folder !== undefined) return;
      try {
        rmdirSync(folder);
      } catch {
        // it holds copies of states
      }
    };
    try {
      return { slots: await diskSlots(folder, capacity, widths, state), release: leave };
    } catch (error) {
      leave();
      throw error;
    }
  }
}

/** Where a source is, beside its buffer: a source that goes on reads this batch again, and skips the rows before `at`. */
interface Position extends Record<string, unknown> {
  pass: number;
  batch: number;
  at: number;
  drawn: number;
  entered: number;
  held: number;
  dropped: Record<string, number>;
  limits: (number | null)[];
}

function checkBuffer({ buffer, on, rows }: ModelRowsOptions, rowBytes: number): number {
  if (on !== undefined && on !== "memory" && on !== "disk") throw new OptionError(`on: expected "memory" or "disk", found ${JSON.stringify(on)}. Leave it out for memory.`);
  if (rows !== undefined && !(Number.isSafeInteger(rows) && rows >= 1)) throw new OptionError(`rows: expected a whole number of rows, 1 or more, found ${rows}. Leave it out for rows without end.`);
  if (buffer !== undefined && !(Number.isFinite(buffer) && buffer > 0)) throw new OptionError(`buffer: expected a number of bytes, above 0, found ${JSON.stringify(buffer)}. Leave it out for the default.`);
  return buffer ?? defaultBuffer(rowBytes / 4);
}

function checkCapacity(capacity: number, contexts: Context[], rowBytes: number, what: string): void {
  const longest = contexts.reduce((most, { length }) => Math.max(most, length), 0);
  if (capacity < 2 * longest) throw tooSmall(capacity, 2 * longest, rowBytes, what);
}

const tooSmall = (capacity: number, rows: number, rowBytes: number, what: string): OptionError => new OptionError(
  `buffer: expected at least the ${rows} rows of ${what}, ${rows * rowBytes} bytes at ${rowBytes} a row, found room for ${capacity}. ` +
  "Give a larger { buffer }, or leave it out for the default.");

/** What a pass over the contexts gives if no norm is too large. */
function rowsExpected(reading: Reading, settings: Settings): { rows: number; first: number; prompt: number } {
  const sum = { rows: 0, first: 0, prompt: 0 };
  reading.contexts.forEach(({ length }, i) => {
    const firsts = new Uint8Array(length), prompts = settings.mask && new Uint8Array(length);
    markRows(reading, i, firsts, prompts);
    const { runs, dropped } = keptRows([], [], firsts, settings.dropFirst, prompts);
    sum.rows += rowsIn(runs);
    sum.first += dropped.first;
    sum.prompt += dropped.prompt ?? 0;
  });
  return sum;
}

const rowsIn = (runs: Range[]): number => runs.reduce((sum, { from, to }) => sum + to - from, 0);

/** The same norm limits as a harvest's: from a sample of what would be its first shard. */
export async function limitsOf(model: Model, hooks: HookRow[], reading: Reading, settings: Settings, progress: HarvestOptions["progress"]): Promise<(number | null)[]> {
  if (settings.dropNorm === false) return hooks.map(() => null);
  const { contexts } = reading;
  const batches = sampleOf(planBatches(contexts, planShards(contexts, settings.shardRows)[0], settings.batchTokens));
  let tell: ReturnType<typeof meter> | undefined;
  return sampledLimits(model, hooks, batches, reading, settings, async (rows, of) => {
    tell ??= meter("norms of a sample", of, "tokens", progress);
    tell(rows);
    await breathe();
    stopIfInterrupted("Nothing was changed: the norms of a sample were being read.");
  });
}

interface Job {
  pass: number;
  /** Number of the batch in its pass. */
  index: number;
  last: boolean;
  batch: number[];
}

/** Batches without end, from one on. Contexts come in random order; some batches' worth of them are sorted by length, and their batches come in random order. */
function* jobs(contexts: Context[], { batchTokens }: Settings, seed: number, pass: number, from: number): Generator<Job> {
  for (; ; pass++, from = 0) {
    const rng = random(seed, ORDERS + pass);
    const order = permutation(contexts.length, rng);
    const inOrder = Array.from(order, (i) => contexts[i]);
    const batches = planShards(inOrder, ROUND * batchTokens).flatMap((round) => {
      const sorted = planBatches(inOrder, round, batchTokens);
      return Array.from(permutation(sorted.length, rng), (i) => sorted[i].map((place) => order[place]));
    });
    for (let index = from; index < batches.length; index++) yield { pass, index, last: index === batches.length - 1, batch: batches[index] };
  }
}

interface Rows {
  /** [rows, width] of each hook, and the document of each. */
  x: Float32Array[];
  documents: Int32Array;
  dropped: Record<string, number | undefined>;
}

interface Read extends Rows {
  pass: number;
  batch: number;
}

/** Of a batch's rows those that stay. The model's arrays are used up. */
function keptOf(
  reading: Reading, hooks: HookRow[], batch: number[], result: Record<string, Float32Array>, limits: (number | null)[], settings: Settings,
): Rows {
  const { contexts } = reading;
  const count = batch.reduce((sum, i) => sum + contexts[i].length, 0);
  const firsts = new Uint8Array(count), prompts = settings.mask && new Uint8Array(count);
  const documents = new Int32Array(count);
  const own: Range[] = []; // without what was read again before a context
  let at = 0, raw = 0;
  for (const i of batch) {
    const { document, length, lead } = contexts[i];
    markRows(reading, i, firsts.subarray(at), prompts && prompts.subarray(at));
    documents.fill(document, at, at + length);
    own.push({ from: raw + lead, to: raw + lead + length });
    at += length;
    raw += lead + length;
  }
  const norms = hooks.map(() => new Float64Array(count));
  const x = hooks.map((hook, h) => {
    let row = 0;
    eachContext(contexts, batch, result[hook.name], hook, (i, piece) => {
      checkedNorms(reading, hook, i, piece, norms[h].subarray(row));
      row += contexts[i].length;
    });
    return closeGaps(result[hook.name], hook.width, own);
  });
  const { runs, dropped } = keptRows(norms, limits, firsts, settings.dropFirst, prompts);
  return { x: x.map((rows, h) => closeGaps(rows, hooks[h].width, runs)), documents: closeGaps(documents, 1, runs), dropped };
}
