import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { firingsWithin, latentRanges, tokenMatrix, type Firing, type Placing } from "../core/delphi";
import { OptionError } from "../core/errors";
import { safetensorsHead, type WrittenDtype } from "../core/safetensors";
import type { Progress } from "../core/types";
import type { CollectedTexts } from "./familytexts";
import type { Features } from "./features";
import { requireSpace, writeAtomic } from "./files";
import { version } from "./package";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { wholeFolder } from "./wholefolder";

/** Features as a latent cache of EleutherAI's delphi, which explains and scores latents from there. */

const STOPPED = "Nothing of this export was kept: export again.";

export interface DelphiOptions {
  contextLength?: number; // 256 tokens; a multiple of delphi's example_ctx_len (32)
  splits?: number; // 5 files of as many latents; more where there are over 40 million firings, as one file is in memory at a time
  /** delphi's tokenizer: a hub id or a folder; the store's model, nothing where there is no store. */
  model?: string;
  dataset?: string; // "": name of the texts on the hub, for the record
  module?: string; // the hook's name: folder of these latents below `folder`
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface DelphiExport {
  /** Folder of this module: <folder>/<module>. `LatentDataset(raw_dir=folder)` reads it. */
  path: string;
  contexts: number;
  /** Firings written, and those whose value is above the largest of half precision (65,504), written as that. */
  firings: number;
  clamped: number;
  /** Tokens behind the last whole context, which are not there. */
  leftOut: number;
}

/**
 * Writes a latent cache in delphi's layout: `<folder>/<module>/<first>_<last>.safetensors` (locations, activations, tokens) and config.json. Documents follow
 * one another in contexts of one length, as delphi's own do. Several hooks may share a folder.
 * @throws StoreError where the texts that the features came from are gone; OptionError when there are fewer tokens than a context, or something else is in
 *   the way; DiskError; InterruptError: nothing is kept then
 * @see https://github.com/EleutherAI/delphi
 */
export async function exportDelphi(features: Features, folder: string, options: DelphiOptions = {}): Promise<DelphiExport> {
  const { contextLength = 256, splits = defaultSplits(features), dataset = "", progress = defaultProgress() } = options;
  for (const [name, value] of Object.entries({ contextLength, splits })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new OptionError(`exportDelphi: ${name}: expected a whole number from 1 on, found ${value}.`);
  }
  const module = options.module ?? features.manifest.sae.hook;
  if (!module || /[\\/]|^\.\.?$/.test(module)) throw new OptionError(`exportDelphi: module: expected the name of a folder, such as layers.10.mlp, found ${JSON.stringify(module)}.`);
  const texts = await features.texts();
  const { documents, place, tokens } = placesOf(texts, features);
  const contexts = Math.floor(tokens / contextLength);
  if (!contexts) throw new OptionError(`exportDelphi: expected at least one context of ${contextLength} tokens, found ${tokens} in all. Ask for shorter ones: { contextLength }.`);
  const placing: Placing = { place, length: contextLength, contexts };
  const ranges = latentRanges(features.count, splits);
  const path = join(folder, module);
  await requireSpace(folder, features.rows * features.manifest.sae.k * 8 + ranges.length * contexts * contextLength * 8);
  const told = meter("export to delphi", ranges.length, "files", progress);
  const matrix = tokenMatrix(documents, (document) => texts.tokens(document).ids, contextLength, contexts);
  let firings = 0, clamped = 0;
  return wholeFolder(path, isExport, async (part) => {
    for (const [i, range] of ranges.entries()) {
      const found = await inPieces(firingsWithin(range, placing, features.codes, features.rows), STOPPED);
      await writeAtomic(join(part, `${range.first}_${range.last}.safetensors`), splitFile(found, matrix, contexts, contextLength));
      firings += found.activations.length;
      clamped += found.clamped;
      told(i + 1);
    }
    const config = {
      dataset_repo: dataset, dataset_split: "", dataset_name: "", dataset_column: "text", batch_size: 32, cache_ctx_len: contextLength, ctx_len: contextLength,
      n_tokens: contexts * contextLength, n_splits: ranges.length, model_name: options.model ?? (features.manifest.store.path === undefined ? "" : (await features.store()).manifest.model.source),
      saelab: { version, hook: features.manifest.sae.hook, sae: features.manifest.sae.sha256, split: features.manifest.split },
    };
    await writeAtomic(join(part, "config.json"), [`${JSON.stringify(config, null, 4)}\n`]);
    return { path, contexts, firings, clamped, leftOut: tokens - contexts * contextLength };
  });
}

const defaultSplits = ({ fired, count }: Features): number => Math.min(count, Math.max(5, Math.ceil(fired.reduce((sum, n) => sum + n, 0) / 2 ** 23)));

const isExport = (folder: string): boolean => {
  const file = join(folder, "config.json");
  return existsSync(file) && readFileSync(file, "utf8").includes('"saelab"');
};

/** Documents that have rows, in order; each row's place in the sequence of their tokens; and the length of that. */
function placesOf(texts: CollectedTexts, features: Features): { documents: number[]; place: Int32Array; tokens: number } {
  const place = new Int32Array(features.rows);
  const documents: number[] = [];
  let begun = 0, tokens = 0;
  const { document, position } = features.origin(0, features.rows);
  for (let r = 0; r < features.rows; r++) {
    if (documents.at(-1) !== document[r]) {
      documents.push(document[r]);
      begun = tokens;
      tokens += texts.tokens(document[r]).ids.length;
    }
    place[r] = begun + position[r];
  }
  return { documents, place, tokens };
}

function splitFile({ locations, activations }: Firing, tokens: Int32Array, contexts: number, length: number): Uint8Array[] {
  const dtype: WrittenDtype = locations instanceof Uint16Array ? "U16" : "U32";
  const head = safetensorsHead([
    { name: "tokens", dtype: "I64", shape: [contexts, length] },
    { name: "locations", dtype, shape: [activations.length, 3] },
    { name: "activations", dtype: "F16", shape: [activations.length] },
  ]);
  return [head, ...[tokens, locations, activations].map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength))];
}
