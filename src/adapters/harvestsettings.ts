import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import type { ChatFormat } from "../core/chat";
import { HookError, OptionError, StoreError, TextError } from "../core/errors";
import type { SinkRules } from "../core/sinks";
import type { Document, Hook, Model, StoreManifest } from "../core/types";
import type { HarvestOptions } from "./harvest";
import { foreignFiles, readState, type Part, type PartManifest, type StoreState, type Unfinished } from "./storestate";
import { vocabularyFile } from "./tokenizer";

/** What is asked of a harvest, checked; and what makes two stores the same. */

export type HookRow = StoreManifest["hooks"][number];

/** As the manifest records them: what is not the default is named, so that stores of older versions read the same. */
export interface Settings extends SinkRules {
  context: number;
  batchTokens: number;
  shardRows: number;
  cut?: "whole";
  tooLong?: "error" | "skip" | "cut";
  mask?: "prompt";
  chat?: ChatFormat;
}

const SHARD_BYTES = 64e6;

export function findHooks(model: Model, names: string[]): HookRow[] {
  if (!Array.isArray(names) || !names.length) {
    throw new OptionError(
      `hooks: expected a list of at least one hook, found ${JSON.stringify(names)}. ` +
      `Such as { hooks: ["layers.${model.layers >> 1}"] }; model.hooks() lists them.`);
  }
  const offered = model.hooks();
  return names.map((asked, i) => {
    const hook: Hook = model.hook(asked);
    if (hook.kind === "pattern") throw new HookError(`"${asked}": expected a place with one row a token, found a pattern, whose rows are as long as the text. Read it with model.run.`);
    const before = names.findIndex((name) => model.hook(name).name === hook.name);
    if (before < i) {
      throw new OptionError(
        `hooks: expected each place once, found "${names[before]}" and "${asked}", which are one place. Leave one out.`);
    }
    const found = offered.find(({ name }) => name === hook.name);
    if (!found) {
      throw new HookError(
        `hooks: expected a hook of ${model.source} (${offered.map(({ name }) => name).join(", ")}), found "${asked}". ` +
        "Take one of these.");
    }
    return { name: hook.name, kind: hook.kind, layer: hook.layer, width: found.width };
  });
}

/** @throws OptionError */
export function checkSettings(model: Model, hooks: HookRow[], options: HarvestOptions): Settings {
  const { dtype = "F32", cut = "windows", tooLong, mask, chat } = options;
  choice("dtype", dtype, ["F32", "F16"]);
  choice("cut", cut, ["windows", "whole"]);
  if (mask !== undefined) choice("mask", mask, ["prompt"]);
  if (tooLong !== undefined) {
    choice("tooLong", tooLong, ["error", "skip", "cut"]);
    if (cut !== "whole") {
      throw new OptionError('tooLong: expected { cut: "whole" } beside it, found windows, of which no document is too long. Leave it out.');
    }
  }
  const longest = longestContext(model);
  const context = options.context ?? (cut === "whole" ? Math.min(longest, 2 ** 31 - 1) : Math.min(512, longest));
  const bytes = dtype === "F16" ? 2 : 4;
  const wanted = Math.floor(SHARD_BYTES / (bytes * hooks.reduce((sum, { width }) => sum + width, 0)));
  const settings: Settings = {
    context,
    batchTokens: options.batchTokens ?? 2048,
    shardRows: options.shardRows ?? Math.max(cut === "whole" ? 1 : context, Math.min(2 ** 18, wanted)),
    dropFirst: options.dropFirst ?? true,
    dropNorm: options.dropNorm ?? 10,
    ...(cut === "whole" && { cut, tooLong: tooLong ?? "error" }),
    ...(mask && { mask }),
    ...(chat && { chat: chat === true ? {} : chat }),
  };
  const count = (name: "context" | "batchTokens" | "shardRows", unit: string): void => {
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1) {
      throw new OptionError(
        `${name}: expected a whole number of ${unit}, 1 or more, found ${settings[name]}. Leave it out for the default.`);
    }
  };
  count("context", "tokens");
  count("batchTokens", "tokens");
  count("shardRows", "rows");
  if (context > longest) {
    throw new OptionError(
      `context: expected at most ${longest} tokens, as many as ${model.source} was made for, found ${context}. ` +
      "Leave it out for the default.");
  }
  if (context === 1 && settings.dropFirst) {
    throw new OptionError(
      "context: expected 2 tokens or more, as first positions are dropped, found 1. Give a longer one, or { dropFirst: false }.");
  }
  if (settings.dropNorm !== false && !(settings.dropNorm > 1 && settings.dropNorm < Infinity)) {
    throw new OptionError(
      `dropNorm: expected a multiple of the median norm, over 1, or false, found ${settings.dropNorm}. The default is 10.`);
  }
  return settings;
}

function choice(name: string, found: unknown, offered: string[]): void {
  if (offered.includes(found as string)) return;
  throw new OptionError(
    `${name}: expected ${offered.map((one) => `"${one}"`).join(" or ")}, found ${JSON.stringify(found)}. Leave it out for the default.`);
}

/** @throws OptionError */
export function checkPart({ index, of }: Part): void {
  if (Number.isSafeInteger(index) && Number.isSafeInteger(of) && 0 <= index && index < of) return;
  throw new OptionError(
    `part: expected whole numbers 0 ≤ index < of, as parts are counted from 0, found index ${index}, of ${of}. ` +
    "Four workers are { index: 0, of: 4 } to { index: 3, of: 4 }.");
}

/** Positions a model was made for; Infinity if it does not say. */
const longestContext = (model: Model): number => model.context ?? Infinity;

/** @throws TextError */
export function checkDocuments(documents: Document[], { mask }: Settings): void {
  if (!Array.isArray(documents) || !documents.length) {
    throw new TextError("documents: expected at least one document, found none. readTexts(path) reads them.");
  }
  documents.forEach((document, i) => {
    if (typeof document?.text !== "string" || !document.text) {
      throw new TextError(
        `documents[${i}] ("${document?.id}"): text: expected text, found ${JSON.stringify(document?.text)}. ` +
        "Leave this document out.");
    }
    const { id, text, prompt } = document;
    if (prompt !== undefined && !(Number.isSafeInteger(prompt) && prompt >= 0 && prompt <= text.length)) {
      throw new TextError(
        `documents[${i}] ("${id}"): prompt: expected a whole number from 0 to ${text.length} (UTF-16 units of the text), found ${prompt}. ` +
        "Leave it out if it is not known where the prompt ends.");
    }
    if (mask && prompt === undefined) {
      throw new TextError(
        `documents[${i}] ("${id}"): prompt: expected where the prompt ends, as { mask: "prompt" } leaves prompts out, found nothing. ` +
        "model.generate and readTexts give it; set prompt: 0 where there is none, or leave mask out.");
    }
  });
}

export interface Identity extends Pick<StoreManifest, "model" | "hooks" | "dtype"> {
  texts: { documents: number; sha256: string };
  settings: Settings & { tokenizer: string | null };
}

export async function identityOf(
  model: Model, hooks: HookRow[], settings: Settings, dtype: StoreManifest["dtype"], documents: Document[],
): Promise<Identity> {
  return {
    model: { source: model.source, family: model.family, sha256: await model.hash() },
    texts: { documents: documents.length, sha256: hashPieces(textPieces(documents, settings)) },
    hooks,
    settings: { ...settings, tokenizer: hashFile(vocabularyFile(model.folder ?? model.source)) },
    dtype,
  };
}

/** What decides the rows: names and texts, in order, and prompts that are masked; neither labels nor sides of the split. */
function* textPieces(documents: Document[], { mask }: Settings): Generator<string> {
  for (const { id, text, prompt } of documents) yield JSON.stringify(mask ? [id, text, prompt] : [id, text]);
}

export function hashPieces(pieces: Iterable<string | Uint8Array>): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

const hashFile = (path: string): string | null => (existsSync(path) ? hashPieces([readFileSync(path)]) : null);

/** The settings that decide which rows there are and how they lie. */
const DECIDING = ["tokenizer", "context", "batchTokens", "shardRows", "dropFirst", "dropNorm"] as const;

/** Those that came later: absent where they are as they were before. */
const LATER = ["cut", "tooLong", "mask", "chat"] as const;

type Described = Identity | StoreManifest | PartManifest | Unfinished;

/** What makes two stores the same, name by name. */
export const facts = ({ model, texts, hooks, settings, dtype }: Described): Record<string, unknown> => {
  const found = settings as Record<string, unknown>;
  return {
    model: model.sha256,
    texts: texts.sha256,
    hooks: hooks.map(({ name }) => name).sort().join(", "),
    ...Object.fromEntries(DECIDING.map((name) => [name, found[name]])),
    ...Object.fromEntries(LATER.map((name) => [name, typeof found[name] === "object" ? JSON.stringify(found[name]) : found[name]])),
    dtype: dtype === "F32" ? undefined : dtype, // JSON leaves undefined out: names of folders stay as they were
  };
};

export const identityHash = (identity: Identity): string => hashPieces([JSON.stringify(facts(identity))]).slice(0, 16);

/** What differs between two stores, in words; empty when they are the same. */
export function differences(found: Described, asked: Described): string {
  const [is, want] = [facts(found), facts(asked)];
  const short = (name: string, value: unknown): string =>
    value === undefined ? (name === "dtype" ? '"F32"' : "not set")
      : typeof value === "string" && value.length === 64 ? `${value.slice(0, 12)}…` : JSON.stringify(value);
  return Object.keys(want)
    .filter((name) => want[name] !== is[name])
    .map((name) => `${name} is ${short(name, is[name])}, asked for was ${short(name, want[name])}`)
    .join("; ");
}

/** What the folder holds, if it is ours to write to. @throws StoreError if it holds something else */
export function checkFolder(folder: string, asked: Described, part?: Part): StoreState {
  const state = readState(folder);
  if (state.kind === "none") {
    const other = foreignFiles(folder);
    if (other.length) {
      const found = other.slice(0, 3).join(", ") + (other.length > 3 ? ` and ${other.length - 3} more` : "");
      throw new StoreError(
        `${folder}: expected an empty folder or a store, found ${found}. ` +
        "Choose another folder, or leave the option out.");
    }
    return state;
  }
  const { part: there } = state.manifest as Unfinished;
  if (there?.index !== part?.index || there?.of !== part?.of) {
    const words = (one?: Part): string => (one ? `part ${one.index} of ${one.of}` : "a whole store");
    throw new StoreError(`${folder}: expected ${words(part)}, found ${words(there)}. Choose another folder, or delete this one.`);
  }
  const differing = differences(state.manifest, asked);
  if (differing) {
    throw new StoreError(
      `${folder}: expected a store of the same model, texts and settings, found another: ${differing}. ` +
      "Choose another folder, leave the option out, or delete this one.");
  }
  return state;
}
