import { OptionError } from "../core/errors";
import { paretoFigure, type Measure } from "../core/evaluationplot";
import { comparedColumns, comparisonCsv, comparisonTable, type ComparedSae } from "../core/evaluationtable";
import type { Sae, Store } from "../core/types";
import { measureRows, planRows, planSplice, type EvaluateOptions, type Evaluation } from "./evaluate";
import { writeAtomic } from "./files";
import { plotted } from "./plots";
import { showing, type Shown, type ShownNow } from "./show";
import { spliceLosses } from "./spliceloss";
import { dataFrame, tableBundle, type DataFrame } from "./table";

/** Many SAEs side by side: their measures on the same rows, and in the same model. */

/** What can be sorted by and plotted. */
export type ComparedMeasure =
  | "latents" | "l0" | "l1" | "fvu" | "explainedVariance" | "explainedVarianceLegacy" | "mse" | "cosine" | "l2Ratio" | "relativeReconstructionBias" | "dead" | "dense"
  | "lossRecovered" | "klRecovered" | "lossRecoveredOverMean" | "klRecoveredOverMean" | "lossSae" | "klSae";

export interface Comparison extends ShownNow {
  /** An SAE each, with all that evaluate found. */
  rows: (ComparedSae & Pick<Evaluation, "histogram">)[];
  /** The same in another order: by a measure, the best first where one end of it is better, else the smallest; `descending` turns it round. What is not defined comes last. */
  sort(by: ComparedMeasure | "name", options?: { descending?: boolean }): Comparison;
  /** One row an SAE, all measures, as a danfojs DataFrame. */
  table(): DataFrame;
  /** The same as text; numbers in full. */
  csv(): string;
  json(): string;
  /** Writes csv() or json(), by the file's ending. @throws OptionError for another one, DiskError */
  save(file: string): Promise<void>;
  /**
   * Two measures against each other, the Pareto front drawn: L0 against FVU, or against the loss recovered where it is known.
   * @returns shows itself as `application/vnd.plotly.v1+json`, `image/png`, HTML with that picture, and a sentence
   */
  pareto(options?: { x?: ComparedMeasure; y?: ComparedMeasure }): Shown;
}

const MEASURES: Record<ComparedMeasure, { label: string; better?: Measure["better"] }> = {
  latents: { label: "latents" }, l0: { label: "L0", better: "less" }, l1: { label: "L1", better: "less" }, fvu: { label: "FVU", better: "less" },
  explainedVariance: { label: "explained variance", better: "more" }, explainedVarianceLegacy: { label: "explained variance (legacy)", better: "more" }, mse: { label: "MSE", better: "less" },
  cosine: { label: "cosine", better: "more" }, l2Ratio: { label: "L2 ratio" }, relativeReconstructionBias: { label: "relative bias" },
  dead: { label: "dead latents", better: "less" }, dense: { label: "dense latents", better: "less" },
  lossRecovered: { label: "loss recovered", better: "more" }, klRecovered: { label: "KL recovered", better: "more" },
  lossRecoveredOverMean: { label: "loss recovered over the mean row", better: "more" }, klRecoveredOverMean: { label: "KL recovered over the mean row", better: "more" },
  lossSae: { label: "cross-entropy, nats", better: "less" }, klSae: { label: "KL, nats", better: "less" },
};

const valueOf = (row: ComparedSae, name: string): number | string => comparedColumns([row]).find((column) => column.name === name)?.of(row) ?? NaN;

/** Evaluations that were made before, by name, as one comparison. @throws OptionError without any */
export function comparison(evaluations: Record<string, Evaluation>): Comparison {
  const rows = Object.entries(evaluations).map(([name, { hook, target, kind, latents, splice, histogram, density: _, split: __, ...measures }]) => ({
    name, hook, ...(target ? { target } : {}), kind, latents, ...measures, ...(splice ? { splice: { ...splice } } : {}), histogram,
  }));
  if (!rows.length) throw new OptionError("comparison: expected at least one evaluation, found none.");
  return comparisonOf(rows);
}

function comparisonOf(rows: Comparison["rows"]): Comparison {
  const measure = (name: ComparedMeasure): { label: string; better?: Measure["better"] } => {
    if (!(name in MEASURES)) throw new OptionError(`comparison: expected one of the measures ${Object.keys(MEASURES).join(", ")}, found ${JSON.stringify(name)}.`);
    return MEASURES[name];
  };
  const columns = comparedColumns(rows);
  const json = (): string => `${JSON.stringify(rows, null, 1)}\n`;
  return showing<Omit<Comparison, keyof ShownNow>>({
    rows,
    sort(by, { descending = false } = {}) {
      const turn = (by !== "name" && measure(by).better === "more") !== descending ? -1 : 1;
      const known = (value: number | string): boolean => typeof value === "string" || Number.isFinite(value);
      const sorted = [...rows].sort((a, b) => {
        const [p, q] = [valueOf(a, by), valueOf(b, by)];
        return known(p) && known(q) ? turn * (p < q ? -1 : p > q ? 1 : 0) : Number(known(q)) - Number(known(p));
      });
      return comparisonOf(sorted);
    },
    table: () => dataFrame(rows.map((row) => columns.map(({ of }) => of(row))), columns.map(({ name }) => name)),
    csv: () => comparisonCsv(rows),
    json,
    async save(file) {
      const ending = /\.(csv|json)$/i.exec(file)?.[1].toLowerCase();
      if (!ending) throw new OptionError(`save: expected a file that ends in .csv or .json, found ${file}.`);
      await writeAtomic(file, [ending === "csv" ? comparisonCsv(rows) : json()]);
    },
    pareto({ x = "l0", y = rows.some(({ splice }) => Number.isFinite(splice?.lossRecovered)) ? "lossRecovered" : "fvu" } = {}) {
      const [across, up] = [measure(x), measure(y)].map(({ label, better = "less" }): Measure => ({ label, better }));
      const points = rows.map((row) => ({ name: row.name, kind: row.kind, x: Number(valueOf(row, x)), y: Number(valueOf(row, y)) }));
      if (!points.some((point) => Number.isFinite(point.x) && Number.isFinite(point.y))) {
        throw new OptionError(`pareto: expected an SAE with ${across.label} and ${up.label}, found none. Losses and KL need the model: compareSaes(saes, store, { model }).`);
      }
      return plotted(paretoFigure(points, across, up));
    },
  }, () => tableBundle(comparisonTable(rows))) as Comparison;
}

/** An SAE to be compared, with its own places where the common ones do not fit. */
export type SaeToCompare = Sae | { sae: Sae; hook?: string; target?: string };

/**
 * Evaluates several SAEs on the same rows; with `model` also in the model, where the passes without an SAE are made once for all.
 * @param saes by name; each reads its own hook where the store has it
 * @param options as of evaluate; `target` is for the transcoders among them
 * @returns a table that sorts, plots and saves itself
 * @throws OptionError naming the SAE that does not fit, before any of them is measured; what evaluate throws
 */
export async function compareSaes(saes: Record<string, SaeToCompare>, store: Store, options: EvaluateOptions = {}): Promise<Comparison> {
  const list = Object.entries(saes).map(([name, one]) => ({ name, ...("sae" in one ? one : { sae: one }) }));
  if (!list.length) throw new OptionError("compareSaes: expected at least one SAE, found none: compareSaes({ a, b }, store).");
  const plans = list.map(({ name, sae, hook = options.hook, target = sae.weights.transcoder ? options.target : undefined }) => {
    try {
      return planRows(sae, store, { ...options, hook, target });
    } catch (error) {
      throw error instanceof OptionError ? new OptionError(`compareSaes: "${name}": ${error.message}`) : error;
    }
  });
  const splicing = await planSplice(plans, store, options);
  const found: Record<string, Evaluation> = {};
  for (const [i, { name }] of list.entries()) found[name] = await measureRows(plans[i], store, options, `evaluate ${name}`);
  if (splicing) (await spliceLosses(splicing.model, splicing.spliced, splicing.texts, options)).forEach((splice, i) => (found[list[i].name] = { ...found[list[i].name], splice }));
  return comparison(found);
}
