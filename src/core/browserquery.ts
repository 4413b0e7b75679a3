import type { Browser, BrowserColumn } from "./browser";

/**
 * What is typed into a browser's search: words and conditions, all of which a feature must meet.
 *
 *   wait            fires on a token with "wait" in it; or "wait" is in its label, verdict or note; a number is also a latent's
 *   token:wait      fires on the token "wait", spaces aside
 *   in:wait         the word is anywhere in its contexts
 *   density<1%      a column's number; "AUROC backtracking">0.7 where its name has spaces
 *   verdict:token   a column's text has it
 *   is:pinned       also noted, labelled
 *   -word           not so
 */

/** What a reader has added. */
export interface Marks {
  pinned: ReadonlySet<number>; // latents
  notes: ReadonlyMap<number, string>; // latent → text
}

const TERM = /(-)?(?:"([^"]*)"|([^\s"<>=:-][^\s"<>=:]*))(?:(<=|>=|[<>=:])(?:"([^"]*)"|([^\s"]+)))?|\S+/g;

/**
 * Places of the features that meet a query, in their own order.
 * @returns also what of it names no column, so that the reader can be told; and of each place the example in which a word was found
 */
export function matching(browser: Browser, query: string, marks: Marks): { places: number[]; unknown: string[]; example: Map<number, number> } {
  const example = new Map<number, number>();
  const kept = new Uint8Array(browser.count).fill(1);
  const unknown: string[] = [];
  for (const found of query.matchAll(TERM)) {
    const [whole, not, quotedName, bareName, operator, quotedValue, bareValue] = found;
    const name = quotedName ?? bareName ?? whole;
    const value = quotedValue ?? bareValue;
    const meets = operator ? condition(browser, name, operator, value, marks, example) : words(browser, name, marks, not ? new Map() : example);
    if (!meets) {
      // "12:30" is no condition but a text, "densty<1" a condition on nothing
      if (operator !== ":") unknown.push(name);
      const text = words(browser, whole, marks, example);
      for (let place = 0; place < kept.length; place++) if (!text[place]) kept[place] = 0;
      continue;
    }
    for (let place = 0; place < kept.length; place++) if (Boolean(meets[place]) === Boolean(not)) kept[place] = 0;
  }
  const places: number[] = [];
  kept.forEach((yes, place) => yes && places.push(place));
  return { places, unknown, example };
}

const has = (text: string | undefined, part: string): boolean => text !== undefined && text.toLowerCase().includes(part);

function words(browser: Browser, text: string, { notes }: Marks, example: Map<number, number>): Uint8Array {
  const part = text.toLowerCase();
  const out = new Uint8Array(browser.count);
  if (!part) return out.fill(1);
  browser.tokens((token) => token.toLowerCase().includes(part), (place, first) => {
    out[place] = 1;
    example.set(place, first);
  });
  const texts = browser.columns.filter((column): column is { name: string; values: (string | undefined)[] } => Array.isArray(column.values));
  for (let place = 0; place < out.length; place++) {
    if (out[place]) continue;
    const latent = browser.latents[place];
    if (String(latent) === text || has(notes.get(latent), part) || texts.some(({ values }) => has(values[place], part))) out[place] = 1;
  }
  return out;
}

/** The column of that name, whatever its case; else the only one that begins so. */
export function columnNamed(columns: BrowserColumn[], name: string): BrowserColumn | undefined {
  const wanted = name.toLowerCase();
  const begins = columns.filter((column) => column.name.toLowerCase().startsWith(wanted));
  return columns.find((column) => column.name.toLowerCase() === wanted) ?? (wanted && begins.length === 1 ? begins[0] : undefined);
}

function condition(browser: Browser, name: string, operator: string, value: string, { pinned, notes }: Marks, example: Map<number, number>): Uint8Array | undefined {
  const out = new Uint8Array(browser.count);
  const where = (test: (place: number, latent: number) => boolean): Uint8Array => {
    for (let place = 0; place < out.length; place++) if (test(place, browser.latents[place])) out[place] = 1;
    return out;
  };
  const part = value.toLowerCase();
  if (operator === ":") {
    if (name === "is") {
      const labels = columnNamed(browser.columns, "label")?.values;
      if (part === "pinned") return where((_, latent) => pinned.has(latent));
      if (part === "noted") return where((_, latent) => notes.has(latent));
      if (part === "labelled") return where((place) => Boolean(labels?.[place]));
      return undefined;
    }
    if (name === "note") return where((_, latent) => has(notes.get(latent), part));
    if (name === "token" || name === "in") {
      browser.tokens((token) => (name === "token" ? token.trim().toLowerCase() === part.trim() : token.toLowerCase().includes(part)), (place, first) => {
        out[place] = 1;
        example.set(place, first);
      }, name === "in");
      return out;
    }
  }
  const column = columnNamed(browser.columns, name);
  if (!column) return undefined;
  const { values } = column;
  if (Array.isArray(values)) {
    if (operator === ":") return where((place) => has(values[place], part));
    if (operator === "=") return where((place) => values[place]?.toLowerCase() === part);
    return undefined;
  }
  const number = value.endsWith("%") ? Number(value.slice(0, -1)) / 100 : Number(value);
  if (!Number.isFinite(number)) return undefined;
  if (operator === "<") return where((place) => values[place] < number);
  if (operator === "<=") return where((place) => values[place] <= number);
  if (operator === ">") return where((place) => values[place] > number);
  if (operator === ">=") return where((place) => values[place] >= number);
  return where((place) => Math.abs(values[place] - number) <= 1e-6 * Math.abs(number)); // float32
}

/** Places by a column: numbers largest first, texts by the alphabet, or the other way round; what has none comes last; ties in the order given. */
export function ordered(browser: Browser, places: number[], by: string, reversed = false): number[] {
  const column = columnNamed(browser.columns, by);
  if (!column) return places;
  const { values } = column;
  const way = reversed ? -1 : 1;
  const none = (place: number): boolean => (Array.isArray(values) ? !values[place] : Number.isNaN(values[place]));
  const compare = Array.isArray(values)
    ? (a: number, b: number): number => way * values[a]!.localeCompare(values[b]!, "en")
    : (a: number, b: number): number => way * (values[b] - values[a]);
  return [...places.filter((place) => !none(place)).sort((a, b) => compare(a, b) || a - b), ...places.filter(none)];
}
