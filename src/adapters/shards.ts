import { join } from "node:path";
import { planBatches, sampleOf, wholeDocuments, type ShardPlan } from "../core/batches";
import { ModelError } from "../core/errors";
import { toFloat16, writeSafetensors } from "../core/safetensors";
import { closeGaps, keptRows, normLimit } from "../core/sinks";
import type { Range } from "../core/split";
import type { Model, Progress } from "../core/types";
import { writeAtomic } from "./files";
import type { Settings } from "./harvestsettings";
import { breathe, interrupted, stopIfInterrupted } from "./interrupt";
import { checkedNorms, eachContext, markRows, passes, sampledLimits, type Reading } from "./passes";
import { meter } from "./progress";
import { ORIGIN_TENSORS, shardFile, UNFINISHED, writeJson, type Unfinished } from "./storestate";

/** From contexts to shards on disk. */

export interface Work extends Reading {
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
  const { documents, contexts, plans, mine } = work;
  const { hooks, dtype } = unfinished;
  const device = model.device && model.device.device !== "cpu" ? `${model.device.name} (${model.device.device})` : undefined;
  const missing = mine.filter((shard) => !unfinished.shards[shard]);
  const batchesOf = (shard: number): number[][] => planBatches(contexts, plans[shard], settings.batchTokens);

  // A shard is gathered in document order in one of two buffers while the one before is being written out of the other.
  const capacity = missing.reduce((most, shard) => Math.max(most, plans[shard].tokens), 0);
  const newBuffer = (): ShardBuffer => ({
    x: hooks.map(({ width }) => (dtype === "F16" ? new Uint16Array(capacity * width) : new Float32Array(capacity * width))),
    norms: hooks.map(() => new Float64Array(capacity)),
  });
  const places = placesOf(contexts, plans);

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
    let tell: ReturnType<typeof meter> | undefined;
    unfinished.settings.normLimits = await sampledLimits(model, hooks, sampleOf(batchesOf(0)), work, settings, async (rows, of) => {
      tell ??= meter("norms of the first shard", of, "tokens", progress);
      tell(rows);
      await breathe();
      stop();
    });
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
      hooks.forEach((hook, h) => eachContext(contexts, batch, result[hook.name], hook, (i, piece) => {
        checkedNorms(work, hook, i, piece, buffer.norms[h].subarray(places[i]));
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

  /** Drops sinks, closes the gaps and puts the shard on disk, then on record. */
  async function writeShard(shard: number, { x, norms }: ShardBuffer): Promise<void> {
    const { firsts, prompts, origin } = originsOf(work, plans[shard], places, settings);
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
    unfinished.shards[shard] = { file: shardFile(shard), rows, bytes, dropped, ...(device && { device }) };
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

/**
 * Of each token of a shard: whether it is a sink by its place, whether it is masked, and where it is from.
 * @param places row of each context's first token in its shard
 */
export function originsOf(reading: Reading, { first, end, tokens: count }: ShardPlan, places: Int32Array, { mask }: Settings) {
  const firsts = new Uint8Array(count);
  const prompts = mask && new Uint8Array(count);
  const ints = (): Int32Array => new Int32Array(count);
  const origin = { document: ints(), position: ints(), token: ints(), start: ints(), end: ints() };
  for (let i = first; i < end; i++) {
    const { document, from, length } = reading.contexts[i];
    const { ids, start, end: ends } = reading.tokens[document];
    markRows(reading, i, firsts.subarray(places[i]), prompts && prompts.subarray(places[i]));
    origin.document.fill(document, places[i], places[i] + length);
    origin.token.set(ids.subarray(from, from + length), places[i]);
    origin.start.set(start.subarray(from, from + length), places[i]);
    origin.end.set(ends.subarray(from, from + length), places[i]);
    for (let t = 0; t < length; t++) origin.position[places[i] + t] = from + t;
  }
  return { firsts, prompts, origin };
}

/** Row of each context's first token in its shard. */
export function placesOf(contexts: Reading["contexts"], plans: ShardPlan[]): Int32Array {
  const places = new Int32Array(contexts.length);
  for (const { first, end } of plans) {
    for (let i = first + 1; i < end; i++) places[i] = places[i - 1] + contexts[i - 1].length;
  }
  return places;
}
