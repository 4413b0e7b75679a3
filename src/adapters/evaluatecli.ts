import { basename, normalize } from "node:path";
import type { CheckpointFormat } from "../core/checkpoint";
import { OptionError } from "../core/errors";
import type { Split } from "../core/evaluationtable";
import type { Model, Sae } from "../core/types";
import { compareSaes, comparison, type Comparison } from "./compare";
import { evaluate, type EvaluateOptions, type Evaluation } from "./evaluate";
import { lines, parsed, untilSignal } from "./harvestcli";
import { loadSae } from "./loadsae";
import { openModel } from "./open";
import { sparseProbing } from "./probe";
import { DISPLAY } from "./show";
import { openStore } from "./store";
import { readTexts } from "./texts";

export const EVALUATE_USAGE = `  saelab evaluate SAE… --store STORE  FVU, cosine, L0, dead and dense latents … on the rows of a store; of several SAEs a table
      --hook NAME, --target NAME      where it reads; what a transcoder predicts
      --split train                   rows of held-out documents (heldout), of others, or all; --rows N the first N of them
      --model MODEL                   also splices the reconstruction into the model: loss recovered, KL
      --documents TEXTS               texts for that (the store's documents); --tokens N at most so many (8192); --threads N
      --probe                         also k-sparse probes of the labels of the store's documents
      --json, --csv                   instead of a table; --format NAME, --offline as for encode
`;

/**
 * `saelab evaluate SAE… --store …`. Progress goes to stderr, the table (or JSON, CSV) to stdout.
 * @returns exit code: 0, or 130 and 143 when SIGINT and SIGTERM stopped it
 * @throws OptionError, and what openStore, loadSae, openModel, evaluate and sparseProbing throw
 */
export async function evaluateCommand(args: string[], print: (text: string) => void = console.log): Promise<number> {
  const usage = "saelab evaluate SAE… --store STORE";
  const { values, positionals: sources } = parsed("evaluate", args, {
    store: { type: "string" }, hook: { type: "string" }, target: { type: "string" }, split: { type: "string" }, rows: { type: "string" }, model: { type: "string" }, documents: { type: "string" },
    tokens: { type: "string" }, threads: { type: "string" }, probe: { type: "boolean" }, json: { type: "boolean" }, csv: { type: "boolean" }, format: { type: "string" }, offline: { type: "boolean" },
  });
  if (!sources.length) throw new OptionError(`evaluate: expected an SAE, found none: ${usage}.`);
  if (!values.store) throw new OptionError(`--store: expected it, found none: ${usage}.`);
  if (values.json && values.csv) throw new OptionError("evaluate: expected --json or --csv, found both.");
  if (values.probe && values.csv) throw new OptionError("--csv: expected it without --probe, whose latents need --json.");
  const whole = (name: "rows" | "tokens" | "threads"): number | undefined => {
    const value = values[name];
    if (value === undefined || /^[1-9]\d{0,14}$/.test(value)) return value === undefined ? undefined : Number(value);
    throw new OptionError(`--${name}: expected a whole number from 1, found ${value}.`);
  };
  for (const name of ["documents", "tokens", "threads"] as const) if (values[name] !== undefined && !values.model) throw new OptionError(`--${name}: expected --model beside it, found none.`);
  const threads = whole("threads"), progress = lines();
  const options: EvaluateOptions = { hook: values.hook, target: values.target, split: values.split as Split | undefined, rows: whole("rows"), tokens: whole("tokens"), progress };
  const names = namesOf(sources);
  return untilSignal(async () => {
    const store = await openStore(values.store!);
    let model: Model | undefined;
    try {
      const saes: Record<string, Sae> = {};
      for (const [i, source] of sources.entries()) saes[names[i]] = await loadSae(source, { hook: values.hook, format: values.format as CheckpointFormat | undefined, offline: values.offline });
      const documents = values.documents === undefined ? undefined : await readTexts(values.documents);
      if (values.model) model = await openModel(values.model, threads ? { threads } : {});
      const found = sources.length === 1 ? await evaluate(saes[names[0]], store, { ...options, model, documents }) : await compareSaes(saes, store, { ...options, model, documents });
      const probes: Record<string, Awaited<ReturnType<typeof sparseProbing>>> = {};
      if (values.probe) for (const [name, sae] of Object.entries(saes)) probes[name] = await sparseProbing(sae, store, { hook: values.hook, progress });
      const shown = async (): Promise<string> => ((await found[DISPLAY]()) as Record<string, string>)["text/plain"];
      if (values.json) print(JSON.stringify(plainResults(names, found, probes), null, 1));
      else if (values.csv) print(("csv" in found ? found : comparison({ [names[0]]: found })).csv().trimEnd());
      else print([await shown(), ...Object.entries(probes).map(([name, one]) => `\n${names.length > 1 ? `${name}\n` : ""}${(one[DISPLAY]() as Record<string, string>)["text/plain"]}`)].join("\n"));
    } finally {
      await model?.close();
      store.close();
    }
  });
}

/** One object for each SAE. */
function plainResults(names: string[], found: Evaluation | Comparison, probes: Record<string, { labels: unknown }>): unknown {
  const rows = "csv" in found ? found.rows : [{ name: names[0], ...found }];
  const plain = rows.map((row) => ({ ...row, density: undefined /* F numbers; the histogram says it */, ...(probes[row.name] ? { probes: probes[row.name].labels } : {}) }));
  return "csv" in found ? plain : plain[0];
}

/** Last parts of the paths, as long as they need to be to differ. */
export function namesOf(sources: string[]): string[] {
  const parts = sources.map((source) => normalize(source).split("/").filter(Boolean));
  for (let depth = 1; ; depth++) {
    const names = parts.map((part) => part.slice(-depth).join("/"));
    if (new Set(names).size === names.length) return names;
    if (parts.every((part) => part.length <= depth)) return sources.map((source, i) => `${basename(source)} (${i + 1})`);
  }
}
