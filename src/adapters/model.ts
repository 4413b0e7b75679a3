import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, readdirSync, realpathSync, statSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { Worker } from "node:worker_threads";
import { buildGraph, checkWeights, headRoom, ropeTables, rotatesInside, type Wanted, type Weight } from "../core/build";
import { EngineError, FormatError, ModelError, OptionError } from "../core/errors";
import { readArchitecture } from "../core/families";
import { allHooks, parseHook, transformerLensName } from "../core/hookname";
import { writeOnnx } from "../core/onnx";
import { readHeader } from "../core/safetensors";
import { draw, randomNumbers } from "../core/sample";
import type { Document, GenerateOptions, Hook, Model } from "../core/types";
import { fileSource } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { BUSY, STOP, type Feed, type Reply, type Request, type WorkerData } from "./model-worker";
import { meter } from "./progress";
import { openTokenizer } from "./tokenizer";

export interface OpenOptions {
  threads?: number; // all cores: threads of ONNX Runtime
  /**
   * auto: packed when the weights of a graph, in float32, take less than 2 GB and an eighth of the memory.
   * "packed" copies and reorders them, 0.5 to 13 % faster; "in place" reads them where they lie, so that they cost page cache only.
   */
  weights?: "auto" | "packed" | "in place";
}

/** Sessions that stay loaded, if their copies of weights fit into a quarter of the memory; the one unused for longest makes room. */
const SESSIONS = 4;

/**
 * Opens a Hugging Face checkpoint folder: config.json, model.safetensors (or its shards with model.safetensors.index.json), tokenizer.json;
 * float32, bfloat16 or float16. Arithmetic is float32. Nothing is computed or copied yet: a graph is built, and its weights mapped, when it is first run.
 * @param folder path; a folder of the hub's cache (symbolic links) will do
 * @throws ModelError when the folder, a file, a field or a tensor is missing or not what it should be, or the family is unknown
 */
export async function openModel(folder: string, options: OpenOptions = {}): Promise<Model> {
  const { threads = availableParallelism(), weights: holding = "auto" } = options;
  if (!Number.isSafeInteger(threads) || threads < 1) throw new OptionError(`threads: expected a whole number from 1, found ${threads}.`);
  if (!["auto", "packed", "in place"].includes(holding)) throw new OptionError(`weights: expected auto, packed or in place, found ${holding}.`);

  const files = checkpointFiles(folder);
  const architecture = readArchitecture(readJson(files.config), files.config);
  const { root, weights: stored } = readWeights(files.weights);
  const weights = checkWeights(architecture, stored, folder);
  const tokenizer = openTokenizer(folder);
  if (tokenizer.vocabularySize > architecture.vocabulary) {
    throw new ModelError(
      `${folder}: tokenizer.json: expected ids below vocab_size ${architecture.vocabulary} of config.json, found ids up to ${tokenizer.vocabularySize - 1}. ` +
      "Tokenizer and weights belong to different models: copy both again.");
  }
  const generation = join(folder, "generation_config.json");
  const stops = new Set<number>([
    ...architecture.eos,
    ...(existsSync(generation) ? [readJson(generation).eos_token_id ?? []].flat() : []),
  ]);

  const a = architecture;
  const sessions = new Map<string, { ready: Promise<unknown>; bytes: number }>();
  let table = 0; // positions of the cos and sin tables that the worker has
  const engine = startEngine(`${a.family} model ${folder}`, () => {
    sessions.clear();
    table = 0;
  });

  /** How weights of so many elements are held. */
  const hold = (elements: number): "packed" | "in place" =>
    holding === "auto" ? (elements * 4 < Math.min(2e9, totalmem() / 8) ? "packed" : "in place") : holding;

  /**
   * The session that gives just this, asked for when it is not there. Nothing is awaited between this and the run that uses it:
   * the worker serves in order, so that the session is loaded by then and not yet released for another.
   */
  const session = (wanted: Wanted): { key: string; ready: Promise<unknown> } => {
    const key = [...wanted.hooks.map(({ name }) => name), wanted.logits ?? "", wanted.cache ? "cache" : ""].join(" ");
    let found = sessions.get(key);
    if (!found) {
      const built = buildGraph(a, weights, wanted);
      const inPlace = hold(built.elements) === "in place";
      const bytes = inPlace ? 0 : built.elements * 4;
      const room = (): boolean => sessions.size < SESSIONS && [...sessions.values()].reduce((sum, other) => sum + other.bytes, bytes) <= totalmem() / 4;
      while (sessions.size && !room()) {
        const [oldest] = sessions.keys();
        sessions.delete(oldest);
        void engine.ask({ do: "release", session: oldest }).catch(() => {});
      }
      const half = built.weights.some((name) => weights.get(name)!.dtype !== "F32");
      const ready = engine.ask({
        do: "load", session: key, model: writeOnnx(built.model),
        options: {
          executionProviders: ["cpu"],
          intraOpNumThreads: threads,
          logSeverityLevel: 4, // an error is thrown; it need not be printed too
          // half precision in place: not widened on loading but in every run, and no arena that would keep what was widened
          ...(inPlace && half ? { enableCpuMemArena: false, enableMemPattern: false } : {}),
          extra: {
            session: {
              model_external_initializers_file_folder_path: root,
              intra_op: { allow_spinning: "0" }, // idle threads would take the cores from the main thread
              ...(inPlace ? { disable_prepacking: "1" } : {}),
            },
            ...(inPlace && half ? { optimization: { disable_specified_optimizers: "ConstantFolding" } } : {}),
          },
        },
      });
      ready.catch(() => sessions.delete(key));
      found = { ready, bytes };
    }
    // last used, last in the list
    sessions.delete(key);
    sessions.set(key, found);
    return { key, ready: found.ready };
  };

  /** Runs the graph that gives what is wanted. */
  const pass = async (wanted: Wanted, feeds: () => Record<string, Feed>, outputs: string[], cache?: { id: number; emptyDims: number[] }) => {
    const { key, ready } = session(wanted);
    const asked = engine.ask({ do: "run", session: key, feeds: feeds(), outputs, cache });
    const [, reply] = await Promise.all([ready, asked]); // where loading fails, its error is the one to see
    return reply.outputs!;
  };

  /** Tables for positions up to `positions`, when the worker has none so long. */
  const tables = (positions: number): Record<string, Feed> => {
    if (positions <= table) return {};
    table = Math.min(Math.max(256, 2 ** Math.ceil(Math.log2(positions))), Math.max(a.context, positions));
    const { cos, sin } = ropeTables(a.rope, a.headDim, table);
    const dims = [table, a.headDim / 2];
    return { cos: { type: "float32", data: cos, dims }, sin: { type: "float32", data: sin, dims } };
  };

  const checkBatch = (batch: ArrayLike<number>[]): number => {
    if (!batch.length) throw new OptionError("batch: expected at least one text, found none.");
    let longest = 0;
    batch.forEach((ids, row) => {
      if (!ids.length) throw new OptionError(`batch: text ${row}: expected at least one token, found none. Leave empty texts out.`);
      if (ids.length > a.context) {
        throw new OptionError(`batch: text ${row}: expected at most ${a.context} tokens (max_position_embeddings of config.json), found ${ids.length}. Cut it into contexts.`);
      }
      for (let t = 0; t < ids.length; t++) {
        const id = ids[t];
        if (!(id >= 0 && id < a.vocabulary && Number.isInteger(id))) {
          throw new OptionError(`batch: text ${row}, token ${t}: expected an id from 0 to ${a.vocabulary - 1}, found ${id}. The ids come from another tokenizer.`);
        }
      }
      longest = Math.max(longest, ids.length);
    });
    return longest;
  };

  /** The inputs of a pass: `past` tokens of each text are in the cache already. */
  const feed = (batch: ArrayLike<number>[], width: number, past: number[], total: number, last: boolean): Record<string, Feed> => {
    const rows = batch.length;
    const ids = new Int32Array(rows * width); // padding is token 0: its rows are never read
    batch.forEach((text, row) => ids.set(text, row * width));
    const feeds: Record<string, Feed> = {
      input_ids: { type: "int32", data: ids, dims: [rows, width] },
      seqlens_k: { type: "int32", data: Int32Array.from(batch, (text, row) => past[row] + text.length - 1), dims: [rows] },
      total_sequence_length: { type: "int32", data: Int32Array.of(total), dims: [] },
      ...tables(total),
    };
    if (!rotatesInside(a)) {
      const positions = BigInt64Array.from({ length: rows * width }, (_, i) => BigInt(past[Math.floor(i / width)] + (i % width)));
      feeds.position_ids = { type: "int64", data: positions, dims: [rows, width] };
    }
    if (last) feeds.last = { type: "int32", data: Int32Array.from(batch, (text, row) => row * width + text.length - 1), dims: [rows] };
    return feeds;
  };

  const hooks = allHooks(a.layers);
  let hash: Promise<string> | undefined;

  const model: Model = {
    source: folder,
    family: a.family,
    layers: a.layers,
    width: a.width,
    vocabularySize: a.vocabulary,
    tokenizer,
    hash: () => (hash ??= hashFiles([files.config, ...files.weights])),
    hooks: () => hooks.map((hook) => ({ name: hook.name, transformerLens: transformerLensName(hook), kind: hook.kind, layer: hook.layer, width: a.width })),
    hook: (name) => parseHook(name, a.layers),

    async run(batch, { hooks: names, logits = false }) {
      const wanted = new Map<string, Hook>(names.map((name) => [name, parseHook(name, a.layers)]));
      if (!wanted.size && !logits) throw new OptionError("run: expected at least one hook, or logits: true, found neither.");
      const width = checkBatch(batch);
      const unique = [...new Map([...wanted.values()].map((hook) => [hook.name, hook])).values()].sort((x, y) => (x.name < y.name ? -1 : 1));
      const outputs = await pass(
        { hooks: unique, logits: logits ? "all" : undefined },
        () => feed(batch, width, batch.map(() => 0), width, false),
        [...unique.map(({ name }) => name), ...(logits ? ["logits"] : [])],
      );
      const rows: Record<string, Float32Array> = {};
      for (const [name, { data }] of Object.entries(outputs)) rows[name] = withoutPadding(data, batch, width);
      const result: Record<string, Float32Array> = {};
      for (const [name, hook] of wanted) result[name] = rows[hook.name];
      if (logits) result.logits = rows.logits;
      return result;
    },

    generate: (prompts, settings) => generate(prompts, settings ?? {}),
    describe,

    async close() {
      await engine.stop();
    },
  };
  return model;

  /** Rows of padded texts, one after the other, padding left out. */
  function withoutPadding(data: Float32Array, batch: ArrayLike<number>[], width: number): Float32Array {
    const size = data.length / (batch.length * width);
    const total = batch.reduce((sum, { length }) => sum + length, 0);
    if (total === batch.length * width) return data;
    const out = new Float32Array(total * size);
    let at = 0;
    batch.forEach(({ length }, row) => {
      out.set(data.subarray(row * width * size, (row * width + length) * size), at);
      at += length * size;
    });
    return out;
  }

  async function generate(prompts: (string | Document)[], settings: GenerateOptions): Promise<Document[]> {
    const { temperature = 0, maxTokens = 256, seed = 0, progress } = settings;
    if (!(temperature >= 0 && Number.isFinite(temperature))) throw new OptionError(`temperature: expected a number from 0 (greedy), found ${temperature}.`);
    if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) throw new OptionError(`maxTokens: expected a whole number from 1, found ${maxTokens}.`);
    if (!Number.isSafeInteger(seed)) throw new OptionError(`seed: expected a whole number, found ${seed}.`);
    const texts = prompts.map((prompt, i): Document => (typeof prompt === "string" ? { id: `prompt-${i}`, text: prompt, spans: [] } : prompt));
    const encoded = texts.map(({ text }) => tokenizer.encode(text).ids);
    encoded.forEach((ids, i) => {
      if (!ids.length) throw new OptionError(`generate: prompt ${i}: expected at least one token, found none. Give it a text.`);
      if (ids.length + 1 > a.context) throw new OptionError(`generate: prompt ${i}: expected fewer than ${a.context} tokens, found ${ids.length}. Shorten it.`);
    });
    const told = meter("generate", texts.length * maxTokens, "tokens", progress);
    const results: Document[] = new Array(texts.length);
    let made = 0;
    // texts of like length go together, so that little is padded; each draws from numbers of its own, so that company changes nothing
    const order = texts.map((_, i) => i).sort((x, y) => encoded[x].length - encoded[y].length || x - y);
    for (let first = 0; first < order.length; first += BATCH) {
      const group = order.slice(first, first + BATCH);
      const random = group.map((i) => randomNumbers(seed, i));
      const made0 = made;
      const added: number[][] = group.map(() => []);
      const done = group.map(() => false);
      let past = group.map(() => 0);
      let step: ArrayLike<number>[] = group.map((i) => encoded[i]);
      const cache = ++caches;
      try {
        while (done.includes(false)) {
          stopIfInterrupted(`${Object.keys(results).length} of ${texts.length} texts were finished; none is kept.`);
          const width = Math.max(...step.map(({ length }) => length));
          const total = Math.max(...past) + width;
          const outputs = await pass(
            { hooks: [], logits: "last", cache: true }, () => feed(step, width, past, total, true), ["logits"],
            { id: cache, emptyDims: [group.length, a.kvHeads, 0, headRoom(a)] },
          );
          const logits = outputs.logits.data;
          past = past.map((n, row) => n + step[row].length);
          step = group.map((_, row) => {
            if (done[row]) return [0];
            const id = draw(logits.subarray(row * a.vocabulary, (row + 1) * a.vocabulary), temperature, random[row]);
            if (stops.has(id)) done[row] = true;
            else {
              added[row].push(id);
              made++;
              if (added[row].length >= maxTokens || past[row] + 1 >= a.context) done[row] = true;
            }
            return [id];
          });
          told(Math.min(made, texts.length * maxTokens - 1));
          await breathe();
        }
      } finally {
        void engine.ask({ do: "forget", cache }).catch(() => {});
      }
      group.forEach((i, row) => {
        const { id, text, split } = texts[i];
        const bytes = Buffer.concat(added[row].map((token) => tokenizer.bytes(token)));
        results[i] = { id, text: text + new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), spans: [], ...(split ? { split } : {}) };
      });
      made = made0 + group.length * maxTokens; // texts that ended early are done too
    }
    told(texts.length * maxTokens);
    return results;
  }

  function describe(): string {
    const elements = [...weights.values()].reduce((sum, { shape }) => sum + shape.reduce((p, q) => p * q, 1), 0);
    const bytes = [...weights.values()].reduce((sum, weight) => sum + weight.bytes, 0);
    const dtypes = [...new Set([...weights.values()].map(({ dtype }) => dtype))].sort().join(", ");
    const rope = a.rope.kind === "default" ? "" : `, ${a.rope.kind} scaling by ${a.rope.factor}`;
    return [
      `${basename(resolve(folder))}: a ${a.family} model of ${a.layers} blocks, width ${a.width}, ${a.heads} heads (${a.kvHeads} for keys and values) of ${a.headDim}, ` +
      `MLP ${a.inner}, vocabulary ${a.vocabulary}, context ${a.context} tokens.`,
      `${quantity(elements)} parameters in ${dtypes}, ${megabytes(bytes)} in ${files.weights.length === 1 ? "one file" : `${files.weights.length} files`}; ` +
      `${a.tied ? "the embedding is the output head too" : "an output head of its own"}; positions by rotation (base ${a.rope.theta}${rope}).`,
      hold(elements) === "packed"
        ? `Weights are held packed: a session copies what it reads into float32 (all of it ${megabytes(elements * 4)}) in the order the processor likes.`
        : "Weights are read in place: they cost page cache, not memory of the process; runs are a little slower.",
      `Arithmetic is float32 on ${threads} ${threads === 1 ? "thread" : "threads"} of ONNX Runtime, outside the main thread.`,
      `Hooks: embed_tokens, and layers.n, layers.n.mlp, layers.n.self_attn for n = 0 to ${a.layers - 1}, all ${a.width} wide. A pass ends at its deepest hook.`,
      `Folder ${folder}: ${[files.config, ...files.weights].map((file) => basename(file)).join(", ")}, tokenizer.json (${tokenizer.vocabularySize} tokens).`,
    ].join("\n");
  }
}

/** Texts that are continued side by side. */
const BATCH = 16;

/** Numbers of key-value caches, unique in the process. */
let caches = 0;

const quantity = (n: number): string => (n >= 1e9 ? `${(n / 1e9).toFixed(2)} billion` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} million` : n.toLocaleString("en"));
const megabytes = (bytes: number): string => `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: bytes < 1e8 ? 1 : 0 })} MB`;

function readJson(path: string): any {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ModelError(`${path}: expected JSON, found: ${(error as Error).message}. Copy the file again from where the model came from.`);
  }
}

/** The files of a checkpoint folder that hold numbers. */
function checkpointFiles(folder: string): { config: string; weights: string[] } {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new ModelError(
      `${resolve(folder)}: expected the folder of a checkpoint (config.json, model.safetensors, tokenizer.json), found ${existsSync(folder) ? "a file" : "nothing"}. ` +
      "Give the path of a downloaded model.");
  }
  const there = readdirSync(folder);
  const found = `found ${there.length ? there.slice(0, 12).join(", ") + (there.length > 12 ? ", …" : "") : "an empty folder"}`;
  const config = join(folder, "config.json");
  if (!existsSync(config)) throw new ModelError(`${folder}: expected config.json, ${found}. Copy it from where the model came from.`);
  const whole = join(folder, "model.safetensors");
  if (existsSync(whole)) return { config, weights: [whole] };
  const index = join(folder, "model.safetensors.index.json");
  if (!existsSync(index)) {
    const remedy = there.some((name) => name.endsWith(".bin"))
      ? "Weights in PyTorch's own format are code: convert them with transformers, save_pretrained(folder, safe_serialization=True)."
      : there.some((name) => name.endsWith(".gguf")) ? "GGUF files are not read yet: use the safetensors of the same model."
        : "Download the weights into it.";
    throw new ModelError(`${folder}: expected model.safetensors, or model.safetensors.index.json with its shards, ${found}. ${remedy}`);
  }
  const map = readJson(index).weight_map;
  if (typeof map !== "object" || map === null) throw new ModelError(`${index}: expected weight_map, found none. Copy the file again.`);
  const shards = [...new Set(Object.values(map as Record<string, string>))].sort();
  for (const shard of shards) {
    if (basename(shard) !== shard) throw new ModelError(`${index}: expected names of files beside it, found "${shard}". Copy the file again.`);
    if (!existsSync(join(folder, shard))) throw new ModelError(`${folder}: expected the shard ${shard} that model.safetensors.index.json names, ${found}. Download it.`);
  }
  return { config, weights: shards.map((shard) => join(folder, shard)) };
}

/**
 * All tensors of the files, as places on the disk. ONNX Runtime takes no path that leads out of the folder it is told, links included,
 * so that folder is a real one above all real files.
 */
function readWeights(paths: string[]): { root: string; weights: Map<string, Weight> } {
  const real = paths.map((path) => realpathSync(path));
  const root = real.map(dirname).reduce((common, folder) => {
    while (folder !== common && !folder.startsWith(common.endsWith(sep) ? common : common + sep)) common = dirname(common);
    return common;
  });
  const weights = new Map<string, Weight>();
  paths.forEach((path, i) => {
    const source = fileSource(real[i]);
    try {
      for (const [name, { dtype, shape, offset, bytes }] of readHeader(source, path).tensors) {
        if (weights.has(name)) throw new FormatError(`${path}: ${name}: expected each tensor once, found it in two shards. Copy the checkpoint again.`);
        weights.set(name, { dtype, shape, location: relative(root, real[i]), offset, bytes });
      }
    } finally {
      source.close();
    }
  });
  return { root, weights };
}

const hashes = new Map<string, Promise<string>>();

/** SHA-256 over names, sizes and contents, in order; remembered as long as the files stay as they are. */
function hashFiles(paths: string[]): Promise<string> {
  const key = paths.map((path) => {
    const { size, mtimeMs } = statSync(path);
    return `${realpathSync(path)} ${size} ${mtimeMs}`;
  }).join("\n");
  const known = hashes.get(key);
  if (known) return known;
  const hash = (async () => {
    const sha = createHash("sha256");
    for (const path of paths) {
      sha.update(`${basename(path)}\0${statSync(path).size}\0`);
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) sha.update(chunk as Buffer);
    }
    return sha.digest("hex");
  })();
  hash.catch(() => hashes.delete(key));
  hashes.set(key, hash);
  return hash;
}

/** Flags of the workers there are. */
const running = new Set<Int32Array>();
let watched = false;

/** Before the process ends, lets every worker come out of the call it is in: ending it there would abort the process. */
function endQuietly(): void {
  for (const flags of running) Atomics.store(flags, STOP, 1);
  for (const flags of running) Atomics.wait(flags, BUSY, 1, 60_000);
}

interface Engine {
  ask(request: Request): Promise<Reply>;
  stop(): Promise<void>;
}

/**
 * The worker, started on the first request; it keeps the process alive only while something is asked of it.
 * @param lost called when it ended, with all that it held; the next request starts another
 */
function startEngine(what: string, lost: () => void): Engine {
  let worker: Worker | undefined;
  let flags: Int32Array;
  let closed = false;
  let next = 0;
  const waiting = new Map<number, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>();
  const fail = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    worker = undefined;
    lost();
  };
  const start = (): Worker => {
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const started = new Worker(join(__dirname, "model-worker.js"), { workerData: { serves: "saelab model", flags: shared } satisfies WorkerData });
    if (!watched) process.once("exit", endQuietly);
    watched = true;
    running.add(shared);
    flags = shared;
    started.on("exit", () => running.delete(shared));
    started.on("message", (reply: Reply) => {
      const asked = waiting.get(reply.id);
      waiting.delete(reply.id);
      if (!waiting.size) started.unref();
      if (reply.error === undefined) asked?.resolve(reply);
      else asked?.reject(new EngineError(`${what}: ONNX Runtime: ${reply.error}`));
    });
    started.on("error", (error) => fail(new EngineError(`${what}: expected ONNX Runtime on a worker thread, found: ${error.message}. Run the set-up again.`, { cause: error })));
    started.on("exit", (code) => fail(new EngineError(`${what}: expected the worker to answer, found that it ended (code ${code}). Was the memory full? Use a smaller batch.`)));
    return started;
  };
  return {
    ask(request) {
      if (closed) return Promise.reject(new EngineError(`${what}: expected an open model, found one that was closed. Open it again.`));
      worker ??= start();
      const id = ++next;
      const transfer = request.do === "load" ? [request.model.buffer as ArrayBuffer]
        : request.do === "run" ? Object.values(request.feeds).map(({ data }) => data.buffer as ArrayBuffer) : [];
      const asked = new Promise<Reply>((resolve, reject) => waiting.set(id, { resolve, reject }));
      worker.ref();
      worker.postMessage({ id, request }, transfer);
      return asked;
    },
    async stop() {
      closed = true;
      const ending = worker;
      fail(new EngineError(`${what}: the model was closed while this was being computed.`));
      if (!ending) return;
      Atomics.store(flags, STOP, 1);
      for (const event of ["message", "error", "exit"]) ending.removeAllListeners(event); // a late answer must not let the process go
      ending.ref(); // nor must the process end before the promise does
      const ended = new Promise((resolve) => ending.once("exit", resolve));
      ending.postMessage({ id: 0, request: { do: "end" } satisfies Request });
      await ended;
      running.delete(flags);
    },
  };
}
