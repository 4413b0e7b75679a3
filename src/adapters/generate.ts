import { EngineError, HookError, ModelError, OptionError, TextError } from "../core/errors";
import { firstPass, nextPass, type Pass } from "../core/feeds";
import { writtenHtml, writtenText } from "../core/passview";
import { joined } from "../core/pad";
import { draw, randomNumbers } from "../core/sample";
import type { Document, GeneratedDocument, GenerateOptions, Generation, Hook, Model, Piece } from "../core/types";
import type { Lowered } from "../core/writes";
import { breathe, stopIfInterrupted } from "./interrupt";
import type { Inner } from "./model";
import { meter } from "./progress";
import { colored, inCell } from "./show";

/** Texts that are continued side by side. */
const BATCH = 16;

/** Numbers of key-value caches, unique in the process; those of edits are negative. */
let caches = 0;

interface Settings extends Required<Pick<GenerateOptions, "temperature" | "topK" | "topP" | "maxTokens" | "seed" | "stop" | "hooks">> {
  progress: GenerateOptions["progress"];
}

function check(options: GenerateOptions): Settings {
  const { temperature = 0, topK = 0, topP = 1, maxTokens = 256, seed = 0, stop = [], hooks = [], progress } = options;
  if (!(temperature >= 0 && Number.isFinite(temperature))) throw new OptionError(`temperature: expected a number from 0 (greedy), found ${temperature}.`);
  if (!Number.isSafeInteger(topK) || topK < 0) throw new OptionError(`topK: expected a whole number from 0 (all), found ${topK}.`);
  if (!(topP > 0 && topP <= 1)) throw new OptionError(`topP: expected a number above 0, up to 1 (all), found ${topP}.`);
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) throw new OptionError(`maxTokens: expected a whole number from 1, found ${maxTokens}.`);
  if (!Number.isSafeInteger(seed)) throw new OptionError(`seed: expected a whole number, found ${seed}.`);
  if (!Array.isArray(stop) || stop.some((text) => typeof text !== "string" || !text)) throw new OptionError(`stop: expected texts that are not empty, found ${JSON.stringify(stop)}.`);
  if (!Array.isArray(hooks)) throw new OptionError("hooks: expected a list, found one value. Put it in brackets.");
  return { temperature, topK, topP, maxTokens, seed, stop, hooks, progress };
}

/** A text on its way. */
interface Line {
  index: number;
  document: Document;
  ids: Int32Array;
  added: number[];
  text: string; // what was written, as far as its characters are whole
  told: number; // of that, what was given out
  decoder: { decode(bytes?: Uint8Array, options?: { stream: boolean }): string };
  random: () => number;
  done: boolean;
  rows: Map<string, Float32Array[]>;
}

/**
 * Continues texts: a pass over the prompts, then one token of each text a step, keys and values kept with the worker. Each text draws
 * from numbers of its own, so that company changes nothing.
 */
export function generation(
  model: Model, inner: Inner, prompts: (string | Document | ArrayLike<number>)[], options: GenerateOptions, find: (spelling: string, use?: "read" | "write") => Hook,
): Generation {
  let result: Promise<GeneratedDocument[]> | undefined;
  const pieces: Piece[] = [];
  let wake: (() => void) | undefined;
  let left = false; // nobody reads on
  let listening = false;
  const { stack: called = "" } = new Error(); // it begins later, when nobody is on the stack any more: errors are to say where it was asked for
  const callers = called.split("\n").slice(3).join("\n"); // without this function and the model's
  const begin = (): Promise<GeneratedDocument[]> => (result ??= write(model, inner, prompts, options, find, (piece) => {
    if (!listening) return;
    pieces.push(piece);
    wake?.();
  }, () => left).catch((error: unknown) => {
    const ours = [EngineError, HookError, ModelError, OptionError, TextError].some((type) => error instanceof type);
    if (ours) (error as Error).stack += `\n${callers}`;
    throw error;
  }));
  return {
    then: (kept, failed) => begin().then(kept, failed),
    catch: (failed) => begin().catch(failed),
    finally: (always) => begin().finally(always),
    [Symbol.toStringTag]: "Generation",
    async *[Symbol.asyncIterator]() {
      listening = true;
      let ended = false;
      const end = begin().finally(() => {
        ended = true;
        wake?.();
      });
      end.catch(() => {}); // awaited below, or nobody's any more
      try {
        for (;;) {
          while (pieces.length) yield pieces.shift()!;
          if (ended) break;
          await new Promise<void>((resolve) => (wake = resolve));
        }
        await end;
      } finally {
        left = !ended;
      }
    },
  };
}

async function write(
  model: Model, inner: Inner, prompts: (string | Document | ArrayLike<number>)[], options: GenerateOptions, find: (spelling: string, use?: "read" | "write") => Hook,
  tell: (piece: Piece) => void, left: () => boolean,
): Promise<GeneratedDocument[]> {
  const settings = check(options);
  const { tokenizer } = model;
  const context = inner.source.context;
  const hooks = new Map(settings.hooks.map((spelling) => [spelling, find(spelling)]));
  for (const [spelling, hook] of hooks) if (hook.kind === "pattern") throw new HookError(`"${spelling}": expected a place with one row a token, found a pattern, whose rows grow with the text. Read it with run.`);
  const writes = inner.lower(options.writes);
  if (!Array.isArray(prompts)) throw new OptionError(`generate: expected a list of prompts, found ${typeof prompts}. One is a list too: generate([prompt]).`);
  const formatted = (text: string): string => (options.chat ? tokenizer.chat([{ role: "user", content: text }], { addGenerationPrompt: true }) : text);
  const lines = prompts.map((prompt, i): Line => {
    if (typeof prompt !== "string" && !(typeof prompt === "object" && prompt && ("length" in prompt || typeof prompt.text === "string"))) {
      throw new OptionError(`generate: prompt ${i}: expected a text, a document with a text, or token ids, found ${JSON.stringify(prompt)?.slice(0, 80)}.`);
    }
    if (typeof prompt !== "string" && "length" in prompt && prompt.length) inner.check([prompt]);
    const given = typeof prompt !== "string" && "length" in prompt ? Int32Array.from(prompt) : undefined;
    if (given && options.chat) throw new OptionError(`generate: prompt ${i}: expected a text beside chat: true, found token ids. Leave chat out.`);
    const plain = typeof prompt === "string" || "length" in prompt ? { id: `prompt-${i}`, text: given ? tokenizer.decode(given) : (prompt as string), spans: [] } : prompt;
    const document: Document = options.chat ? { ...plain, text: formatted(plain.text), spans: [] } : plain;
    const ids = given ?? tokenizer.encode(document.text).ids;
    if (!ids.length) throw new OptionError(`generate: prompt ${i}: expected at least one token, found none. Give it a text.`);
    if (ids.length + 1 > context) throw new OptionError(`generate: prompt ${i}: expected fewer than ${context} tokens, found ${ids.length}. Shorten it.`);
    return {
      index: i, document, ids, added: [], text: "", told: 0, decoder: new TextDecoder("utf-8", { ignoreBOM: true }), random: randomNumbers(settings.seed, i), done: false,
      rows: new Map([...hooks.keys()].map((spelling) => [spelling, []])),
    };
  });
  const total = lines.length * settings.maxTokens;
  const told = meter("generate", total, "tokens", settings.progress);
  let finished = 0; // texts, times maxTokens
  for (const group of groups(lines, inner)) {
    if (left()) break;
    await writeGroup(group, { inner, hooks, writes, settings, tokenizer, tell, left, made: (count) => told(Math.min(finished + count, total - 1)), finished: () => finished / settings.maxTokens, all: lines.length });
    finished += group.length * settings.maxTokens; // texts that ended early are done too
  }
  told(total);
  const documents = lines.map(({ document: { id, text, split }, ids, added: written, text: added, rows }): GeneratedDocument => ({
    id, text: text + added, spans: [], ...(split ? { split } : {}), prompt: text.length,
    ...(hooks.size ? { ids: Int32Array.from([...ids, ...written]), rows: Object.fromEntries([...rows].map(([spelling, parts]) => [spelling, joined(parts)])) } : {}),
  }));
  const widths = Object.fromEntries([...hooks].map(([spelling, { name }]) => [spelling, inner.source.rows.find((row) => row.name === name)!.width]));
  return inCell(documents, () => ({ "text/html": writtenHtml(documents, widths), "text/plain": writtenText(documents, widths, colored()) }));
}

/** Texts of like length go together, so that little is padded; of equal length where the cache wants it; alone where their rotation may change on the way. */
function groups(lines: Line[], { source }: Inner): Line[][] {
  const alone = source.regime(1) !== source.regime(Infinity);
  const order = lines.toSorted((x, y) => x.ids.length - y.ids.length || x.index - y.index);
  const out: Line[][] = [];
  for (const line of order) {
    const last = out.at(-1);
    if (last && last.length < BATCH && !alone && (source.ragged || last[0].ids.length === line.ids.length)) last.push(line);
    else out.push([line]);
  }
  return out;
}

interface Work {
  inner: Inner;
  hooks: Map<string, Hook>;
  writes: Lowered[];
  settings: Settings;
  tokenizer: Model["tokenizer"];
  tell: (piece: Piece) => void;
  left: () => boolean;
  made: (tokens: number) => void;
  finished: () => number;
  all: number;
}

async function writeGroup(group: Line[], { inner, hooks, writes, settings, tokenizer, tell, left, made, finished, all }: Work): Promise<void> {
  const { source } = inner;
  const prompt = group.map(({ ids }) => ids.length);
  const start = (ids: ArrayLike<number>[]): Pass => firstPass(ids, { prompt, index: group.map(({ index }) => index), rows: undefined });
  let pass = start(group.map(({ ids }) => ids));
  let cache = ++caches;
  // rows beyond the tokenizer's are padding of the embedding: no text has them
  const greedy = settings.temperature === 0 ? tokenizer.vocabularySize : undefined;
  const question = { hooks: [...hooks.values()], last: true, greedy, cache: true, writes };
  try {
    for (;;) {
      stopIfInterrupted(`${finished()} of ${all} texts were finished; none is kept.`);
      const outputs = await inner.pass(question, pass, cache);
      const vocabulary = inner.source.vocabulary;
      for (const [spelling, hook] of hooks) keepRows(group, spelling, outputs[hook.name], pass);
      const next = group.map((line, b) => {
        if (line.done) return [0];
        const id = greedy ? outputs["token.last"][b] : draw(outputs["logits.last"].subarray(b * vocabulary, b * vocabulary + tokenizer.vocabularySize), settings, line.random);
        if (inner.stops.has(id)) finish(line, -1, tell);
        else take(line, id, tokenizer.bytes(id), settings, pass.past[b] + pass.lengths[b] + 1 >= source.context, tell);
        return [id];
      });
      made(group.reduce((sum, { added }) => sum + added.length, 0));
      await breathe();
      if (group.every(({ done }) => done) || left()) return;
      const reached = pass.past[0] + pass.lengths[0];
      if (source.regime(reached) !== source.regime(reached + 1)) {
        // what is cached was rotated otherwise: the text is read again, as transformers does
        inner.forget(cache);
        cache = ++caches;
        pass = start([[...group[0].ids, ...group[0].added]]);
        for (const spelling of hooks.keys()) group[0].rows.set(spelling, []);
      } else pass = nextPass(pass, next, group.map(({ done }) => done));
    }
  } finally {
    inner.forget(cache);
  }
}

function keepRows(group: Line[], spelling: string, rows: Float32Array, pass: Pass): void {
  const width = rows.length / pass.lengths.reduce((sum, length) => sum + length, 0);
  let at = 0;
  group.forEach((line, b) => {
    const count = pass.lengths[b] * width;
    if (count) line.rows.get(spelling)!.push(rows.slice(at, at + count));
    at += count;
  });
}

/** One more token: its characters, and whether the text ends here. */
function take(line: Line, id: number, bytes: Uint8Array, { maxTokens, stop }: Settings, full: boolean, tell: (piece: Piece) => void): void {
  line.added.push(id);
  line.text += line.decoder.decode(bytes, { stream: true });
  const ends = stop.map((text) => line.text.indexOf(text)).filter((at) => at >= 0);
  if (ends.length) return finish(line, Math.min(...ends), tell);
  if (line.added.length >= maxTokens || full) return finish(line, -1, tell);
  // what may be the beginning of a stop text is held back
  const held = stop.reduce((most, text) => Math.max(most, text.length - 1), 0);
  const bound = line.text.length - held;
  const end = Math.max(line.told, bound - (/[\uD800-\uDBFF]/.test(line.text[bound - 1] ?? "") ? 1 : 0)); // not between the halves of a character
  if (end > line.told) tell({ prompt: line.index, token: id, text: line.text.slice(line.told, end) });
  line.told = end;
}

/** @param at where the text is cut, or −1 */
function finish(line: Line, at: number, tell: (piece: Piece) => void): void {
  line.done = true;
  line.text += line.decoder.decode();
  if (at >= 0) line.text = line.text.slice(0, at);
  if (line.text.length > line.told) tell({ prompt: line.index, token: line.added.at(-1)!, text: line.text.slice(line.told) });
  line.told = line.text.length;
}
