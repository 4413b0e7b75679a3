import type { Context } from "../core/batches";
import { EngineError, ModelError } from "../core/errors";
import { rowNorms } from "../core/norms";
import { normLimit } from "../core/sinks";
import type { Document, Model, Tokens } from "../core/types";
import type { HookRow, Settings } from "./harvestsettings";

/** From contexts to rows: the model's passes, and which of their rows are what. */

export interface Reading {
  documents: Document[];
  tokens: Tokens[];
  contexts: Context[];
}

/**
 * Runs batches one after the other. One and `ahead` more are with the model's worker at a time: it has the next one at hand while the
 * last one's rows are put away.
 */
export async function* passes<Job extends { batch: number[] }>(
  model: Model, hooks: HookRow[], jobs: Iterable<Job>, { tokens, contexts }: Reading, ahead = 1,
): AsyncGenerator<Job & { result: Record<string, Float32Array> }> {
  const names = hooks.map(({ name }) => name);
  const left = jobs[Symbol.iterator]();
  const waiting: { job: Job; run: Promise<Record<string, Float32Array>> }[] = [];
  try {
    for (let all = false; ;) {
      while (!all && waiting.length <= ahead) {
        const { done, value: job } = left.next();
        if ((all = done === true)) break;
        const run = model.run(job.batch.map((i: number) => idsOf(tokens, contexts[i])), { hooks: names });
        run.catch(() => {}); // awaited below, or given up with the run
        waiting.push({ job, run });
      }
      const first = waiting.shift();
      if (!first) return;
      yield { ...first.job, result: await first.run };
    }
  } finally {
    await Promise.allSettled(waiting.map(({ run }) => run));
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

/** Goes through a batch's rows context by context, without those of what was read again before it. */
export function eachContext(
  contexts: Context[], batch: number[], rows: Float32Array | undefined, { name, width }: HookRow, each: (i: number, piece: Float32Array) => void,
): void {
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

/** @throws ModelError when a row of the context is not finite */
export function checkedNorms({ documents, contexts }: Reading, { name, width }: HookRow, i: number, piece: Float32Array, norms: Float64Array): void {
  const bad = rowNorms(piece, width, norms);
  if (bad < 0) return;
  const { document, from } = contexts[i];
  const found = piece.subarray(bad * width, (bad + 1) * width).find((value) => !Number.isFinite(value));
  throw new ModelError(
    `${name}: expected finite activations, found ${found} ` +
    `at document ${document} ("${documents[document].id}"), position ${from + bad}. ` +
    "Half-precision weights can overflow: open the model in float32. If it is in float32, its files are damaged.");
}

/**
 * Says of a context's rows which are attention sinks by their place, and which are prompt.
 * @param firsts into which 1 is written for the first position; behind a token that was read again, that one is the sink
 * @param prompts the same for rows of the prompt, where those are masked; both [≥ length]
 */
export function markRows({ documents, tokens, contexts }: Reading, i: number, firsts: Uint8Array, prompts?: Uint8Array): void {
  const { document, from, length, lead } = contexts[i];
  if (!lead) firsts[0] = 1;
  if (!prompts) return;
  const { start } = tokens[document];
  for (let t = 0; t < length; t++) prompts[t] = start[from + t] < documents[document].prompt! ? 1 : 0;
}

/**
 * The norm limit of each hook, from the rows of a few batches: `sampleOf` those of the first shard.
 * @param rest awaited before the first pass and after each, with the rows so far
 */
export async function sampledLimits(
  model: Model, hooks: HookRow[], sample: number[][], reading: Reading, settings: Settings, rest: (rows: number, of: number) => Promise<void>,
): Promise<(number | null)[]> {
  const { contexts } = reading;
  const count = sample.flat().reduce((sum, i) => sum + contexts[i].length, 0);
  const norms = hooks.map(() => new Float64Array(count));
  const firsts = new Uint8Array(count);
  let at = 0;
  await rest(at, count);
  for await (const { batch, result } of passes(model, hooks, sample.map((batch) => ({ batch })), reading)) {
    const begin = at;
    hooks.forEach((hook, h) => {
      at = begin;
      eachContext(contexts, batch, result[hook.name], hook, (i, piece) => {
        checkedNorms(reading, hook, i, piece, norms[h].subarray(at));
        markRows(reading, i, firsts.subarray(at));
        at += contexts[i].length;
      });
    });
    await rest(at, count);
  }
  return norms.map((of) => normLimit(of, firsts, settings));
}
