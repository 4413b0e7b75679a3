import { OptionError } from "../core/errors";
import { promptCounts, promptTable, spreadOf, type Few, type PromptFeature, type Spread } from "../core/promptstatistics";
import { visible } from "../core/token";
import type { Progress } from "../core/types";
import { eachRows } from "./featurerows";
import type { Features } from "./features";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { DISPLAY, showing, type ShownNow } from "./show";
import { notedBundle } from "./table";

export interface PromptOptions {
  most?: number; // 10: the strongest latents of a prompt, by their maximum in it
  few?: Partial<Few>; // { bits: 3, tokens: 10 }: entropy and distinct tokens up to which a latent follows few tokens
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface PromptOrder {
  by?: "topIn" | "prompts" | "max"; // "topIn": the number of prompts in which it is among the strongest; in how many it fires; its maximum
  spread?: Spread; // all
  count?: number; // 20
}

export interface PromptStatistics extends ShownNow {
  /** Documents that were counted. */
  documents: number;
  prompts: Int32Array; // [F] in which it fires
  topIn: Int32Array; // [F] in which it is among the strongest
  /** Largest first, ties by latent; shows itself as a table. */
  top(order?: PromptOrder): PromptFeature[] & ShownNow;
  /** Keeps them in the family: columns "prompts", "top in prompts", "spread" of `features.table()`. */
  keep(): Promise<void>;
}

const ORDERS: Record<NonNullable<PromptOrder["by"]>, string> = { topIn: "the number of prompts in which each is among the strongest", prompts: "the number of prompts in which each fires", max: "maximum" };

/**
 * In how many prompts (documents) each latent fires, and in how many its maximum is among the largest; whether it follows a few tokens or
 * many, by entropy and distinct tokens.
 * @returns shows itself as `application/vnd.saelab.table.v1+json`, HTML and text
 * @throws OptionError; StoreError if the store is gone; InterruptError
 */
export async function promptStatistics(features: Features, options: PromptOptions = {}): Promise<PromptStatistics> {
  const { most = 10, progress = defaultProgress() } = options;
  const few: Few = { bits: 3, tokens: 10, ...options.few };
  if (!Number.isSafeInteger(most) || most < 1) throw new OptionError(`promptStatistics: most: expected a whole number from 1 on, found ${most}. The default is 10.`);
  if (!(few.bits >= 0 && few.tokens >= 1)) throw new OptionError(`promptStatistics: few: expected { bits, tokens } above 0, found ${JSON.stringify(few)}. The default is { bits: 3, tokens: 10 }.`);
  const F = features.count;
  const sums = promptCounts(F, most);
  const told = meter("promptStatistics", features.rows, "rows", progress);
  await eachRows(features, await features.store(), "Nothing was kept: ask again.", (codes, { document }, done) => {
    sums.add(codes, document);
    told(done);
  });
  const { documents, prompts, topIn } = sums.finish();
  const { max, entropy, distinct } = features.statistics;
  const { fired } = features;
  const spread = (f: number): Spread => spreadOf(entropy[f], distinct[f], few);
  const spreads: Record<Spread, number> = { "few tokens": 0, "many tokens": 0, between: 0 };
  fired.forEach((n, f) => n && spreads[spread(f)]++);
  const top = (order: PromptOrder = {}): PromptFeature[] & ShownNow => {
    const { by = "topIn", count = 20 } = order;
    if (!(by in ORDERS)) throw new OptionError(`top: by: expected one of ${Object.keys(ORDERS).join(", ")}, found "${by}".`);
    if (order.spread !== undefined && !(order.spread in spreads)) throw new OptionError(`top: spread: expected one of ${Object.keys(spreads).join(", ")}, found "${order.spread}".`);
    if (!Number.isSafeInteger(count) || count < 1) throw new OptionError(`top: count: expected a whole number from 1 on, found ${count}.`);
    const value: ArrayLike<number> = { topIn, prompts, max }[by];
    const chosen = Int32Array.from(fired.keys()).filter((f) => fired[f] > 0 && (order.spread === undefined || spread(f) === order.spread));
    const list = Array.from(chosen.sort((f, g) => value[g] - value[f] || f - g).subarray(0, count), (latent): PromptFeature => ({
      latent,
      max: max[latent],
      prompts: prompts[latent],
      topIn: topIn[latent],
      entropy: entropy[latent],
      distinctTokens: distinct[latent],
      spread: spread(latent),
      tokens: features.feature(latent).triggers.map(({ text }) => visible(text).trim()).join(" "),
    }));
    const said = ORDERS[by] + (order.spread ? `, those of ${order.spread}` : "");
    return showing(list, () => notedBundle(promptTable({ features: list, spreads, documents, most, few, by: said })));
  };
  return showing<Omit<PromptStatistics, keyof ShownNow>>(
    {
      documents,
      prompts,
      topIn,
      top,
      async keep() {
        await features.setColumn("prompts", Float32Array.from(prompts));
        await features.setColumn("top in prompts", Float32Array.from(topIn));
        await features.setColumn("spread", Array.from(fired, (n, f) => (n ? spread(f) : undefined)));
      },
    },
    () => top()[DISPLAY](),
  ) as PromptStatistics;
}
