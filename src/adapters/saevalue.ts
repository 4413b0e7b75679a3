import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { checkWeights } from "../core/checkpoint";
import { CheckpointError, OptionError } from "../core/errors";
import { escapeHtml } from "../core/html";
import { modelCard, modelOf, targetOf } from "../core/modelcard";
import { addSkip, decode as plainDecode, decoderNorms, describeKind, encode as plainEncode, isPlain, prepared, wholeRows } from "../core/sae";
import { isLens, LENS_WEIGHTS, lensFiles } from "../core/saelens";
import { CFG, configText, isSparsify, weightBytes, WEIGHTS } from "../core/sparsify";
import type { Sae, SaeFormat, SaeWeights, SaveOptions, Sparse, TrainingPoint } from "../core/types";
import { decodeRows, encodeChunks, encodeRows, PADDING, withBias } from "./coder";
import { requireSpace, writeAtomic } from "./files";
import { fusedKernels, fusedOps } from "./fusedstep";
import { DISPLAY, inCell, type Shown } from "./show";
import { kernels, tensorflow, withoutTensorflow, type Engine, type Id } from "./tensorflow";

/** An SAE as a value: encode and decode on TensorFlow, or what is in its place, written to a folder. */

/** Our own file beside a format's two: where the SAE comes from, and how training went. */
export const CARD = "saelab.json";

export interface SaeDetails extends Pick<Sae, "stored"> {
  hook?: string;
  card?: Record<string, unknown>;
  curve?: TrainingPoint[];
}

/**
 * An SAE over weights, which must not change afterwards. TensorFlow is loaded when it is first needed.
 * @throws CheckpointError when the arrays do not fit each other
 */
export function saeOf(weights: SaeWeights, details: SaeDetails = {}): Sae {
  checkWeights(weights, "SAE");
  return saeValue(weights, details);
}

/** {@link saeOf} of weights that were checked on loading; their matrices are not touched before they are needed. */
export function saeValue(weights: SaeWeights, { hook, card = {}, curve, stored }: SaeDetails = {}): Sae {
  const plain = isPlain(weights);
  const { d, latents, k, kind = "topk", subset } = weights;
  let topK: Encoder | undefined;
  const encode = (x: Float32Array): Sparse => {
    if (kind !== "topk" || subset) return encodeAny(weights, x);
    topK ??= topKEncoder(tensorflow(), weights);
    if (plain) return topK(x);
    requireFiniteRows(x, d);
    const { rows, units } = prepared(weights, x, wholeRows(x, d));
    return { ...topK(rows), ...(units ? { units } : {}) };
  };
  const decode = (sparse: Sparse): Float32Array => {
    if (plain) return decodeRows(tensorflow(), { d, latents, k, packed: NONE, wDec: weights.wDec, bDec: weights.bDec }, sparse);
    checkSparse(sparse, latents);
    return plainDecode(weights, sparse);
  };
  const sae: Sae = {
    weights,
    ...(stored ? { stored } : {}),
    hook,
    card,
    curve,
    encode,
    decode,
    reconstruct: (x) => addSkip(weights, x, decode(encode(x))),
    save: (folder, options) => save({ weights, hook, card, curve }, folder, options),
  };
  const count = `${latents.toLocaleString("en")} latents`;
  const what = plain ? `A top-${k} SAE of ${count}` : `${describeKind(weights).replace(/^a/, "A")}, ${count}`;
  const { withoutFused } = card;
  const trained = card.device === "wasm" ? " Trained without TensorFlow."
    : typeof withoutFused === "string" ? ` Trained by TensorFlow's own kernels, without the fused ops: ${withoutFused}.` : "";
  const line = (): string => {
    const instead = withoutTensorflow();
    const encodes = instead ? ` It encodes without TensorFlow, several times as slowly: ${instead.why}.` : "";
    return `${what}, rows of width ${d}${hook ? `, for ${hook}` : ""}. evaluate(sae, store) measures it.${trained}${encodes}`;
  };
  Object.defineProperty(sae, inspect.custom, { value: line, enumerable: false, configurable: true }); // in lists and errors, whose thousands of numbers nobody reads
  return inCell(sae, () => {
    const measured = (card.preflight as Partial<Shown> | undefined)?.[DISPLAY]?.() as Record<string, string> | undefined; // not of a card that was read from a file
    return measured ? { "text/plain": `${line()}\n${measured["text/plain"]}`, "text/html": `<p>${escapeHtml(line())}</p>${measured["text/html"]}` } : { "text/plain": line() };
  });
}

type Encoder = (rows: Float32Array) => Sparse;
const NONE = new Float32Array(0);
const FUSED_ROWS = 2048; // encoded at a time by the fused op, which reads W_enc once for all of them and holds no product

/**
 * Encodes with a top-k SAE: by the fused op where it is there, as rows are then the same whatever others are beside them and no product [n, F] is
 * ever whole; else by stock kernels. Rows of an SAE that is not plain are prepared already; norms of the decoder are folded in.
 */
function topKEncoder(engine: Engine, weights: SaeWeights): Encoder {
  const { d, latents, k, bEnc, rescaleByDecoderNorm } = weights;
  const bDec = isPlain(weights) ? weights.bDec : new Float32Array(d);
  const norms = rescaleByDecoderNorm ? decoderNorms(weights) : undefined;
  const scaled = (matrix: Float32Array, width: number): Float32Array => (norms ? matrix.map((value, i) => value * norms[Math.floor(i / width)]) : matrix);
  if (!("id" in fusedOps(engine))) {
    const packed = scaled(withBias(weights.wEnc, bEnc, d), d + PADDING);
    return (x) => encodeRows(engine, { d, latents, k, packed, wDec: NONE, bDec }, x);
  }
  const { encodeTopK } = fusedKernels(engine);
  const { sub } = kernels(engine);
  return (x) => engine.tidy(() => {
    const [wEnc, bias, shift] = resident(engine, weights, () => [
      engine.lasting(scaled(weights.wEnc, d), [latents, d]), engine.lasting(scaled(bEnc, 1), [latents]), engine.lasting(bDec, [d]),
    ]);
    return encodeChunks({ d, latents, k }, x, (rows, n) => engine.tidy(() => {
      const { value, index } = encodeTopK(sub(engine.tensor(rows, [n, d]), shift), wEnc, bias, k);
      return { index: engine.ints(index), value: engine.floats(value) };
    }), FUSED_ROWS);
  });
}

/** What the SAE that encoded last has on TensorFlow: to bring a large encoder there takes longer than to encode a short text with it. */
let held: { of: WeakRef<SaeWeights>; ids: Id[] } | undefined;
const collected = new FinalizationRegistry<Id[]>((ids) => {
  if (held?.ids === ids) release();
});

function release(): void {
  if (held) tensorflow().free(...held.ids);
  held = undefined;
}

function resident(engine: Engine, weights: SaeWeights, upload: () => Id[]): Id[] {
  if (held?.of.deref() === weights) return held.ids;
  release();
  const ids = upload();
  held = { of: new WeakRef(weights), ids };
  collected.register(weights, ids);
  return ids;
}

/** Encoding of any kind: the product by TensorFlow, the choice by core/sae. @throws OptionError for rows that are not finite */
function encodeAny(weights: SaeWeights, x: Float32Array): Sparse {
  const { d, latents } = weights;
  requireFiniteRows(x, d);
  const engine = tensorflow();
  const { matMul } = kernels(engine);
  let sparse: Sparse | undefined;
  engine.tidy(() => {
    const wEnc = engine.tensor(weights.wEnc, [latents, d]);
    sparse = plainEncode(weights, x, (rows, n) => {
      const product = engine.tidy(() => engine.floats(matMul(engine.tensor(rows, [n, d]), wEnc, { transposeB: true })));
      let sum = 0;
      for (let i = 0; i < product.length; i++) sum += 0 * product[i]; // NaN from the first NaN or infinity on
      if (sum !== 0) {
        throw new OptionError(
          "encode: expected finite latents, found NaN or infinity. " +
          "The SAE's weights overflow on one of these rows: take another checkpoint, or leave the row out.");
      }
      return product;
    });
  });
  return sparse!;
}

/** @throws OptionError naming the first row that holds NaN or infinity */
function requireFiniteRows(x: Float32Array, d: number): void {
  const bad = x.findIndex((number) => !Number.isFinite(number));
  if (bad < 0) return;
  throw new OptionError(
    `encode: row ${Math.floor(bad / d)}: expected finite numbers, found ${x[bad]}. ` +
    "Leave this row out; if a harvest gave it, the model overflows at this hook.");
}

function checkSparse({ n, k, index, value }: Sparse, latents: number): void {
  if (index.length !== n * k || value.length !== n * k) {
    throw new RangeError(`sparse rows: expected index and value of ${n} × ${k}, found ${index.length} and ${value.length} entries`);
  }
  for (let i = 0; i < index.length; i++) {
    if (value[i] !== 0 && !(index[i] >= 0 && index[i] < latents)) throw new RangeError(`row ${Math.floor(i / k)}: expected latents 0 to ${latents - 1}, found ${index[i]}`);
  }
}

const IS: Record<SaeFormat, (text: string) => boolean> = { sparsify: isSparsify, saelens: isLens };

/**
 * cfg.json goes first and comes last: a folder without it is no checkpoint, so that a save cut short is never taken for
 * one, and of two SAEs saved over each other none lends its k to the other's weights.
 */
async function save(
  { weights, hook, card, curve }: Pick<Sae, "weights" | "hook" | "card" | "curve">, folder: string, { format = formatFor(weights), readme = false }: SaveOptions = {},
): Promise<void> {
  if (!(format in IS)) throw new OptionError(`save: format: expected ${Object.keys(IS).join(" or ")}, found ${JSON.stringify(format)}.`);
  checkTarget(folder, format);
  if (weights.subset) throw new CheckpointError(`save: expected a whole SAE, found ${weights.latents} of its latents. Load it without { latents }.`);
  const { config, bytes } = format === "saelens"
    ? lensFiles(weights, { hook, target: targetOf(card), model: modelOf(card) }) : { config: configText(weights), bytes: weightBytes(weights) };
  await requireSpace(folder, bytes.reduce((sum, { byteLength }) => sum + byteLength, 0) + 1e6);
  await rm(join(folder, CFG), { force: true });
  const file = format === "saelens" ? LENS_WEIGHTS : WEIGHTS;
  await writeAtomic(join(folder, file), bytes);
  if (readme) {
    const files = [{ name: file, pieces: bytes }, { name: CFG, pieces: [Buffer.from(config)] }].map(({ name, pieces }) => {
      const hash = createHash("sha256");
      for (const piece of pieces) hash.update(piece);
      return { name, bytes: pieces.reduce((sum, { byteLength }) => sum + byteLength, 0), sha256: hash.digest("hex") };
    });
    await writeAtomic(join(folder, "README.md"), [modelCard(weights, { hook, card, format, files })]);
  }
  await writeAtomic(join(folder, CARD), [`${JSON.stringify({ format: "saelab-sae", version: 1, hook, card, curve }, null, 1)}\n`]);
  await writeAtomic(join(folder, CFG), [config]);
}

/** The layout that can say what an SAE does: sparsify's where it can, else SAELens'. */
function formatFor({ d, dOut = d, kind = "topk", transcoder = false, subtractBDec = true, normalize = "none", rescaleByDecoderNorm = false }: Omit<SaeWeights, "wEnc" | "bEnc" | "wDec" | "bDec" | "threshold">): SaeFormat {
  const said = (kind === "topk" || kind === "groupmax") && dOut === d && transcoder !== subtractBDec && normalize === "none" && !rescaleByDecoderNorm;
  return said ? "sparsify" : "saelens";
}

/**
 * A folder may be saved to when it holds no cfg.json, or one of a checkpoint of the same layout, which is then replaced.
 * @throws CheckpointError when its cfg.json is something else's
 */
export function checkTarget(folder: string, format: SaeFormat = "sparsify"): void {
  const file = join(folder, CFG);
  if (!existsSync(file) || IS[format](readFileSync(file, "utf8"))) return;
  throw new CheckpointError(
    `${file}: expected none, or that of an SAE in the ${format} layout to replace, found another tool's. ` +
    "Choose another folder, or move this file away.");
}
