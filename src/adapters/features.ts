import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { OptionError, StoreError } from "../core/errors";
import { GROUPS } from "../core/examples";
import { FEATURE_COLUMNS, featureRows } from "../core/featuretable";
import type { ShownFeature, Words } from "../core/heatmap";
import { DENSE } from "../core/measure";
import type { Range } from "../core/split";
import type { Example, Origin, Sparse, Store } from "../core/types";
import { codesReader } from "./codes";
import { columnNames, columnStamp, readColumn, writeColumn, type Column } from "./columns";
import { featureCard } from "./featurecard";
import { readManifest, sameStore, tidy, type FeaturesManifest } from "./family";
import { openNames } from "./familynames";
import { openFamily } from "./familyreader";
import { readTextsKept, type CollectedTexts } from "./familytexts";
import { keptLogits } from "./keptlogits";
import { requireLatents } from "./latents";
import { DISPLAY, heatMap, showing, type FeatureList, type ShownNow } from "./show";
import { openStore } from "./store";
import { dataFrame, type DataFrame } from "./table";

const RARE = 1 / 50_000; // a latent that fires on fewer rows fires by accident

/** A feature with everything the collection knows of it. */
export interface CollectedFeature extends ShownFeature, ShownNow {
  more: { name: string; examples: Example[] }[];
  /** Bits, of the tokens' shares of its activation mass: 0 is one token, 10 as many as a thousand equal ones. */
  entropy: number;
  /** Different tokens among its 100 strongest firings. */
  distinctTokens: number;
  /** Tokens of largest mean activation, of those on which it fires at least three times and on one firing in a hundred. */
  triggers: { token: number; text: string; mean: number }[];
  /** Tokens of the largest shares of its activation mass, largest first: five at most. */
  tokenShares: { token: number; text: string; share: number }[];
  /** Documents on which it fires. */
  documents: number;
  /** Where in a document it fires. */
  position: FiringPosition;
  /** Latents that fire on the same rows, see {@link Features.together}. */
  together: Partner[];
  words: Words;
}

export interface FiringPosition {
  /** Tokens before a firing, mean over the firings. */
  mean: number;
  /** Share of its firings that are within the first five tokens of a document. */
  early: number;
  /** Share of its firings in each tenth of a document's length, [10]. */
  deciles: number[];
}

/** Another latent that fires on the same rows. */
export interface Partner {
  latent: number;
  /** Rows on which both fire. */
  count: number;
  /** Jaccard: those rows, as a share of the rows on which one of them fires. */
  score: number;
}

export interface TopOptions {
  count?: number; // 20 features
  by?: "max" | "mean" | "density" | "entropy"; // "max": largest first; entropy smallest first: one-token features
  latents?: number[]; // these, in this order; `by` is not asked
  examples?: number; // as many as were collected
  dense?: boolean; // false: latents that fire on more than a tenth of the rows are passed over
  rare?: boolean; // false: so are those that fire on fewer than one row in 50,000; by entropy or mean the accidents would come first
}

export interface Features extends ShownNow {
  path: string;
  manifest: FeaturesManifest;
  /** Latents, dead ones included. */
  count: number;
  rows: number;
  words: Words;
  feature(latent: number): CollectedFeature;
  /** The at most 16 latents whose firings overlap most with its own: a score of at least 0.05, on at least 5 rows. Largest score first. */
  together(latent: number): Partner[];
  /** A choice of features, dead ones passed over; shows itself as heat maps. */
  top(options?: TopOptions): FeatureList<CollectedFeature> & ShownNow;
  /** What was found of latents after collecting: names of columns beyond the measured ones. */
  columns(): string[];
  /** A number a latent (NaN: none), or a text (undefined: none). @throws OptionError if there is no such column */
  column(name: string): Float32Array | (string | undefined)[];
  /**
   * Keeps a number or a text a latent in the family; `table()` has it as a column, and the columns "label" and "verdict" are shown with a
   * feature. null takes a column away.
   */
  setColumn(name: string, values: Float32Array | (string | undefined)[] | Record<number, string> | null): Promise<void>;
  /** One row a latent, as a danfojs DataFrame. */
  table(): DataFrame;
  /** One feature in full: all that is known of it, whole contexts, every group. */
  card(latent: number): ShownNow;
  /** What the SAE made of rows from … to, counted over `manifest.ranges` one after the other. */
  codes(from: number, to: number): Sparse;
  /** Rows on which each latent fires. */
  fired: Int32Array;
  /**
   * Of each latent: share of rows, mean over the rows on which it fires, maximum; entropy (bits) of its activation mass over tokens, different
   * tokens among its 100 strongest firings.
   */
  statistics: { density: Float32Array; mean: Float32Array; max: Float32Array; readonly entropy: Float32Array; readonly distinct: Int32Array };
  /** Where rows from … to, counted as in `codes`, come from. */
  origin(from: number, to: number): Origin;
  /** The rows of a document, counted as in `codes`; none of a document that was left out, or all of whose rows were dropped. */
  documentRows(document: number): Range;
  /** Documents and their tokens: of the store, or as the model read them. @throws StoreError if the store is gone or another one */
  texts(): Promise<CollectedTexts>;
  /** The store it was collected from. @throws StoreError if it is gone or another one, or there was none: a running model */
  store(): Promise<Store>;
  close(): void;
}

export const wholeNumber = (name: string, value: number, least: number, verb = "collect"): void => {
  if (!Number.isSafeInteger(value) || value < least)
    throw new OptionError(`${verb}: ${name}: expected a whole number from ${least} on, found ${value}.`);
};

/**
 * Opens what `collect` wrote: headers, texts of the tokens and three numbers a latent are read at once, all else when it is asked for.
 * @throws FormatError if the folder is no such family, of another version, or damaged
 */
export async function openFeatures(path: string, options: { store?: Store } = {}): Promise<Features> {
  if (typeof path !== "string") throw new OptionError(`openFeatures: expected the path of a folder, found ${String(path)}.`);
  if (!existsSync(path)) await tidy(resolve(path));
  const manifest = readManifest(path);
  const F = manifest.sae.latents;
  const words: Words = openNames(path, manifest.documents);
  const family = openFamily(path, manifest);
  const codes = codesReader(path, manifest.shards, F);
  const [fired, mean, max] = [family.ints("fired"), family.floats("mean"), family.floats("max")];
  const held = new Map<string, { stamp: string; column: Column | undefined }>();
  const found = (name: string): Column | undefined => {
    const stamp = columnStamp(path, name); // other features of this folder may have written it
    let one = held.get(name);
    if (one?.stamp !== stamp) held.set(name, (one = { stamp, column: readColumn(path, name, F) }));
    return one.column;
  };
  let store = options.store;
  let kept: CollectedTexts | undefined;
  let first: Int32Array | undefined;
  const firstRows = (): Int32Array => {
    const rows = new Int32Array(manifest.documents + 1);
    for (const document of codes.origin(0, manifest.rows).document) rows[document + 1]++;
    for (let i = 0; i < manifest.documents; i++) rows[i + 1] += rows[i];
    return rows;
  };
  const logitsOf = keptLogits(path, F);
  const textOf = (name: string, latent: number): string | undefined => {
    const column = found(name);
    return Array.isArray(column) ? column[latent] : undefined;
  };

  const checked = (latent: number): number => {
    requireLatents([latent], F, path);
    return latent;
  };
  const together = (latent: number): Partner[] => family.together(checked(latent));
  const feature = (latent: number, most = Infinity): CollectedFeature => {
    const { examples: groups, triggers, tokenShares, histogram, documents, position } = family.latent(checked(latent), most);
    const logits = logitsOf(latent);
    const plain = {
      latent,
      density: fired[latent] / manifest.rows,
      mean: mean[latent],
      max: max[latent],
      histogram,
      top: groups[0],
      more: GROUPS.slice(1)
        .map((name, g) => ({ name, examples: groups[g + 1] }))
        .filter((one) => one.examples.length),
      entropy: family.floats("entropy")[latent],
      distinctTokens: family.ints("distinct")[latent],
      triggers: triggers.map((one) => ({ token: one.token, text: words.token(one.token), mean: one.mean })),
      tokenShares: tokenShares.map((one) => ({ token: one.token, text: words.token(one.token), share: one.share })),
      documents,
      position,
      together: together(latent),
      words,
      ...(textOf("label", latent) ? { label: textOf("label", latent) } : {}),
      ...(textOf("verdict", latent) ? { verdict: textOf("verdict", latent) } : {}),
      ...(logits ? { logits } : {}),
    };
    const one: CollectedFeature = showing(plain, () => heatMap(one)[DISPLAY]());
    return one;
  };

  const orders: Record<NonNullable<TopOptions["by"]>, () => ArrayLike<number>> = { // smallest first
    max: () => max.map((value) => -value),
    mean: () => mean.map((value) => -value),
    density: () => Float64Array.from(fired, (n) => -n),
    entropy: () => family.floats("entropy"),
  };
  const top = (topOptions: TopOptions = {}): FeatureList<CollectedFeature> & ShownNow => {
    const { count: wanted = 20, by = "max", latents, examples: most, dense = false, rare = false } = topOptions;
    if (!(by in orders))
      throw new OptionError(`top: by: expected one of ${Object.keys(orders).join(", ")}, found "${by}".`);
    wholeNumber("count", wanted, 1, "top");
    if (latents !== undefined && !Array.isArray(latents)) throw new OptionError(`top: latents: expected a list of numbers, found ${JSON.stringify(latents)}.`);
    const isShown = (f: number): boolean =>
      fired[f] > 0 && (dense || fired[f] <= DENSE * manifest.rows) && (rare || fired[f] >= RARE * manifest.rows);
    const chosen = latents ?? smallest(orders[by](), wanted, isShown);
    const list = Object.assign(
      chosen.map((latent) => feature(latent, most)),
      { words },
    );
    return showing(list, () => heatMap(list, { count: list.length, examples: most })[DISPLAY]());
  };

  const features: Features = showing<Omit<Features, typeof DISPLAY>>(
    {
      path,
      manifest,
      count: F,
      rows: manifest.rows,
      words,
      fired,
      statistics: {
        density: Float32Array.from(fired, (n) => n / manifest.rows), mean, max,
        get entropy() { return family.floats("entropy"); },
        get distinct() { return family.ints("distinct"); },
      },
      feature: (latent: number) => feature(latent),
      together,
      top,
      columns: () => columnNames(path),
      column(name: string) {
        const column = found(name);
        if (column) return column;
        throw new OptionError(`${path}: expected one of the columns ${columnNames(path).join(", ") || "(none yet)"}, found "${name}". setColumn(name, values) makes one.`);
      },
      async setColumn(name: string, values: Column | Record<number, string> | null) {
        await writeColumn(path, name, values, F);
        held.delete(name);
      },
      table() {
        const names = columnNames(path);
        const more = names.map((name) => found(name)!);
        const [entropy, distinct, trigger] = [family.floats("entropy"), family.ints("distinct"), family.ints("trigger")];
        const rows = featureRows({ rows: manifest.rows, fired, mean, max, entropy, distinct, trigger, words });
        return dataFrame(rows.map((row, f) => [...row, ...more.map((values) => values[f] ?? "")]), [...FEATURE_COLUMNS, ...names]);
      },
      card: (latent: number) => featureCard(features, latent),
      codes: codes.read,
      origin: codes.origin,
      documentRows(document: number) {
        if (!Number.isInteger(document) || document < 0 || document >= manifest.documents)
          throw new OptionError(`${path}: expected a document from 0 to ${manifest.documents - 1}, found ${document}.`);
        first ??= firstRows();
        return { from: first[document], to: first[document + 1] };
      },
      async texts() {
        if (manifest.store.path !== undefined) return features.store();
        return (kept ??= readTextsKept(path, manifest.documents));
      },
      async store() {
        const { path: from } = manifest.store;
        if (from === undefined)
          throw new StoreError(
            `${path}: expected features of a store, found those of a running model, which keeps no rows. harvest(model, documents, { hooks: ["${manifest.sae.hook}"] }) makes a store: collect from it.`,
          );
        store ??= await openStore(resolve(path, from));
        sameStore(store, manifest, path);
        return store;
      },
      close() {
        family.close();
        codes.close();
      },
    },
    () => heatMap(top())[DISPLAY](),
  );
  return features;
}

/** The `count` places of the smallest keys, smaller first, then by place. */
function smallest(keys: ArrayLike<number>, count: number, isWanted: (place: number) => boolean): number[] {
  const before = (i: number, j: number): boolean => keys[i] < keys[j] || (keys[i] === keys[j] && i < j);
  if (count > 256) {
    const all = Array.from(keys, (_, i) => i).filter(isWanted);
    return all.sort((i, j) => (before(i, j) ? -1 : 1)).slice(0, count);
  }
  const best: number[] = [];
  for (let i = 0; i < keys.length; i++) {
    if ((best.length === count && !before(i, best[count - 1])) || !isWanted(i)) continue;
    let at = best.length;
    while (at > 0 && before(i, best[at - 1])) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}
