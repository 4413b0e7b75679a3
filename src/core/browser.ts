import { FormatError } from "./errors";
import { mergeBins } from "./featurehead";
import type { FeatureFacts, HeatMapFeature } from "./heatmap";
import { packArray, packWhole, unpackArray } from "./packedarray";

/**
 * The feature browser: many features in one output, sorted, filtered and searched where they are shown.
 *
 *   BrowserView -packBrowser-> JSON that a notebook keeps (application/vnd.saelab.browser.v1+json) -openBrowser-> Browser
 *
 * Numbers of all features lie in typed arrays; a feature is made of them when it is drawn.
 */

/** A number (NaN: none) or a text (undefined: none) a feature. */
export interface BrowserColumn {
  name: string;
  values: Float32Array | (string | undefined)[];
}

export interface BrowserView {
  /** Whose pins and notes are kept: the same features shown again have the same. */
  id: string;
  /** Latents of the SAE, of which these are some. */
  of: number;
  /** The column by which they are sorted at first. */
  sort: string;
  columns: BrowserColumn[];
  features: HeatMapFeature[];
  /** Sentences on what is not here, and why. */
  notes: string[];
}

/** One browser's features, by their place among those that were packed. */
export interface Browser extends Omit<BrowserView, "features"> {
  count: number;
  latents: ArrayLike<number>;
  feature(place: number): HeatMapFeature;
  /** Facts of a feature, without its examples. */
  facts(place: number): FeatureFacts;
  /**
   * Calls `found` with each place one of whose examples has an accepted token, and with the first such example, counted over its groups; only tokens on which the
   * feature fires, unless `anywhere`.
   */
  tokens(accept: (text: string) => boolean, found: (place: number, example: number) => void, anywhere?: boolean): void;
}

/**
 * Lists that are one a feature have `latents`' length n, those of examples the sum E of `examples`, those of tokens the sum of `length`, those of
 * activations the sum of `firing`. Texts are indices into `strings`; in a column 0 is none.
 */
export interface PackedBrowser {
  version: 1;
  id: string;
  of: number;
  sort: string;
  notes: string[];
  strings: string[];
  latents: string; // [n]
  columns: { name: string; numbers?: string; texts?: string }[]; // [n] each
  /** [n] JSON of density, mean, max, histogram and FeatureFacts. */
  facts: string[];
  /** Names of groups of examples: "top" and others. */
  groups: string[];
  examples: string; // [n]
  group: string; // [E]
  length: string; // [E] tokens
  peak: string; // [E]
  times: string; // [E] near-identical contexts that it stands for
  document: string; // [E]
  position: string; // [E] of the peak in its document
  goesOn: string; // [E]
  tokens: string;
  firing: string; // [E] tokens with an activation
  at: string; // which
  /** Activation in 65,535ths of the feature's maximum. */
  share: string;
}

const FULL = 65_535;
type Head = Omit<HeatMapFeature, "groups" | "latent">;

export function packBrowser({ features, columns, ...rest }: BrowserView): PackedBrowser {
  const { strings, index } = textIndices();
  const groups: string[] = [];
  const list = { examples: [], group: [], length: [], peak: [], times: [], document: [], position: [], goesOn: [], tokens: [], firing: [], at: [], share: [] } as Record<string, number[]>;
  for (const { max, groups: own } of features) {
    list.examples.push(own.reduce((sum, { examples }) => sum + examples.length, 0));
    for (const { name, examples } of own) {
      if (!groups.includes(name)) groups.push(name);
      for (const { tokens, values, peak, count, document, position, goesOn } of examples) {
        list.group.push(groups.indexOf(name));
        list.length.push(tokens.length);
        list.peak.push(peak);
        list.times.push(count);
        list.document.push(index(document));
        list.position.push(position);
        list.goesOn.push(goesOn ? 1 : 0);
        let firing = 0;
        tokens.forEach((token, i) => {
          list.tokens.push(index(token));
          if (!(values[i] > 0)) return;
          firing++;
          list.at.push(i);
          list.share.push(Math.min(FULL, Math.max(1, Math.round((FULL * values[i]) / max))));
        });
        list.firing.push(firing);
      }
    }
  }
  const packedColumns = columns.map(({ name, values }) =>
    values instanceof Float32Array ? { name, numbers: packArray(values) } : { name, texts: packWhole(values.map((text) => (text ? index(text) + 1 : 0))) });
  const facts = features.map(({ latent: _, groups: __, histogram, ...head }) => JSON.stringify({ ...head, histogram: mergeBins(histogram) }, rounded));
  return {
    version: 1, ...rest, strings, latents: packWhole(features.map(({ latent }) => latent)), columns: packedColumns, facts, groups,
    ...(Object.fromEntries(Object.entries(list).map(([name, values]) => [name, packWhole(values)])) as Record<keyof typeof list, string>),
  } as PackedBrowser;
}

/** Five digits are more than is shown; typed arrays as lists. */
function rounded(_: string, value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array);
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
}

/** A list of different texts that grows as they are asked for. */
function textIndices(): { strings: string[]; index(text: string): number } {
  const places = new Map<string, number>();
  const strings: string[] = [];
  const index = (text: string): number => {
    const known = places.get(text);
    if (known !== undefined) return known;
    places.set(text, strings.length);
    return strings.push(text) - 1;
  };
  return { strings, index };
}

/** @throws FormatError for another version, and for lists that are not as long as one another */
export function openBrowser(packed: PackedBrowser): Browser {
  const { id, of, sort, notes, strings, columns, facts, groups } = packed;
  if (packed.version !== 1) throw new FormatError(`feature browser: expected version 1, found ${JSON.stringify((packed as { version: unknown }).version)}. Install the extension of the saelab that made this output: npx saelab install.`);
  const latents = unpackArray(packed.latents, "latents");
  const n = latents.length;
  if (facts?.length !== n) throw new FormatError(`facts: expected ${n}, one a latent, found ${facts?.length}. The output is cut short: run the cell again.`);
  const perFeature = sums(unpackArray(packed.examples, "examples", n));
  const E = perFeature[n];
  const one = (name: "group" | "length" | "peak" | "times" | "document" | "position" | "goesOn" | "firing"): ArrayLike<number> => unpackArray(packed[name], name, E);
  const [group, length, peak, times, document, position, goesOn, firing] = [one("group"), one("length"), one("peak"), one("times"), one("document"), one("position"), one("goesOn"), one("firing")];
  const tokenStart = sums(length);
  const firingStart = sums(firing);
  const tokens = unpackArray(packed.tokens, "tokens", tokenStart[E]);
  const at = unpackArray(packed.at, "at", firingStart[E]);
  const shares = unpackArray(packed.share, "share", firingStart[E]);
  const text = (i: number): string => strings[i] ?? "";
  const head = (place: number): Head => JSON.parse(facts[place]) as Head;

  return {
    id, of, sort, notes, count: n, latents,
    columns: columns.map(({ name, numbers, texts }) => ({
      name,
      values: numbers !== undefined ? (unpackArray(numbers, `column "${name}"`, n) as Float32Array) : Array.from(unpackArray(texts, `column "${name}"`, n), (i) => (i ? text(i - 1) : undefined)),
    })),
    facts: head,
    feature(place) {
      const own = head(place);
      const examples: HeatMapFeature["groups"] = groups.map((name) => ({ name, examples: [] }));
      for (let e = perFeature[place]; e < perFeature[place + 1]; e++) {
        const values = new Array<number>(length[e]).fill(0);
        for (let i = firingStart[e]; i < firingStart[e + 1]; i++) values[at[i]] = (shares[i] / FULL) * own.max;
        examples[group[e]]?.examples.push({
          tokens: Array.from(tokens.subarray(tokenStart[e], tokenStart[e + 1]), text), values, peak: peak[e], count: times[e], document: text(document[e]), position: position[e],
          ...(goesOn[e] ? { goesOn: true as const } : {}),
        });
      }
      return { ...own, latent: latents[place], groups: examples.filter((each) => each.examples.length) };
    },
    tokens(accept, found, anywhere) {
      const accepted = Uint8Array.from(strings, (each) => (accept(each) ? 1 : 0));
      for (let place = 0; place < n; place++) {
        const hit = (e: number): boolean => {
          if (anywhere) {
            for (let i = tokenStart[e]; i < tokenStart[e + 1]; i++) if (accepted[tokens[i]]) return true;
            return false;
          }
          for (let i = firingStart[e]; i < firingStart[e + 1]; i++) if (accepted[tokens[tokenStart[e] + at[i]]]) return true;
          return false;
        };
        for (let e = perFeature[place]; e < perFeature[place + 1]; e++) {
          if (!hit(e)) continue;
          found(place, e - perFeature[place]);
          break;
        }
      }
    },
  };
}

/** 0, and the sums of the first one, two … numbers. */
function sums(counts: ArrayLike<number>): Float64Array {
  const out = new Float64Array(counts.length + 1);
  for (let i = 0; i < counts.length; i++) out[i + 1] = out[i] + counts[i];
  return out;
}
