import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Built, CachePair } from "../core/build";
import { apart, checkBlocks, checkTexts, cutTo, fedAt, placement, type Placement } from "../core/devicecheck";
import { prune } from "../core/splice";
import { firstPass, nextPass, reach, standardFeeds, type Feed, type Pass } from "../core/feeds";
import type { Value } from "../core/onnx";
import { joined, withoutPadding } from "../core/pad";
import type { HookKind, HookRow } from "../core/types";
import { CPU, prepareProcess, type Provider } from "./providers";
import { prepare, runtime, type Runtime, type RuntimeSettings } from "./runtime";
import type { GraphSource } from "./source";

/**
 * A provider's answers against the CPU's, when a model is opened on a card:
 *
 *   1. one pass of the whole model on the card over three texts (197 tokens, padded), reading every place of some blocks, and the last logits
 *   2. those blocks, the embedding and the head on the CPU, weights in place, each fed with the card's own stream: within TOLERANCE
 *   3. the longest text alone through all blocks (REPEATED), and the others token by token with a cache through the first (TOLERANCE), on the
 *      card, against its own first pass
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

/** Takes note of a place: what was found, what was wanted, and the difference that may be. */
type Note = (name: string, found: Float32Array, wanted: Float32Array, width: number, limit: number) => void;

/** @throws EngineError when the provider cannot run the model at all, ModelError when the card cannot hold it; what differs is in the answer */
export async function checkDevice(what: string, source: GraphSource, settings: RuntimeSettings & { provider: Provider }): Promise<Checked> {
  const begun = performance.now();
  prepareProcess(settings.provider);
  const built = isBuilt(source);
  const there = source.rows.filter(({ missing }) => !missing);
  const blocks = checkBlocks(source.build({ hooks: there.slice(-1), decomposed: built }), source.anatomy.layers);
  // of a file's graph its own operator gives them, and that of cards has no such output
  const noPatterns = !built && there.some((row) => row.kind === "pattern" && source.build({ hooks: [row] }).model.nodes.some(({ op }) => op === "GroupQueryAttention"));
  const places = there.filter(({ kind, layer }) => kind !== "logits" && (kind !== "pattern" || !noPatterns) && (blocks.includes(layer) || isOutside(kind)));
  const texts = checkTexts(source.vocabulary, source.context).filter((ids, _, [first]) => source.regime(ids.length) === source.regime(first.length)).slice(0, source.ragged ? undefined : 1);

  const most = { difference: 0, at: "", allowed: TOLERANCE };
  let compared = 0;
  const note: Note = (name, found, wanted, width, limit) => {
    compared++;
    const difference = apart(found, wanted, width);
    if (!most.at || difference / limit > most.difference / most.allowed) Object.assign(most, { difference, at: name, allowed: limit });
  };
  const profiles = mkdtempSync(join(tmpdir(), "saelab-check-"));
  const card = runtime(what, { ...settings, profile: join(profiles, "run") });
  const cpu = runtime(what, { threads: settings.threads, holding: "in place", provider: CPU });
  try {
    const graph = source.build({ hooks: places, last: true, decomposed: built });
    const first = await answers(card, source, "whole", graph, places, texts);
    const placed = await profileOf(card, profiles);
    const limit = built ? TOLERANCE : limitOf(source);
    for (const stretch of built ? stretches(source, places, blocks) : [{ hooks: places, last: true }]) {
      const wanted = await stretchOf(cpu, source, stretch, first, texts);
      for (const hook of stretch.hooks) {
        const rows = rowsOf(wanted, hook);
        note(hook.name, rowsOf(first, hook), rows, hook.kind === "pattern" ? rows.length : hook.width, limit); // a pattern's numbers are shares of 1
      }
      if (stretch.last) note("the last logits", first.rows[LAST], wanted.rows[LAST], source.vocabulary, limit);
    }
    const again = Math.max(REPEATED, built ? 0 : limit);
    if (texts.length > 1) {
      const alone = await answers(card, source, "whole", graph, places, texts.slice(0, 1));
      for (const hook of places.filter(({ kind }) => kind !== "pattern")) note(`${hook.name}, a text alone`, rowsOf(alone, hook), rowsOf(first, hook).subarray(0, texts[0].length * hook.width), hook.width, again);
    }
    const stream = places.find(({ kind, layer }) => kind === "resid_post" && layer === 0);
    if (stream && texts.every(({ length }) => length > STEPS)) await stepwise(card, source, stream, first, texts, limit, note);
    return { ...placed, ...most, places: compared, tokens: texts.reduce((sum, { length }) => sum + length, 0), blocks, milliseconds: performance.now() - begun, noPatterns };
  } finally {
    await card.close();
    await cpu.close();
    rmSync(profiles, { recursive: true, force: true });
  }
}

const LAST = "logits.last";

/** Graphs that are built here can be begun at any block: its stream is [N, width]. */
const isBuilt = ({ head }: GraphSource): boolean => head !== undefined;
const isOutside = (kind: HookKind): boolean => kind === "tok_embed" || kind === "embed" || kind === "final_norm";

const limitOf = ({ dtypes }: GraphSource): number =>
  dtypes.some((dtype) => /^[UI]8$/.test(dtype)) ? QUANTISED : dtypes.some((dtype) => dtype.endsWith("16")) ? HALF : REPEATED;

/** A part of a pass that the CPU computes by itself. */
interface Stretch {
  /** The stream that it begins with; absent: the tokens. */
  from?: HookRow;
  hooks: HookRow[];
  last?: boolean;
}

function stretches({ rows, anatomy: { layers } }: GraphSource, places: HookRow[], blocks: number[]): Stretch[] {
  const stream = (layer: number): HookRow => rows.find((row) => row.kind === "resid_pre" && row.layer === layer)!;
  return [
    { hooks: places.filter(({ kind }) => kind === "tok_embed" || kind === "embed") },
    ...blocks.map((block): Stretch => ({ from: stream(block), hooks: places.filter(({ kind, layer }) => layer === block && kind !== "resid_pre" && !isOutside(kind)) })),
    { from: rows.find(({ kind, layer }) => kind === "resid_post" && layer === layers - 1)!, hooks: places.filter(({ kind }) => kind === "final_norm"), last: true },
  ];
}

/** @param first the card's answers, whose stream it begins with */
async function stretchOf(cpu: Runtime, source: GraphSource, { from, hooks, last = false }: Stretch, first: Answers, texts: Int32Array[]): Promise<Answers> {
  // on the CPU attention is the operator that it has
  const graph = source.build({ hooks: [...hooks, ...(from ? [from] : [])], last });
  const outputs = [...new Set([...hooks.map((hook) => outputOf(graph, hook)), ...(last ? [LAST] : [])])];
  const cut = { ...graph.model, outputs: outputs.map((name) => ({ name })) };
  return answers(cpu, source, `from ${from?.name ?? "tokens"}`, { ...graph, model: from ? fedAt(cut, outputOf(graph, from)) : prune(cut) }, hooks, texts, last, from && { data: first.rows[from.name], dims: first.dims[from.name] });
}

const outputOf = ({ outputs, tensors }: Built, { name }: HookRow): string => outputs?.get(name) ?? tensors.get(name)!;
const rowsOf = ({ pass, rows }: Answers, { name, kind, width }: HookRow): Float32Array => withoutPadding(rows[name], pass, kind === "pattern" ? width : undefined);

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

/** @param last the logits of the last tokens too */
async function answers(
  engine: Runtime, source: GraphSource, key: string, graph: Built, hooks: HookRow[], texts: Int32Array[], last = true, fed?: { data: Float32Array; dims: number[] },
): Promise<Answers> {
  const pass = firstPass(texts);
  const made = await engine.run(prepare(key, graph.model), {
    feeds: feedsOf(source, pass, fed), outputs: [...new Set([...hooks.map((hook) => outputOf(graph, hook)), ...(last ? [LAST] : [])])], cache: { pairs: batchOf(graph.cache, pass.batch) },
  });
  const out: Answers = { pass, rows: last ? { [LAST]: made[LAST].data } : {}, dims: {} };
  for (const hook of hooks) ({ data: out.rows[hook.name], dims: out.dims[hook.name] } = made[outputOf(graph, hook)]);
  return out;
}

const batchOf = (pairs: CachePair[], batch: number): CachePair[] => pairs.map((pair) => ({ ...pair, dims: [batch, ...pair.dims.slice(1)] }));

/** The shorter texts again, the last tokens one by one with a cache: the stream behind the first block is to be what it was. */
async function stepwise(card: Runtime, source: GraphSource, stream: HookRow, first: Answers, texts: Int32Array[], limit: number, note: Note): Promise<void> {
  const asked = source.build({ hooks: [stream], cache: true, decomposed: isBuilt(source) });
  const output = outputOf(asked, stream);
  const { model, cache } = cutTo(asked, [output]);
  const run = async (pass: Pass): Promise<Float32Array> => {
    const made = await card.run(prepare("steps", model), { feeds: feedsOf(source, pass), outputs: [output], cache: { id: 1, pairs: batchOf(cache, pass.batch) } });
    return withoutPadding(made[output].data, pass);
  };
  const whole = rowsOf(first, stream);
  const rows = texts.map((ids, b) => texts.slice(0, b).reduce((sum, { length }) => sum + length, 0) + ids.length - STEPS);
  const some = texts.length > 2 ? [1, 2] : [texts.length - 1];
  let pass = firstPass(some.map((b) => texts[b].subarray(0, texts[b].length - STEPS)));
  await run(pass);
  for (let step = 0; step < STEPS; step++) {
    pass = nextPass(pass, some.map((b) => [texts[b].at(step - STEPS)!]), some.map(() => false));
    const wanted = joined(some.map((b) => whole.subarray((rows[b] + step) * stream.width, (rows[b] + step + 1) * stream.width)));
    note(`${stream.name}, token by token`, await run(pass), wanted, stream.width, limit);
  }
  card.forget(1);
}

/** Where the operators of the first run went. */
async function profileOf(engine: Runtime, folder: string): Promise<Placement> {
  await engine.profiled();
  const files = readdirSync(folder);
  return placement(files.length ? (JSON.parse(readFileSync(join(folder, files[0]), "utf8")) as Parameters<typeof placement>[0]) : []);
}
