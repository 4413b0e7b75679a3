import { OptionError, StoreError } from "../core/errors";
import { checkGroups, REASONING_WORDS, reasonSums, reasonTable, windowsOf, type ReasonScored, type WordWindow, type WordGroups } from "../core/reasonscore";
import type { Progress, Sae } from "../core/types";
import { eachRows } from "./featurerows";
import type { Features } from "./features";
import { requireLatents } from "./latents";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { DISPLAY, showing, type ShownNow } from "./show";
import { notedBundle } from "./table";

export interface ReasonOptions {
  groups?: WordGroups; // REASONING_WORDS: the ten of the paper
  alpha?: number; // 0.7: how much it counts that several groups are met
  window?: WordWindow; // [1, 2]: tokens to the left and to the right of a word
  decoderNorms?: ArrayLike<number> | Sae; // 1 each, as most trainers keep them: ‖W_dec row‖ of each latent, folded into its activation; of an SAE its own
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface ReasonScores extends ShownNow {
  scores: Float32Array; // [F]
  /** @throws OptionError for a latent that there is not */
  of(latent: number): ReasonScored;
  /** The largest (20), largest first; shows itself as a table. */
  top(options?: { count?: number }): ReasonScored[] & ShownNow;
  /** Keeps them in the family: column "ReasonScore" of `features.table()`. */
  keep(): Promise<void>;
}

const STOPPED = "No scores were kept: ask again.";

/**
 * ReasonScore of every latent (core/reasonscore has the equations): high for those that fire around several words of reasoning. Special
 * tokens (first and last of a text) do not count.
 * @returns shows itself as `application/vnd.saelab.table.v1+json`, HTML and text: the twenty largest
 * @throws OptionError; StoreError if none of the words occurs, or the store is gone; InterruptError
 * @see https://arxiv.org/abs/2503.18878
 */
export async function reasonScore(features: Features, options: ReasonOptions = {}): Promise<ReasonScores> {
  const { groups = REASONING_WORDS, alpha = 0.7, window = [1, 2], progress = defaultProgress() } = options;
  const given = options.decoderNorms;
  const decoderNorms = typeof given === "object" && "weights" in given ? normsOf(given) : given;
  checkGroups(groups);
  if (!(Number.isFinite(alpha) && alpha >= 0)) throw new OptionError(`reasonScore: alpha: expected a number from 0 on, found ${alpha}. The paper takes 0.7.`);
  if (!Array.isArray(window) || window.length !== 2 || window.some((n) => !Number.isSafeInteger(n) || n < 0))
    throw new OptionError(`reasonScore: window: expected two whole numbers, tokens to the left and to the right, found ${JSON.stringify(window)}. The paper takes [1, 2].`);
  const F = features.count;
  if (decoderNorms !== undefined) {
    const wrong = decoderNorms.length === F ? Array.prototype.find.call(decoderNorms, (norm: number) => !(Number.isFinite(norm) && norm >= 0)) : `${decoderNorms.length}`;
    if (wrong !== undefined) throw new OptionError(`reasonScore: decoderNorms: expected ${F} numbers from 0 on, one a latent, found ${wrong}. They are the lengths of W_dec's rows.`);
  }
  const names = Object.keys(groups);
  const texts = await features.texts();
  // of a running model its features keep where a token's text lies, and a special token has none
  const isSpecial = features.manifest.store.path === undefined ? () => false : (await features.store()).tokenizer.isSpecial;
  const [documents, masksOf, sums] = [texts.documents(), windowsOf(groups, window), reasonSums(F, names.length)];
  const told = meter("reasonScore", features.rows, "rows", progress);
  let held = -1;
  let masks = new Int32Array(0);
  await eachRows(features, STOPPED, (codes, { document, position, token }, done) => {
    sums.add(codes, Int32Array.from(document, (d, r) => {
      if (d !== held) {
        const tokens = texts.tokens((held = d));
        masks = masksOf(documents[d].text, tokens).map((mask, t) => (tokens.end[t] > tokens.start[t] ? mask : -1));
      }
      return isSpecial(token[r]) ? -1 : masks[position[r]];
    }));
    told(done);
  });
  const measures = sums.finish(alpha, decoderNorms);
  if (!measures.rows.inside)
    throw new StoreError(`${features.path}: expected texts in which some of the words occur (${names.join(", ")}), found none of them. Give words of these texts as { groups }.`);
  const of = (latent: number): ReasonScored => {
    requireLatents([latent], F, features.path);
    const shares = names.map((name, g): [string, number] => [name, measures.groups[latent * names.length + g]]);
    const all = shares.reduce((sum, [, mean]) => sum + mean, 0);
    return {
      latent,
      score: measures.scores[latent],
      inside: measures.inside[latent],
      outside: measures.outside[latent],
      entropy: measures.entropy[latent],
      groups: Object.fromEntries(shares.filter(([, mean]) => mean > 0).sort((a, b) => b[1] - a[1]).map(([name, mean]) => [name, mean / all])),
    };
  };
  const top = ({ count = 20 }: { count?: number } = {}): ReasonScored[] & ShownNow => {
    if (!Number.isSafeInteger(count) || count < 1) throw new OptionError(`top: count: expected a whole number from 1 on, found ${count}.`);
    const { scores } = measures;
    const scored = Array.from(Int32Array.from(scores.keys()).sort((f, g) => scores[g] - scores[f] || f - g).subarray(0, count), of);
    return showing(scored, () => notedBundle(reasonTable({ scored, latents: F, rows: measures.rows, groups: names, alpha, window, norms: decoderNorms !== undefined })));
  };
  return showing<Omit<ReasonScores, keyof ShownNow>>(
    { scores: measures.scores, of, top, keep: () => features.setColumn("ReasonScore", measures.scores) },
    () => top()[DISPLAY](),
  ) as ReasonScores;
}

/** Lengths of the decoder's rows; 1 of an SAE that divides by them when it decodes. */
function normsOf({ weights: { wDec, latents, rescaleByDecoderNorm } }: Sae): Float32Array {
  const width = wDec.length / latents;
  return Float32Array.from({ length: latents }, (_, f) => {
    let sum = 0;
    for (let i = f * width; i < (f + 1) * width; i++) sum += wDec[i] * wDec[i];
    return rescaleByDecoderNorm ? 1 : Math.sqrt(sum);
  });
}
