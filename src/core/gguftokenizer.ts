import { FormatError } from "./errors";
import type { Gguf, GgufValue } from "./gguf";

/**
 * tokenizer.ggml.* of a GGUF file → tokenizer.json and tokenizer_config.json. Two kinds:
 *
 *   gpt2    byte-level BPE with its merges; how text is cut before merging is told by a name, `tokenizer.ggml.pre`
 *   llama   SentencePiece BPE: pieces with scores, bytes as <0x0A>; merges follow from the scores
 *
 * @see https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp (names and patterns),
 *   https://huggingface.co/docs/tokenizers (tokenizer.json)
 */
export interface GgufTokenizer {
  /** Content of tokenizer.json. */
  tokenizer: Record<string, unknown>;
  /** Content of tokenizer_config.json. */
  config: Record<string, unknown>;
}

type Json = Record<string, unknown>;

const MAX_PIECE = 1024; // characters; the longest known are runs of spaces, some hundred

/** tokenizer.ggml.token_type. */
const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5;

const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/** cl100k's pattern, numbers in groups of up to `digits`. */
const words = (digits: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const split = (pattern: string): Json => ({ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false });
const byteLevel = (useRegex: boolean): Json => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: useRegex });

interface Cut {
  names: string[];
  steps: Json[];
  /** The original tokenizer composes characters first; llama.cpp does not. */
  nfc?: true;
  /** A word that is a token is not merged towards. */
  whole?: true;
  /** Where tokenizer.ggml.add_bos_token is absent. */
  bos?: true;
}

/** How text is cut into the words that are merged, by tokenizer.ggml.pre. */
const CUTS: Cut[] = [
  // "default" is what a file says, or leaves out, whose tokenizer the converter did not know: llama.cpp cuts it like this
  { names: ["default"], steps: [split("[\\p{P}\\$\\+<=>\\^~\\|]+"), split(GPT2_PATTERN), split("\\p{N}+"), split("[0-9][0-9][0-9]"), byteLevel(false)] },
  { names: ["gpt-2", "phi-2", "mpt", "olmo"], steps: [byteLevel(true)] },
  { names: ["smollm", "starcoder", "refact", "command-r", "codeshell"], steps: [split("\\p{N}"), byteLevel(true)] }, // digits one by one
  { names: ["llama-bpe", "llama3", "llama-v3"], steps: [split(words("{1,3}")), byteLevel(false)], whole: true, bos: true },
  { names: ["dbrx", "smaug-bpe"], steps: [split(words("{1,3}")), byteLevel(false)] },
  { names: ["qwen2", "deepseek-r1-qwen"], steps: [split(words("")), byteLevel(false)], nfc: true },
  { names: ["stablelm2"], steps: [split(words("")), byteLevel(false)] },
];

/** Names of tokenizer.ggml.pre that are known. */
export const GGUF_PRE_TOKENIZERS: readonly string[] = CUTS.flatMap(({ names }) => names);

interface Vocabulary {
  pieces: string[];
  types: ArrayLike<number>;
  get(key: string): GgufValue | undefined;
  fail(what: string, remedy?: string): never;
}

/**
 * @param where name of the file, for messages
 * @throws FormatError naming the metadata key that is missing, inconsistent, or of a kind that is not known
 */
export function ggufTokenizer({ metadata }: Gguf, where: string): GgufTokenizer {
  const fail = (what: string, remedy = "The file is incomplete: take another conversion of the model."): never => {
    throw new FormatError(`${where}: metadata tokenizer.ggml.${what}. ${remedy}`);
  };
  const get = (key: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${key}`);
  const model = get("model");
  if (model !== "gpt2" && model !== "llama") {
    fail(`model: expected gpt2 (byte-level BPE) or llama (SentencePiece BPE), found ${model === undefined ? "nothing" : JSON.stringify(model)}`,
      "Tokens of other kinds do not keep the bytes of the text.");
  }
  const pieces = get("tokens");
  if (!Array.isArray(pieces) || !pieces.length || typeof pieces[0] !== "string") return fail("tokens: expected a list of strings, found something else or nothing");
  const types = get("token_type") ?? new Int32Array(pieces.length).fill(NORMAL);
  if (typeof types !== "object" || types.length !== pieces.length) return fail(`token_type: expected ${pieces.length} types, one a token, found something else`);
  const vocabulary: Vocabulary = { pieces: pieces as string[], types: types as ArrayLike<number>, get, fail };
  const parts = model === "gpt2" ? byteLevelParts(vocabulary) : sentencePieceParts(vocabulary);

  const token = (key: string): string | null => {
    const id = get(`${key}_token_id`);
    if (id === undefined || id === 0xffff_ffff) return null; // -1 in an unsigned field: none
    return typeof id === "number" && Number.isInteger(id) && id < pieces.length ? (pieces[id] as string)
      : fail(`${key}_token_id: expected an id below ${pieces.length}, found ${String(id)}`);
  };
  const [bos, eos] = [token("bos"), token("eos")];
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = get(key) ?? otherwise;
    return typeof value === "boolean" ? value : fail(`${key}: expected true or false, found ${typeof value}`);
  };
  const before = flag("add_bos_token", parts.bos) ? bos ?? fail("add_bos_token: expected a bos_token_id with it, found none") : null;
  const after = flag("add_eos_token", false) ? eos ?? fail("add_eos_token: expected an eos_token_id with it, found none") : null;
  const template = metadata.get("tokenizer.chat_template");
  return {
    tokenizer: {
      version: "1.0", truncation: null, padding: null, added_tokens: addedTokens(vocabulary), normalizer: parts.normalizer, pre_tokenizer: parts.preTokenizer,
      post_processor: framing(before, after, (piece) => pieces.indexOf(piece)), decoder: parts.decoder, model: parts.model,
    },
    config: {
      tokenizer_class: "PreTrainedTokenizerFast", bos_token: bos, eos_token: eos, pad_token: token("padding"), unk_token: token("unknown"),
      add_bos_token: before !== null, add_eos_token: after !== null, clean_up_tokenization_spaces: false,
      ...(typeof template === "string" ? { chat_template: template } : {}),
    },
  };
}

interface Parts {
  normalizer: Json | null;
  preTokenizer: Json | null;
  decoder: Json;
  model: Json;
  /** add_bos_token where the file does not say. */
  bos: boolean;
}

/** Rows that fill the embedding up to a round number are no tokens. */
const isPadding = (piece: string, type: number): boolean => type === UNUSED && /^\[PAD\d+\]$/.test(piece);

/** Piece → id; of two equal pieces the first. */
function idsOf({ pieces, types, fail }: Vocabulary): Map<string, number> {
  const ids = new Map<string, number>();
  pieces.forEach((piece, id) => {
    if (isPadding(piece, types[id])) return;
    if (piece.length > MAX_PIECE) fail(`tokens: expected pieces of at most ${MAX_PIECE} characters, found ${piece.length} at ${id}`, "The file is damaged: copy or download it again.");
    if (ids.has(piece)) fail(`tokens: expected each piece once, found ${JSON.stringify(piece.slice(0, 50))} as ${ids.get(piece)} and ${id}`, "The file is damaged: copy or download it again.");
    ids.set(piece, id);
  });
  return ids;
}

/** An object with the pieces as its keys, `__proto__` included. */
const vocabularyOf = (ids: Map<string, number>): Record<string, number> => Object.fromEntries(ids);

const bpe = (ids: Map<string, number>, merges: [string, string][], more: Json): Json => ({
  type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false,
  ignore_merges: false, ...more, vocab: vocabularyOf(ids), merges,
});

function byteLevelParts(vocabulary: Vocabulary): Parts {
  const { get, fail } = vocabulary;
  const pre = get("pre") ?? "default";
  const cut = CUTS.find(({ names }) => names.includes(pre as string)) ?? fail(
    `pre: expected one of ${GGUF_PRE_TOKENIZERS.join(", ")}, found ${JSON.stringify(typeof pre === "object" ? "a list" : String(pre))}`,
    "How this tokenizer cuts text into words is a row of CUTS in src/core/gguftokenizer.ts: add it, or put the model's own tokenizer.json to use.");
  const stored = get("merges");
  if (!Array.isArray(stored)) return fail("merges: expected a list of strings, found nothing of the kind");
  const ids = idsOf(vocabulary);
  const merges = stored.map((merge, i): [string, string] => {
    const space = typeof merge === "string" ? merge.indexOf(" ", 1) : -1;
    const pair: [string, string] = space > 0 ? [(merge as string).slice(0, space), (merge as string).slice(space + 1)] : ["", ""];
    if (!ids.has(pair[0]) || !ids.has(pair[1]) || !ids.has(pair[0] + pair[1])) {
      fail(`merges: expected two pieces that join to a piece, found ${JSON.stringify(merge)} at ${i}`, "The file is damaged: copy or download it again.");
    }
    return pair;
  });
  return {
    normalizer: cut.nfc ? { type: "NFC" } : null,
    preTokenizer: cut.steps.length === 1 ? cut.steps[0] : { type: "Sequence", pretokenizers: cut.steps },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: bpe(ids, merges, { ignore_merges: cut.whole ?? false }),
    bos: cut.bos ?? false,
  };
}

function sentencePieceParts(vocabulary: Vocabulary): Parts {
  const { pieces, types, get, fail } = vocabulary;
  const scores = get("scores");
  if (typeof scores !== "object" || scores.length !== pieces.length) return fail(`scores: expected ${pieces.length} numbers, one a token, found something else or nothing`);
  const ids = idsOf(vocabulary);
  const lacking = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`).find((piece) => !ids.has(piece));
  if (lacking) fail(`tokens: expected a piece for each of the 256 bytes, found no ${lacking}`, "A SentencePiece vocabulary without byte fallback loses text: it is not read.");
  const unknownId = get("unknown_token_id") ?? 0;
  const unknown = typeof unknownId === "number" && pieces[unknownId] !== undefined ? pieces[unknownId] : null;
  const prefix = get("add_space_prefix") ?? true;
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const joined = [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }];
  return {
    normalizer: prefix ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, replace] } : replace,
    preTokenizer: null,
    decoder: { type: "Sequence", decoders: prefix ? [...joined, { type: "Strip", content: " ", start: 1, stop: 0 }] : joined },
    model: bpe(ids, mergesOfScores(pieces, types, scores as ArrayLike<number>), { unk_token: unknown, fuse_unk: true, byte_fallback: true }),
    bos: true,
  };
}

/**
 * Every way to put a piece together from two, pieces of higher score first: merging by rank is then what SentencePiece does by score.
 * Of one piece, the pair whose parts come first in the vocabulary first, as transformers orders them.
 * @see transformers, convert_slow_tokenizer.py, generate_merges
 */
function mergesOfScores(pieces: string[], types: ArrayLike<number>, scores: ArrayLike<number>): [string, string][] {
  const ids = new Map<string, number>();
  pieces.forEach((piece, id) => {
    if (types[id] === NORMAL || types[id] === USER_DEFINED) ids.set(piece, id);
  });
  const merges: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  for (const [piece, id] of ids) {
    for (let i = 1; i < piece.length; i++) {
      const left = ids.get(piece.slice(0, i));
      if (left === undefined) continue;
      const right = ids.get(piece.slice(i));
      if (right !== undefined) merges.push({ pair: [piece.slice(0, i), piece.slice(i)], score: scores[id], left, right });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return merges.map(({ pair }) => pair);
}

/** Control tokens are special; user-defined ones are found in the text too, but are part of it. */
function addedTokens({ pieces, types }: Vocabulary): Json[] {
  return pieces.flatMap((content, id) => {
    const type = types[id];
    if (!content || (type !== CONTROL && type !== UNKNOWN && type !== USER_DEFINED)) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: type !== USER_DEFINED }];
  });
}

/** What is put before and after a text. */
function framing(before: string | null, after: string | null, idOf: (piece: string) => number): Json | null {
  if (before === null && after === null) return null;
  const special = (id: string): Json => ({ SpecialToken: { id, type_id: 0 } });
  const around = (part: string): Json[] => [
    ...(before === null ? [] : [special(before)]), { Sequence: { id: part, type_id: 0 } }, ...(after === null ? [] : [special(after)]),
  ];
  const tokens = [...new Set([before, after])].filter((piece): piece is string => piece !== null);
  return {
    type: "TemplateProcessing", single: around("A"), pair: [...around("A"), ...around("B")],
    special_tokens: Object.fromEntries(tokens.map((piece) => [piece, { id: piece, ids: [idOf(piece)], tokens: [piece] }])),
  };
}
