import { existsSync, readFileSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { BINS, TRIGGERS } from "../core/collect";
import { FormatError, StoreError } from "../core/errors";
import { readFloats, readHeader, readInts } from "../core/safetensors";
import type { Range } from "../core/split";
import type { Sparse, Store } from "../core/types";
import { fewOpen, fileSource } from "./files";
import { isAlive } from "./lock";

/**
 * A store and an SAE → features, a family of files in one folder:
 *
 *   manifest.json           what it is, of which rows, store and SAE; a folder with it is whole
 *   statistics.safetensors  of each latent: fired, mean, max [F]; histogram [F, 128] (bins of core/collect); entropy, distinct [F]; trigger, triggerMean [F, 5]
 *   examples.safetensors    offset [F + 1] → group, count, document, position, peak, goesOn [E] and start [E + 1] → tokens, values [T]
 *   names.json              text of every token met there (its bytes in base64) and names of the documents
 *   codes-00000.safetensors …  index, value [rows, k]: what the SAE made of each row, so that scores and contexts need no second encode
 *
 * It is made beside its place and moved there when it is whole.
 */
export const MANIFEST = "manifest.json";
const OPEN_SHARDS = 32; // file descriptors that features hold at most for codes
export const codesFile = (shard: number): string => `codes-${String(shard).padStart(5, "0")}.safetensors`;

export interface FeaturesManifest {
  format: "saelab-features";
  version: 1;
  /** The store it was made from, as far as it decides the rows. */
  store: { path: string; model: string; texts: string; rows: number; width: number; settings: Record<string, unknown> };
  sae: { sha256: string; hook: string; latents: number; k: number; d: number };
  rows: number;
  /** Rows of the store that were read, in this order. */
  ranges: Range[];
  split: string;
  settings: { examples: number; context: number; perQuantile: number; random: number; seed: number };
  shards: { file: string; rows: number }[];
}

/** What decides the rows of a store at a hook, as JSON keeps it. */
export const storeFacts = ({ manifest: { model, texts, settings }, rows }: Store, width: number) => ({
  model: model.sha256,
  texts: texts.sha256,
  rows,
  width,
  settings: JSON.parse(JSON.stringify(settings)) as Record<string, unknown>,
});

/** Folders that calls of this process are filling. */
export const underWay = new Set<string>();

/**
 * Removes what killed collections left beside a folder, and puts back a family that one of them had just moved aside to
 * replace it. What a living process is making is let be.
 */
export async function tidy(folder: string): Promise<void> {
  const beside = dirname(folder);
  if (!existsSync(beside)) return;
  const prefix = `.${basename(folder)}.`;
  for (const name of await readdir(beside)) {
    const [, pid, old] = (name.startsWith(prefix) && /^(\d+)(?:-\d+)?\.part(\.old)?$/.exec(name.slice(prefix.length))) || [];
    if (!pid) continue;
    const path = join(beside, name);
    const busy = Number(pid) === process.pid ? underWay.has(path.replace(/\.old$/, "")) : isAlive(Number(pid));
    if (busy) continue;
    if (old && !existsSync(folder) && existsSync(join(path, MANIFEST))) await rename(path, folder);
    else await rm(path, { recursive: true, force: true });
  }
}

const damaged = (path: string, expected: string, found: string): FormatError =>
  new FormatError(`${path}: expected ${expected}, found ${found}. The family is damaged: collect again.`);

/** A file of tensors whose names, types and shapes are known beforehand. */
interface Tensors {
  ints(name: string, from?: number, to?: number): Int32Array;
  floats(name: string, from?: number, to?: number): Float32Array;
  /** Size of a tensor of one axis. */
  length(name: string): number;
  /** Size of the second axis. */
  columns(name: string): number;
  close(): void;
}

/**
 * @param expected type and shape of each tensor; a name in a shape stands for a size that all tensors with that name share
 * @throws FormatError if the file is missing, cut off, or holds something else
 */
function openTensors(path: string, expected: Record<string, [dtype: "I32" | "F32", ...shape: (number | string)[]]>): Tensors {
  let source: ReturnType<typeof fileSource>;
  try {
    source = fileSource(path);
  } catch (error) {
    throw damaged(path, "a file that can be read", (error as NodeJS.ErrnoException).code ?? String(error));
  }
  try {
    const { tensors } = readHeader(source, path);
    const sizes = new Map<string, number>();
    for (const [name, [dtype, ...shape]] of Object.entries(expected)) {
      const info = tensors.get(name);
      const size = (axis: number | string, i: number): number | undefined => {
        if (typeof axis === "number") return axis;
        if (!sizes.has(axis) && info) sizes.set(axis, info.shape[i]);
        return sizes.get(axis);
      };
      if (info?.dtype === dtype && info.shape.length === shape.length && shape.every((axis, i) => size(axis, i) === info.shape[i]))
        continue;
      const wanted = shape.map((axis, i) => size(axis, i) ?? axis).join(", ");
      throw damaged(path, `a tensor "${name}" ${dtype} [${wanted}]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none of this name");
    }
    return {
      ints: (name, from, to) => readInts(source, tensors.get(name)!, from, to),
      floats: (name, from, to) => readFloats(source, tensors.get(name)!, from, to),
      length: (name) => tensors.get(name)!.shape[0],
      columns: (name) => tensors.get(name)!.shape[1],
      close: source.close,
    };
  } catch (error) {
    source.close();
    if (error instanceof FormatError && !error.message.includes("collect again"))
      throw new FormatError(`${error.message} The family is damaged: collect again.`);
    throw error;
  }
}

/** Puts codes of so many columns into arrays of at least as many, from a row on; what is left over has the value 0. */
export function spread(codes: Pick<Sparse, "n" | "index" | "value">, columns: number, index: Int32Array, value: Float32Array, k: number, row: number): void {
  if (columns === k) {
    index.set(codes.index.subarray(0, codes.n * k), row * k);
    value.set(codes.value.subarray(0, codes.n * k), row * k);
    return;
  }
  index.fill(0, row * k, (row + codes.n) * k);
  value.fill(0, row * k, (row + codes.n) * k);
  for (let i = 0; i < codes.n; i++) {
    index.set(codes.index.subarray(i * columns, (i + 1) * columns), (row + i) * k);
    value.set(codes.value.subarray(i * columns, (i + 1) * columns), (row + i) * k);
  }
}

/** Range reads of the codes, across shards. @throws FormatError if one of them is not what the manifest says */
export function codesReader(
  folder: string,
  { shards, sae: { k, latents } }: FeaturesManifest,
): { read(from: number, to: number): Sparse; close(): void } {
  const path = (i: number): string => join(folder, shards[i].file);
  const width = k < latents ? k : "columns"; // where thresholds alone bound them, a shard has as many as its fullest row
  const open = (i: number): Tensors => openTensors(path(i), { index: ["I32", shards[i].rows, width], value: ["F32", shards[i].rows, width] });
  const columns = shards.map((_, i) => { // all are looked at, few are held open
    const tensors = open(i);
    tensors.close();
    return tensors.columns("index");
  });
  const held = fewOpen(OPEN_SHARDS, open);
  const starts = [0];
  for (const { rows } of shards) starts.push(starts.at(-1)! + rows);
  return {
    read(from, to) {
      const columnsHere = columns.reduce((most, one, i) => (starts[i] < to && starts[i + 1] > from ? Math.max(most, one) : most), 1);
      const out: Sparse = {
        n: to - from,
        k: columnsHere,
        index: new Int32Array((to - from) * columnsHere),
        value: new Float32Array((to - from) * columnsHere),
      };
      for (let i = 0; i < shards.length; i++) {
        const a = Math.max(from, starts[i]);
        const b = Math.min(to, starts[i + 1]);
        if (a >= b) continue;
        const own = columns[i];
        const [first, last] = [(a - starts[i]) * own, (b - starts[i]) * own];
        const codes = { n: b - a, index: held.get(i).ints("index", first, last), value: held.get(i).floats("value", first, last) };
        spread(codes, own, out.index, out.value, columnsHere, a - from);
      }
      return out;
    },
    close() {
      held.close();
    },
  };
}

interface Names {
  tokens: Record<number, string>;
  documents: Record<number, string>;
}

function readNames(path: string): Names {
  let names: Names;
  try {
    names = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw damaged(path, "JSON", (error as Error).message);
  }
  const isNames = (value: unknown): boolean =>
    typeof value === "object" && value !== null && Object.values(value).every((name) => typeof name === "string");
  if (!isNames(names?.tokens) || !isNames(names?.documents))
    throw damaged(path, "names of tokens and of documents", JSON.stringify(names)?.slice(0, 80));
  return names;
}

/** All files of a family, each held against the manifest. Nothing stays open when one of them is not as it should be. */
export function openFamily(path: string, manifest: FeaturesManifest) {
  const { latents: F } = manifest.sae;
  const statisticsFile = openTensors(join(path, "statistics.safetensors"), {
    fired: ["I32", F],
    mean: ["F32", F],
    max: ["F32", F],
    histogram: ["I32", F, BINS],
    entropy: ["F32", F],
    distinct: ["I32", F],
    trigger: ["I32", F, TRIGGERS],
    triggerMean: ["F32", F, TRIGGERS],
  });
  const { ints, floats } = statisticsFile;
  const statistics = {
    fired: ints("fired"),
    mean: floats("mean"),
    max: floats("max"),
    histogram: ints("histogram"),
    entropy: floats("entropy"),
    distinct: ints("distinct"),
    trigger: ints("trigger"),
    triggerMean: floats("triggerMean"),
  };
  statisticsFile.close();
  const names = readNames(join(path, "names.json"));
  const codes = codesReader(path, manifest);
  const examplesPath = join(path, "examples.safetensors");
  const examples = openTensors(examplesPath, {
    offset: ["I32", F + 1],
    group: ["I32", "examples"],
    count: ["I32", "examples"],
    document: ["I32", "examples"],
    position: ["I32", "examples"],
    peak: ["I32", "examples"],
    goesOn: ["I32", "examples"],
    start: ["I32", "examples and one"],
    tokens: ["I32", "tokens"],
    values: ["F32", "tokens"],
  });
  const E = examples.length("group");
  const ends = (list: Int32Array, last: number): boolean =>
    list[0] === 0 && list.at(-1) === last && list.every((at, i) => !i || at >= list[i - 1]);
  const whole =
    examples.length("start") === E + 1 &&
    ends(examples.ints("offset"), E) &&
    ends(examples.ints("start"), examples.length("tokens"));
  if (!whole) {
    examples.close();
    throw damaged(examplesPath, `offsets that rise to ${E} examples and ${examples.length("tokens")} tokens`, "others");
  }
  return { statistics, names, codes, examples };
}

/** @throws StoreError if the rows of this store are not those that were collected */
export function sameStore(store: Store, { store: was, sae: { hook } }: FeaturesManifest, path: string): void {
  const info = store.manifest.hooks.find(({ name }) => name === hook);
  const is = storeFacts(store, info?.width ?? 0);
  const differing = (["model", "texts", "rows", "width"] as const)
    .filter((key) => is[key] !== was[key])
    .map((key) => `${key} ${is[key]} instead of ${was[key]}`);
  if (!info) differing.push(`no hook ${hook}`);
  for (const key of new Set([...Object.keys(is.settings), ...Object.keys(was.settings)])) {
    const [a, b] = [is.settings[key], was.settings[key]].map((value) => JSON.stringify(value));
    if (a !== b) differing.push(`${key} ${a} instead of ${b}`);
  }
  if (!differing.length) return;
  throw new StoreError(
    `${store.path}: expected the store that ${path} was collected from, found another: ${differing.join("; ")}. Collect again.`,
  );
}

export function readManifest(path: string): FeaturesManifest {
  const where = join(path, MANIFEST);
  if (!existsSync(where))
    throw new FormatError(
      `${path}: expected a folder with ${MANIFEST}, found none. collect(store, sae, { folder }) makes one.`,
    );
  let manifest: FeaturesManifest;
  try {
    manifest = JSON.parse(readFileSync(where, "utf8"));
  } catch (error) {
    throw damaged(where, "JSON", (error as Error).message);
  }
  if (manifest?.format !== "saelab-features")
    throw new FormatError(`${where}: format: expected "saelab-features", found ${JSON.stringify(manifest?.format)}.`);
  if (manifest.version !== 1) {
    throw new FormatError(
      `${where}: version: expected 1, found ${JSON.stringify(manifest.version)}. Another version of saelab wrote it: use that one, or collect again.`,
    );
  }
  const problem = manifestProblem(manifest);
  if (problem) throw damaged(where, ...problem);
  return manifest;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The first field that is not as it should be: [expected, found]. */
function manifestProblem({ store, sae, rows, ranges, split, settings, shards }: FeaturesManifest): [string, string] | undefined {
  if (typeof store?.path !== "string" || typeof store.settings !== "object" || !store.settings || !isCount(store.rows))
    return ["store: path, rows, settings", JSON.stringify(store)];
  if (typeof sae?.hook !== "string" || ![sae.latents, sae.k, sae.d].every((n) => isCount(n) && n > 0))
    return ["sae: hook, latents, k, d", JSON.stringify(sae)];
  if (typeof split !== "string" || !isCount(settings?.context)) return ["split and settings", JSON.stringify({ split, settings })];
  if (!Array.isArray(ranges) || !ranges.every((one) => isCount(one?.from) && isCount(one.to) && one.from <= one.to))
    return ["ranges: a list of from, to", JSON.stringify(ranges)];
  if (!Array.isArray(shards) || !shards.every((one, i) => one?.file === codesFile(i) && isCount(one.rows)))
    return ["shards: a list of file, rows, in order", JSON.stringify(shards)];
  const [read, held] = [ranges.reduce((sum, { from, to }) => sum + to - from, 0), shards.reduce((sum, one) => sum + one.rows, 0)];
  if (read !== rows || held !== rows) return [`${rows} rows in ranges and in shards`, `${read} and ${held}`];
  return undefined;
}
