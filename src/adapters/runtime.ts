import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname, relative, sep } from "node:path";
import type { InferenceSession } from "onnxruntime-node";
import { product, type CachePair } from "../core/build";
import { DeviceLostError, EngineError, InterruptError, MemoryError, ModelError } from "../core/errors";
import type { Feed } from "../core/feeds";
import { ELEMENT, writeOnnx, type Initializer, type OnnxModel, type Value } from "../core/onnx";
import { segments, type Edit } from "../core/splice";
import { startEngine } from "./engine";
import { interrupted } from "./interrupt";
import { unusedMemory } from "./memory";
import type { Reply, Request } from "./model-worker";
import { CPU, faultOf, leftToCpu, providerOptions, type Provider } from "./providers";

/** Graphs → sessions on the worker: which are loaded, how their weights are held, how one with edits is run piece by piece. */

export type Holding = "auto" | "packed" | "widened" | "in place";

/** Graphs that stay loaded, if their copies of weights fit into a quarter of the memory; the session unused for longest makes room. */
const LOADED = 6;

/** A graph, cut at its edits, with a name for the session of each part. */
export type Prepared = { key: string; model: OnnxModel; kept: string[]; edit?: Edit }[];

export const prepare = (key: string, model: OnnxModel): Prepared => segments(model).map((part, i) => ({ key: `${key}#${i}`, ...part }));

/** A session's graph. */
const graphOf = (key: string): string => key.slice(0, key.lastIndexOf("#"));

export interface RunRequest {
  /** Called once a segment, with the inputs that it has. */
  feeds: (inputs: Value[]) => Record<string, Feed>;
  /** Outputs given back; the others that the graph has are left alone, or kept. */
  outputs: string[];
  /** Keys and values: which output becomes which input, and what an empty one looks like; without a number they are not kept; `begun` where there are some. */
  cache: { id?: number; pairs: CachePair[] };
  /** What the caller computes at the edit of this name: padded rows in, padded rows out. */
  edit?: (name: string, data: Float32Array, dims: number[]) => Promise<Float32Array>;
}

export interface Runtime {
  run(prepared: Prepared, request: RunRequest): Promise<Record<string, { data: Float32Array; dims: number[] }>>;
  forget(slot: number): void;
  /** Tables that the worker has, by name: how long, and for what. Emptied when the worker is lost. */
  tables: Map<string, string>;
  hold(bytes: number): Exclude<Holding, "auto">;
  /** Ends the profile, so that its file is whole. */
  profiled(): Promise<void>;
  close(): Promise<void>;
}

export interface RuntimeSettings {
  threads: number;
  holding: Holding;
  memory?: number;
  /** The CPU, where left out. */
  provider?: Provider;
  /** Beginning of the name of a file into which the first session writes where and how long its operators ran. */
  profile?: string;
}

/** Weights that a card may hold where its driver does not tell its memory: WebGPU does not. Of more than one graph only; a single one is let be tried. */
const UNKNOWN_CARD = 4e9;

const isHalf = ({ external, type }: Initializer): boolean => external !== undefined && (type === ELEMENT.FLOAT16 || type === ELEMENT.BFLOAT16);

/** Bytes that a session of this graph copies when packed: its stored weights, half precision widened. */
const packedBytes = (model: OnnxModel): number =>
  model.initializers.reduce((sum, one) => sum + (isHalf(one) ? product(one.dims) * 4 : one.external?.length ?? 0), 0);

/** Memory that can still be had, bytes: what the system calls available, or what a container leaves. */
export function availableMemory(): number {
  let free = unusedMemory();
  try {
    const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
    if (kilobytes) free = Number(kilobytes) * 1024;
  } catch {
    // not Linux
  }
  const limit = process.constrainedMemory();
  return limit && limit < totalmem() ? Math.min(free, Math.max(0, limit - process.memoryUsage().rss)) : free;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/**
 * @param what for messages: "llama model /path"
 * @param start tests give another thread to ask
 */
export function runtime(what: string, options: RuntimeSettings, start = startEngine): Runtime {
  const { threads, holding, provider = CPU, profile } = options;
  const sessions = new Map<string, { ready: Promise<unknown>; bytes: number }>();
  const tables = new Map<string, string>();
  const engine = start(what, () => {
    sessions.clear();
    tables.clear();
  });
  let slots = 0;

  const away = provider.device !== "cpu";
  const card = `${provider.name} (${provider.device})`;
  const available = (): number => options.memory ?? (away ? provider.memory ?? Infinity : availableMemory());

  /** On a card weights are float32; of CUDA's they stay in half precision where float32 takes more than there is. */
  const hold = (bytes: number): Exclude<Holding, "auto"> =>
    holding !== "auto" ? holding
      : away ? (provider.device === "cuda" && bytes > available() * 0.8 ? "in place" : "widened")
        : bytes < Math.min(2e9, totalmem() / 8, available() * 0.8) ? "packed" : "in place";

  /** Asks the thread; what it says of the card gets a name, and a lost card's sessions are let go of, for it answers none of them any more. */
  const ask = async (request: Request): Promise<Reply> => {
    try {
      return await engine.ask(request);
    } catch (error) {
      const fault = away && error instanceof EngineError ? faultOf(error.message) : undefined;
      if (!fault) throw error;
      const said = (error as Error).message.split("ONNX Runtime: ").at(-1)!.split("\n")[0].slice(0, 300);
      if (fault === "memory") {
        throw new MemoryError(`${what}: expected memory on ${card}, found it full: ${said}. Use smaller batches, hooks of earlier blocks (a pass ends at its deepest hook), or { device: "cpu" }.`, { intact: true, cause: error });
      }
      for (const key of sessions.keys()) void engine.ask({ do: "release", session: key }).catch(() => {});
      sessions.clear();
      throw new DeviceLostError(
        `${what}: expected ${card} to stay, found it lost: ${said}. Open the model again; ` +
        'a harvest, run once more, goes on behind its last whole shard, with { device: "cpu" } without the card.', { cause: error });
    }
  };

  /**
   * Asks for a session when it is not there: the worker serves in order, so that it is loaded by the time of a run asked for after.
   * @param stays outputs that stay where they were computed
   */
  const session = (key: string, model: OnnxModel, stays: string[]): Promise<unknown> => {
    let found = sessions.get(key);
    if (!found) {
      const weight = packedBytes(model);
      // four-bit products are another computation unpacked, by percents
      const held = holding === "auto" && model.nodes.some(({ op }) => op === "MatMulNBits") ? "packed" : hold(weight);
      const stored = model.initializers.reduce((sum, { external }) => sum + (external?.length ?? 0), 0);
      const bytes = held === "packed" || (away && held === "widened") ? weight : away ? stored
        : held === "widened" ? model.initializers.reduce((sum, one) => sum + (isHalf(one) ? product(one.dims) * 4 : 0), 0) : 0;
      const has = available();
      if (bytes > has) {
        throw new ModelError(
          `${what}: expected memory ${away ? `on ${card} ` : ""}for ${gigabytes(bytes)} of weights, ${held === "in place" ? "as they are stored" : `${held} as float32`}, found ${gigabytes(has)} available. ` +
          (away ? 'Ask for hooks of earlier blocks (a pass ends at its deepest hook), or open it with { device: "cpu" }.'
            : 'Open it with { weights: "in place" }, which costs page cache only, or ask for hooks of earlier blocks: a pass ends at its deepest hook.'));
      }
      const most = away ? Math.min(available(), provider.memory ?? UNKNOWN_CARD) : totalmem() / 4;
      // the parts of one graph count once: were there more of them than may stay, each pass would load all of them anew
      const graphs = (): number => new Set([key, ...sessions.keys()].map(graphOf)).size;
      const room = (): boolean => graphs() <= LOADED && [...sessions.values()].reduce((sum, other) => sum + other.bytes, bytes) <= most;
      while (sessions.size && !room()) {
        const [oldest] = sessions.keys();
        sessions.delete(oldest);
        void engine.ask({ do: "release", session: oldest }).catch(() => {});
      }
      const ready = ask({ do: "load", session: key, ...sessionOf(model, held, threads, { provider, stays, profile: sessions.size ? undefined : profile }) });
      ready.catch(() => sessions.delete(key));
      found = { ready, bytes };
    }
    // last used, last in the list
    sessions.delete(key);
    sessions.set(key, found);
    return found.ready;
  };

  return {
    tables,
    hold,
    async run(parts, { feeds, outputs, cache, edit }) {
      const id = cache.id ?? (parts.length > 1 ? -++slots : 0);
      const empty: Record<string, Pick<Feed, "type" | "dims">> = {};
      for (const { past, dims, type = "float32" } of cache.pairs) empty[past] = { type, dims };
      const given: Record<string, { data: Float32Array; dims: number[] }> = {};
      let edited: Record<string, Feed> = {};
      /** What edits are to read, by segments or other edits. */
      const read = new Map<string, { data: Float32Array; dims: number[] }>();
      try {
        for (const [i, part] of parts.entries()) {
          if (part.model.nodes.length) {
            const here = new Set(part.model.outputs.map(({ name }) => name));
            const keep: [string, string][] = [
              ...part.kept.map((name): [string, string] => [name, name]),
              ...(cache.id === undefined ? [] : cache.pairs).filter(({ present }) => here.has(present)).map(({ present, past }): [string, string] => [present, past]),
            ];
            const back = new Set([...outputs, ...parts.slice(i).flatMap((other) => other.edit?.from ?? [])].filter((name) => here.has(name)));
            const stays = provider.device === "webgpu" && cache.id !== undefined ? cache.pairs.flatMap(({ present }) => (here.has(present) ? present : [])) : [];
            const ready = session(part.key, part.model, stays);
            const asked = ask({
              do: "run", session: part.key, feeds: { ...feeds(part.model.inputs), ...copies(edited, part.model.inputs) }, outputs: [...back], empty,
              slot: id ? { id, keep } : undefined,
            });
            const [, reply] = await untilInterrupted(Promise.all([ready, asked])); // where loading fails, its error is the one to see
            for (const name of back) read.set(name, reply.outputs![name]);
            for (const name of outputs) if (back.has(name)) given[name] = reply.outputs![name];
          }
          if (!part.edit) continue;
          const { name, from, to } = part.edit;
          const { data, dims } = read.get(from)!;
          const made = await edit!(name, data, dims);
          if (interrupted()) throw new InterruptError("Interrupted within a pass of the model, between an edit and what follows; nothing is kept of it.");
          read.set(to, { data: made, dims });
          edited = { ...edited, [to]: { type: "float32", data: made, dims } };
          if (outputs.includes(to)) given[to] = { data: made.slice(), dims };
        }
      } finally {
        if (id < 0) void engine.ask({ do: "forget", slot: id }).catch(() => {});
      }
      return given;
    },
    forget: (slot) => void engine.ask({ do: "forget", slot }).catch(() => {}),
    async profiled() {
      const [first] = sessions.keys();
      if (profile && first) await engine.ask({ do: "profile", session: first });
    },
    close: () => engine.stop(),
  };
}

/** Feeds are transferred: what several segments read is copied for each. */
function copies(feeds: Record<string, Feed>, inputs: Value[]): Record<string, Feed> {
  const read = new Set(inputs.map(({ name }) => name));
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => read.has(name)).map(([name, feed]) => [name, { ...feed, data: feed.data.slice() }]));
}

/**
 * Model and options of a session. Locations are made relative to a folder above all files, for the runtime takes no others.
 * @param stays outputs that stay on a card
 */
export function sessionOf(
  model: OnnxModel, held: Exclude<Holding, "auto">, threads: number, { provider = CPU, stays = [], profile }: { provider?: Provider; stays?: string[]; profile?: string } = {},
): { model: Uint8Array; options: InferenceSession.SessionOptions } {
  if (provider.device !== "cpu" && held === "packed") held = "widened"; // packing is the CPU's
  const files = model.initializers.flatMap(({ external }) => external?.location ?? []);
  const root = files.map(dirname).reduce((common, folder) => {
    while (folder !== common && !folder.startsWith(common.endsWith(sep) ? common : common + sep)) common = dirname(common);
    return common;
  }, files.length ? dirname(files[0]) : "/");
  const half = model.initializers.some(isHalf);
  const initializers = model.initializers.map((one) =>
    one.external ? { ...one, external: { ...one.external, location: relative(root, one.external.location) } } : one);
  const left = provider.device === "webgpu" ? leftToCpu({ ...model, initializers }) : { model: { ...model, initializers }, names: [] };
  return {
    model: writeOnnx(left.model),
    options: {
      ...providerOptions(provider, left.names, stays),
      ...(profile ? { enableProfiling: true, profileFilePrefix: profile } : {}),
      intraOpNumThreads: threads,
      logSeverityLevel: 4, // an error is thrown; it need not be printed too
      // half precision in place: not widened on loading but in every run, and no arena that would keep what was widened
      ...(held === "in place" && half ? { enableCpuMemArena: false, enableMemPattern: false } : {}),
      extra: {
        session: {
          model_external_initializers_file_folder_path: root,
          intra_op: { allow_spinning: "0" }, // idle threads would take the cores from the main thread
          set_denormal_as_zero: "1",
          ...(held === "packed" || provider.device !== "cpu" ? {} : { disable_prepacking: "1" }),
        },
        ...(held === "in place" && half ? { optimization: { disable_specified_optimizers: "ConstantFolding" } } : {}),
      },
    },
  };
}

/** A pass cannot be stopped, but need not be waited for: the worker ends it and throws the answer away. */
async function untilInterrupted<T extends [unknown, Reply]>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stopped = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      if (interrupted()) reject(new InterruptError("Interrupted within a pass of the model; what it would have given is thrown away."));
    }, 50);
    timer.unref();
  });
  work.catch(() => {}); // an answer after an interrupt is nobody's
  try {
    return await Promise.race([work, stopped]);
  } finally {
    clearInterval(timer);
  }
}
