import { join } from "node:path";
import { planBatches, planShards } from "../core/batches";
import { OptionError } from "../core/errors";
import { closeGaps, keptRows } from "../core/sinks";
import type { Document, Model, Origin, Progress, Sae } from "../core/types";
import type { RowPiece, RowsToCollect } from "./collectrows";
import { PIECE_ROWS } from "./codes";
import { formatted, noRows, planContexts, tokenize } from "./contexts";
import { documentPieces, writeTokens, type HarvestOptions } from "./harvest";
import { checkDocuments, checkSettings, findHooks, identityOf } from "./harvestsettings";
import { writeAtomic } from "./files";
import { limitsOf } from "./liverows";
import { stopIfInterrupted } from "./interrupt";
import { checkedNorms, eachContext, passes, type Reading } from "./passes";
import { defaultProgress } from "./progressbar";
import { originsOf, placesOf } from "./shards";
import { DOCUMENTS, TOKENS } from "./storestate";

/** How a model reads texts: options of a harvest. */
export type ReadingOptions = Pick<HarvestOptions, "cut" | "context" | "tooLong" | "chat" | "mask" | "batchTokens" | "dropFirst" | "dropNorm">;

/** What of the options of a collection is about the model. */
interface ModelOptions {
  documents?: Document[];
  reading?: ReadingOptions;
  hook?: string;
  shardRows?: number;
  split?: string;
  append?: unknown;
  progress?: Progress;
}

/**
 * Rows of a running model at the hooks of some SAEs: contexts, batches, order and what is dropped are those of a harvest with the same
 * options (the norm limits are read from a sample beforehand). No row is kept.
 * @throws HookError, OptionError, TextError before the model runs
 */
export async function modelToCollect(model: Model, saes: Sae[], options: ModelOptions): Promise<RowsToCollect> {
  const { documents: given, reading: readingOptions, split = "all", append, progress = defaultProgress() } = options;
  if (!given) throw new OptionError(`${model.source}: documents: expected texts for the model to read, found none. collect(model, sae, { documents: await readTexts(path) }).`);
  if (split !== "all") throw new OptionError(`${model.source}: split: expected "all" of what a model reads, found "${split}". Give the documents of that side.`);
  if (append !== undefined) throw new OptionError(`${model.source}: append: expected a store to collect from, found a running model. Harvest all documents, and collect from the store.`);
  const hookOf = (sae: Sae, asked?: string): string => {
    const hook = asked ?? sae.hook;
    if (hook === undefined) throw new OptionError(`${model.source}: hook: expected where the SAE reads, found none. collect(model, sae, { documents, hook: "layers.${model.layers >> 1}" }).`);
    return model.hook(hook).name;
  };
  const names = [...new Set(saes.map((sae) => hookOf(sae, options.hook)))];
  const hooks = findHooks(model, names);
  const settings = checkSettings(model, hooks, { ...readingOptions, hooks: names, ...(options.shardRows === undefined ? {} : { shardRows: options.shardRows }) });
  checkDocuments(given, settings);
  const documents: Document[] = settings.chat ? await formatted(model, given, settings.chat, progress) : given;
  const identity = await identityOf(model, hooks, settings, "F32", documents);
  const tokens = await tokenize(model, documents, progress);
  const { contexts, unread } = planContexts(model, documents, tokens, settings);
  const plans = planShards(contexts, settings.shardRows);
  const reading: Reading = { documents, tokens, contexts };
  const places = placesOf(contexts, plans);
  const starts = [0];
  for (const plan of plans) starts.push(starts.at(-1)! + plan.tokens);
  const total = starts.at(-1)!;
  let normLimits: (number | null)[] | undefined;
  let rows = 0;
  const widths = new Map(hooks.map(({ name, width }) => [name, width]));

  async function* read(wanted: string[], from: number): AsyncGenerator<RowPiece> {
    normLimits ??= await limitsOf(model, hooks, reading, settings, progress);
    const jobs = plans.flatMap((plan, shard) => (shard < from ? [] : planBatches(contexts, plan, settings.batchTokens).map((batch) => ({ shard, batch }))));
    const capacity = plans.reduce((most, plan) => Math.max(most, plan.tokens), 0);
    const x = hooks.map(({ width }) => new Float32Array(capacity * width));
    const norms = hooks.map(() => new Float64Array(capacity));
    const dropped = { first: 0, norm: 0, ...unread };
    let job = 0;
    for await (const { shard, batch, result } of passes(model, hooks, jobs, reading)) {
      hooks.forEach((hook, h) => eachContext(contexts, batch, result[hook.name], hook, (i, piece) => {
        checkedNorms(reading, hook, i, piece, norms[h].subarray(places[i]));
        x[h].set(piece, places[i] * hook.width);
      }));
      if (jobs[++job]?.shard === shard) {
        stopIfInterrupted(shard ? `${shard} shards of codes are kept: collect again to go on.` : "Nothing of this collection was kept: collect again.");
        continue;
      }
      const { firsts, prompts, origin } = originsOf(reading, plans[shard], places, settings);
      const { runs, dropped: here } = keptRows(norms, normLimits, firsts, settings.dropFirst, prompts);
      for (const [reason, count] of Object.entries(here)) dropped[reason as "first"] = (dropped[reason as "first"] ?? 0) + (count ?? 0);
      const kept = hooks.map(({ width }, h) => closeGaps(x[h].subarray(0, plans[shard].tokens * width), width, runs));
      const [document, position, token] = [origin.document, origin.position, origin.token].map((all) => closeGaps(all, 1, runs));
      const n = document.length;
      rows += n;
      if (job === jobs.length && !rows) throw noRows(total, dropped);
      for (let at = 0; at < n || at === 0; at += PIECE_ROWS) {
        const to = Math.min(n, at + PIECE_ROWS);
        const some = new Map(hooks.flatMap(({ name, width }, h) => (wanted.includes(name) ? [[name, kept[h].slice(at * width, to * width)] as const] : [])));
        const where: Origin = { document: document.slice(at, to), position: position.slice(at, to), token: token.slice(at, to) };
        yield { shard, last: to === n, n: to - at, x: some, origin: where, done: to === n ? starts[shard + 1] : starts[shard] + to };
      }
    }
  }

  return {
    name: model.source,
    hookOf,
    width: (hook) => widths.get(hook)!,
    facts: (hook) => ({
      model: identity.model.sha256,
      texts: identity.texts.sha256,
      rows,
      width: widths.get(hook)!,
      settings: JSON.parse(JSON.stringify({ ...identity.settings, hooks: names, ...(normLimits && { normLimits }) })) as Record<string, unknown>,
    }),
    documents: documents.length,
    shards: plans.length,
    shardRows: plans.reduce((most, plan) => Math.max(most, plan.tokens), 0),
    most: total,
    unit: "tokens",
    total,
    before: (shard) => starts[shard],
    goOn(manifests) {
      normLimits = manifests.map(({ store }) => store.settings.normLimits).find(Array.isArray) as (number | null)[] | undefined;
      for (const { shards } of manifests) rows = Math.max(rows, shards.reduce((sum, shard) => sum + shard.rows, 0));
    },
    read,
    texts: {
      documents: () => documents,
      tokens: (document) => tokens[document],
      tokenizer: model.tokenizer,
    },
    async keepTexts(folder) {
      await writeAtomic(join(folder, DOCUMENTS), documentPieces(documents));
      await writeTokens(join(folder, TOKENS), tokens, tokens.reduce((sum, { ids }) => sum + ids.length, 0));
    },
  };
}

