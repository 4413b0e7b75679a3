import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, OptionError } from "../core/errors";
import { FEATURE_COLUMNS } from "../core/featuretable";
import { readFloats, readHeader, writeSafetensors } from "../core/safetensors";
import { fileSource, writeAtomic } from "./files";

/**
 * What was found of latents after they were collected, a number or a text each: scores, labels, verdicts. They lie beside the family, in
 * `columns/<name>.safetensors` (value [F] F32, NaN: nothing) or `columns/<name>.json` ({ latent: text }), and are columns of `features.table()`.
 */
export type Column = Float32Array | (string | undefined)[];

const FOLDER = "columns";
const fileOf = (folder: string, name: string, kind: "safetensors" | "json"): string => join(folder, FOLDER, `${encodeURIComponent(String(name).toWellFormed())}.${kind}`);

/** Names of the columns that a family has, in the order of the alphabet. */
export function columnNames(folder: string): string[] {
  if (!existsSync(join(folder, FOLDER))) return [];
  return readdirSync(join(folder, FOLDER))
    .flatMap((file) => /^([^.].*)\.(?:safetensors|json)$/.exec(file)?.[1] ?? [])
    .map(decodeURIComponent)
    .sort();
}

/** Changes when somebody writes the column, or takes it away. */
export const columnStamp = (folder: string, name: string): string =>
  (["safetensors", "json"] as const).map((kind) => statSync(fileOf(folder, name, kind), { throwIfNoEntry: false })).map((file) => (file ? `${file.ino} ${file.size} ${file.mtimeMs}` : "")).join();

/** @throws FormatError when the file is not of so many latents */
export function readColumn(folder: string, name: string, latents: number): Column | undefined {
  const numbers = fileOf(folder, name, "safetensors");
  if (existsSync(numbers)) {
    const source = fileSource(numbers);
    try {
      const info = readHeader(source, numbers).tensors.get("value");
      if (info?.dtype !== "F32" || info.shape.join() !== `${latents}`)
        throw new FormatError(`${numbers}: expected a tensor "value" F32 [${latents}], found ${info ? `${info.dtype} [${info.shape.join(", ")}]` : "none"}. Remove the file, and make the column again.`);
      return readFloats(source, info);
    } finally {
      source.close();
    }
  }
  const texts = fileOf(folder, name, "json");
  if (!existsSync(texts)) return undefined;
  const out: (string | undefined)[] = new Array(latents).fill(undefined);
  try {
    for (const [latent, text] of Object.entries(JSON.parse(readFileSync(texts, "utf8")) as Record<string, unknown>)) {
      if (!(Number(latent) in out) || typeof text !== "string") throw new Error(`${JSON.stringify(latent)}: ${JSON.stringify(text)}`);
      out[Number(latent)] = text;
    }
  } catch (error) {
    throw new FormatError(`${texts}: expected texts of latents 0 to ${latents - 1}, found ${(error as Error).message}. Remove the file, and make the column again.`);
  }
  return out;
}

/**
 * Writes a column, or takes it away (null). What is undefined, empty or NaN says nothing of a latent.
 * @throws OptionError for the name of a measured column, an unusable name, or values that are not one a latent
 */
export async function writeColumn(folder: string, name: string, values: Column | Record<number, string> | null, latents: number): Promise<void> {
  if (FEATURE_COLUMNS.includes(name)) throw new OptionError(`${folder}: column "${name}": expected a name of its own, found that of a measured column. Choose another.`);
  if (typeof name !== "string" || !name || !name.isWellFormed() || encodeURIComponent(name).length > 200 || name.startsWith(".")) throw new OptionError(`${folder}: column ${JSON.stringify(name)}: expected a short name that does not begin with a dot. Choose another.`);
  await mkdir(join(folder, FOLDER), { recursive: true });
  const [numbers, texts] = [fileOf(folder, name, "safetensors"), fileOf(folder, name, "json")];
  if (values instanceof Float32Array) {
    if (values.length !== latents) throw new OptionError(`${folder}: column "${name}": expected ${latents} values, one a latent, found ${values.length}. Give NaN where there is none.`);
    await writeAtomic(numbers, writeSafetensors([{ name: "value", shape: [latents], data: values }]));
    await rm(texts, { force: true });
    return;
  }
  if (values) {
    const entries = Object.entries(values).filter(([, text]) => text !== undefined && text !== "");
    const wrong = entries.find(([latent, text]) => !(/^\d+$/.test(latent) && Number(latent) < latents) || typeof text !== "string");
    if (wrong) throw new OptionError(`${folder}: column "${name}": expected texts of latents 0 to ${latents - 1}, found ${JSON.stringify(wrong[1])} for ${wrong[0]}. Numbers go into a Float32Array.`);
    await writeAtomic(texts, [JSON.stringify(Object.fromEntries(entries))]);
  } else await rm(texts, { force: true });
  await rm(numbers, { force: true });
}

/** Texts of a column that a collection may have: nothing of any latent where it has none, or there is no collection. */
export function textColumn(features: { columns(): string[]; column(name: string): Column } | undefined, name: string): (latent: number) => string | undefined {
  const column = features?.columns().includes(name) ? features.column(name) : undefined;
  return (latent) => (Array.isArray(column) ? column[latent] : undefined);
}
