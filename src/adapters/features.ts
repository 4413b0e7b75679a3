import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { BINS, GROUPS, histogramOf, TRIGGERS } from "../core/collect";
import { OptionError } from "../core/errors";
import { featureRows, FEATURE_COLUMNS } from "../core/featuretable";
import type { ShownFeature, Words } from "../core/heatmap";
import { DENSE } from "../core/measure";
import { bytesToText } from "../core/token";
import type { Example, Sparse, Store } from "../core/types";
import { columnNames, readColumn, writeColumn, type Column } from "./columns";
import { keptLogits } from "./keptlogits";
import { openFamily, readManifest, sameStore, tidy, type FeaturesManifest } from "./family";
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
  words: Words;
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
  /** One feature in full: whole contexts, every group. */
  card(latent: number): ShownNow;
  /** What the SAE made of rows from … to, counted over `manifest.ranges` one after the other. */
  codes(from: number, to: number): Sparse;
  /** Rows on which each latent fires. */
  fired: Int32Array;
  /**
   * Of each latent: share of rows, mean over the rows on which it fires, maximum; entropy (bits) of its activation mass over tokens, different
   * tokens among its 100 strongest firings.
   */
  statistics: { density: Float32Array; mean: Float32Array; max: Float32Array; entropy: Float32Array; distinct: Int32Array };
  /** The store it was collected from. @throws StoreError if it is gone or another one */
  store(): Promise<Store>;
  close(): void;
}

export const wholeNumber = (name: string, value: number, least: number): void => {
  if (!Number.isSafeInteger(value) || value < least)
    throw new OptionError(`collect: ${name}: expected a whole number from ${least} on, found ${value}.`);
};

/**
 * Opens what `collect` wrote. Statistics are read at once, examples and codes when they are asked for.
 * @throws FormatError if the folder is no such family, of another version, or damaged
 */
export async function openFeatures(path: string, options: { store?: Store } = {}): Promise<Features> {
  if (!existsSync(path)) await tidy(resolve(path));
  const manifest = readManifest(path);
  const F = manifest.sae.latents;
  const { statistics, examples, names, codes } = openFamily(path, manifest);
  const { fired, mean, max, histogram, entropy, distinct, trigger, triggerMean } = statistics;
  const part = examples.ints;
  const held = new Map<string, Column | undefined>();
  const found = (name: string): Column | undefined => {
    if (!held.has(name)) held.set(name, readColumn(path, name, F));
    return held.get(name);
  };
  const texts = new Map<number, string>();
  const words: Words = {
    token(id) {
      if (!texts.has(id))
        texts.set(id, id in names.tokens ? bytesToText(Buffer.from(names.tokens[id], "base64")) : `‹${id}›`);
      return texts.get(id)!;
    },
    document: (index) => names.documents[index] ?? String(index),
  };
  let store = options.store;
  const logitsOf = keptLogits(path, F);
  const textOf = (name: string, latent: number): string | undefined => {
    const column = found(name);
    return Array.isArray(column) ? column[latent] : undefined;
  };

  const feature = (latent: number, most = Infinity): CollectedFeature => {
    if (!Number.isInteger(latent) || latent < 0 || latent >= F)
      throw new OptionError(`${path}: expected a latent from 0 to ${F - 1}, found ${latent}.`);
    const [a, b] = part("offset", latent, latent + 2);
    const meta = (name: string): Int32Array => part(name, a, b);
    const [group, times, document, position, peak, goesOn] = [
      meta("group"),
      meta("count"),
      meta("document"),
      meta("position"),
      meta("peak"),
      meta("goesOn"),
    ];
    const start = part("start", a, b + 1);
    const tokens = part("tokens", start[0], start[b - a]);
    const values = examples.floats("values", start[0], start[b - a]);
    const groups: Example[][] = GROUPS.map(() => []);
    group.forEach((g, e) => {
      if (groups[g].length >= most) return;
      groups[g].push({
        tokens: tokens.slice(start[e] - start[0], start[e + 1] - start[0]),
        values: values.slice(start[e] - start[0], start[e + 1] - start[0]),
        peak: peak[e],
        document: document[e],
        position: position[e],
        count: times[e],
        goesOn: goesOn[e] === 1,
      });
    });
    const logits = logitsOf(latent);
    const triggers = Array.from({ length: TRIGGERS }, (_, i) => latent * TRIGGERS + i)
      .filter((i) => trigger[i] >= 0)
      .map((i) => ({ token: trigger[i], text: words.token(trigger[i]), mean: triggerMean[i] }));
    const plain = {
      latent,
      density: fired[latent] / manifest.rows,
      mean: mean[latent],
      max: max[latent],
      histogram: histogramOf(histogram.subarray(latent * BINS, (latent + 1) * BINS)),
      top: groups[0],
      more: GROUPS.slice(1)
        .map((name, g) => ({ name, examples: groups[g + 1] }))
        .filter((one) => one.examples.length),
      entropy: entropy[latent],
      distinctTokens: distinct[latent],
      triggers,
      words,
      ...(textOf("label", latent) ? { label: textOf("label", latent) } : {}),
      ...(textOf("verdict", latent) ? { verdict: textOf("verdict", latent) } : {}),
      ...(logits ? { logits } : {}),
    };
    const one: CollectedFeature = showing(plain, () => heatMap(one)[DISPLAY]());
    return one;
  };

  const orders: Record<NonNullable<TopOptions["by"]>, (f: number) => number> = {
    max: (f) => -max[f],
    mean: (f) => -mean[f],
    density: (f) => -fired[f],
    entropy: (f) => entropy[f],
  };
  const top = (topOptions: TopOptions = {}): FeatureList<CollectedFeature> & ShownNow => {
    const { count: wanted = 20, by = "max", latents, examples: most, dense = false, rare = false } = topOptions;
    if (!(by in orders))
      throw new OptionError(`top: by: expected one of ${Object.keys(orders).join(", ")}, found "${by}".`);
    wholeNumber("count", wanted, 1);
    const order = orders[by];
    const chosen =
      latents ??
      Array.from(fired.keys())
        .filter(
          (f) => fired[f] > 0 && (dense || fired[f] <= DENSE * manifest.rows) && (rare || fired[f] >= RARE * manifest.rows),
        )
        .sort((f, g) => order(f) - order(g) || f - g)
        .slice(0, wanted);
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
      statistics: { density: Float32Array.from(fired, (n) => n / manifest.rows), mean, max, entropy, distinct },
      feature: (latent: number) => feature(latent),
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
        const rows = featureRows({ rows: manifest.rows, fired, mean, max, entropy, distinct, trigger, words });
        return dataFrame(rows.map((row, f) => [...row, ...more.map((values) => values[f] ?? "")]), [...FEATURE_COLUMNS, ...names]);
      },
      card: (latent: number) => heatMap(feature(latent), { layout: "wrap" as const, context: manifest.settings.context }),
      codes(from: number, to: number) {
        if (!(0 <= from && from <= to && to <= manifest.rows))
          throw new OptionError(`${path}: expected rows 0 ≤ from ≤ to ≤ ${manifest.rows}, found ${from}, ${to}.`);
        return codes.read(from, to);
      },
      async store() {
        store ??= await openStore(resolve(path, manifest.store.path));
        sameStore(store, manifest, path);
        return store;
      },
      close() {
        examples.close();
        codes.close();
      },
    },
    () => heatMap(top())[DISPLAY](),
  );
  return features;
}
