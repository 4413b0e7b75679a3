import type { Built } from "./build";
import { checkWeights } from "./checkpoint";
import { HookError, OptionError } from "./errors";
import { ELEMENT, type Node, type OnnxModel, type Value } from "./onnx";
import { describeKind, isPlain } from "./sae";
import { randomNumbers } from "./sample";
import { paddedRow, type Feed, type Pass } from "./feeds";
import { around, EDIT, tap, type Insert } from "./splice";
import type { Hook, HookKind, Positions, Sae, SaeWeights, Write } from "./types";

/**
 * Writes, as a user says them → nodes in the way of a tensor, and what is fed to them in each pass.
 *
 *   add, scale, set, ablate   y = x∘s + v
 *   projectOut                y = x − (x·û)ûᵀ
 *   sae                       y = W_decᵀ·TopK(ReLU(W_enc·(x − b_dec) + b_enc)) + b_dec
 *   sae, latent j             y = x + (c − a_j)·W_dec[j], or the reconstruction so changed
 *
 * Where only some tokens, heads or keys are meant, a mask chooses between y and x, bit for bit. Strengths, vectors and masks are
 * inputs, so that the same structure with other numbers is the same session.
 */
export interface Lowered {
  hook: Hook;
  /** What a session is known by: the structure, not the numbers. */
  key: string;
  insert(x: string, out: string): Insert;
  feeds(pass: Pass): Record<string, Feed>;
  edit?: Extract<Write, { edit: unknown }>["edit"];
}

/** What must be known of the model to check a write. */
export interface Shape {
  width(kind: HookKind): number;
  /** Dimensions of a head, of the places that have heads; of a pattern 1. */
  headDim(kind: HookKind): number | undefined;
}

/** Where an SAE's weights lie, for the graph to read them there: names of initialisers, added by whoever knows the file. */
export type SaeInitializers = (sae: Pick<Sae, "weights" | "stored">) => { key: string; names: Record<"wEnc" | "bEnc" | "wDec" | "bDec", string>; insert: Pick<Insert, "initializers" | "inputs"> };

const BOOL = 9;
const VERBS = ["add", "scale", "set", "ablate", "projectOut", "sae", "edit"] as const;

/**
 * @param hook the place, already found
 * @param id unique among the writes of a pass, such as "write.0"
 * @throws OptionError, HookError naming the write and what is wrong with it
 */
export function lowerWrite(write: Write, hook: Hook, id: string, shape: Shape, saeInitializers: SaeInitializers): Lowered {
  const fail = (what: string): never => {
    throw new OptionError(`write to "${write.hook}": ${what}`);
  };
  const verbs = VERBS.filter((verb) => ((write as Record<string, unknown>)[verb] ?? undefined) !== undefined);
  if (verbs.length !== 1) fail(`expected one of ${VERBS.join(", ")}, found ${verbs.length ? `${verbs.join(" and ")}. Make it one write each` : `none in { ${Object.keys(write).join(", ")} }`}.`);
  const [verb] = verbs;
  const width = shape.width(hook.kind);
  const pattern = hook.kind === "pattern";
  const headDim = shape.headDim(hook.kind);
  checkPositions("at", write.at, fail);
  checkPositions("keys", write.keys, fail);
  const heads = write.heads === undefined ? undefined : [write.heads].flat();
  if (heads && headDim === undefined) fail(`heads: expected a place with heads (q, k, v, rot_q, rot_k, z, pattern), found ${hook.kind}. Leave heads out.`);
  const count = pattern ? width : width / (headDim ?? width);
  for (const head of heads ?? []) if (!(Number.isInteger(head) && head >= 0 && head < count)) fail(`heads: expected numbers from 0 to ${count - 1}, found ${head}.`);
  if (write.keys !== undefined && !pattern) fail("keys: expected an attention pattern, which alone has keys. Leave keys out, or say positions with at.");
  if (pattern && (verb === "projectOut" || verb === "sae" || verb === "add")) {
    throw new HookError(`write to "${write.hook}": expected scale, set, ablate: "zero" or edit of a pattern, found ${verb}.`);
  }
  const finite = (name: string, value: number): number => (Number.isFinite(value) ? value : fail(`${name}: expected a finite number, found ${value}.`));
  /** One row, or rows of all tokens; none of them may be of another width. */
  const rows = (name: string, data: ArrayLike<number>): Float32Array => {
    if (!data.length || data.length % width) fail(`${name}: expected rows of ${width} numbers, the width of ${hook.name}, found ${data.length}.`);
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) fail(`${name}: expected finite numbers, found ${data[i]} at ${i}.`);
    return data instanceof Float32Array ? data : Float32Array.from(data);
  };

  // a pattern's other cells than 0 would let tokens see what comes after them, and padding
  const masked = write.at !== undefined || heads !== undefined || write.keys !== undefined || (pattern && verb === "set");
  const inputs: Value[] = masked ? [{ name: `${id}.mask`, type: BOOL }] : [];
  const input = (name: string, type: number = ELEMENT.FLOAT): string => {
    inputs.push({ name: `${id}.${name}`, type });
    return `${id}.${name}`;
  };
  /** Nodes that make `y` of `x`; the mask is put after. */
  let body: (x: string, y: string) => { nodes: Node[] } & Partial<Insert>;
  let numbers: (pass: Pass) => Record<string, Feed> = () => ({});
  let key: string = verb;
  const node = (op: string, ins: string[], outs: string[], attributes: Node["attributes"] = {}): Node => ({ op, inputs: ins, outputs: outs, attributes });

  if ("edit" in write && verb === "edit") {
    if (typeof write.edit !== "function") fail(`edit: expected a function, found ${typeof write.edit}.`);
    body = (x, y) => ({ nodes: [{ op: EDIT.op, domain: EDIT.domain, name: id, inputs: [x], outputs: [y] }] });
  } else if ("sae" in write && write.sae) {
    const sae = write.sae.weights ?? fail(`sae: expected an SAE, or its { weights }, found ${typeof write.sae} without weights. loadSae gives one.`);
    if (!isPlain(sae)) {
      fail(`sae: expected a plain top-k SAE, found ${describeKind(sae)}. Write what it gives, with edit: (rows) => sae.reconstruct(rows).`);
    }
    if (sae.d !== width) fail(`sae: expected one of width ${width}, as ${hook.name} is, found ${sae.d}. It belongs to another place or model.`);
    checkWeights(sae, `write to "${write.hook}": sae`);
    const { latent, clamp, times } = write;
    if (latent === undefined && (clamp !== undefined || times !== undefined || write.keepError)) fail("sae: expected latent beside clamp, times or keepError, found none. Say which latent.");
    if (latent !== undefined) {
      if (!(Number.isInteger(latent) && latent >= 0 && latent < sae.latents)) fail(`latent: expected a number from 0 to ${sae.latents - 1}, found ${latent}.`);
      if ((clamp === undefined) === (times === undefined)) fail("latent: expected either clamp (its new value) or times (a factor), found both or neither.");
      finite("clamp or times", clamp ?? times!);
    }
    const known = saeInitializers(write.sae);
    key = `sae ${known.key} ${latent === undefined ? "" : clamp !== undefined ? "clamp" : "times"} ${write.keepError === false ? "bare" : ""}`;
    const which = latent === undefined ? "" : input("latent", ELEMENT.INT64);
    const amount = latent === undefined ? "" : input("amount");
    body = (x, y) => ({ nodes: saeNodes(x, y, id, sae, known.names, { latent: which, amount, clamps: clamp !== undefined, bare: latent === undefined || write.keepError === false }), ...known.insert });
    if (latent !== undefined) {
      numbers = () => ({
        [which]: { type: "int64", data: BigInt64Array.of(BigInt(latent)), dims: [1] },
        [amount]: { type: "float32", data: Float32Array.of(clamp ?? times!), dims: [1, 1] },
      });
    }
  } else if ("projectOut" in write && write.projectOut) {
    const direction = rows("projectOut", write.projectOut);
    const norm = Math.hypot(...direction);
    if (direction.length !== width || !(norm > 0)) fail(`projectOut: expected one row of ${width} numbers, not all 0, found ${direction.length}${norm ? "" : " zeros"}.`);
    const unit = direction.map((value) => value / norm);
    const [column, row] = [input("column"), input("row")];
    body = (x, y) => ({ nodes: [
      node("MatMul", [x, column], [`${y}/${id}/along`]), node("MatMul", [`${y}/${id}/along`, row], [`${y}/${id}/part`]), node("Sub", [x, `${y}/${id}/part`], [y]),
    ] });
    numbers = () => ({ [column]: { type: "float32", data: unit.slice(), dims: [width, 1] }, [row]: { type: "float32", data: unit.slice(), dims: [1, width] } });
  } else {
    const scale = "scale" in write && write.scale !== undefined ? finite("scale", write.scale) : "add" in write && write.add ? 1 : 0;
    let value: Float32Array | undefined; // one row or all rows; absent: 0
    let draws: { of: Float32Array; seed: number } | undefined;
    if ("add" in write && write.add) {
      const times = finite("times", write.times ?? 1);
      value = rows("add", write.add).map((x) => x * times);
    } else if ("set" in write && write.set !== undefined) {
      if (typeof write.set === "number") value = new Float32Array(pattern ? 1 : width).fill(finite("set", write.set));
      else if (pattern) fail("set: expected a number for a pattern, found rows. Give whole patterns with edit.");
      else value = rows("set", write.set);
    } else if ("ablate" in write && write.ablate !== "zero") {
      if (write.ablate !== "mean" && write.ablate !== "resample") fail(`ablate: expected "zero", "mean" or "resample", found ${JSON.stringify(write.ablate)}.`);
      if (pattern) fail(`ablate: expected "zero" for a pattern, found "${write.ablate}".`);
      if (!(write.of instanceof Float32Array)) fail(`ablate: "${write.ablate}": expected of: rows [n, ${width}] that run gave for this place, found ${typeof write.of}.`);
      const of = rows("of", write.of);
      if (write.ablate === "mean") value = meanRow(of, width);
      else draws = { of, seed: write.seed ?? 0 };
    }
    const fills = value !== undefined || draws !== undefined;
    const s = scale === 1 ? "" : input("scale");
    const v = fills ? input("value") : "";
    key = `affine ${s && "s"} ${v && "v"}`;
    body = (x, y) => ({ nodes:
      s && v ? [node("Mul", [x, s], [`${y}/${id}/scaled`]), node("Add", [`${y}/${id}/scaled`, v], [y])]
        : s ? [node("Mul", [x, s], [y])] : v ? [node("Add", [x, v], [y])] : [node("Identity", [x], [y])] });
    numbers = (pass) => ({
      ...(s ? { [s]: { type: "float32", data: Float32Array.of(scale), dims: [1, 1] } as Feed } : {}),
      ...(v ? { [v]: draws ? drawn(draws, width, pass) : placed(value!, pattern ? 1 : width, pass, fail) } : {}),
    });
  }

  return {
    hook,
    key: `${hook.name} ${key}${masked ? " masked" : ""}`,
    insert(x, out) {
      const y = masked ? `${out}/${id}/written` : out;
      const made = body(x, y);
      const nodes = masked ? [...made.nodes, node("Where", [`${id}.mask`, y, x], [out])] : made.nodes;
      return { nodes, initializers: made.initializers, inputs: [...inputs, ...(made.inputs ?? [])] };
    },
    feeds: (pass) => ({
      ...numbers(pass),
      ...(masked ? { [`${id}.mask`]: pattern ? patternMask(write, heads, width, pass) : rowMask(write, heads, width, headDim, pass) } : {}),
    }),
    edit: "edit" in write ? write.edit : undefined,
  };
}

/** A graph with writes put into it; a place beyond what is read changes nothing that is asked for, and is left out. */
export function applyWrites({ model, tensors, kept }: Pick<Built, "model" | "tensors" | "kept">, lowered: Lowered[]): OnnxModel {
  return lowered.reduce((written, { hook, insert }) => {
    const tensor = tensors.get(hook.name)!;
    return written.nodes.some(({ outputs }) => outputs.includes(tensor)) ? tap(written, tensor, around(insert, kept?.get(hook.name))) : written;
  }, model);
}

function saeNodes(
  x: string, y: string, id: string, sae: SaeWeights, w: Record<"wEnc" | "bEnc" | "wDec" | "bDec", string>,
  change: { latent: string; amount: string; clamps: boolean; bare: boolean },
): Node[] {
  const at = (name: string): string => `${y}/${id}/${name}`;
  const constant = (name: string, values: number[]): Node => ({ op: "Constant", inputs: [], outputs: [at(name)], attributes: { value_ints: values.map(BigInt) } });
  const n = (op: string, inputs: string[], outputs: string[], attributes: Node["attributes"] = {}): Node => ({ op, inputs, outputs, attributes });
  const rebuilt = change.latent ? at("rebuilt") : at("out");
  const nodes = [
    constant("flat", [-1, sae.d]), constant("k", [sae.k]), constant("one", [1]),
    n("Shape", [x], [at("shape")]),
    n("Reshape", [x, at("flat")], [at("rows")]),
    n("Sub", [at("rows"), w.bDec], [at("centred")]),
    n("Gemm", [at("centred"), w.wEnc, w.bEnc], [at("encoded")], { transB: 1n }),
    n("Relu", [at("encoded")], [at("positive")]),
    n("TopK", [at("positive"), at("k")], [at("values"), at("indices")], { axis: -1n }),
  ];
  if (change.bare) {
    nodes.push(
      n("Gather", [w.wDec, at("indices")], [at("directions")], { axis: 0n }), // [N, k, d]
      n("Unsqueeze", [at("values"), at("one")], [at("weights")]),
      n("MatMul", [at("weights"), at("directions")], [at("mixed")]),
      n("Reshape", [at("mixed"), at("flat")], [at("explained")]),
      n("Add", [at("explained"), w.bDec], [rebuilt]),
    );
  }
  if (change.latent) {
    nodes.push(
      n("Equal", [at("indices"), change.latent], [at("hit")]),
      n("Cast", [at("hit")], [at("chosen")], { to: BigInt(ELEMENT.FLOAT) }),
      n("Mul", [at("chosen"), at("values")], [at("its")]),
      n("ReduceSum", [at("its"), at("one")], [at("activation")], { keepdims: 1n }), // [N, 1]
      ...(change.clamps ? [n("Sub", [change.amount, at("activation")], [at("difference")])]
        : [n("Mul", [at("activation"), change.amount], [at("wanted")]), n("Sub", [at("wanted"), at("activation")], [at("difference")])]),
      n("Gather", [w.wDec, change.latent], [at("direction")], { axis: 0n }), // [1, d]
      n("Mul", [at("difference"), at("direction")], [at("change")]),
      n("Add", [change.bare ? rebuilt : at("rows"), at("change")], [at("out")]),
    );
  }
  return [...nodes, n("Reshape", [at("out"), at("shape")], [y])];
}

function meanRow(rows: Float32Array, width: number): Float32Array {
  const sums = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) sums[i % width] += rows[i];
  return Float32Array.from(sums, (sum) => (sum * width) / rows.length);
}

/** One row for all, or rows of all tokens put where the padded batch has them. */
function placed(value: Float32Array, width: number, pass: Pass, fail: (what: string) => never): Feed {
  if (value.length === width) return { type: "float32", data: value.slice(), dims: [1, width] };
  const { rows } = pass;
  if (!rows) return fail(`expected one row of ${width} while texts are written, found ${value.length / width} rows. Rows of all tokens are for run; or give them with edit.`);
  if (value.length !== rows.all * width) fail(`expected one row of ${width}, or rows of all ${rows.all} tokens of this pass, found ${value.length / width} rows.`);
  const data = new Float32Array(pass.batch * pass.tokens * width);
  pass.lengths.forEach((length, b) => data.set(value.subarray(rows.from[b] * width, (rows.from[b] + length) * width), paddedRow(pass, b, 0) * width));
  return { type: "float32", data, dims: [pass.batch * pass.tokens, width] };
}

/** A row of `of` for every token, by seed and position, whatever the company. */
function drawn({ of, seed }: { of: Float32Array; seed: number }, width: number, pass: Pass): Feed {
  const data = new Float32Array(pass.batch * pass.tokens * width);
  const n = of.length / width;
  pass.lengths.forEach((length, b) => {
    for (let t = 0; t < length; t++) {
      const row = Math.floor(randomNumbers(seed, pass.index[b] * 0x10000 + pass.past[b] + t)() * n);
      data.set(of.subarray(row * width, (row + 1) * width), paddedRow(pass, b, t) * width);
    }
  });
  return { type: "float32", data, dims: [pass.batch * pass.tokens, width] };
}

function checkPositions(field: string, given: unknown, fail: (what: string) => never): void {
  if (given === undefined || given === "prompt" || given === "generated") return;
  const range = typeof given === "object" && given !== null && !Array.isArray(given) ? given as { from?: unknown; to?: unknown } : undefined;
  const numbers = range ? [range.from ?? 0, range.to ?? 0] : [given].flat();
  const wrong = numbers.findIndex((one) => !Number.isInteger(one));
  if (wrong >= 0) fail(`${field}: expected a position, a list of them, { from, to }, "prompt" or "generated", found ${JSON.stringify(numbers[wrong])}.`);
}

/** Whether a position of a text is meant. */
function chooser(at: Positions | undefined, prompt: number): (position: number) => boolean {
  if (at === undefined) return () => true;
  if (at === "prompt") return (position) => position < prompt;
  if (at === "generated") return (position) => position >= prompt;
  const absolute = (position: number): number => (position < 0 ? prompt + position : position);
  if (typeof at === "number" || Array.isArray(at)) {
    const chosen = new Set([at].flat().map(absolute));
    return (position) => chosen.has(position);
  }
  const from = absolute(at.from ?? 0);
  const to = at.to === undefined ? Infinity : absolute(at.to);
  return (position) => position >= from && position < to;
}

/** true where y is taken: [N or 1, w or 1]. */
function rowMask({ at }: Write, heads: number[] | undefined, width: number, headDim: number | undefined, pass: Pass): Feed {
  const columns = heads ? width : 1;
  const column = new Uint8Array(columns).fill(heads ? 0 : 1);
  for (const head of heads ?? []) column.fill(1, head * headDim!, (head + 1) * headDim!);
  if (at === undefined) return { type: "bool", data: column, dims: [1, columns] };
  const data = new Uint8Array(pass.batch * pass.tokens * columns);
  pass.lengths.forEach((length, b) => {
    const chosen = chooser(at, pass.prompt[b]);
    for (let t = 0; t < length; t++) if (chosen(pass.past[b] + t)) data.set(column, paddedRow(pass, b, t) * columns);
  });
  return { type: "bool", data, dims: [pass.batch * pass.tokens, columns] };
}

/** [B, H or 1, T, S], by head, query and key: of those that a query may look at. */
function patternMask({ at, keys }: Write, heads: number[] | undefined, count: number, pass: Pass): Feed {
  const H = heads ? count : 1;
  const S = pass.columns[0].length;
  const data = new Uint8Array(pass.batch * H * pass.tokens * S);
  pass.lengths.forEach((length, b) => {
    const [query, key] = [chooser(at, pass.prompt[b]), chooser(keys, pass.prompt[b])];
    for (const h of heads ?? [0]) for (let t = 0; t < length; t++) {
      if (!query(pass.past[b] + t)) continue;
      const row = ((b * H + h) * pass.tokens + (pass.before?.[b] ?? 0) + t) * S;
      for (let s = 0; s < S; s++) {
        const position = pass.columns[b][s];
        if (position >= 0 && position <= pass.past[b] + t && key(position)) data[row + s] = 1;
      }
    }
  });
  return { type: "bool", data, dims: [pass.batch, H, pass.tokens, S] };
}
