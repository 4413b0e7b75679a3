"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.vocabularyFile = exports.TOKENIZER_FILES = void 0;
exports.openTokenizer = openTokenizer;
exports.makeTokenizer = makeTokenizer;
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const errors_1 = require("../core/errors");
const chat_1 = require("./chat");
/** GPT-2's own files, from which tokenizer.json is made where it is absent. */
const GPT2_FILES = ["vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"];
/** The files a tokenizer is made of, as far as a checkpoint has them; the first, or vocab.json with merges.txt, must be there. A store keeps copies of them. */
exports.TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", chat_1.CHAT_TEMPLATE_FILE, ...GPT2_FILES];
/** The file that holds a folder's vocabulary: tokenizer.json, or vocab.json where only that is there. */
const vocabularyFile = (folder) => (0, node_path_1.join)(folder, !(0, node_fs_1.existsSync)((0, node_path_1.join)(folder, "tokenizer.json")) && GPT2_FILES.slice(0, 2).every((file) => (0, node_fs_1.existsSync)((0, node_path_1.join)(folder, file))) ? "vocab.json" : "tokenizer.json");
exports.vocabularyFile = vocabularyFile;
/** GPT-2's printable stand-ins for the 256 bytes: printable Latin-1 for itself, the others from U+0100 on. @see openai/gpt-2, encoder.py */
const STAND_INS = (() => {
    const map = new Map();
    let next = 256;
    for (let byte = 0; byte < 256; byte++) {
        const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        map.set(String.fromCharCode(printable ? byte : next++), byte);
    }
    return map;
})();
const utf8 = new TextEncoder();
/** A step and, for a Sequence, its steps, at any depth. */
const steps = (step) => {
    if (!step)
        return [];
    const inner = step.normalizers ?? step.pretokenizers ?? step.decoders;
    return Array.isArray(inner) ? inner.flatMap((part) => steps(part)) : [step];
};
/**
 * The tokenizer of a checkpoint folder, from its tokenizer.json, or from GPT-2's vocab.json and merges.txt. Ids come from transformers.js;
 * bytes and offsets from here: the tokens' bytes are laid beside the text's, and every byte is compared, so that an offset is exact or an error.
 * @throws ModelError when a file is missing, damaged, or its kind has no bytes (WordPiece, Unigram)
 */
function openTokenizer(folder) {
    const file = (0, exports.vocabularyFile)(folder);
    if (!(0, node_fs_1.existsSync)(file)) {
        throw new errors_1.ModelError(`${file}: expected the tokenizer, found no such file. ` +
            "Copy it from where the model came from; a sentencepiece tokenizer.model alone is converted with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).");
    }
    const config = readJson(folder, "tokenizer_config.json") ?? {};
    const json = file.endsWith("vocab.json") ? fromVocabulary(folder, config) : readJson(folder, "tokenizer.json");
    return makeTokenizer(json, config, file, (0, chat_1.readTemplates)(folder, config));
}
/** undefined where the file is not there. */
function readJson(folder, name) {
    const file = (0, node_path_1.join)(folder, name);
    if (!(0, node_fs_1.existsSync)(file))
        return undefined;
    try {
        return JSON.parse((0, node_fs_1.readFileSync)(file, "utf8"));
    }
    catch (error) {
        throw new errors_1.ModelError(`${file}: expected JSON, found: ${error.message}. Copy the file again from where the model came from.`);
    }
}
/**
 * tokenizer.json out of vocab.json (token to id) and merges.txt (a pair a line, best first), with GPT-2's split.
 * Other tokenizers have such files too, and split otherwise: only those that say they are GPT-2's are read.
 * @see transformers, convert_slow_tokenizer.py: GPT2Converter
 */
function fromVocabulary(folder, config) {
    const file = (0, node_path_1.join)(folder, "vocab.json");
    const kind = config.tokenizer_class ?? readJson(folder, "config.json")?.model_type ?? "gpt2";
    if (!/^(GPT2Tokenizer(Fast)?|gpt2|gpt_neo|gptj)$/.test(kind)) {
        throw new errors_1.ModelError(`${file}: expected the files of a GPT-2 tokenizer, or a tokenizer.json, found those of ${kind}, which splits text in its own way. ` +
            "Make tokenizer.json with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).");
    }
    const vocab = readJson(folder, "vocab.json");
    if (typeof vocab !== "object" || vocab === null || !Object.values(vocab).every((id) => Number.isSafeInteger(id) && id >= 0)) {
        throw new errors_1.ModelError(`${file}: expected tokens with their ids, found something else. Copy the file again from where the model came from.`);
    }
    const lines = (0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "merges.txt"), "utf8").split(/\r?\n/);
    const merges = [];
    lines.forEach((line, i) => {
        if (!line || (i === 0 && line.startsWith("#version")))
            return;
        const pair = line.split(" ");
        if (pair.length !== 2 || ![...pair, pair.join("")].every((token) => Object.hasOwn(vocab, token))) {
            throw new errors_1.ModelError(`${(0, node_path_1.join)(folder, "merges.txt")}: line ${i + 1}: expected two tokens of vocab.json that make a third, found ${JSON.stringify(line.slice(0, 80))}. The two files belong to different models: copy both again.`);
        }
        merges.push(pair);
    });
    const special = new Set();
    const added = new Map();
    for (const source of [readJson(folder, "special_tokens_map.json") ?? {}, config]) {
        for (const key of ["bos_token", "eos_token", "unk_token", "pad_token", "additional_special_tokens"]) {
            for (const token of [source[key] ?? []].flat())
                special.add(token.content ?? token);
        }
    }
    if (!special.size)
        special.add("<|endoftext|>"); // GPT-2's own, where no file names any
    const add = (content, id, rules = {}) => added.set(id, { id, content, special: special.has(content), ...rules });
    for (const content of special)
        if (Object.hasOwn(vocab, content))
            add(content, vocab[content]);
    for (const [content, id] of Object.entries(readJson(folder, "added_tokens.json") ?? {}))
        add(content, id);
    for (const [id, { content, ...rules }] of Object.entries(config.added_tokens_decoder ?? {}))
        add(content, Number(id), rules);
    const bos = config.bos_token?.content ?? config.bos_token ?? "<|endoftext|>";
    const first = [...added.values()].find(({ content }) => content === bos);
    const bytes = { type: "ByteLevel", add_prefix_space: config.add_prefix_space === true, trim_offsets: true, use_regex: true };
    const sequence = { Sequence: { id: "A", type_id: 0 } };
    const before = { SpecialToken: { id: bos, type_id: 0 } };
    return {
        added_tokens: [...added.values()].sort((a, b) => a.id - b.id).map((token) => ({ single_word: false, lstrip: false, rstrip: false, normalized: false, ...token })),
        normalizer: null,
        pre_tokenizer: bytes,
        post_processor: config.add_bos_token === true && first
            ? { type: "TemplateProcessing", single: [before, sequence], pair: [before, sequence], special_tokens: { [bos]: { id: bos, ids: [first.id], tokens: [bos] } } }
            : { ...bytes, trim_offsets: false },
        decoder: bytes,
        model: { type: "BPE", vocab, merges, unk_token: null, byte_fallback: false, fuse_unk: false, continuing_subword_prefix: "", end_of_word_suffix: "" },
    };
}
/** {@link openTokenizer} from the files' contents. */
function makeTokenizer(json, config, where, templates = (0, chat_1.templatesOf)(config, where)) {
    const spec = json;
    const byteLevel = [...steps(spec.decoder), ...steps(spec.pre_tokenizer)].some(({ type }) => type === "ByteLevel");
    if (spec.model?.type !== "BPE" || !(byteLevel || spec.model.byte_fallback)) {
        throw new errors_1.ModelError(`${where}: expected a BPE model with byte-level pieces or byte fallback, found ${spec.model?.type ?? "no model"}. ` +
            "Tokens of other kinds do not keep the bytes of the text, so that no offset would be exact.");
    }
    // transformers.js is large: loaded when the first tokenizer is opened
    const library = require("@huggingface/transformers");
    const engine = new library.PreTrainedTokenizer(spec, { ...config, chat_template: undefined });
    const added = new Map((spec.added_tokens ?? []).map((token) => [token.id, token]));
    const names = new Map();
    for (const [name, id] of Object.entries(spec.model.vocab))
        names.set(id, name);
    for (const { id, content } of added.values())
        names.set(id, content);
    const vocabularySize = [...names.keys()].reduce((a, b) => Math.max(a, b), -1) + 1;
    const table = new Array(vocabularySize);
    const bytes = (id) => {
        const known = table[id];
        if (known)
            return known;
        const name = names.get(id);
        if (name === undefined) {
            throw new RangeError(`token ${id}: expected an id of ${where} (0 to ${vocabularySize - 1}), found none. Rows beyond the vocabulary are padding of the embedding.`);
        }
        return (table[id] = added.has(id) ? utf8.encode(name) : byteLevel ? fromStandIns(name) : fromPiece(name));
    };
    const special = new Set([...added.values()].filter((token) => token.special).map(({ id }) => id));
    const encodeIds = (text, add_special_tokens) => engine.encode(text, { add_special_tokens });
    // what the post-processor puts around a text, found out once
    const bare = encodeIds("a", false);
    const framed = encodeIds("a", true);
    const at = framed.findIndex((_, i) => bare.every((id, j) => framed[i + j] === id));
    const before = framed.slice(0, at);
    const after = framed.slice(at + bare.length);
    const unknown = spec.model.unk_token == null ? -1 : ([...names].find(([, name]) => name === spec.model.unk_token)?.[0] ?? -1);
    const strips = !byteLevel && stripsFirst(spec);
    const align = aligner(spec, { bytes, added, unknown, spaces: !byteLevel });
    return {
        vocabularySize,
        encode(text) {
            const ids = text ? encodeIds(text, false) : [];
            // a chat's text begins with it already: once is what models are trained on
            const front = before.every((id, i) => ids[i] === id) ? [] : before;
            const start = new Int32Array(front.length + ids.length + after.length);
            const end = new Int32Array(start.length);
            const problem = align(text, ids, start, end, front.length);
            if (problem) {
                throw new errors_1.TextError(`${where}: token ${problem.token} of ${JSON.stringify(text.slice(0, 40))}…: expected bytes that agree with the text, found ${problem.what}. ` +
                    "This tokenizer rewrites text in a way whose offsets are not known (normalizer, pre_tokenizer of tokenizer.json).");
            }
            return { ids: Int32Array.from([...front, ...ids, ...after]), start, end };
        },
        decode(ids) {
            // whole bytes first, characters after: a character may be spread over tokens
            const pieces = Array.from(ids, (id) => bytes(id));
            if (strips) {
                // the first piece carries the space that encoding put before the text
                const first = Array.from(ids).findIndex((id) => !added.has(id));
                if (first >= 0 && pieces[first][0] === 32)
                    pieces[first] = pieces[first].subarray(1);
            }
            return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(pieces));
        },
        bytes,
        isSpecial: (id) => special.has(id),
        chat: (messages, options) => (0, chat_1.renderChat)(engine, templates, where, messages, options),
    };
}
function fromStandIns(name) {
    const out = [];
    for (const character of name) {
        const byte = STAND_INS.get(character);
        if (byte === undefined)
            return utf8.encode(name); // not of the byte alphabet: an entry that stands for itself
        out.push(byte);
    }
    return Uint8Array.from(out);
}
/** `<0xE2>` is that byte, ▁ a space, everything else itself. */
function fromPiece(name) {
    const byte = /^<0x([0-9A-F]{2})>$/.exec(name);
    return byte ? Uint8Array.of(parseInt(byte[1], 16)) : utf8.encode(name.replaceAll("▁", " "));
}
const stripsFirst = (spec) => steps(spec.decoder).some((step) => (step.type === "Strip" && step.content === " " && step.start > 0) ||
    (step.type === "Metaspace" && step.prepend_scheme !== "never" && step.add_prefix_space !== false));
/**
 * Lays the tokens' bytes along the text's, in one pass: both run in step and must agree byte for byte.
 * Allowed apart from equality, each only where the tokenizer does it: a space put before a section's first token;
 * white space that an added token swallows on its side; text in another normal form, taken character by character with its marks.
 * A token that is part of a character covers the whole character.
 */
function aligner(spec, { bytes, added, unknown, spaces }) {
    const kinds = steps(spec.normalizer);
    const forms = kinds.filter(({ type }) => /^NFK?[CD]$/.test(type)).map(({ type }) => type);
    const lower = kinds.some(({ type }) => type === "Lowercase");
    const always = kinds.some(({ type }) => type === "Prepend");
    const unlessThere = steps(spec.pre_tokenizer).some((step) => (step.type === "ByteLevel" && step.add_prefix_space) || (step.type === "Metaspace" && step.prepend_scheme !== "never"));
    const normal = (text) => {
        for (const form of forms)
            text = text.normalize(form);
        return lower ? text.toLowerCase() : text;
    };
    const rewrites = forms.length > 0 || lower;
    return (text, ids, start, end, offset) => {
        const { data, from, to } = layout(text, rewrites ? normal : undefined, spaces);
        let at = 0; // in data
        let section = true; // the next token begins a section
        let swallow = false; // the last token swallows white space on its right
        const white = (i) => i < data.length && (data[i] === 32 || (data[i] >= 9 && data[i] <= 13));
        for (let t = 0; t < ids.length; t++) {
            const id = ids[t];
            const rule = added.get(id);
            const piece = bytes(id);
            if (swallow || rule?.lstrip)
                while (white(at) && !(rule && matches(data, at, piece)))
                    at++;
            swallow = false;
            let k = 0;
            if (id === unknown && !matches(data, at, piece)) {
                // an unknown token stands for one character, unless neighbours are fused into it
                if (spec.model.fuse_unk || at >= data.length)
                    return { token: t, what: "an unknown token, whose extent is not known" };
                const first = at;
                while (at < data.length && from[at] === from[first])
                    at++;
                start[offset + t] = from[first];
                end[offset + t] = to[at - 1];
                section = false;
                continue;
            }
            if (section && !rule && piece[0] === 32 && (always || (unlessThere && data[at] !== 32)))
                k = 1; // the space was put there
            const first = at;
            for (; k < piece.length; k++, at++) {
                if (data[at] !== piece[k])
                    return { token: t, what: `byte ${piece[k]} where the text has ${data[at] ?? "ended"}` };
            }
            if (at > first) {
                start[offset + t] = from[first];
                end[offset + t] = to[at - 1];
            }
            else {
                start[offset + t] = end[offset + t] = first < data.length ? from[first] : text.length;
            }
            section = rule !== undefined;
            swallow = rule?.rstrip === true;
        }
        if (swallow)
            while (white(at))
                at++;
        return at < data.length ? { token: ids.length, what: `the end of the tokens with ${data.length - at} bytes of text left` } : undefined;
    };
}
const matches = (data, at, piece) => {
    for (let k = 0; k < piece.length; k++)
        if (data[at + k] !== piece[k])
            return false;
    return true;
};
/** 0, 1, 2, …: where the bytes of an ASCII text lie. Grown as needed, never written to. */
let counting = new Uint32Array();
/** A text's bytes after normalisation, and for each byte the UTF-16 range of the character, or cluster, that it is of. */
function layout(text, normal, spaces) {
    if (spaces && text.includes("▁")) {
        // such a tokenizer cannot tell ▁ from a space: one sign of the text for one space, byte counts kept apart by the map below
        return spread(pieces(text, normal).map((piece) => ({ ...piece, text: piece.text.replaceAll("▁", " ") })));
    }
    const data = utf8.encode(text);
    if (data.length === text.length) {
        // ASCII is its own normal form, but for capitals
        if (counting.length <= data.length)
            counting = new Uint32Array(2 * data.length + 1).map((_, i) => i);
        return { data: normal ? utf8.encode(normal(text)) : data, from: counting, to: counting.subarray(1) };
    }
    return spread(pieces(text, normal && normal(text) !== text ? normal : undefined));
}
/**
 * Cuts a text into stretches that are normalised one by one: a character, its combining marks, and Hangul letters that join it.
 * Checked against the normal form of the whole; where that differs the cut is coarser, at white space.
 */
function pieces(text, normal) {
    const characters = (part, at) => Array.from(part.matchAll(/[\ud800-\udbff][\udc00-\udfff]|[^]/g), ({ 0: character, index }) => ({ text: character, from: at + index, to: at + index + character.length }));
    if (!normal)
        return characters(text, 0);
    const whole = normal(text);
    for (const pattern of [/(?:[\u1100-\u11ff\uac00-\ud7ff]+|\P{M})\p{M}*|\p{M}+/gu, /\s+|\S+/gu]) {
        const parts = Array.from(text.matchAll(pattern), ({ 0: part, index }) => {
            const rewritten = normal(part);
            return rewritten === part ? characters(part, index) : [{ text: rewritten, from: index, to: index + part.length }];
        }).flat();
        if (parts.map((part) => part.text).join("") === whole)
            return parts;
    }
    return [{ text: whole, from: 0, to: text.length }];
}
function spread(parts) {
    const data = utf8.encode(parts.map((part) => part.text).join(""));
    const from = new Uint32Array(data.length);
    const to = new Uint32Array(data.length);
    let at = 0;
    for (const part of parts) {
        const size = utf8Length(part.text);
        from.fill(part.from, at, at + size);
        to.fill(part.to, at, at + size);
        at += size;
    }
    return { data, from, to };
}
/** Bytes of a string in UTF-8; a lone surrogate is written as U+FFFD, three bytes. */
function utf8Length(text) {
    let length = 0;
    for (const character of text) {
        const code = character.codePointAt(0);
        length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    }
    return length;
}
//# sourceMappingURL=tokenizer.js.map