import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Built, CachePair } from "../core/build";
import { apart, checkBlocks, checkTexts, cutTo, fedAt, placement, type Placement } from "../core/devicecheck";
import { firstPass, nextPass, reach, standardFeeds, type Feed, type Pass } from "../core/feeds";
import type { OnnxModel, Value } from "../core/onnx";
import { withoutPadding } from "../core/pad";
import type { HookRow } from "../core/types";
import { CPU, type Provider } from "./providers";
import { prepare, runtime, type Runtime, type RuntimeSettings } from "./runtime";
import type { GraphSource } from "./source";

/**
 * A provider's answers against the CPU's, when a model is opened on a card:
 *
 *   1. one pass of the whole model on the card over three texts (197 tokens, padded), reading every place of some blocks, and the last logits
 *   2. those blocks, the embedding and the head on the CPU, weights in place, each fed with the card's own stream: within TOLERANCE
 *   3. the longest text alone, and the first blocks token by token with a cache, on the card: within REPEATED of the first pass
 *
 * What it costs: the card holds the weights once, and gives them back before the model is used; the CPU reads the compared blocks and
 * the head (half precision widened for the pass, a matrix at a time); of a graph that was not built here, all of it.
 */
export interface Checked extends Placement {
  /** The largest difference, as a share of a row's largest number, and where it was. */
  difference: number;
  at: string;
  /** What the difference may be there. */
  allowed: number;
  places: number;
  tokens: number;
  blocks: number[];
  milliseconds: number;
  /** Patterns cannot be read on this device. */
  noPatterns: boolean;
}

/** float32 sums in another order: 2e-6 is usual at width 64, 1e-5 at 1,536; TF32 or half precision within gives 5e-4, what is not computed at all 1e-1. */
const TOLERANCE = 2e-4;
/** The same texts in other company, through all blocks. */
const REPEATED = 1e-3;
/** Graphs that compute in half precision themselves, or round activations to 8 bits, from end to end. */
const HALF = 3e-2, QUANTISED = 1e-1;

const STEPS = 3; // tokens written with a cache

interface Answers {
  pass: Pass;
  /** Padded, by the hook's name; "logits.last" as it comes. */
  rows: Record<string, Float32Array>;
  dims: Record<string, number[]>;
}

/** @throws EngineError when the provider cannot run the model at all; what differs is in the answer */
export async function checkDevice(what: string, source: GraphSource, settings: RuntimeSettings & { provider: Provider }): Promise<Checked> {
  const begun = performance.now();
  const built = source.head !== undefined; // blocks can be fed: rows are [N, width], whatever the block
  const texts = checkTexts(source.vocabulary, Math.min(source.context, 2 ** 20)).filter((ids, i, all) => source.regime(ids.length) === source.regime(all[0].length));
  const decomposed = built;
  const rowsOf = (kinds: HookRow[]): HookRow[] => kinds.filter(({ missing }) => !missing);
  const all = rowsOf(source.rows);
  const blocks = checkBlocks(source.build({ hooks: all.filter(({ kind }) => kind === "final_norm" || kind === "logits").slice(-1), decomposed }), source.anatomy.layers);
  // of a file's graph the operator gives them, and that of cards has no such output
  const noPatterns = !built && all.some((row) => row.kind === "pattern" && source.build({ hooks: [row] }).model.nodes.some(({ op }) => op === "GroupQueryAttention"));
  const places = all.filter(({ kind }) => kind !== "pattern" || !noPatterns).filter(({ kind, layer }) => kind !== "logits" && (blocks.includes(layer) || ["tok_embed", "embed", "final_norm"].includes(kind)));
  const profiles = mkdtempSync(join(tmpdir(), "saelab-check-"));
  const card = runtime(what, { ...settings, profile: join(profiles, "run") });
  const cpu = runtime(what, { threads: settings.threads, holding: "in place", provider: CPU });
  let difference = 0, at = "", allowed = TOLERANCE, places_ = 0;
  const note = (name: string, found: Float32Array, wanted: Float32Array, width: number, limit: number): void => {
    places_++;
    const far = apart(found, wanted, width);
    if (far / limit >= difference / allowed || !at) [difference, at, allowed] = [far, name, limit];
  };
  const rows = ({ pass, rows: made }: Answers, { name, kind, width }: HookRow): Float32Array => withoutPadding(made[name], pass, kind === "pattern" ? width : undefined);
  const widthOf = ({ kind, width }: HookRow, { length }: Float32Array): number => (kind === "pattern" ? length : width); // shares of 1
  try {
    const ragged = source.ragged ? texts : texts.slice(0, 1);
    const graph = source.build({ hooks: places, last: true, decomposed });
    const first = await answers(card, source, "whole", graph, places, ragged);
    const placed = await profileOf(card, profiles);

    if (built) {
      const limit = TOLERANCE;
      for (const block of [-1, ...blocks, source.anatomy.layers]) {
        const here = places.filter(({ kind, layer }) => (block < 0 ? ["tok_embed", "embed"].includes(kind) : block < source.anatomy.layers ? layer === block && !["tok_embed", "embed", "final_norm", "resid_pre"].includes(kind) : kind === "final_norm"));
        const begin = block < 0 ? undefined : all.find(({ kind, layer }) => (block < source.anatomy.layers ? kind === "resid_pre" && layer === block : kind === "resid_post" && layer === block - 1))!;
        const last = block === source.anatomy.layers;
        if (!here.length && !last) continue;
        const own = source.build({ hooks: [...here, ...(begin ? [begin] : [])], last });
        const names = [...here.map(({ name }) => own.tensors.get(name)!), ...(last ? ["logits.last"] : [])];
        const cut = { ...own.model, outputs: [...new Set(names)].map((name) => ({ name })) };
        const model = begin ? fedAt(cut, own.tensors.get(begin.name)!) : cutTo({ ...own, model: cut }, [...new Set(names)]).model;
        const fed = begin && { data: first.rows[begin.name].slice(), dims: first.dims[begin.name] };
        const wanted = await answers(cpu, source, `block ${block}`, { ...own, model, cache: [] }, here, ragged, { fed, last });
        for (const hook of here) note(hook.name, rows(first, hook), rows(wanted, hook), widthOf(hook, rows(wanted, hook)), limit);
        if (last) note("the last logits", first.rows["logits.last"], wanted.rows["logits.last"], source.vocabulary, limit);
      }
    } else {
      const limit = source.dtypes.some((dtype) => /^[UI]8$/.test(dtype)) ? QUANTISED : source.dtypes.some((dtype) => /16/.test(dtype)) ? HALF : REPEATED;
      const wanted = await answers(cpu, source, "whole", graph, places, ragged);
      for (const hook of places) note(hook.name, rows(first, hook), rows(wanted, hook), widthOf(hook, rows(wanted, hook)), limit);
      note("the last logits", first.rows["logits.last"], wanted.rows["logits.last"], source.vocabulary, limit);
    }

    const repeated = Math.max(REPEATED, allowed === TOLERANCE ? 0 : allowed);
    const alone = ragged.length > 1 ? await answers(card, source, "whole", graph, places, ragged.slice(0, 1)) : undefined;
    if (alone) for (const hook of places.filter(({ kind }) => kind !== "pattern")) {
      note(`${hook.name}, a text alone`, rows(alone, hook), rows(first, hook).subarray(0, ragged[0].length * hook.width), hook.width, repeated);
    }
    const stream = all.find(({ kind, layer }) => kind === "resid_post" && layer === Math.min(blocks[1] ?? 0, 1));
    if (stream && ragged[0].length > STEPS + 1) await stepwise(card, source, stream, ragged.slice(-2), decomposed, repeated, note);
    return {
      ...placed, difference, at, allowed, places: places_, tokens: ragged.reduce((sum, { length }) => sum + length, 0), blocks, milliseconds: performance.now() - begun, noPatterns,
    };
  } finally {
    await card.close();
    await cpu.close();
    rmSync(profiles, { recursive: true, force: true });
  }
}

type Note = (name: string, found: Float32Array, wanted: Float32Array, width: number, limit: number) => void;

/** Feeds that every graph of a source may ask for. */
function feedsOf(source: GraphSource, pass: Pass, fed?: { data: Float32Array; dims: number[] }): (inputs: Value[]) => Record<string, Feed> {
  const regime = source.regime(Math.max(...pass.past.map((past, b) => past + pass.lengths[b])));
  return (inputs) => {
    const names = new Set(inputs.map(({ name }) => name));
    return {
      ...standardFeeds(inputs, pass),
      ...Object.fromEntries(source.tables(reach(pass), regime).filter(({ name }) => names.has(name)).map(({ name, make }) => [name, make()])),
      ...(fed && names.has("fed") ? { fed: { type: "float32" as const, data: fed.data.slice(), dims: fed.dims } } : {}),
    };
  };
}

async function answers(
  engine: Runtime, source: GraphSource, key: string, graph: Built, hooks: HookRow[], texts: Int32Array[], { fed, last = true }: { fed?: { data: Float32Array; dims: number[] }; last?: boolean } = {},
): Promise<Answers> {
  const pass = firstPass(texts);
  const outputOf = ({ name }: HookRow): string => graph.outputs?.get(name) ?? graph.tensors.get(name)!;
  const made = await engine.run(prepare(key, graph.model), {
    feeds: feedsOf(source, pass, fed), outputs: [...new Set([...hooks.map(outputOf), ...(last ? ["logits.last"] : [])])], cache: { pairs: batchOf(graph.cache, pass.batch) },
  });
  return {
    pass, rows: Object.fromEntries([...hooks.map((hook): [string, Float32Array] => [hook.name, made[outputOf(hook)].data]), ...(last ? [["logits.last", made["logits.last"].data] as [string, Float32Array]] : [])]),
    dims: Object.fromEntries(hooks.map((hook) => [hook.name, made[outputOf(hook)].dims])),
  };
}

const batchOf = (pairs: CachePair[], batch: number): CachePair[] => pairs.map((pair) => ({ ...pair, dims: [batch, ...pair.dims.slice(1)] }));

/** Texts read whole, and again with the last tokens one by one: the stream behind one of the first blocks. */
async function stepwise(card: Runtime, source: GraphSource, stream: HookRow, texts: Int32Array[], decomposed: boolean, limit: number, note: Note): Promise<void> {
  const asked = source.build({ hooks: [stream], cache: true, decomposed });
  const output = asked.outputs?.get(stream.name) ?? asked.tensors.get(stream.name)!;
  const { model, cache } = cutTo(asked, [output]);
  const whole = await run(card, source, model, cache, output, firstPass(texts));
  const begun = texts.map((ids) => ids.subarray(0, ids.length - STEPS));
  let pass = firstPass(begun);
  await run(card, source, model, cache, output, pass, 1);
  for (let step = 0; step < STEPS; step++) {
    pass = nextPass(pass, texts.map((ids, b) => [ids[begun[b].length + step]]), texts.map(() => false));
    const found = await run(card, source, model, cache, output, pass, 1);
    let row = 0;
    const wanted = new Float32Array(texts.length * stream.width);
    texts.forEach((ids, b) => {
      const at = row + begun[b].length + step;
      wanted.set(whole.subarray(at * stream.width, (at + 1) * stream.width), b * stream.width);
      row += ids.length;
    });
    note(`${stream.name}, token by token`, found, wanted, stream.width, limit);
  }
  card.forget(1);
}

async function run(engine: Runtime, source: GraphSource, model: OnnxModel, cache: CachePair[], output: string, pass: Pass, id?: number): Promise<Float32Array> {
  // where the cache is not kept, the graph must not give it: an output that stays on the card is asked for by name
  const made = await engine.run(prepare("steps", model), { feeds: feedsOf(source, pass), outputs: [output], cache: { id: id ?? 2, pairs: batchOf(cache, pass.batch) } });
  if (id === undefined) engine.forget(2);
  return withoutPadding(made[output].data, pass);
}

/** Where the operators of the first run went. */
async function profileOf(engine: Runtime, folder: string): Promise<Placement> {
  await engine.profiled();
  const files = readdirSync(folder);
  return placement(files.length ? (JSON.parse(readFileSync(join(folder, files[0]), "utf8")) as Parameters<typeof placement>[0]) : []);
}
