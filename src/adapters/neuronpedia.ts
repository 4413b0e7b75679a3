import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync, gzip as gzipLater } from "node:zlib";
import { FormatError, OptionError, StoreError } from "../core/errors";
import { parseHook, transformerLensName } from "../core/hookname";
import { BARS, dashboardFeature, explanationRow, importRows, linearHistograms, sourceRows, type Prompts, type SourceNames } from "../core/neuronpedia";
import { interning, shownFeature, type ImportedFeature } from "../core/neuronpediafeature";
import type { Progress, Sae } from "../core/types";
import type { Features } from "./features";
import { writeAtomic } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { version } from "./package";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { requireSameSae } from "./samesae";
import { DISPLAY, heatMap, showing, type FeatureList, type ShownNow } from "./show";
import { wholeFolder } from "./wholefolder";

/** Features to Neuronpedia and from there. */

const gzip = promisify(gzipLater);
const STOPPED = "Nothing of this export was kept: export again.";
const CREATOR = "clkht01d40000jv08hvalcvly"; // whom Neuronpedia's own tools take for a bulk import when nobody is named
const SETTINGS = "run_settings.json";

export interface NeuronpediaOptions {
  /** Neuronpedia's name of the model, such as "gemma-2-2b", and of the set of SAEs, such as "res-16k". */
  modelId: string;
  sourceSet: string;
  /** "import": the folders of its bulk import. "batches": batch-0.json … as SAEDashboard writes them. */
  layout?: "import" | "batches";
  layer?: number; // the hook's
  suffix?: string; // none: tells several SAEs of a layer and set apart
  latents?: number[]; // those that fire
  sae?: Sae; // none: decoder rows are written only with it
  perBatch?: number; // 128 features a file
  dataset?: string; // "": name of the texts on the hub
  creatorId?: string; // that of Neuronpedia's own bulk imports
  creatorName?: string; // "saelab"
  release?: string; // <modelId>-<sourceSet>
  description?: string; // the hook and the number of latents
  urls?: string[]; // none
  weights?: { repo: string; folder?: string }; // none: where the SAE lies on the hub
  createdAt?: Date; // now
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface NeuronpediaExport {
  /** "import": <folder>/<modelId>/<layer>-<sourceSet>; "batches": the folder. */
  path: string;
  features: number;
  activations: number;
  /** Labels, written as explanations. */
  explanations: number;
}

/**
 * Writes features for Neuronpedia: their examples, histograms, logits and labels, and with `sae` their decoder rows. What saelab does not measure (correlated
 * neurons, direct feature attribution) is left empty, as SAEDashboard leaves it where it is switched off.
 * @throws OptionError for names that are no names, or something else in the way; StoreError if `sae` is not the one of these features; DiskError; InterruptError: nothing is kept then
 */
export async function exportNeuronpedia(features: Features, folder: string, options: NeuronpediaOptions): Promise<NeuronpediaExport> {
  const { modelId, sourceSet, layout = "import", suffix, sae, perBatch = 128, progress = defaultProgress() } = options;
  for (const [name, value] of Object.entries({ modelId, sourceSet, ...(suffix === undefined ? {} : { suffix }) })) {
    if (typeof value !== "string" || !/^[\w.-]+$/.test(value) || /^\.+$/.test(value)) throw new OptionError(`exportNeuronpedia: ${name}: expected a name of letters, digits, ".", "_" and "-", found ${JSON.stringify(value)}.`);
  }
  if (layout !== "import" && layout !== "batches") throw new OptionError(`exportNeuronpedia: layout: expected "import" or "batches", found ${JSON.stringify(layout)}.`);
  if (options.layer !== undefined && !(Number.isSafeInteger(options.layer) && options.layer >= 0)) throw new OptionError(`exportNeuronpedia: layer: expected a whole number from 0 on, found ${JSON.stringify(options.layer)}.`);
  if (!Number.isSafeInteger(perBatch) || perBatch < 1) throw new OptionError(`exportNeuronpedia: perBatch: expected a whole number from 1 on, found ${perBatch}.`);
  if (sae && sae.weights.latents !== features.count) throw new OptionError(`exportNeuronpedia: sae: expected the one of these ${features.count} latents, found one of ${sae.weights.latents}.`);
  if (sae) await requireSameSae(features, sae, STOPPED);
  const { hook } = features.manifest.sae;
  const layer = options.layer ?? layerOf(hook);
  const latents = options.latents ?? Array.from(features.fired.keys()).filter((f) => features.fired[f] > 0);
  const wrong = latents.find((f) => !Number.isInteger(f) || f < 0 || f >= features.count);
  if (wrong !== undefined) throw new OptionError(`exportNeuronpedia: latents: expected numbers from 0 to ${features.count - 1}, found ${wrong}.`);
  const prompts = await promptsOf(features, options.dataset ?? "");
  const names: SourceNames = {
    modelId, sourceSet, sourceId: `${layer}-${sourceSet}${suffix ? `__${suffix}` : ""}`, creatorId: options.creatorId ?? CREATOR, creatorName: options.creatorName ?? "saelab",
    release: options.release ?? `${modelId}-${sourceSet}`, description: options.description ?? `${features.count} latents at ${hook}`, urls: options.urls ?? [],
    hfRepoId: options.weights?.repo ?? null, hfFolderId: options.weights?.folder ?? null, createdAt: (options.createdAt ?? new Date()).toISOString(),
    notes: `Exported by saelab ${version}; features of SAE ${features.manifest.sae.sha256.slice(0, 16)}.`, hookName: lensName(hook),
  };
  const bars = await inPieces(linearHistograms(features.codes, features.rows, features.statistics.max), STOPPED);
  const dOut = sae ? (sae.weights.dOut ?? sae.weights.d) : 0;
  const path = layout === "import" ? join(folder, modelId, names.sourceId) : folder;
  const told = meter("export to Neuronpedia", latents.length, "features", progress);
  const id = (kind: string, index: number, n: number): string => `c${createHash("sha256").update(JSON.stringify([kind, modelId, names.sourceId, index, n])).digest("hex").slice(0, 24)}`;
  const done: NeuronpediaExport = { path, features: 0, activations: 0, explanations: 0 };
  return wholeFolder(path, isExport, async (part) => {
    if (layout === "import") {
      for (const name of ["features", "activations", "explanations"]) await mkdir(join(part, name));
      for (const [name, rows] of Object.entries(sourceRows(names, prompts))) await writeAtomic(join(part, `${name}.jsonl`), [lines(rows)]);
    } else {
      const settings = { exporter: `saelab ${version}`, model_id: modelId, layer, sae_set: sourceSet, hook, ...names, ...prompts };
      await writeAtomic(join(part, SETTINGS), [`${JSON.stringify(settings, null, 4)}\n`]);
    }
    for (let from = 0, batch = 0; from < latents.length; from += perBatch, batch++) {
      stopIfInterrupted(STOPPED);
      const some = latents.slice(from, from + perBatch).map((f) => features.feature(f));
      const shown = some.map((one) => {
        const { latent: f } = one;
        const vector = sae?.weights.wDec.subarray(f * dOut, (f + 1) * dOut);
        return dashboardFeature(one, features.words, bars.subarray(f * BARS, (f + 1) * BARS), features.rows, prompts, vector);
      });
      const explanations = some.flatMap(({ latent, label, verdict }) => (label ? [explanationRow(latent, label, verdict, names, id("explanation", latent, 0))] : []));
      if (layout === "batches") {
        await writeAtomic(join(part, `batch-${batch}.json`), [JSON.stringify({ model_id: modelId, layer, sae_set: sourceSet, sae_id_suffix: suffix ?? null, features: shown })]);
      } else {
        const rows = shown.map((one) => importRows(one, names, id));
        const write = async (kind: string, of: Record<string, unknown>[]): Promise<void> => writeAtomic(join(part, kind, `batch-${batch}.jsonl.gz`), [await gzip(lines(of), { level: 5 })]);
        await write("features", rows.map((row) => row.feature));
        await write("activations", rows.flatMap((row) => row.activations));
        if (explanations.length) await write("explanations", explanations);
        done.explanations += explanations.length;
      }
      done.features += shown.length;
      done.activations += shown.reduce((sum, one) => sum + one.activations.length, 0);
      told(done.features);
      await breathe();
    }
    return done;
  });
}

const lines = (rows: Record<string, unknown>[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

const isExport = (folder: string): boolean => {
  const said = (name: string, what: string): boolean => existsSync(join(folder, name)) && readFileSync(join(folder, name), "utf8").includes(what);
  return said("source.jsonl", "Exported by saelab") || said(SETTINGS, '"exporter": "saelab');
};

const layerOf = (hook: string): number => {
  const layer = /\blayers\.(\d+)/.exec(hook)?.[1];
  if (layer === undefined) throw new OptionError(`exportNeuronpedia: layer: expected a hook in a block, found ${JSON.stringify(hook)}. Name the layer: { layer }.`);
  return Number(layer);
};

const lensName = (hook: string): string | null => {
  try {
    return transformerLensName(parseHook(hook, Infinity)) ?? null;
  } catch {
    return null; // a place of a name that no community has
  }
};

/** How many texts of how many tokens; nothing is known of them where the store is gone. */
async function promptsOf(features: Features, dataset: string): Promise<Prompts> {
  try {
    const texts = await features.texts();
    const tokens = texts.documents().reduce((sum, _, document) => sum + texts.tokens(document).ids.length, 0);
    const prompts = texts.documents().length;
    return { dataset, prompts, tokensInPrompt: Math.round(tokens / Math.max(1, prompts)) };
  } catch (error) {
    if (error instanceof StoreError) return { dataset, prompts: 0, tokensInPrompt: 0 };
    throw error;
  }
}

/**
 * Features of Neuronpedia as ones that heat maps show: the JSON of its API (a feature or a list), a batch of SAEDashboard's, lines of an import, a folder of
 * either, `.gz` or not.
 * @param from a file, a folder, or what was parsed from JSON
 * @returns a list that shows itself, of one feature where there is one
 * @throws FormatError naming file and field
 * @see https://www.neuronpedia.org/api-doc
 */
export async function importNeuronpedia(from: string | object): Promise<FeatureList<ImportedFeature> & ShownNow> {
  const names = interning();
  const list = (typeof from === "string" ? readFeatures(from) : found(from, "feature")).map(({ raw, where }) => shownFeature(raw, where, names));
  if (!list.length) throw new FormatError(`${typeof from === "string" ? from : "importNeuronpedia"}: expected at least one feature, found none.`);
  const result = Object.assign(list, { words: names.words });
  return showing(result, () => heatMap(result, { count: list.length })[DISPLAY]());
}

interface Raw {
  raw: unknown;
  where: string;
}

/** What one JSON value holds: features of a batch, of a list, or itself. */
const found = (json: unknown, where: string): Raw[] => {
  if (Array.isArray(json)) return json.map((raw, i) => ({ raw, where: `${where}[${i}]` }));
  if (typeof json !== "object" || json === null) return [{ raw: json, where }];
  const { features, model_id, layer, sae_set } = json as { features?: unknown; model_id?: string; layer?: number; sae_set?: string };
  if (!Array.isArray(features)) return [{ raw: json, where }];
  const place = { ...(model_id ? { modelId: model_id } : {}), ...(sae_set ? { layer: `${layer}-${sae_set}` } : {}) };
  return features.map((raw, i) => ({ raw: typeof raw === "object" && raw !== null ? { ...place, ...raw } : raw, where: `${where}: features[${i}]` }));
};

function readFeatures(path: string): Raw[] {
  if (!existsSync(path)) throw new FormatError(`${path}: expected a file or a folder of Neuronpedia's, found none.`);
  if (!statSync(path).isDirectory()) return readFile(path);
  const files = (folder: string, pattern: RegExp): string[] => (existsSync(folder) ? readdirSync(folder).filter((name) => pattern.test(name)).sort(byNumber).map((name) => join(folder, name)) : []);
  const batches = files(path, /^batch-\d+\.json$/);
  if (batches.length) return batches.flatMap(readFile);
  const rows = (kind: string): Raw[] => files(join(path, kind), /\.jsonl(\.gz)?$/).flatMap(readFile);
  const features = rows("features");
  if (!features.length) throw new FormatError(`${path}: expected batch-0.json … or a folder "features" with .jsonl.gz files, found neither.`);
  const byIndex = (list: Raw[]): Map<string, unknown[]> => {
    const map = new Map<string, unknown[]>();
    for (const { raw } of list) {
      const index = String((raw as { index?: unknown })?.index);
      if (!map.has(index)) map.set(index, []);
      map.get(index)!.push(raw);
    }
    return map;
  };
  const [activations, explanations] = [byIndex(rows("activations")), byIndex(rows("explanations"))];
  return features.map(({ raw, where }) => {
    const index = String((raw as { index?: unknown })?.index);
    return { raw: { ...(raw as object), activations: activations.get(index) ?? [], explanations: explanations.get(index) ?? [] }, where };
  });
}

const byNumber = (a: string, b: string): number => Number(/\d+/.exec(a)?.[0] ?? 0) - Number(/\d+/.exec(b)?.[0] ?? 0) || (a < b ? -1 : 1);

/** Features of a file of JSON, or of JSON lines. */
function readFile(path: string): Raw[] {
  let text: string;
  try {
    const bytes = readFileSync(path);
    text = (path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
  } catch (error) {
    throw new FormatError(`${path}: expected ${path.endsWith(".gz") ? "gzip" : "a file"}, found ${(error as NodeJS.ErrnoException).code ?? String(error)}. It is damaged: copy it again.`);
  }
  const parsed = (json: string, where: string): unknown => {
    try {
      return JSON.parse(json);
    } catch (error) {
      throw new FormatError(`${where}: expected JSON, found ${(error as Error).message}. It is damaged, or no feature's JSON.`);
    }
  };
  if (!/\.jsonl(\.gz)?$/.test(path)) return found(parsed(text, path), path);
  return text.split("\n").flatMap((line, i) => (line.trim() ? [{ raw: parsed(line, `${path}: line ${i + 1}`), where: `${path}: line ${i + 1}` }] : []));
}
