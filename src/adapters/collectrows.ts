import { OptionError, StoreError } from "../core/errors";
import type { Range } from "../core/split";
import type { Origin, Sae, Store } from "../core/types";
import { PIECE_ROWS } from "./codes";
import { storeFacts, type FeaturesManifest } from "./family";
import type { Texts } from "./familywriter";
import { rowCount } from "./rows";
import { rowsOf } from "./store";

/** Some rows of all hooks that are read. */
export interface RowPiece {
  shard: number;
  /** The last of its shard. */
  last: boolean;
  n: number;
  /** By hook, [n, width], finite. */
  x: Map<string, Float32Array>;
  origin: Origin;
  /** Units (see `RowsToCollect`) read so far. */
  done: number;
}

/** Rows to be encoded, of a store or of a running model: in shards, the same each time. */
export interface RowsToCollect {
  /** For messages. */
  name: string;
  /** The hook that an SAE reads, and its width here. */
  hookOf(sae: Sae, hook?: string): string;
  width(hook: string): number;
  /** What decides the rows at a hook. */
  facts(hook: string): FeaturesManifest["store"];
  documents: number;
  /** Of which rows; of a model that is known when all were read. */
  ranges?: Range[];
  /** Shards, rows of the largest, and rows in all (at most). */
  shards: number;
  shardRows: number;
  most: number;
  unit: "rows" | "tokens";
  total: number;
  /** Units in shards before this one. */
  before(shard: number): number;
  /** Pieces of PIECE_ROWS rows, the last one of a shard smaller, from a shard on. */
  read(hooks: string[], from: number): AsyncIterable<RowPiece> | Iterable<RowPiece>;
  /** Of a model: what an earlier run found, before `read` goes on from there. */
  goOn?(manifests: FeaturesManifest[]): void;
  texts: Texts;
  /** Writes the texts beside the features, where nothing else keeps them. */
  keepTexts?(folder: string): Promise<void>;
}

/**
 * Rows of one side of a store, joined, in shards of so many.
 * @throws OptionError, StoreError when there are none
 */
export function storeToCollect(store: Store, split: "all" | "train" | "heldout", shardRows: number): RowsToCollect {
  const ranges = rowsOf(store, split);
  const rows = rowCount(ranges);
  if (!rows)
    throw new StoreError(
      `${store.path}: expected rows on the side "${split}", found none. Take another side, or harvest more documents.`,
    );
  const texts = store.documents(); // what is read only at the end has to be there before the work
  void store.tokenizer;
  const shards = Math.ceil(rows / shardRows);
  return {
    name: store.path,
    hookOf(sae, hook) {
      const trained = store.manifest.hooks.some(({ name }) => name === sae.hook) ? sae.hook : undefined;
      return store.hook(hook ?? trained);
    },
    width: store.width,
    facts: (hook) => ({ path: store.path, ...storeFacts(store, store.width(hook)) }),
    documents: texts.length,
    ranges,
    shards,
    shardRows: Math.min(shardRows, rows),
    most: rows,
    unit: "rows",
    total: rows,
    before: (shard) => Math.min(rows, shard * shardRows),
    texts: store,
    *read(hooks, from) {
      for (let shard = from; shard < shards; shard++) {
        const end = Math.min(rows, (shard + 1) * shardRows);
        for (let at = shard * shardRows; at < end; at += PIECE_ROWS) {
          const to = Math.min(end, at + PIECE_ROWS);
          const { x, origin } = joined(store, hooks, ranges, at, to);
          yield { shard, last: to === end, n: to - at, x, origin, done: to };
        }
      }
    },
  };
}

/** Rows from … to, counted over the ranges. */
function joined(store: Store, hooks: string[], ranges: Range[], from: number, to: number): Pick<RowPiece, "x" | "origin"> {
  const n = to - from;
  const x = new Map(hooks.map((hook) => [hook, new Float32Array(n * store.width(hook))]));
  const origin: Origin = { document: new Int32Array(n), position: new Int32Array(n), token: new Int32Array(n) };
  let before = 0;
  for (const range of ranges) {
    const size = range.to - range.from;
    const [a, b] = [Math.max(from, before) - before, Math.min(to, before + size) - before];
    if (a < b) {
      const at = before + a - from;
      const [first, last] = [range.from + a, range.from + b];
      for (const hook of hooks) {
        const rows = store.read(hook, first, last);
        requireFinite(rows, store, hook, first);
        x.get(hook)!.set(rows, at * store.width(hook));
      }
      const some = store.origin(first, last);
      for (const key of ["document", "position", "token"] as const) origin[key].set(some[key], at);
    }
    before += size;
    if (before >= to) break;
  }
  return { x, origin };
}

/** @throws StoreError at the first row with a value that is no number: no latent could be told from it */
function requireFinite(x: Float32Array, store: Store, hook: string, first: number): void {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += 0 * x[i]; // NaN from the first NaN or infinity on
  if (sum === 0) return;
  const at = x.findIndex((v) => !Number.isFinite(v));
  const row = first + Math.floor(at / store.width(hook));
  const { document, position } = store.origin(row, row + 1);
  throw new StoreError(
    `${store.path}: ${hook}: row ${row} (document "${store.documents()[document[0]].id}", token ${position[0]}): expected finite activations, found ${x[at]}. ` +
      "The model overflows there or its weights are damaged: leave that document out, or mend the model, and harvest again.",
  );
}

/** The hook that an SAE is read at. @throws OptionError if its rows are of another width than the SAE's, or only some of its latents were loaded */
export function placeOf(rows: RowsToCollect, sae: Sae, hook?: string): string {
  const { subset, latents } = sae.weights;
  if (subset) throw new OptionError(`collect: expected a whole SAE, as latents go by their numbers, found ${latents} of its latents. Load it without { latents }.`);
  const name = rows.hookOf(sae, hook);
  const { d } = sae.weights;
  const width = rows.width(name);
  if (width === d) return name;
  throw new OptionError(
    `${rows.name}: ${name}: expected rows of width ${d}, as the SAE has, found ${width}. ` +
      `Name the hook it was trained on${sae.hook ? ` (${sae.hook})` : ""}: collect(store, sae, { hook }).`,
  );
}

