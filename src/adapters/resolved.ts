import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, resolve as absolute, sep } from "node:path";
import { mostLikely, product, type Built, type CachePair, type Wanted } from "../core/build";
import { FormatError, HookError, ModelError } from "../core/errors";
import { anatomyOf, FAMILIES, readArchitecture, type Architecture } from "../core/families";
import type { Anatomy } from "../core/hookname";
import { ELEMENT, readSkeleton, type Node, type OnnxModel } from "../core/onnx";
import { resolve, type Resolved } from "../core/resolve";
import type { Place } from "../core/resolvedraft";
import { tap } from "../core/splice";
import type { Hook, HookKind, HookRow } from "../core/types";
import { fileSource } from "./files";
import { readJson } from "./modelfiles";
import { hookRows, type GraphSource } from "./source";

/**
 * An ONNX file as it lies on disk → graphs with its hooks: a skeleton that refers to the file's own weights, places found by
 * structure (core/resolve), taps put in by core/splice. What is asked for decides outputs; the weights are never copied.
 * @param config path of the config.json that belongs to it, if there is one: it tells family, context and end-of-text ids
 * @throws FormatError when the file is damaged, or names weights outside its folder; ModelError when it is no decoder that can be followed
 */
export function resolvedSource(file: string, config?: string): GraphSource {
  const { skeleton, files } = openSkeleton(file);
  const found = resolve(skeleton, file);
  const described = config === undefined ? undefined : readJson(config);
  const said = described?.text_config ?? described ?? {};
  const family = said.model_type ?? described?.model_type ?? "unknown";
  const a = FAMILIES.some(({ type }) => type === family) ? known(described, config!) : undefined;
  if (a && (a.layers !== found.layers || a.width !== found.width)) {
    throw new ModelError(`${file}: expected ${a.layers} blocks of width ${a.width} by ${config}, found ${found.layers} of ${found.width}. Config and weights belong to different models: copy both again.`);
  }
  const anatomy = a ? anatomyOf(a) : structure(found);
  const rows = placesOf(found, anatomy, a);
  const values = [...skeleton.initializers].filter(({ external }) => external);
  return {
    family, anatomy, width: found.width, vocabulary: found.vocabulary, context: a?.context ?? numbers(said.max_position_embeddings ?? said.n_positions)[0] ?? Infinity, eos: a?.eos ?? numbers(said.eos_token_id ?? described?.eos_token_id),
    rows,
    headDim: (kind) => (["q", "k", "v", "z"].includes(kind) ? found.headDim : kind === "pattern" ? 1 : undefined),
    build: (wanted) => build(found, wanted),
    // positions and masks of a file are counted as its exporter likes: texts of one length go together
    ragged: false,
    regime: () => "one",
    tables: () => [],
    files: [...(config ? [config] : []), ...files],
    elements: values.reduce((sum, { dims }) => sum + product(dims), 0),
    bytes: values.reduce((sum, { external }) => sum + external!.length, 0),
    packedBytes: values.reduce((sum, { external, dims, type }) => sum + (type === ELEMENT.FLOAT16 || type === ELEMENT.BFLOAT16 ? 4 * product(dims) : external!.length), 0),
    dtypes: [...new Set(values.map(({ type }) => TYPES[type] ?? `type ${type}`))].sort(),
    facts: [
      `${a ? `A ${family} model` : "A model"} of ${found.layers} blocks, width ${found.width}, ${found.heads} heads (${found.kvHeads} for keys and values) of ${found.headDim}, vocabulary ${found.vocabulary}.`,
      `Its graph is that of ${basename(file)} (${skeleton.nodes.length} operators${skeleton.producer ? `, by ${skeleton.producer}` : ""}), hooks found by structure.`,
    ],
  };
}

/** Whole numbers among what a config says, one or a list. */
const numbers = (said: unknown): number[] => [said].flat().filter((one): one is number => Number.isSafeInteger(one));

/** A config that the builder would refuse need not stop a file whose graph has all that is needed. */
function known(config: unknown, where: string): Architecture | undefined {
  try {
    return readArchitecture(config, where);
  } catch (error) {
    if (error instanceof ModelError) return undefined;
    throw error;
  }
}

const TYPES: Record<number, string> = { 1: "F32", 2: "U8", 3: "I8", 10: "F16", 16: "BF16" };

/** The file without its weights, and the files that hold them. */
function openSkeleton(file: string): { skeleton: OnnxModel; files: string[] } {
  const real = realpathSync(file);
  const beside = dirname(absolute(file));
  const files = new Set([real]);
  const source = fileSource(real);
  try {
    const skeleton = readSkeleton(source, {
      location: real,
      sidecar(location, end) {
        // what a file tells is not to be believed: weights lie beside it, or below
        const path = join(beside, location);
        if (isAbsolute(location) || !(path + sep).startsWith(beside + sep) || location.split(/[\\/]/).includes("..")) {
          throw new FormatError(`${file}: expected weights in its own folder, found "${location}". The file is not to be trusted: download it from where it was made.`);
        }
        if (!existsSync(path)) throw new ModelError(`${file}: expected its weights in ${location}, found no such file beside it. Download it too.`);
        const target = realpathSync(path);
        if (statSync(target).size < end) throw new FormatError(`${path}: expected at least ${end} bytes, found ${statSync(target).size}. It is cut off: download it again.`);
        files.add(target);
        return target;
      },
    });
    return { skeleton, files: [...files] };
  } finally {
    source.close();
  }
}

/** What the graph alone tells. */
const structure = ({ hooks, layers }: Resolved): Anatomy => ({
  layers,
  postNorm: hooks.get("attn_add.0")?.tensor !== hooks.get("attn_out.0")?.tensor,
  parallel: !hooks.has("resid_mid.0"),
});

const keyOf = ({ kind, layer }: Pick<Hook, "kind" | "layer">): string => (["tok_embed", "embed", "final_norm", "logits"].includes(kind) ? kind : `${kind}.${layer}`);

function placesOf(found: Resolved, anatomy: Anatomy, a: Architecture | undefined): HookRow[] {
  const widths: Partial<Record<HookKind, number>> = {};
  for (const [key, place] of found.hooks) widths[key.split(".")[0] as HookKind] ??= place.rank === "pattern" ? found.heads : place.width;
  const rows = hookRows(anatomy, (kind) => widths[kind] ?? found.width, a?.row.norm ?? "rms");
  return rows.map((row): HookRow => {
    const place = found.hooks.get(keyOf(row));
    if (place) return place.readOnly ? { ...row, readOnly: place.readOnly } : row;
    const missing = found.missing.get(keyOf(row)) ?? (
      row.kind === "tok_embed" ? "the file gives the stream's start only, whole"
        : row.kind.startsWith("rot_") ? "the file's graph is not searched for rotated q and k" : "the file's graph has no such tensor");
    return { ...row, missing };
  });
}

function build(found: Resolved, wanted: Wanted): Built {
  const { graph, inputs } = found;
  const nodes: Node[] = [...graph.nodes];
  const outputs = new Map<string, string>();
  const tensors = new Map<string, string>();
  const kept: NonNullable<Built["kept"]> = new Map();
  const place = (hook: Hook): Place => {
    const at = found.hooks.get(keyOf(hook));
    if (!at) throw new HookError(`"${hook.name}": expected a place of this file, found none: ${found.missing.get(keyOf(hook)) ?? "its graph has no such tensor"}.`);
    return at;
  };
  for (const hook of [...wanted.hooks, ...(wanted.written ?? [])]) {
    const { tensor, type, rank, width } = place(hook);
    tensors.set(hook.name, tensor);
    kept.set(hook.name, { type: type || ELEMENT.FLOAT, width: rank === "pattern" ? undefined : width });
  }
  /** What is given out: float32, under a name of its own, so that a tensor may be an input or output of the file too. */
  const give = (hook: Hook): string => {
    const out = `saelab/out/${hook.name}`;
    if (!outputs.has(hook.name)) {
      const { tensor, type } = place(hook);
      nodes.push(type && type !== ELEMENT.FLOAT ? { op: "Cast", inputs: [tensor], outputs: [out], attributes: { to: BigInt(ELEMENT.FLOAT) } } : { op: "Identity", inputs: [tensor], outputs: [out] });
    }
    outputs.set(hook.name, out);
    return out;
  };
  const names = wanted.hooks.map(give);
  const logits: Hook = { name: "logits", kind: "logits", layer: found.layers };
  const constants = [...graph.initializers];
  const ints = (name: string, list: number[]): string => {
    constants.push({ name, type: ELEMENT.INT64, dims: [list.length], raw: new Uint8Array(BigInt64Array.from(list.map(BigInt)).buffer) });
    return name;
  };
  if (wanted.last) {
    nodes.push({ op: "Reshape", inputs: [give(logits), ints("saelab/flat", [-1, found.vocabulary])], outputs: ["saelab/logits"] });
    nodes.push(found.lastLogitsOnly ? { op: "Identity", inputs: ["saelab/logits"], outputs: ["logits.last"] } : { op: "Gather", inputs: ["saelab/logits", "last"], outputs: ["logits.last"], attributes: { axis: 0n } });
    if (wanted.greedy) mostLikely(nodes, ints, wanted.greedy);
    names.push(wanted.greedy ? "token.last" : "logits.last");
  }
  const cache = found.cache.map(({ past, present, shape, type }): CachePair => ({
    past, present, type: type === ELEMENT.FLOAT16 ? "float16" : "float32", dims: [0, Number(shape[1]) || found.kvHeads, 0, Number(shape[3]) || found.headDim],
  }));
  let model: OnnxModel = {
    ...graph, nodes, initializers: constants, values: undefined, // what is said of tensors' types and shapes need not hold after surgery
    inputs: [...graph.inputs, ...(wanted.last && !found.lastLogitsOnly ? [{ name: "last", type: ELEMENT.INT32, dims: ["batch"] }] : [])],
    outputs: [...new Set([...(wanted.whole ? graph.outputs.map(({ name }) => name) : []), ...names, ...(wanted.cache ? cache.map(({ present }) => present) : [])])].map((name) => ({ name })),
  };
  if (wanted.lens) {
    const { tensor, type } = found.hooks.get(`resid_post.${found.layers - 1}`)!;
    model = tap(model, tensor, (_, out) => ({
      nodes: [
        { op: "Reshape", inputs: ["rows", ints("saelab/one", [1, -1, found.width])], outputs: ["rows/batch"] },
        { op: "Cast", inputs: ["rows/batch"], outputs: [out], attributes: { to: BigInt(type || ELEMENT.FLOAT) } },
      ],
      inputs: [{ name: "rows", type: ELEMENT.FLOAT, dims: ["rows", found.width] }],
      initializers: constants.slice(-1),
    }));
  }
  if (inputs.keep && !wanted.whole) model = { ...model, inputs: model.inputs.filter(({ name }) => name !== inputs.keep), initializers: [...model.initializers, scalar(inputs.keep)] };
  return { model, tensors, outputs, kept, cache };
}

/** How many of the last positions get logits: 0, all of them. */
const scalar = (name: string) => ({ name, type: ELEMENT.INT64, dims: [], raw: new Uint8Array(new BigInt64Array(1).buffer) });
