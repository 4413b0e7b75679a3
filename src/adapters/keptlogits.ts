import { statSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../core/errors";
import type { Largest } from "../core/featurelogits";
import type { ShownFeature, TokenLogit } from "../core/heatmap";
import { readFloats, readHeader, readInts, writeSafetensors } from "../core/safetensors";
import { bytesToText } from "../core/token";
import { fileSource, writeAtomic } from "./files";

/**
 * Logits of latents beside a family, in one file, so that they are the new ones or the old: `logits.safetensors`, with top, bottom [F, count]
 * I32 (token ids, −1: none) and topValue, bottomValue F32; token [T] I32, ascending, and textEnd [T] I32 into texts U8, the bytes of these tokens
 * one after the other.
 */
const FILE = "logits.safetensors";

export async function writeLogits(folder: string, latents: number, count: number, top: Largest, bottom: Largest, bytes: (token: number) => Uint8Array): Promise<void> {
  const tokens = Int32Array.from(new Set([...top.id, ...bottom.id])).filter((id) => id >= 0).sort();
  const texts = Array.from(tokens, bytes);
  let end = 0;
  const textEnd = Int32Array.from(texts, (text) => (end += text.length));
  await writeAtomic(
    join(folder, FILE),
    writeSafetensors([
      { name: "top", shape: [latents, count], data: top.id },
      { name: "topValue", shape: [latents, count], data: top.value },
      { name: "bottom", shape: [latents, count], data: bottom.id },
      { name: "bottomValue", shape: [latents, count], data: bottom.value },
      { name: "token", shape: [tokens.length], data: tokens },
      { name: "textEnd", shape: [tokens.length], data: textEnd },
      { name: "texts", shape: [end], data: new Uint8Array(Buffer.concat(texts)) },
    ]),
  );
}

/** Reads those of a latent; what is written later is seen, too. @throws FormatError if the files are damaged */
export function keptLogits(folder: string, latents: number): (latent: number) => ShownFeature["logits"] {
  const path = join(folder, FILE);
  let held: { file: string; read: ReturnType<typeof openLogits> } | undefined;
  return (latent) => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) return undefined;
    const file = `${found.ino} ${found.mtimeMs}`;
    if (held?.file !== file) held = { file, read: openLogits(folder, latents) };
    return held.read(latent);
  };
}

function openLogits(folder: string, latents: number): (latent: number) => ShownFeature["logits"] {
  const path = join(folder, FILE);
  const remedy = "Remove the file, and keep the logits again: featureLogits(model, sae, { features }).";
  const damaged = (expected: string, found: string): FormatError => new FormatError(`${path}: expected ${expected}, found ${found}. ${remedy}`);
  const within = <T>(work: (source: ReturnType<typeof fileSource>, tensors: ReturnType<typeof readHeader>["tensors"]) => T): T => {
    const source = fileSource(path);
    try {
      return work(source, readHeader(source, path).tensors);
    } catch (error) {
      throw error instanceof FormatError && !error.message.endsWith(remedy) ? new FormatError(`${error.message} ${remedy}`) : error;
    } finally {
      source.close();
    }
  };
  const { count, token, textEnd, bytes } = within((source, tensors) => {
    const count = tensors.get("top")?.shape[1] ?? 0;
    for (const [name, dtype] of [["top", "I32"], ["topValue", "F32"], ["bottom", "I32"], ["bottomValue", "F32"]]) {
      const info = tensors.get(name);
      if (info?.dtype !== dtype || info.shape.join() !== `${latents},${count}` || !count) throw damaged(`a tensor "${name}" ${dtype} [${latents}, count]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none");
    }
    const list = (name: string, dtype: string) => {
      const info = tensors.get(name);
      if (info?.dtype !== dtype || info.shape.length !== 1) throw damaged(`a tensor "${name}" ${dtype} [n]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none");
      return info;
    };
    const [token, textEnd] = ["token", "textEnd"].map((name) => readInts(source, list(name, "I32")));
    const { offset, bytes } = list("texts", "U8");
    return { count, token, textEnd, bytes: source.slice(offset, offset + bytes) };
  });
  if (token.length !== textEnd.length || bytes.length !== (textEnd.at(-1) ?? 0)) throw damaged(`texts of ${token.length} tokens, ${textEnd.at(-1) ?? 0} bytes`, `${textEnd.length} ends, ${bytes.length} bytes`);
  const place = new Map(Array.from(token, (id, i) => [id, i]));
  const textOf = (id: number): string => {
    const i = place.get(id);
    return i === undefined ? `‹${id}›` : bytesToText(bytes.subarray(i ? textEnd[i - 1] : 0, textEnd[i]));
  };
  return (latent) => within((source, tensors) => {
    const list = (name: string): TokenLogit[] => {
      const ids = readInts(source, tensors.get(name)!, latent * count, (latent + 1) * count);
      const values = readFloats(source, tensors.get(`${name}Value`)!, latent * count, (latent + 1) * count);
      return Array.from(ids, (id, i) => ({ id, value: values[i] })).filter(({ id }) => id >= 0).map(({ id, value }) => ({ text: textOf(id), value }));
    };
    const [top, bottom] = [list("top"), list("bottom")];
    return top.length ? { top, bottom } : undefined;
  });
}
