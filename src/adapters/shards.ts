import { join } from "node:path";
import { planBatches, sampleOf, wholeDocuments, type Context, type ShardPlan } from "../core/batches";
import { EngineError, ModelError } from "../core/errors";
import { rowNorms } from "../core/norms";
import { toFloat16, writeSafetensors } from "../core/safetensors";
import { closeGaps, keptRows, normLimit } from "../core/sinks";
import type { Range } from "../core/split";
import type { Document, Model, Progress, Tokens } from "../core/types";
import { writeAtomic } from "./files";
import type { HookRow, Settings } from "./harvestsettings";
import { breathe, interrupted, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { ORIGIN_TENSORS, shardFile, UNFINISHED, writeJson, type Unfinished } from "./storestate";

/** From contexts to shards on disk. */

export interface Work {
  documents: Document[];
  tokens: Tokens[];
  contexts: Context[];
  plans: ShardPlan[];
  /** Numbers of the shards to be made, ascending: all, or a part's. */
  mine: number[];
}

interface ShardBuffer {
  /** Rows of each hook, [capacity, width]; float16 as its bits. */
  x: (Float32Array | Uint16Array)[];
  /** Norms of the float32 rows, [capacity]. */
  norms: Float64Array[];
}

const HALF_OVERFLOW = 65520; // from here on float16 rounds to infinity

/**
 * Fills the shards that are missing. `unfinished` is kept up to date in memory and on disk.
 *
 * Norm limits come from a sample of the first shard's batches. Whoever makes that shard has them for nothing; a part that does not
 * runs just these batches first, so that all parts find the same limits.
 */
export async function fillShards(
  model: Model, folder: string, unfinished: Unfinished, work: Work, settings: Settings, progress?: Progress,
): Promise<void> {
  const { documents, tokens, contexts, plans, mine } = work;
  const { hooks, dtype } = unfinished;
  const missing = mine.filter((shard) => !unfinished.shards[shard]);
  const batchesOf = (shard: number): number[][] => planBatches(contexts, plans[shard], settings.batchTokens);

  // A shard is gathered in document order in one of two buffers while the one before is being written out of the other.
  const capacity = missing.reduce((most, shard) => Math.max(most, plans[shard].tokens), 0);
  const newBuffer = (): ShardBuffer => ({
    x: hooks.map(({ width }) => (dtype === "F16" ? new Uint16Array(capacity * width) : new Float32Array(capacity * width))),
    norms: hooks.map(() => new Float64Array(capacity)),
  });
  const places = new Int32Array(contexts.length); // row of each context's first token in its shard's buffer
  for (const { first, end } of plans) {
    for (let i = first + 1; i < end; i++) places[i] = places[i - 1] + contexts[i - 1].length;
  }
  const isFirst = (i: number): boolean => !contexts[i].lead; // behind a lead, that is the sink

  const stop = (): void => {
    const made = mine.filter((shard) => unfinished.shards[shard]).length;
    stopIfInterrupted(
      !made
        ? "The first shard was not full yet, so nothing is kept: smaller { shardRows } keep more."
        : unfinished.part
          ? `${made} of ${mine.length} shards of this part are kept in ${folder}: run harvest again to go on.`
          : `${unfinished.documentsKept} of ${documents.length} documents are kept in ${folder}: run harvest again to go on.`);
  };

  if (settings.dropNorm !== false && unfinished.settings.normLimits === undefined && missing.length && missing[0] !== 0) {
    const sample = sampleOf(batchesOf(0));
    const count = sample.flat().reduce((sum, i) => sum + contexts[i].length, 0);
    const norms = hooks.map(() => new Float64Array(count));
    const first = new Uint8Array(count);
    const tell = meter("norms of the first shard", count, "tokens", progress);
    let at = 0;
    for await (const { batch, result } of passes(model, hooks, sample.map((batch) => ({ batch })), work)) {
      const begin = at;
      hooks.forEach((hook, h) => {
        at = begin;
        eachContext(result[hook.name], hook, batch, (i, piece) => {
          checkedNorms(hook, i, piece, norms[h].subarray(at));
          first[at] = isFirst(i) ? 1 : 0;
          at += contexts[i].length;
        });
      });
      tell(at);
      await breathe();
      stop();
    }
    unfinished.settings.normLimits = norms.map((of) => normLimit(of, first, settings));
  }

  const buffers = missing.length > 1 ? [newBuffer(), newBuffer()] : [newBuffer()];
  const total = mine.reduce((sum, shard) => sum + plans[shard].tokens, 0);
  let done = total - missing.reduce((sum, shard) => sum + plans[shard].tokens, 0);
  const tell = meter("harvest", total, "tokens", progress, done);
  const jobs = missing.flatMap((shard) => batchesOf(shard).map((batch) => ({ shard, batch })));
  let writing: Promise<void> = Promise.resolve();
  let job = 0;
  let turn = 0;
  try {
    for await (const { shard, batch, result } of passes(model, hooks, jobs, work)) {
      const buffer = buffers[turn % buffers.length];
      hooks.forEach((hook, h) => eachContext(result[hook.name], hook, batch, (i, piece) => {
        checkedNorms(hook, i, piece, buffer.norms[h].subarray(places[i]));
        const into = buffer.x[h].subarray(places[i] * hook.width);
        if (into instanceof Uint16Array) toFloat16(piece, into);
        else into.set(piece);
      }));
      for (const i of batch) done += contexts[i].length;
      if (jobs[++job]?.shard !== shard) {
        await writing; // its buffer is the one that comes next
        writing = writeShard(shard, buffer);
        writing.catch(() => {});
        turn++;
      }
      if (job === jobs.length) await writing;
      tell(done, `shard ${shard + 1} of ${plans.length}`);
      await breathe();
      if (interrupted() && job < jobs.length) {
        await writing;
        stop();
      }
    }
  } finally {
    await Promise.allSettled([writing]); // nothing of this run happens after it has ended
  }

  /** Goes through a batch's rows context by context. */
  function eachContext(rows: Float32Array | undefined, { name, width }: HookRow, batch: number[], each: (i: number, piece: Float32Array) => void): void {
    const count = batch.reduce((sum, i) => sum + contexts[i].lead + contexts[i].length, 0);
    if (rows?.length !== count * width) {
      throw new EngineError(
        `${name}: expected ${count} rows of ${width} from the model, found ${rows ? `${rows.length} numbers` : "nothing"}. ` +
        "The model's graph does not fit its config.json.");
    }
    let at = 0;
    for (const i of batch) {
      const { length, lead } = contexts[i];
      at += lead;
      each(i, rows.subarray(at * width, (at + length) * width));
      at += length;
    }
  }

  function checkedNorms({ name, width }: HookRow, i: number, piece: Float32Array, norms: Float64Array): void {
    const bad = rowNorms(piece, width, norms);
    if (bad < 0) return;
    const { document, from } = contexts[i];
    const found = piece.subarray(bad * width, (bad + 1) * width).find((value) => !Number.isFinite(value));
    throw new ModelError(
      `${name}: expected finite activations, found ${found} ` +
      `at document ${document} ("${documents[document].id}"), position ${from + bad}. ` +
      "Half-precision weights can overflow: open the model in float32. If it is in float32, its files are damaged.");
  }

  /** Drops sinks, closes the gaps and puts the shard on disk, then on record. */
  async function writeShard(shard: number, { x, norms }: ShardBuffer): Promise<void> {
    const { first, end, tokens: count } = plans[shard];
    const firsts = new Uint8Array(count);
    const prompts = settings.mask && new Uint8Array(count);
    const ints = (): Int32Array => new Int32Array(count);
    const origin = { document: ints(), position: ints(), token: ints(), start: ints(), end: ints() };
    for (let i = first; i < end; i++) {
      const { document, from, length } = contexts[i];
      const { ids, start, end: ends } = tokens[document];
      if (isFirst(i)) firsts[places[i]] = 1;
      origin.document.fill(document, places[i], places[i] + length);
      origin.token.set(ids.subarray(from, from + length), places[i]);
      origin.start.set(start.subarray(from, from + length), places[i]);
      origin.end.set(ends.subarray(from, from + length), places[i]);
      for (let t = 0; t < length; t++) origin.position[places[i] + t] = from + t;
      if (prompts) for (let t = 0; t < length; t++) prompts[places[i] + t] = start[from + t] < documents[document].prompt! ? 1 : 0;
    }
    if (unfinished.settings.normLimits === undefined) {
      const sample = sampleOf(batchesOf(shard)).flat();
      const of = <Values extends Float64Array | Uint8Array>(values: Values, out: Values): Values => {
        let at = 0;
        for (const i of sample) {
          out.set(values.subarray(places[i], places[i] + contexts[i].length), at);
          at += contexts[i].length;
        }
        return out;
      };
      const rows = sample.reduce((sum, i) => sum + contexts[i].length, 0);
      unfinished.settings.normLimits = norms.map((all) => normLimit(of(all, new Float64Array(rows)), of(firsts, new Uint8Array(rows)), settings));
    }
    const { runs, dropped } = keptRows(norms, unfinished.settings.normLimits as (number | null)[], firsts, settings.dropFirst, prompts);
    if (dtype === "F16") checkHalves(x as Uint16Array[], norms, runs, origin);

    const rows = runs.reduce((sum, { from, to }) => sum + to - from, 0);
    const pieces = writeSafetensors([
      ...hooks.map(({ name, width }, h) => ({ name, shape: [rows, width], data: closeGaps(x[h], width, runs) })),
      ...ORIGIN_TENSORS.map((name) => ({ name, shape: [rows], data: closeGaps(origin[name], 1, runs) })),
    ]);
    await writeAtomic(join(folder, shardFile(shard)), pieces);
    const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
    unfinished.shards[shard] = { file: shardFile(shard), rows, bytes, dropped };
    unfinished.documentsKept = wholeDocuments(unfinished.shards.map(Boolean), plans, contexts, documents.length);
    await writeJson(join(folder, UNFINISHED), unfinished);
  }

  /** Rows that stay must be within float16; sinks, which are often not, are gone by now. */
  function checkHalves(x: Uint16Array[], norms: Float64Array[], runs: Range[], origin: Record<"document" | "position", Int32Array>): void {
    hooks.forEach(({ name, width }, h) => {
      for (const { from, to } of runs) {
        for (let row = from; row < to; row++) {
          if (norms[h][row] < HALF_OVERFLOW) continue; // no element is longer than its row
          if (!x[h].subarray(row * width, (row + 1) * width).some((half) => (half & 0x7fff) === 0x7c00)) continue;
          const document = origin.document[row];
          throw new ModelError(
            `${name}: expected activations within ±65,504, as float16 holds them, found a larger one ` +
            `at document ${document} ("${documents[document].id}"), position ${origin.position[row]}. ` +
            'Harvest this model with { dtype: "F32" }, into another folder.');
        }
      }
    });
  }
}

/** Runs batches one after the other. Two are with the model's worker at a time: it has the next one at hand while the last one's rows are put away. */
async function* passes<Job extends { batch: number[] }>(
  model: Model, hooks: HookRow[], jobs: Job[], { tokens, contexts }: Work,
): AsyncGenerator<Job & { result: Record<string, Float32Array> }> {
  const names = hooks.map(({ name }) => name);
  const waiting: Promise<Record<string, Float32Array>>[] = [];
  try {
    for (let job = 0, sent = 0; job < jobs.length; job++) {
      for (; sent < jobs.length && sent <= job + 1; sent++) {
        const run = model.run(jobs[sent].batch.map((i) => idsOf(tokens, contexts[i])), { hooks: names });
        run.catch(() => {}); // awaited below, or given up with the run
        waiting.push(run);
      }
      yield { ...jobs[job], result: await waiting.shift()! };
    }
  } finally {
    await Promise.allSettled(waiting);
  }
}

function idsOf(tokens: Tokens[], { document, from, length, lead }: Context): Int32Array {
  const { ids } = tokens[document];
  if (!lead) return ids.subarray(from, from + length);
  const out = new Int32Array(lead + length);
  out.set(ids.subarray(0, lead));
  out.set(ids.subarray(from, from + length), lead);
  return out;
}
