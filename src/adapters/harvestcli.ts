import { parseArgs } from "node:util";
import { InterruptError, OptionError } from "../core/errors";
import { expandHooks } from "../core/hooktable";
import type { Progress, StoreManifest } from "../core/types";
import { harvest, harvestPart, type HarvestOptions } from "./harvest";
import { mergeStores } from "./merge";
import { deviceNamed, tellDevice } from "./ondevice";
import { openModel } from "./open";
import { progressBar, progressText } from "./progressbar";
import { openStore } from "./store";
import { partFolders, readState, type PartManifest } from "./storestate";
import { readTexts } from "./texts";
import { isPlace } from "./tracecli";

export const HARVEST_USAGE = `  saelab harvest MODEL TEXTS          activations of a model's hooks over texts, one row a token, on disk
      --hooks A,B --out DIR           such as layers.10,layers.*.mlp; a run that was stopped goes on in its folder
      --dtype F16                     half the disk (F32)
      --context N                     tokens of a window (512); longest document with --whole
      --whole                         documents are not cut; --too-long error, skip or cut
      --chat, --system TEXT           each text is a user's message in the model's chat format
      --mask prompt                   no rows of prompts: JSONL with "prompt", the UTF-16 offset where an answer begins
      --fields A,B                    what makes the text of a JSONL line (text, or question and answer)
      --limit N                       the first N documents
      --keep-first, --drop-norm X     attention sinks: keep first positions (dropped); over X × the median norm (10), or none
      --batch-tokens N, --shard-rows N, --threads N
      --device auto                   cuda, webgpu or cpu
      --shard I/N                     what worker I of N does, I from 0 to N - 1, in DIR/part-I-of-N
      --no-resume                     make everything again
  saelab merge OUT [PART…]            one store out of all parts (those in OUT); --keep leaves the parts where they are
`;

/** Exit codes: as a shell gives them for a program that a signal ended. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * `saelab harvest MODEL TEXTS --hooks … --out …`. Progress goes to stderr, one line about what was made to stdout. A signal stops it
 * within a batch, whole shards kept; a second one at once.
 * @returns exit code: 0, or 130 and 143 when SIGINT and SIGTERM stopped it
 * @throws OptionError, and what readTexts, openModel and harvest throw
 */
export async function harvestCommand(args: string[]): Promise<number> {
  const { values, positionals } = parsed("harvest", args, {
    hooks: { type: "string" }, out: { type: "string" }, dtype: { type: "string" }, context: { type: "string" }, whole: { type: "boolean" },
    "too-long": { type: "string" }, chat: { type: "boolean" }, system: { type: "string" }, mask: { type: "string" },
    fields: { type: "string" }, limit: { type: "string" }, "keep-first": { type: "boolean" }, "drop-norm": { type: "string" },
    "batch-tokens": { type: "string" }, "shard-rows": { type: "string" }, threads: { type: "string" }, shard: { type: "string" }, device: { type: "string" },
    "no-resume": { type: "boolean" },
  });
  const [source, texts, ...more] = positionals;
  if (!source || !texts || more.length) {
    throw new OptionError(`harvest: expected MODEL and TEXTS, found ${positionals.join(" ") || "neither"}: saelab harvest MODEL TEXTS --hooks A,B --out DIR.`);
  }
  for (const name of ["hooks", "out"] as const) if (!values[name]) throw new OptionError(`--${name}: expected it, found none: saelab harvest MODEL TEXTS --hooks A,B --out DIR.`);
  const count = (name: "context" | "batch-tokens" | "shard-rows" | "threads" | "limit"): number | undefined => {
    const value = values[name];
    if (value === undefined) return undefined;
    if (/^[1-9]\d{0,14}$/.test(value)) return Number(value);
    throw new OptionError(`--${name}: expected a whole number from 1, found ${value}.`);
  };
  const part = values.shard === undefined ? undefined : shardOf(values.shard);
  const dropNorm = values["drop-norm"];
  if (dropNorm !== undefined && dropNorm !== "none" && !/^\d+(\.\d+)?$/.test(dropNorm)) throw new OptionError(`--drop-norm: expected a number over 1, or none, found ${dropNorm}.`);
  const options: HarvestOptions = {
    hooks: list(values.hooks!),
    folder: values.out,
    dtype: values.dtype as HarvestOptions["dtype"],
    cut: values.whole ? "whole" : undefined,
    tooLong: values["too-long"] as HarvestOptions["tooLong"],
    context: count("context"),
    chat: values.system !== undefined ? { system: values.system } : values.chat,
    mask: values.mask as HarvestOptions["mask"],
    batchTokens: count("batch-tokens"),
    shardRows: count("shard-rows"),
    dropFirst: !values["keep-first"],
    dropNorm: dropNorm === undefined ? undefined : dropNorm === "none" ? false : Number(dropNorm),
    resume: !values["no-resume"],
    progress: lines(),
  };
  const [limit, threads] = [count("limit"), count("threads")];
  return untilSignal(async () => {
    const documents = (await readTexts(texts, { fields: values.fields === undefined ? undefined : list(values.fields) })).slice(0, limit);
    const model = await openModel(source, { ...(threads ? { threads } : {}), device: deviceNamed(values.device) });
    try {
      tellDevice(model);
      const begun = Date.now();
      const hooks = expandHooks(options.hooks, model.hooks(), model.layers, (name) => isPlace(model, name));
      const made = part ? await harvestPart(model, documents, { ...options, hooks, part }) : await harvest(model, documents, { ...options, hooks });
      console.log(summary(made.path, made.manifest, (Date.now() - begun) / 1000));
      if ("close" in made) made.close();
    } finally {
      await model.close();
    }
  });
}

/** `saelab merge OUT [PART…]`. @returns and @throws as {@link harvestCommand}, with mergeStores */
export async function mergeCommand(args: string[]): Promise<number> {
  const { values, positionals: [out, ...parts] } = parsed("merge", args, { keep: { type: "boolean" } });
  if (!out) throw new OptionError("merge: expected a folder for the store, found none: saelab merge OUT [PART…].");
  const found = parts.length ? parts : partFolders(out);
  if (!found.length && readState(out).kind !== "finished") throw new OptionError(`merge: expected parts in ${out}, as saelab harvest --shard makes them, found none. Name their folders: saelab merge OUT PART….`);
  return untilSignal(async () => {
    const begun = Date.now();
    const store = found.length ? await mergeStores(found, out, { keep: values.keep, progress: lines() }) : await openStore(out); // merged before
    console.log(summary(store.path, store.manifest, (Date.now() - begun) / 1000));
    store.close();
  });
}

/** parseArgs, with its complaints as ours. */
export function parsed<Options extends NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>["options"]>>(verb: string, args: string[], options: Options) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    // of an unknown option Node also says how to pass it as a file's name, which nobody meant
    const found = (error as Error).message.split(". ")[0].replace(/\.$/, "");
    throw new OptionError(`${verb}: expected the options ${Object.keys(options).map((name) => `--${name}`).join(", ")}, found: ${found}. saelab ${verb} --help says what they mean.`);
  }
}

export const list = (words: string): string[] => words.split(",").map((word) => word.trim()).filter(Boolean);

function shardOf(text: string): { index: number; of: number } {
  const [, index, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(text)?.map(Number) ?? [];
  if (index < of) return { index, of };
  throw new OptionError(`--shard: expected I/N with I from 0 to N - 1, as 0/16 to 15/16, found ${text}.`);
}

/** Runs work that reads the interrupt flag, and sets the flag when a signal comes. */
export async function untilSignal(work: () => Promise<void>): Promise<number> {
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  let code = 0;
  const stop = (signal: NodeJS.Signals): void => {
    const next = SIGNALS[signal as keyof typeof SIGNALS];
    if (code) process.exit(next); // asked twice: what is whole on disk stays so
    code = next;
    flag.requested = true;
    process.stderr.write("\nStopping after this batch; once more to stop at once.\n");
  };
  const signals = Object.keys(SIGNALS) as NodeJS.Signals[];
  for (const signal of signals) process.on(signal, stop);
  try {
    await work();
    return 0; // done before the signal was read
  } catch (error) {
    if (!(error instanceof InterruptError)) throw error;
    process.stderr.write(`saelab: ${error.message}\n`);
    return code;
  } finally {
    for (const signal of signals) process.off(signal, stop);
    flag.requested = false;
  }
}

const PAUSE = 10; // seconds between two lines of a log

/** One line that is written over on a terminal; else a line every ten seconds and at the end of each stage. */
export function lines(): Progress {
  if (process.stderr.isTTY) return progressBar();
  const stages = new Map<string, { begun: number; told: number }>();
  return (state) => {
    const now = Date.now() / 1000;
    const stage = stages.get(state.stage) ?? { begun: now, told: now };
    stages.set(state.stage, stage);
    if (state.done < state.total && now - stage.told < PAUSE) return;
    stage.told = now;
    process.stderr.write(`${progressText([{ state, begun: stage.begun, seconds: now - stage.begun }])}\n`);
  };
}

const number = (n: number): string => n.toLocaleString("en");

/** "acts: 9,120 rows of layers.1 (48) from 10,034 tokens of 300 documents, F16, 3 shards, 1.2 MB; dropped: 310 first, 4 norm; 12.3 s" */
function summary(path: string, manifest: StoreManifest | PartManifest, seconds: number): string {
  const { hooks, texts, dtype } = manifest;
  const shards = manifest.shards.filter((shard) => shard !== null);
  const sum = (of: (shard: (typeof shards)[number]) => number): number => shards.reduce((all, shard) => all + of(shard), 0);
  const dropped = "dropped" in manifest ? Object.entries(manifest.dropped).filter(([, count]) => count) : [];
  return [
    `${path}: ${"part" in manifest ? `part ${manifest.part.index} of ${manifest.part.of}, ` : ""}${number(sum(({ rows }) => rows))} rows of ` +
    `${hooks.map(({ name, width }) => `${name} (${width})`).join(", ")} from ${number(texts.tokens)} tokens of ${number(texts.documents)} documents, ` +
    `${dtype}, ${number(shards.length)} ${shards.length === 1 ? "shard" : "shards"}, ${number(Math.round(sum(({ bytes }) => bytes) / 1e5) / 10)} MB`,
    ...(dropped.length ? [`dropped: ${dropped.map(([why, count]) => `${number(count)} ${why}`).join(", ")}`] : []),
    ...("part" in manifest && !shards.length ? ["nothing is left for this part: there are fewer shards than parts, --shard-rows makes them smaller (for all parts)"] : []),
    `${seconds.toFixed(1)} s`,
  ].join("; ");
}
