import type { TableView } from "./featuretable";
import { count, percent, short } from "./html";
import { DENSE, type Measures } from "./measure";
import type { SpliceMeasures } from "./spliceloss";

/** Evaluations in words: one SAE measure by measure, many of them row by row. */

export type Split = "heldout" | "train" | "all";

/** What `evaluate` finds, as far as tables show it. */
export interface EvaluationView extends Measures {
  /** Place whose rows were read, and of a transcoder the one that it predicts. */
  hook: string;
  target?: string;
  splice?: SpliceMeasures;
}

const share = (x: number): string => percent(x).replace("-", "−");
const OF: Record<Split, string> = { all: "", train: "training ", heldout: "held-out " };

/** An evaluation in words, measure by measure; says so when the SAE does not belong to these rows. */
export function evaluationTable(e: EvaluationView, split: Split, latents: number): TableView {
  const doubt = e.fvu >= 0.9 ? "No better than the mean row: suspect the hook, or the SAE; " : "";
  const bias = e.relativeReconstructionBias;
  const rows = [
    ["FVU", short(e.fvu), `${doubt}explains ${share(e.explainedVariance)} of the variance of ${count(e.rows)} ${OF[split]}rows of ${e.target ?? e.hook}.`],
    ["cosine", short(e.cosine), "of a row and its reconstruction, on average"],
    ["MSE", short(e.mse), `squared error of a row of mean norm ${short(e.l2NormIn)}`],
    ["L2 ratio", short(e.l2Ratio), `norm of the reconstruction over the row's; relative bias ${short(bias)}${bias < 0.95 ? ": it shrinks" : bias > 1.05 ? ": it overshoots" : ""}`],
    ["L0", short(e.l0), "latents active in a row, on average"],
    ["L1", short(e.l1), "sum of a row's latents, on average"],
    ["dead", share(e.dead), `of ${count(latents)} latents fire on none of these rows`],
    ["dense", share(e.dense), `fire on more than ${short(100 * DENSE).replace(/\.0$/, "")} % of them`],
    ...(e.splice ? spliceRows(e.splice) : []),
  ];
  return { columns: ["measure", "value", "what it says"], rows, total: rows.length, words: true };
}

function spliceRows(s: SpliceMeasures): string[][] {
  const { loss, kl } = s;
  const known = (x: number): string => (Number.isNaN(x) ? "not defined" : short(x));
  return [
    ["loss recovered", short(s.lossRecovered), Number.isNaN(s.lossRecovered)
      ? `not defined: with ${s.target} at zero the model foretells no worse (${short(loss.zero)} for ${short(loss.original)} nats)`
      : `of what setting ${s.target} to zero takes; over the mean row ${known(s.lossRecoveredOverMean)}`],
    ["cross-entropy", short(loss.sae), `nats a token; ${short(loss.original)} without the SAE, ${short(loss.zero)} with zero, ${short(loss.mean)} with the mean row; ${count(s.predicted)} tokens`],
    ["KL recovered", short(s.klRecovered), `of the divergence with zero; over the mean row ${known(s.klRecoveredOverMean)}`],
    ["KL", short(kl.sae), `nats a token from the model's own; ${short(kl.zero)} with zero, ${short(kl.mean)} with the mean row`],
  ];
}

/** The losses alone. */
export function spliceTable(s: SpliceMeasures): TableView {
  const rows = spliceRows(s);
  return { columns: ["measure", "value", "what it says"], rows, total: rows.length, words: true };
}

/** One SAE of a comparison: what it is, and its measures. */
export interface ComparedSae extends EvaluationView {
  name: string;
  /** How latents are chosen, such as "topk", "jumprelu transcoder". */
  kind: string;
  latents: number;
}

type Column = { name: string; of: (row: ComparedSae) => number | string };

/** All columns of a comparison, in order; those of the splice only where a model was there. */
const COMPARED: Column[] = [
  { name: "name", of: ({ name }) => name },
  { name: "hook", of: ({ hook, target }) => (target ? `${hook} → ${target}` : hook) },
  { name: "kind", of: ({ kind }) => kind },
  ...(["latents", "l0", "fvu", "explainedVariance", "explainedVarianceLegacy", "cosine", "mse", "l2Ratio", "relativeReconstructionBias", "l1", "dead", "dense", "rows"] as const).map((name): Column => ({ name, of: (row) => row[name] })),
];
const SPLICED: Column[] = [
  ...(["lossRecovered", "klRecovered", "lossRecoveredOverMean", "klRecoveredOverMean"] as const).map((name): Column => ({ name, of: ({ splice }) => splice?.[name] ?? NaN })),
  { name: "lossOriginal", of: ({ splice }) => splice?.loss.original ?? NaN },
  { name: "lossSae", of: ({ splice }) => splice?.loss.sae ?? NaN },
  { name: "klSae", of: ({ splice }) => splice?.kl.sae ?? NaN },
  { name: "predicted", of: ({ splice }) => splice?.predicted ?? 0 },
];

export const comparedColumns = (rows: ComparedSae[]): Column[] => (rows.some(({ splice }) => splice) ? [...COMPARED, ...SPLICED] : COMPARED);

/** What a cell shows of a comparison: the measures that one looks at first. */
export function comparisonTable(rows: ComparedSae[]): TableView {
  const spliced = rows.some(({ splice }) => splice);
  const hooks = new Set(rows.map(({ hook, target }) => `${hook} ${target}`)).size > 1;
  const columns = ["SAE", ...(hooks ? ["hook"] : []), "kind", "latents", "L0", "FVU", ...(spliced ? ["loss recovered", "KL, nats"] : []), "cosine", "L2 ratio", "dead", "dense"];
  return {
    columns,
    rows: rows.map((row) => [
      row.name, ...(hooks ? [row.target ? `${row.hook} → ${row.target}` : row.hook] : []), row.kind, row.latents, row.l0, row.fvu,
      ...(spliced ? [row.splice?.lossRecovered ?? null, row.splice?.kl.sae ?? null] : []), row.cosine, row.l2Ratio, percent(row.dead), percent(row.dense),
    ]),
    total: rows.length,
  };
}

/** Rows as CSV (RFC 4180): a header, full precision, what is not defined left empty. */
export function comparisonCsv(rows: ComparedSae[]): string {
  const columns = comparedColumns(rows);
  const cell = (value: number | string): string => (typeof value === "string" ? (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value) : Number.isFinite(value) ? String(value) : "");
  return `${[columns.map(({ name }) => name), ...rows.map((row) => columns.map(({ of }) => cell(of(row))))].map((line) => line.join(",")).join("\r\n")}\r\n`;
}
