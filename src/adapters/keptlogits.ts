import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../core/errors";
import type { Largest } from "../core/featurelogits";
import type { ShownFeature, TokenLogit } from "../core/heatmap";
import { readFloats, readHeader, readInts, writeSafetensors } from "../core/safetensors";
import { bytesToText } from "../core/token";
import { fileSource, writeAtomic } from "./files";

/**
 * Logits of latents beside a family: `logits.safetensors`, with top, bottom [F, count] I32 (token ids, −1: none) and topValue, bottomValue F32;
 * token [T] I32, ascending, and textEnd [T] I32 into `logits.texts`, the bytes of these tokens one after the other.
 */
const FILE = "logits.safetensors";
const TEXTS = "logits.texts";

export async function writeLogits(folder: string, latents: number, count: number, top: Largest, bottom: Largest, bytes: (token: number) => Uint8Array): Promise<void> {
  const tokens = Int32Array.from(new Set([...top.id, ...bottom.id])).filter((id) => id >= 0).sort();
  const texts = Array.from(tokens, bytes);
  let end = 0;
  const textEnd = Int32Array.from(texts, (text) => (end += text.length));
  await writeAtomic(join(folder, TEXTS), texts);
  await writeAtomic(
    join(folder, FILE),
    writeSafetensors([
      { name: "top", shape: [latents, count], data: top.id },
      { name: "topValue", shape: [latents, count], data: top.value },
      { name: "bottom", shape: [latents, count], data: bottom.id },
      { name: "bottomValue", shape: [latents, count], data: bottom.value },
      { name: "token", shape: [tokens.length], data: tokens },
      { name: "textEnd", shape: [tokens.length], data: textEnd },
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
  const damaged = (expected: string, found: string): FormatError => new FormatError(`${path}: expected ${expected}, found ${found}. Remove the file, and keep the logits again: featureLogits(model, sae, { features }).`);
  const within = <T>(work: (source: ReturnType<typeof fileSource>, tensors: ReturnType<typeof readHeader>["tensors"]) => T): T => {
    const source = fileSource(path);
    try {
      return work(source, readHeader(source, path).tensors);
    } finally {
      source.close();
    }
  };
  const { count, token, textEnd } = within((source, tensors) => {
    const count = tensors.get("top")?.shape[1] ?? 0;
    for (const [name, dtype] of [["top", "I32"], ["topValue", "F32"], ["bottom", "I32"], ["bottomValue", "F32"]]) {
      const info = tensors.get(name);
      if (info?.dtype !== dtype || info.shape.join() !== `${latents},${count}` || !count) throw damaged(`a tensor "${name}" ${dtype} [${latents}, count]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none");
    }
    const [token, textEnd] = ["token", "textEnd"].map((name) => {
      const info = tensors.get(name);
      if (info?.dtype !== "I32" || info.shape.length !== 1) throw damaged(`a tensor "${name}" I32 [tokens]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none");
      return readInts(source, info);
    });
    return { count, token, textEnd };
  });
  const size = existsSync(join(folder, TEXTS)) ? statSync(join(folder, TEXTS)).size : -1;
  if (token.length !== textEnd.length || size !== (textEnd.at(-1) ?? 0)) throw damaged(`${TEXTS} with ${textEnd.at(-1) ?? 0} bytes`, size < 0 ? "no such file" : `${size}`);
  const texts = fileSource(join(folder, TEXTS));
  const bytes = texts.slice(0, size);
  texts.close();
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
