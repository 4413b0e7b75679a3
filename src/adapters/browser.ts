import { createHash } from "node:crypto";
import { packBrowser, type BrowserColumn, type BrowserView } from "../core/browser";
import { OptionError } from "../core/errors";
import { tableText } from "../core/featuretable";
import { featureView, heatMapHtml } from "../core/heatmap";
import { count } from "../core/html";
import { wholeNumber, type CollectedFeature, type Features, type TopOptions } from "./features";
import { shown, type ShownNow } from "./show";

export interface BrowserOptions {
  count?: number; // 200 features: some 500 KB of the notebook's file
  latents?: number[]; // these, in this order
  sort?: string; // "max": what chooses and sorts them; any column, numbers largest first (entropy smallest first), texts by the alphabet
  examples?: number; // 12 of the strongest
  context?: number; // 12 tokens on either side
  groups?: boolean; // false: true brings quantile and random examples too, three times the size
}

const COUNT = 200;
const FALLBACK = 20; // features that are shown where there is no extension
const BYTES = 200_000;
const MEASURED: NonNullable<TopOptions["by"]>[] = ["max", "mean", "density", "entropy"];

/**
 * Many features in one output: in JupyterLab and Notebook with saelab's extension (`npx saelab install`) a list to sort by any column, filter, search by token and
 * walk with the keyboard, with pins and notes that the notebook keeps; elsewhere the first twenty as heat maps.
 * @param features what `collect` or `openFeatures` gave; its columns come along
 * @returns shows itself as `application/vnd.saelab.browser.v1+json` (a PackedBrowser), HTML without script (at most 200 KB), and a table as text
 * @throws OptionError for a column that is not there, and for latents out of range
 */
export function featureBrowser(features: Features, options: BrowserOptions = {}): ShownNow {
  const { examples = 12, context = 12, groups = false } = options;
  wholeNumber("examples", examples, 1);
  const list = chosen(features, options);
  const sort = options.sort ?? "max";
  const columns = columnsOf(features, list);
  const view: BrowserView = {
    id: createHash("sha256").update(`${features.path}\n${features.count} ${features.rows}`).digest("hex").slice(0, 12),
    of: features.count,
    sort: options.latents && !options.sort ? "" : sort,
    columns,
    features: list.map((feature) => featureView(groups ? feature : { ...feature, more: [] }, features.words, { examples, context })),
    notes: [...(options.latents || list.length < (options.count ?? COUNT) ? [] : [`Chosen by ${sort}: { count } and { sort } choose others.`]), ...("note" in list && typeof list.note === "string" ? [list.note] : [])],
  };
  return shown(() => ({
    "application/vnd.saelab.browser.v1+json": packBrowser(view),
    "text/html": heatMapHtml({ features: view.features.slice(0, FALLBACK), leftOut: [...left(list.length), ...view.notes] }, { bytes: BYTES }),
    "text/plain": tableText({
      columns: columns.map(({ name }) => name),
      rows: list.slice(0, FALLBACK).map((_, place) => columns.map(({ values }) => (typeof values[place] === "number" && Number.isNaN(values[place]) ? null : values[place]))),
      total: list.length,
    }),
  }));
}

const left = (n: number): string[] =>
  n > FALLBACK ? [`The first ${FALLBACK} of ${count(n)} features. JupyterLab and Notebook with saelab’s extension (npx saelab install) show all of them, to sort, filter and search.`] : [];

function chosen(features: Features, { count: wanted = COUNT, latents, sort = "max", examples = 12 }: BrowserOptions): CollectedFeature[] {
  if (latents) return features.top({ latents, examples });
  wholeNumber("count", wanted, 1);
  if ((MEASURED as string[]).includes(sort)) return features.top({ count: wanted, by: sort as TopOptions["by"], examples });
  if (!features.columns().includes(sort))
    throw new OptionError(`featureBrowser: sort: expected one of ${[...MEASURED, ...features.columns()].join(", ")}, found ${JSON.stringify(sort)}. features.setColumn(name, values) makes a column.`);
  const values = features.column(sort);
  const there: number[] = [];
  for (let f = 0; f < features.count; f++) if (Array.isArray(values) ? values[f] : !Number.isNaN(values[f])) there.push(f);
  there.sort(Array.isArray(values) ? (f, g) => values[f]!.localeCompare(values[g]!, "en") || f - g : (f, g) => values[g] - values[f] || f - g);
  return features.top({ latents: there.slice(0, wanted), examples });
}

/** What is measured of each, and what was found later. */
function columnsOf(features: Features, list: CollectedFeature[]): BrowserColumn[] {
  const numbers = (of: (feature: CollectedFeature) => number): Float32Array => Float32Array.from(list, of);
  const measured: BrowserColumn[] = [
    { name: "latent", values: numbers(({ latent }) => latent) },
    { name: "density", values: numbers(({ density }) => density) },
    { name: "mean", values: numbers(({ mean }) => mean) },
    { name: "max", values: numbers(({ max }) => max) },
    { name: "entropy", values: numbers(({ entropy }) => entropy) },
    { name: "distinct", values: numbers(({ distinctTokens }) => distinctTokens) },
    { name: "documents", values: numbers(({ documents }) => documents) },
    { name: "early", values: numbers(({ position }) => position.early) },
    { name: "tokens", values: list.map(({ triggers }) => triggers.map(({ text }) => text.trim()).join(" ") || undefined) },
  ];
  const later = features.columns().map((name): BrowserColumn => {
    const values = features.column(name);
    return { name, values: Array.isArray(values) ? list.map(({ latent }) => values[latent]) : numbers(({ latent }) => values[latent]) };
  });
  return [...measured, ...later];
}
