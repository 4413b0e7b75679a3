import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Built, Wanted } from "../core/build";
import { InterruptError, ModelError, OptionError } from "../core/errors";
import { firstPass, reach, standardFeeds, type Feed, type Pass } from "../core/feeds";
import { tableHtml, tableText } from "../core/featuretable";
import { deeper, parseHook, withModel } from "../core/hookname";
import { foldHooks, hookTable, hookTableHtml } from "../core/hooktable";
import type { Value } from "../core/onnx";
import { joined, withoutPadding, withPadding } from "../core/pad";
import { rowsTable } from "../core/passview";
import { prune } from "../core/splice";
import type { Hook, HookRow, Model, ModelDevice, RunOptions, Tokenizer, Write } from "../core/types";
import { applyWrites, lowerWrite, type Lowered } from "../core/writes";
import { generation } from "./generate";
import { interrupted } from "./interrupt";
import { hashFiles, readJson } from "./modelfiles";
import { availableMemory, prepare, runtime, type Prepared, type RuntimeSettings } from "./runtime";
import { saeFiles } from "./saefile";
import { inCell } from "./show";
import { places, type GraphSource } from "./source";
import { openTokenizer, vocabularyFile } from "./tokenizer";

/** Rows of a pass, padding included, and hooks with which it is worth keeping to them. Measured on SmolLM2: 6 % faster than 1,024 rows; with 90 hooks nothing. */
const PASS_ROWS = 512;
const FEW_HOOKS = 16;
/** A card wants more at a time, as far as what is read stays below so many numbers. */
const CARD_ROWS = 4096, CARD_NUMBERS = 2 ** 27;

/** Questions that are remembered: their graphs hold no weights. */
const GRAPHS = 64;

/** What a pass is asked for, beside what goes in. */
export interface Question extends Pick<Wanted, "hooks" | "last" | "greedy" | "cache" | "lens"> {
  writes?: Lowered[];
}

/** A question, its graph and how to feed it: kept as long as the same is asked. */
interface Known extends Pick<Built, "tensors" | "outputs" | "cache"> {
  prepared: Prepared;
}

/** What generation and lenses use of a model, beside its public face. */
export interface Inner {
  source: GraphSource;
  pass(question: Question, pass: Pass, cache?: number): Promise<Record<string, Float32Array>>;
  /** Once for all passes: vectors are checked, means taken. @throws OptionError, HookError */
  lower(writes?: Write[]): Lowered[];
  check(batch: ArrayLike<number>[]): void;
  forget(cache: number): void;
  stops: Set<number>;
}

/**
 * A model over what makes its graphs.
 * @param name what it was opened by
 * @param folder with the tokenizer's files
 * @throws ModelError when there is no tokenizer; when it is first used, if it does not belong to the weights
 */
export function makeModel(name: string, folder: string, source: GraphSource, settings: RuntimeSettings & { device?: ModelDevice }): Model {
  const { anatomy, vocabulary, context } = source;
  const decomposed = (settings.provider?.device ?? "cpu") !== "cpu";
  // its library and its table take a quarter of a second: only where text is read or written
  let tokenizer: Tokenizer | undefined;
  const openedTokenizer = (): Tokenizer => {
    tokenizer ??= openTokenizer(folder);
    if (tokenizer.vocabularySize <= vocabulary) return tokenizer;
    throw new ModelError(
      `${folder}: tokenizer.json: expected ids below vocab_size ${vocabulary} of config.json, found ids up to ${tokenizer.vocabularySize - 1}. ` +
      "Tokenizer and weights belong to different models: copy both again.");
  };
  if (!existsSync(vocabularyFile(folder))) openTokenizer(folder); // says what is missing
  const generationConfig = join(folder, "generation_config.json");
  const stops = new Set<number>([...source.eos, ...(existsSync(generationConfig) ? [readJson(generationConfig).eos_token_id ?? []].flat() : [])]);

  const engine = runtime(`${source.family} model ${name}`, settings);
  const saes = saeFiles();
  const known = new Map<string, Known>();
  const { find, shape, heads } = places(source, name);

  const answer = ({ hooks, last, greedy, cache, lens }: Question, lowered: Lowered[]): Known => {
    const unique = [...new Map(hooks.map((hook) => [hook.name, hook])).values()].sort((x, y) => deeper(x, y));
    const key = [...unique.map((hook) => hook.name), last && "last", greedy && `greedy ${greedy}`, cache && "cache", lens && "lens", ...lowered.map((one, i) => `${i}: ${one.key}`)].filter(Boolean).join(", ");
    let found = known.get(key);
    if (!found) {
      const built = source.build({ hooks: unique, last, greedy, cache, lens, decomposed, written: lowered.map(({ hook }) => hook) });
      found = { ...built, prepared: prepare(key, prune(applyWrites(built, lowered))) };
      if (known.size >= GRAPHS) known.delete(known.keys().next().value!);
    }
    known.delete(key);
    known.set(key, found);
    return found;
  };

  /** Tables for this pass that the worker has not got. */
  const tables = (pass: Pass, inputs: Value[], regime: string): Record<string, Feed> => {
    const out: Record<string, Feed> = {};
    for (const { name: table, key, make } of source.tables(reach(pass), regime)) {
      if (!inputs.some((input) => input.name === table)) continue;
      const has = engine.tables.get(table);
      // a longer one of the same kind will do
      if (has === key || (has && has.split(" ")[1] === key.split(" ")[1] && Number(has.split(" ")[0]) >= Number(key.split(" ")[0]))) continue;
      engine.tables.set(table, key);
      out[table] = make();
    }
    return out;
  };

  const inner: Inner = {
    source, stops,
    forget: engine.forget,
    check(batch) {
      if (!batch.length) throw new OptionError("batch: expected at least one text, found none.");
      batch.forEach((ids, row) => {
        if (typeof ids !== "object" || !ids || typeof ids.length !== "number") throw new OptionError(`batch: text ${row}: expected a list of token ids, found ${JSON.stringify(ids)}. A single text is a list in a list: run([ids], …).`);
        if (!ids.length) throw new OptionError(`batch: text ${row}: expected at least one token, found none. Leave empty texts out.`);
        if (ids.length > context) {
          throw new OptionError(`batch: text ${row}: expected at most ${context} tokens (max_position_embeddings of config.json), found ${ids.length}. Cut it into contexts.`);
        }
        for (let t = 0; t < ids.length; t++) {
          const id = ids[t];
          if (!(id >= 0 && id < vocabulary && Number.isInteger(id))) {
            throw new OptionError(`batch: text ${row}, token ${t}: expected an id from 0 to ${vocabulary - 1}, found ${id}. The ids come from another tokenizer.`);
          }
        }
      });
    },
    lower(writes = []) {
      if (!Array.isArray(writes) || writes.some((write) => typeof write !== "object" || !write)) throw new OptionError(`writes: expected a list of objects such as { hook: "layers.0", scale: 0 }, found ${JSON.stringify(writes)?.slice(0, 80)}.`);
      return writes.map((write, i) => lowerWrite(write, find(write.hook, "write"), `write.${i}`, shape, saes.initializers));
    },
    async pass(question, pass, cache) {
      const lowered = question.writes ?? [];
      const { prepared, tensors, outputs: named, cache: pairs } = answer(question, lowered);
      const outputOf = (hook: Hook): string => named?.get(hook.name) ?? tensors.get(hook.name)!;
      const regime = source.regime(Math.max(...pass.past.map((past, b) => past + pass.lengths[b])));
      const outputs = [...new Set(question.hooks.map(outputOf))];
      const made = await engine.run(prepared, {
        feeds: (inputs) => {
          const names = new Set(inputs.map((input) => input.name));
          const written = Object.assign({}, ...lowered.map((one) => one.feeds(pass))) as Record<string, Feed>;
          return { ...standardFeeds(inputs, pass), ...tables(pass, inputs, regime), ...Object.fromEntries(Object.entries(written).filter(([input]) => names.has(input))) };
        },
        outputs: [...outputs, ...(question.greedy ? ["token.last"] : question.last ? ["logits.last"] : [])],
        cache: { id: cache, pairs: pairs.map((pair) => ({ ...pair, dims: [pass.batch, ...pair.dims.slice(1)] })) },
        edit: async (name, data) => {
          const one = lowered[Number(name.split(".")[1])];
          const rows = withoutPadding(data, pass, heads(one.hook));
          const given = (await one.edit!(rows, { hook: one.hook.name, texts: pass.index, lengths: pass.lengths, past: pass.past })) ?? rows;
          if (!(given instanceof Float32Array) || given.length !== rows.length) {
            throw new OptionError(`edit of "${one.hook.name}": expected a Float32Array of ${rows.length} numbers, as was given, found ${given instanceof Float32Array ? given.length : typeof given}.`);
          }
          return withPadding(given, data, pass, heads(one.hook));
        },
      });
      const result: Record<string, Float32Array> = {};
      for (const hook of question.hooks) result[hook.name] = withoutPadding(made[outputOf(hook)].data, pass, heads(hook));
      if (question.greedy) result["token.last"] = Float32Array.from(made["token.last"].data, Number); // 64-bit numbers, far below 2²⁴
      else if (question.last) result["logits.last"] = made["logits.last"].data;
      return result;
    },
  };

  /** Texts that rotate alike go together; the answers come back in the order of the texts. */
  const run = async (batch: ArrayLike<number>[], hooks: Hook[], writes: Lowered[]): Promise<Record<string, Float32Array>> => {
    const regimes = batch.map((ids) => source.regime(ids.length));
    const kinds = [...new Set(regimes)];
    const { tokens, rows } = firstPass(batch);
    // a pass of a few hundred rows stays in the processor's cache, and keeps small what an SAE makes of it ([rows, latents]); with many
    // outputs that is lost again; functions are told of all texts at once
    const widest = Math.max(...hooks.map(({ name: hook }) => source.rows.find((row) => row.name === hook)!.width));
    const most = decomposed ? Math.min(CARD_ROWS, Math.max(PASS_ROWS, Math.floor(CARD_NUMBERS / widest))) : PASS_ROWS;
    const side = kinds.length > 1 ? 1 : writes.some(({ edit }) => edit) || (!decomposed && !writes.length && hooks.length > FEW_HOOKS) ? batch.length : Math.max(1, Math.floor(most / tokens));
    if (side >= batch.length) return inner.pass({ hooks, writes }, firstPass(batch));
    const firsts = Array.from({ length: Math.ceil(batch.length / side) }, (_, i) => i * side);
    const part = (first: number): Promise<Record<string, Float32Array>> => {
      const index = batch.slice(first, first + side).map((__, i) => first + i);
      return inner.pass({ hooks, writes }, firstPass(index.map((i) => batch[i]), { index, rows: { from: index.map((i) => rows!.from[i]), all: rows!.all } }));
    };
    const parts: Record<string, Float32Array>[] = [];
    // two are with the worker at a time: it has the next one at hand, and an interrupt leaves little behind
    let ahead = part(firsts[0]);
    for (let i = 0; i < firsts.length; i++) {
      const now = ahead;
      if (i + 1 < firsts.length) ahead = part(firsts[i + 1]);
      ahead.catch(() => {}); // awaited in its turn, or given up with this one
      parts.push(await now);
      if (interrupted() && i + 1 < firsts.length) throw new InterruptError("Interrupted within a pass of the model; what it would have given is thrown away.");
    }
    return Object.fromEntries(hooks.map((hook) => [hook.name, joined(parts.map((one) => one[hook.name]))]));
  };

  let hash: Promise<string> | undefined;
  const model: Model = {
    source: name,
    folder,
    family: source.family,
    layers: anatomy.layers,
    width: source.width,
    vocabularySize: vocabulary,
    context,
    ...(settings.device ? { device: settings.device } : {}),
    get tokenizer() {
      return openedTokenizer();
    },
    hash: () => (hash ??= hashFiles(source.files).catch((error: unknown) => {
      hash = undefined; // a file may come back
      throw error;
    })),
    hooks: () => inCell(source.rows.map((row): HookRow => ({ ...row })), () => {
      const rows = foldHooks(source.rows);
      return { "text/html": hookTableHtml(rows), "text/plain": hookTable(rows) };
    }),
    hook: (spelling) => withModel(parseHook(spelling, anatomy), model),

    async run(texts, { hooks: names = [], logits = false, writes, upTo }: RunOptions = {}) {
      if (!Array.isArray(names)) throw new OptionError(`run: hooks: expected a list of names, found ${JSON.stringify(names)}.`);
      if (typeof texts !== "string" && !Array.isArray(texts)) throw new OptionError(`batch: expected a text, a list of texts, or a list of token ids of each text, found ${texts === undefined ? "nothing" : Object.prototype.toString.call(texts).slice(8, -1)}.`);
      const batch = [texts].flat().every((text) => typeof text === "string") && [texts].flat().length
        ? ([texts].flat() as string[]).map((text) => openedTokenizer().encode(text).ids) : (texts as ArrayLike<number>[]);
      const wanted = new Map<string, Hook>(names.map((spelling) => [spelling, find(spelling)]));
      if (logits) wanted.set("logits", find("logits"));
      const end = upTo === undefined ? undefined : find(upTo);
      if (!wanted.size && !end) throw new OptionError("run: expected at least one hook, or logits: true, found neither.");
      for (const [spelling, hook] of wanted) {
        if (end && deeper(hook, end) > 0) throw new OptionError(`run: expected hooks up to "${upTo}", found "${spelling}", which comes later. Leave upTo out: a pass ends at its deepest hook.`);
      }
      inner.check(batch);
      const rows = await run(batch, [...wanted.values(), ...(end ? [end] : [])], inner.lower(writes));
      const result: Record<string, Float32Array> = {};
      for (const [spelling, hook] of wanted) result[spelling] = rows[hook.name];
      return inCell(result, () => {
        const width = (hook: Hook): number => source.rows.find((row) => row.name === hook.name)!.width;
        const table = rowsTable([...wanted].map(([spelling, hook]) => ({ name: spelling, kind: hook.kind, width: width(hook), data: rows[hook.name] })), batch.map(({ length }) => length));
        return { "text/html": tableHtml(table), "text/plain": tableText(table) };
      });
    },

    generate: (prompts, options) => generation(model, inner, prompts, options ?? {}, find),

    async unembed(rows) {
      if (!(rows instanceof Float32Array)) throw new OptionError(`unembed: expected a Float32Array of rows of ${source.width} numbers, found ${typeof rows}.`);
      if (!rows.length || rows.length % source.width) throw new OptionError(`unembed: expected rows of ${source.width} numbers, the width of the stream, found ${rows.length} numbers.`);
      const { prepared, outputs, cache } = answer({ hooks: [parseHook("logits", anatomy)], lens: true }, []);
      const n = rows.length / source.width;
      const pass = firstPass([new Int32Array(n)]); // a file's graph may ask for the batch's shape, though not for what is in it
      const feeds = (inputs: Value[]): Record<string, Feed> =>
        ({ ...standardFeeds(inputs.filter(({ name: input }) => input !== "rows"), pass), rows: { type: "float32", data: rows.slice(), dims: [n, source.width] } });
      const out = outputs?.get("logits") ?? "logits";
      return (await engine.run(prepared, { feeds, outputs: [out], cache: { pairs: cache.map((pair) => ({ ...pair, dims: [1, ...pair.dims.slice(1)] })) } }))[out].data;
    },
    head: source.head,
    headOutput: source.headOutput,

    describe: () => {
      const { elements, bytes, dtypes, files, facts } = source;
      const weights = files.filter((file) => !file.endsWith("config.json")).length;
      return [
        `${basename(resolve(name))}: ${facts[0]}`,
        `${quantity(elements)} parameters in ${dtypes.join(", ")}, ${megabytes(bytes)} in ${weights === 1 ? "one file" : `${weights} files`}. ${facts.slice(1).join(" ")}`,
        ...weightsAndArithmetic(source, settings, engine.hold(source.packedBytes)),
        `${source.rows.filter((row) => !row.missing).length} hooks, from embed_tokens over layers.n, layers.n.mlp, layers.n.self_attn and others (n = 0 to ${anatomy.layers - 1}) to logits: model.hooks() lists them. A pass ends at its deepest hook.`,
        `Folder ${folder}: ${files.map((file) => basename(file)).join(", ")}, ${basename(vocabularyFile(folder))}.`,
      ].join("\n");
    },

    async close() {
      await engine.close();
      saes.close();
    },
  };
  return inCell(model, () => ({ "text/plain": model.describe() }));
}

/** Sentences of describe(): how weights are held, what computes, and why nothing better does. */
function weightsAndArithmetic({ packedBytes, bytes, dtypes }: GraphSource, { threads, memory, provider, device }: Parameters<typeof makeModel>[3], held: string): string[] {
  const instead = device?.instead.map(({ device: other, why, cure }) => `${other}: ${why}${cure ? ` (${cure})` : ""}`) ?? [];
  const rest = [...(device?.note ? [`${device.note}.`] : []), ...(instead.length ? [`Nothing better: ${instead.join("; ")}.`] : [])];
  if (provider && provider.device !== "cpu") {
    const takes = megabytes(held === "in place" ? bytes : packedBytes);
    return [
      `Arithmetic is float32 on ${provider.name}, through ONNX Runtime's ${provider.device === "cuda" ? "CUDA" : "WebGPU"} provider; attention is built operator by operator. ${device?.checked ?? ""}`.trim(),
      `A session holds what it reads of the weights on the card, ${held === "in place" ? "as they are stored, widened in each run" : "as float32"} (all of it ${takes}${provider.memory ? ` of ${megabytes(provider.memory)}` : ""}).`,
      ...rest,
    ];
  }
  const has = megabytes(memory ?? availableMemory());
  return [
    held !== "in place"
      ? `Weights are held ${held}: a session copies what it reads into float32 (all of it ${megabytes(packedBytes)}; ${has} are available)${held === "packed" ? " in the order the processor likes" : ""}.`
      : `Weights are read in place: they cost page cache, not memory of the process, where packed they would take ${megabytes(packedBytes)} of ${has}; ` +
        `runs are a little slower${dtypes.some((dtype) => dtype.endsWith("16")) ? ", and half precision is widened in each" : ""}.`,
    `Arithmetic is float32 on ${threads} ${threads === 1 ? "thread" : "threads"} of ONNX Runtime, outside the main thread.`,
    ...rest,
  ];
}

const quantity = (n: number): string => (n >= 1e9 ? `${(n / 1e9).toFixed(2)} billion` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} million` : n.toLocaleString("en"));
const megabytes = (bytes: number): string => `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: bytes < 1e8 ? 1 : 0 })} MB`;
