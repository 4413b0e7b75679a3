import { HookError, ModelError, OptionError } from "../core/errors";
import { foldNorm, keepLargest, logitsTable, noneYet, type Largest } from "../core/featurelogits";
import type { TokenLogit } from "../core/heatmap";
import { bytesToText } from "../core/token";
import type { HeadRows, Hook, Model, Progress, Sae } from "../core/types";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { writeLogits } from "./keptlogits";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { requireSameSae } from "./samesae";
import { showing, type ShownNow } from "./show";
import { notedBundle } from "./table";
import { kernels, tensorflow } from "./tensorflow";

export interface FeatureLogitsOptions {
  features?: Features; // none: the family of this SAE in which `keep` writes
  latents?: number[]; // all of the SAE
  count?: number; // 10 tokens of each kind
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface LatentLogits {
  latent: number;
  /** Tokens that its decoder row makes likelier, strongest first, and those that it makes less likely. */
  top: (TokenLogit & { token: number })[];
  bottom: (TokenLogit & { token: number })[];
}

export interface FeatureLogits extends ShownNow {
  latents: number[];
  /** @throws OptionError for a latent that was not asked for */
  of(latent: number): LatentLogits;
  /** What must be read with them: a tied head, a cap, a norm that lies between. */
  notes: string[];
  /** Writes them into the family (replacing what was kept there): `features.feature(i).logits`, and views, have them. @throws OptionError without { features } */
  keep(): Promise<void>;
}

const PRODUCTS = 2 ** 24; // logits held at once: 64 MB
const TOKENS = 8192; // rows of the head held at once
const SHOWN = 20;
const STOPPED = "No logits were kept: ask again.";
const STREAM = ["embed", "resid_pre", "resid_mid", "resid_post"];
const ADDED = ["attn_out", "attn_add", "mlp_out", "mlp_add"];

/**
 * The tokens that each latent speaks for and against: W_dec·W_U, the final norm's weight folded in (of a LayerNorm, its centring too), for one
 * unit of activation and up to the norm's scale (core/featurelogits has the equations). Computed on TensorFlow, some tokens × some latents at
 * a time: 65,536 latents and 150,000 tokens take 64 MB beside the weights.
 * @returns shows itself as `application/vnd.saelab.table.v1+json`, HTML and text: the first twenty
 * @throws HookError if the SAE's rows are not added to the stream; ModelError where the weights of the head cannot be read; OptionError;
 *   StoreError if the features are of another SAE; InterruptError
 */
export async function featureLogits(model: Model, sae: Sae, options: FeatureLogitsOptions = {}): Promise<FeatureLogits & ShownNow> {
  const { features, count = 10, progress = defaultProgress() } = options;
  const { weights } = sae;
  const { latents: F, subset } = weights;
  const width = weights.dOut ?? weights.d;
  const place = requirePlace(model, sae, width);
  if (!model.head) throw new ModelError(`${model.source}: expected weights of norm and head that can be read, found a file that does not name them. Open the checkpoint's folder.`);
  const V = Math.min(model.vocabularySize, model.tokenizer.vocabularySize); // what lies beyond is padding of the embedding
  if (!Number.isSafeInteger(count) || count < 1 || count > V) throw new OptionError(`featureLogits: count: expected a whole number from 1 to ${V}, found ${count}.`);
  if (features) await requireSameSae(features, sae, STOPPED);
  const row = new Map(Array.from(subset ?? [], (latent, i) => [latent, i]));
  const rowOf = (latent: number): number => (subset ? (row.get(latent) ?? -1) : Number.isInteger(latent) && latent >= 0 && latent < F ? latent : -1);
  const list = options.latents ?? (subset ? [...subset] : Array.from({ length: F }, (_, f) => f));
  const wrong = list.find((latent) => rowOf(latent) < 0);
  if (!list.length || wrong !== undefined) throw new OptionError(`featureLogits: latents: expected ${subset ? `some of the ${F} that were loaded` : `numbers from 0 to ${F - 1}`}, found ${wrong ?? "none"}.`);

  const { top, bottom, head } = await extremes(model, sae, list.map(rowOf), width, V, count, progress);
  const notes = notesOn(model, sae, head, place);
  const number = new Map(list.map((latent, i) => [latent, i]));
  const tokenLogits = ({ id, value }: Largest, i: number): LatentLogits["top"] =>
    Array.from({ length: count }, (_, j) => i * count + j)
      .filter((at) => id[at] >= 0)
      .map((at) => ({ token: id[at], text: bytesToText(model.tokenizer.bytes(id[at])), value: value[at] }));
  const of = (latent: number): LatentLogits => {
    const i = number.get(latent);
    if (i === undefined) throw new OptionError(`logits: expected one of the ${list.length} latents that were asked for, found ${latent}. Ask with { latents: [${latent}] }.`);
    return { latent, top: tokenLogits(top, i), bottom: tokenLogits(bottom, i) };
  };
  return showing<Omit<FeatureLogits, keyof ShownNow>>(
    {
      latents: list,
      of,
      notes,
      async keep() {
        if (!features) throw new OptionError("keep: expected the family to write into, found none. Give it: featureLogits(model, sae, { features }).");
        const spread = (some: Largest): Largest => {
          const all = noneYet(features.count, count);
          list.forEach((latent, i) => {
            all.id.set(some.id.subarray(i * count, (i + 1) * count), latent * count);
            all.value.set(some.value.subarray(i * count, (i + 1) * count), latent * count);
          });
          return all;
        };
        await writeLogits(features.path, features.count, count, spread(top), spread(bottom), (token) => model.tokenizer.bytes(token));
      },
    },
    () => notedBundle(logitsTable({ latents: list.slice(0, SHOWN).map(of), total: list.length, notes })),
  ) as FeatureLogits;
}

/** Where the SAE's rows are: undefined where it does not say. @throws HookError where they are not of the stream's width, or not added to it */
function requirePlace(model: Model, { weights, hook }: Sae, width: number): Hook | undefined {
  const place = hook === undefined || weights.transcoder ? undefined : model.hook(hook); // a transcoder's hook is what it reads
  if (width === model.width && (!place || [...STREAM, ...ADDED].includes(place.kind))) return place;
  throw new HookError(
    `${hook ?? "SAE"}: expected a place whose rows are added to the stream of width ${model.width} (layers.n, layers.n.mlp, layers.n.self_attn), which the head reads, ` +
      `found ${place ? `${place.kind}, ` : ""}width ${width}. The logits of other places go through further weights: steer with the latent, and compare logits.`,
  );
}

function notesOn(model: Model, { weights: { normalize = "none" } }: Sae, head: HeadRows, place?: Hook): string[] {
  const between = place && ["mlp_out", "attn_out"].includes(place.kind) && model.hooks().some(({ kind }) => kind === place.kind.replace("out", "add"));
  return [
    "Logit of one unit of activation, times the final norm's scale at the position; what the latent does through later blocks is not in it.",
    ...(head.tied ? ["The head is the embedding: in early blocks a latent that reads a token can seem to speak for that same token."] : []),
    ...(head.cap ? [`The model caps its logits: the further one is towards ${head.cap}, the less it moves.`] : []),
    ...(between ? ["A norm lies between these rows and the stream: its weight and scale are left out."] : []),
    ...(normalize === "none" ? [] : [`The SAE normalises its rows (${normalize}): a unit of activation is one of the normalised row.`]),
  ];
}

/** Runs over the vocabulary once, over the latents for each part of it. */
async function extremes(model: Model, { weights }: Sae, rows: number[], width: number, V: number, count: number, progress?: Progress): Promise<{ top: Largest; bottom: Largest; head: HeadRows }> {
  const engine = tensorflow();
  const K = kernels(engine);
  const { wDec, rescaleByDecoderNorm } = weights;
  const [top, bottom] = [noneYet(rows.length, count), noneYet(rows.length, count)];
  const many = Math.max(1, Math.min(rows.length, Math.floor(PRODUCTS / Math.min(V, TOKENS))));
  const told = meter("featureLogits", V, "tokens", progress);
  let head: HeadRows | undefined;
  for (let from = 0; from < V; from += TOKENS) {
    const to = Math.min(V, from + TOKENS);
    head = model.head!(Array.from({ length: to - from }, (_, i) => from + i));
    const toward = engine.lasting(foldNorm(head), [to - from, width]);
    try {
      for (let first = 0; first < rows.length; first += many) {
        const mine = rows.slice(first, first + many);
        const decoder = new Float32Array(mine.length * width);
        mine.forEach((row, i) => decoder.set(wDec.subarray(row * width, (row + 1) * width), i * width));
        if (rescaleByDecoderNorm) toUnitRows(decoder, width);
        const found = Math.min(count, to - from);
        const parts = engine.tidy(() => {
          const logits = K.matMul(engine.tensor(decoder, [mine.length, width]), toward, { transposeB: true });
          return [logits, K.sub(K.scalar(0), logits)].map((x) => {
            const [value, index] = K.topK(x, found);
            return { value: engine.floats(value), index: engine.ints(index) };
          });
        });
        keepLargest(top, count, first, parts[0].index, parts[0].value, found, from, 1);
        keepLargest(bottom, count, first, parts[1].index, parts[1].value, found, from, -1);
        stopIfInterrupted(STOPPED);
        await breathe();
      }
    } finally {
      engine.free(toward);
    }
    told(to);
  }
  return { top, bottom, head: head! };
}

/** Such an SAE decodes by v ÷ ‖row‖ · row. */
function toUnitRows(rows: Float32Array, width: number): void {
  for (let at = 0; at < rows.length; at += width) {
    const row = rows.subarray(at, at + width);
    const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    if (norm) for (let i = 0; i < width; i++) row[i] /= norm;
  }
}
