import { tableHtml, tableText, type TableView } from "./featuretable";
import { count, escapeHtml, percent, PLAIN, SANS, SMALL } from "./html";
import type { ProbeScore } from "./probe";

/** Sparse probes beside what they are held against. */

export interface SparseProbe {
  k: number;
  /** Latents chosen on training sentences, largest difference of means first, and their weights. */
  latents: number[];
  weights: number[];
  bias: number;
  train: ProbeScore;
  heldout: ProbeScore;
  /** As many latents drawn at random among those that fire on training sentences: mean held-out score of some draws. */
  random: ProbeScore;
}

export interface LabelProbes {
  label: string;
  positives: { train: number; heldout: number };
  /** Share of held-out sentences that carry the label: average precision of guessing. */
  baseRate: number;
  /** Held-out accuracy of always saying what is commoner in training. */
  majority: number;
  /** Logistic regression on the mean raw row, without an SAE: held-out score. */
  dense: ProbeScore;
  sparse: SparseProbe[];
}

export interface ProbesView {
  labels: LabelProbes[];
  /** Among how many latents those of a probe were chosen. */
  latents: number;
  train: { sentences: number; documents: number };
  heldout: { sentences: number; documents: number };
  draws: number;
  /** Labels that only one side of the split has both positives and others of. */
  leftOut: string[];
}

const COLUMNS = ["label", "probe", "accuracy", "AUROC", "average precision", "latents"];

/** A row for each probe of each label, and for what it is held against. */
export function probesTable({ labels }: ProbesView): TableView {
  const rows = labels.flatMap(({ label, majority, baseRate, dense, sparse }) => {
    const row = (what: string, { accuracy, auroc, averagePrecision }: ProbeScore, latents = ""): (string | number)[] => ["", what, accuracy, auroc, averagePrecision, latents];
    const list = [
      ...sparse.map(({ k, heldout, latents }) => row(k === 1 ? "1 latent" : `${k} latents`, heldout, latents.slice(0, 8).join(" ") + (latents.length > 8 ? " …" : ""))),
      ...sparse.slice(-1).map(({ k, random }) => row(`${k} random ${k === 1 ? "latent" : "latents"}`, random)),
      row("raw row", dense),
      row("majority", { accuracy: majority, auroc: 0.5, averagePrecision: baseRate }),
    ];
    list[0][0] = label;
    return list;
  });
  return { columns: COLUMNS, rows, total: rows.length };
}

/** What must be read with them. */
export function probeNotes({ labels, latents, train, heldout, draws, leftOut }: ProbesView): string[] {
  const reached = labels.filter(({ sparse }) => sparse.length && !(sparse.at(-1)!.heldout.auroc > sparse.at(-1)!.random.auroc)).map(({ label }) => label);
  const below = labels.filter(({ sparse, dense }) => sparse.every((probe) => probe.heldout.auroc < dense.auroc)).length;
  return [
    `Latents (of ${count(latents)}) and weights from ${count(train.sentences)} sentences of ${count(train.documents)} documents, scores on ${count(heldout.sentences)} of ${count(heldout.documents)} held-out ones; random latents: mean of ${draws} draws.`,
    ...(below ? [`The raw row tells ${below === labels.length ? "every label" : `${below} of ${labels.length} labels`} better than any of these probes: for detection take a probe on the row.`] : []),
    ...(reached.length ? [`⚠ Random latents do as well for ${reached.join(", ")}.`] : []),
    ...(leftOut.length ? [`Left out, as one side of the split has positives or others only: ${leftOut.join(", ")}.`] : []),
    `Base rates: ${labels.map(({ label, baseRate }) => `${label} ${percent(baseRate)}`).join(", ")}.`,
  ];
}

export const probesText = (view: ProbesView): string => [tableText(probesTable(view)), ...probeNotes(view)].join("\n");

export const probesHtml = (view: ProbesView): string =>
  `${tableHtml(probesTable(view))}<p class="${PLAIN}" style="font-family:${SANS};${SMALL};margin:0.3em 0 0">${probeNotes(view).map(escapeHtml).join("<br>")}</p>`;
