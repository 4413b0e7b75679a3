import { OptionError } from "../core/errors";
import { measuring } from "../core/measure";
import { addSkip } from "../core/sae";
import { splitDocuments } from "../core/split";
import type { Document, Model, Sae, Store } from "../core/types";
import { findHooks, hashPieces } from "./harvestsettings";
import { breathe } from "./interrupt";
import { defaultBuffer, modelRows, type ModelRowsOptions } from "./liverows";
import { preflight } from "./preflight";
import { chunks, requireFinite, rowCount, SHUFFLE_BYTES, storeRows, type RowSource, type SourceState } from "./rows";
import { rowsOf } from "./store";
import type { Place, Plan } from "./trainplan";
import { sideBySide } from "./trainunits";

/** Where the rows of a training come from: a store, or a model while it runs. */

/** Of a model: its texts, which of their tokens give rows (as for a harvest), and the buffer in which rows wait to be mixed. */
export interface LiveOptions extends Pick<ModelRowsOptions,
  "buffer" | "on" | "cut" | "context" | "tooLong" | "chat" | "mask" | "batchTokens" | "dropFirst" | "dropNorm"> {
  /** Texts, those of the split's training side being read. */
  documents?: Document[];
}

/** Their names as values; the compiler sees to it that none is missing. */
export const LIVE_OPTIONS: Record<keyof LiveOptions, true> = {
  documents: true, buffer: true, on: true, cut: true, context: true, tooLong: true, chat: true, mask: true, batchTokens: true, dropFirst: true, dropNorm: true,
};
const LIVE = Object.keys(LIVE_OPTIONS) as (keyof LiveOptions)[];

export interface TrainingData {
  /** Path or source, for messages. */
  where: string;
  /** Different rows that there are; a model's are not known before it runs. */
  rows?: number;
  /** A hook by its name, in any spelling; the only one of a store by default. */
  place(name: string | undefined): Place;
  /** What makes it the same data, for a run that goes on. */
  identity: Record<string, unknown>;
  card: Record<string, unknown>;
  /** Bytes of rows of so many numbers that are held. */
  held(width: number): number;
  /** @param rows that will be asked for */
  open(hooks: string[], seed: number, rows: number, state?: SourceState): RowSource | Promise<RowSource>;
  /** What an SAE is worth on data that it was not trained on; nothing where there are none. Puts into the card. */
  measure(sae: Sae, plan: Plan): Promise<void>;
}

const isModel = (source: Store | Model): source is Model => typeof (source as Model).run === "function";

/** @throws OptionError when options are for the other kind of source, or a model has no documents */
export async function dataOf(source: Store | Model, options: LiveOptions): Promise<TrainingData> {
  if (isModel(source)) return ofModel(source, options);
  const given = LIVE.find((name) => options[name] !== undefined);
  if (given !== undefined) {
    throw new OptionError(
      `trainSae: ${given}: expected none, as the rows of ${source.path} are there already, found one. ` +
      "Leave it out; it is for trainSae(model, …).");
  }
  return ofStore(source);
}

function ofStore(store: Store): TrainingData {
  const ranges = rowsOf(store, "train");
  const rows = rowCount(ranges);
  const { model, texts, dtype } = store.manifest;
  return {
    where: store.path, rows,
    place(name) {
      const hook = store.hook(name);
      return { hook, width: store.width(hook) };
    },
    identity: { model: model.sha256, texts: texts.sha256, rows, dtype },
    card: { model, texts, rows },
    held: (width) => Math.min(4 * rows * width, SHUFFLE_BYTES),
    open: (hooks, seed, _, state) => storeRows(store, hooks, ranges, seed, { state }),
    async measure(sae, plan) {
      const metrics = await heldOut(store, sae, plan);
      if (metrics) sae.card.metrics = metrics;
    },
  };
}

const HELD_OUT = 32768; // rows measured at the end, a tenth of what was trained on at most

/** FVU and more on held-out rows, in the model's units; nothing where there are none, or all are equal. @throws StoreError */
async function heldOut(store: Store, { weights, encode, decode }: Sae, { d, dOut, hooks, targets, tokens }: Plan): Promise<Record<string, unknown> | undefined> {
  const ranges = rowsOf(store, "heldout");
  const total = Math.min(HELD_OUT, rowCount(ranges), Math.max(2048, Math.floor(tokens / 10)));
  const tally = measuring(dOut, weights.latents);
  const size = Math.max(1, Math.floor(2 ** 24 / Math.max(d, dOut)));
  const read = (names: string[]) => names.map((hook) => ({ hook, width: store.width(hook), pieces: chunks(store, hook, ranges, size, total) }));
  const [inputs, outputs] = [read(hooks), targets && read(targets)];
  const next = (places: ReturnType<typeof read>): Float32Array => sideBySide(places.map(({ hook, pieces }) => {
    const rows: Float32Array = pieces.next().value!;
    requireFinite(rows, store, hook);
    return rows;
  }), places.map(({ width }) => width));
  for (let done = 0; done < total; done += size) {
    const x = next(inputs), y = outputs ? next(outputs) : x;
    const sparse = encode(x);
    tally.rows(y, addSkip(weights, x, decode(sparse)));
    tally.latents(sparse.index, sparse.value);
    await breathe();
  }
  try {
    return { split: "heldout", ...tally.result() };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

async function ofModel(model: Model, options: LiveOptions): Promise<TrainingData> {
  const { documents, ...reading } = Object.fromEntries(LIVE.map((name) => [name, options[name]])) as LiveOptions;
  if (!documents?.length) {
    throw new OptionError("trainSae: documents: expected texts for the model to read, found none: trainSae(model, { documents: await readTexts(path), hook, latents, k, tokens }).");
  }
  const sides = splitDocuments(documents);
  const [train, others] = (["train", "heldout"] as const).map((side) => documents.filter((_, i) => sides[i] === side));
  if (!train.length) throw new OptionError('trainSae: documents: expected some to train on, found all held out. Mark some with split "train".');
  const sha256 = await model.hash();
  const texts = { documents: documents.length, sha256: hashPieces(documents.map(({ id, text, prompt }) => JSON.stringify([id, text, prompt]))) };
  return {
    where: model.source,
    place(name) {
      if (name === undefined) throw new OptionError(`trainSae: hook: expected a place of ${model.source}, found none. model.hooks() lists them.`);
      const [{ name: hook, width }] = findHooks(model, [name]);
      return { hook, width };
    },
    identity: { model: sha256, texts: texts.sha256, reading: JSON.stringify({ ...reading, on: undefined }) },
    card: { model: { source: model.source, family: model.family, sha256 }, texts },
    held: (width) => (reading.on === "disk" ? 0 : reading.buffer ?? defaultBuffer(width)),
    open: (hooks, seed, rows, state) => modelRows(model, train, hooks, seed, { ...reading, rows, state }),
    async measure(sae, { hooks, targets }) {
      if (hooks.length > 1 || (targets && targets.length > 1)) return;
      const found = await preflight(sae, model, hooks[0], { ...(others.length ? { texts: others } : {}), target: targets?.[0], progress: () => {} });
      const { fvu, l0, dead, dense, rows } = found.declared;
      sae.card.metrics = { split: others.length ? "heldout" : "preflight's own texts", fvu, explainedVariance: 1 - fvu, l0, dead, dense, rows };
      sae.card.preflight = found;
    },
  };
}
