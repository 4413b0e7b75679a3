import { count, escapeHtml, MONO, padEnd, padStart, percent, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, shade, SMALL } from "./html";
import type { Pooling } from "./score";

/** Scores of labels as something to read: each latent beside what reaches it without an SAE. */

export type DetectorKind =
  "latent" | "keyword" | "random direction" | "position" | "length" | "text model" | "difference of means" | "probe";

export interface Detector {
  kind: DetectorKind;
  /** Which one it is: latent and pooling, the word, the sign. */
  what: string;
  /** A keyword whose absence is the sign. */
  absent?: true;
  /** How many were searched on training documents. */
  searched: number;
  /** AUROC on training documents. */
  train: number;
  /** AUROC on held-out documents. */
  heldout: number;
  averagePrecision: number;
  /** 95 %, bootstrap over held-out documents. */
  interval: [number, number];
  /** 95 % of the latent's AUROC minus this one's, on the same draws. */
  lead: [number, number];
}

export type Verdict = "above its controls" | "position" | "length" | "keyword" | "not above random" | "undefined";

export interface LabelScore {
  label: string;
  latent: number;
  pooling: Pooling;
  positives: { train: number; heldout: number };
  /** Share of held-out sentences that carry the label: what a precision starts from. */
  baseRate: number;
  /** The latent first, then its controls. */
  detectors: Detector[];
  verdict: Verdict;
  warnings: string[];
}

export interface ScoresView {
  labels: LabelScore[];
  latents: number;
  poolings: number;
  train: { sentences: number; documents: number };
  heldout: { sentences: number; documents: number };
  /** Training sentences on which all random directions were tried, where not on all; the best of each label are then measured on all. */
  sampled?: number;
  /** Sentences without a row. */
  skipped: number;
  /** Labels that could not be scored: on one side of the split no sentence carries them, or all do. */
  leftOut?: string[];
}

const FEWEST = 20; // held-out positives under which a score says nothing
/**
 * What a latent must beat to say more than they do. Text model, difference of means and probe combine much more, and are
 * there for comparison.
 */
const CONTROLS: [DetectorKind, Verdict][] = [
  ["position", "position"],
  ["length", "length"],
  ["keyword", "keyword"],
  ["random direction", "not above random"],
];

/** The first control that reaches the latent names the verdict; all that do are warned of. */
export function verdictOf(detectors: Detector[], positives: number): { verdict: Verdict; warnings: string[] } {
  const [latent, ...others] = detectors;
  if (positives < FEWEST) {
    return {
      verdict: "undefined",
      warnings: [`only ${positives} held-out sentences carry it, ${FEWEST} are the least that say something`],
    };
  }
  const reaching: string[] = [];
  const close: string[] = [];
  for (const { kind, what, absent, heldout, lead } of others) {
    const name =
      kind === "keyword"
        ? `${absent ? "the absence of " : ""}the word “${what}”`
        : kind === "position" || kind === "length"
          ? `${kind} (${what})`
          : kind === "random direction"
            ? "a random direction"
            : `the ${kind}`;
    if (heldout >= latent.heldout) reaching.push(`${name} (${heldout.toFixed(2)})`);
    else if (CONTROLS.some(([control]) => control === kind) && lead[0] <= 0)
      close.push(`${name} (95 %: ${signed(lead[0])} to ${signed(lead[1])})`);
  }
  const warnings: string[] = [];
  if (reaching.length) warnings.push(`reached by ${reaching.join(", ")}`);
  if (close.length) warnings.push(`its lead is within chance over ${close.join(", ")}`);
  const reached = CONTROLS.find(([kind]) => others.some((one) => one.kind === kind && one.heldout >= latent.heldout));
  return { verdict: reached ? reached[1] : "above its controls", warnings };
}

const signed = (x: number): string => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;
const figure = (x: number): string => (Number.isNaN(x) ? "–" : x.toFixed(2));

const SHOWN: [DetectorKind, string][] = [
  ["keyword", "best word"],
  ["random direction", "random direction"],
  ["position", "position"],
  ["length", "length"],
  ["text model", "text model"],
  ["difference of means", "difference of means"],
  ["probe", "probe"],
];

const signOf = ({ what, absent }: Detector): string => (absent ? `no “${what}”` : what);

const of = ({ detectors }: LabelScore, kind: DetectorKind): Detector | undefined =>
  detectors.find((one) => one.kind === kind);

function notes({ latents, poolings, train, heldout, sampled, skipped, leftOut = [], labels }: ScoresView): string[] {
  return [
    `Figures are AUROC on ${count(heldout.sentences)} sentences of ${count(heldout.documents)} held-out documents; 95 % intervals by bootstrap over documents. ` +
      `AP is average precision, to be compared with the base rate.`,
    `${count(latents)} latents × ${poolings} poolings, as many random directions${sampled ? ` (on ${count(sampled)} sentences drawn by chance, the best of them on all)` : ""}, and the presence and absence of every word were searched on ${count(train.sentences)} sentences of ${count(train.documents)} training documents.` +
      (skipped ? ` ${count(skipped)} sentences have no row and are left out.` : ""),
    ...(leftOut.length
      ? [
          `Not scored, as in training or in held-out documents no sentence carries them, or all do: ${leftOut.join(", ")}.`,
        ]
      : []),
    ...labels.filter(({ warnings }) => warnings.length).map(({ label, warnings }) => `${label}: ${warnings.join("; ")}.`),
    "A latent that scores high correlates with the label; to detect it, the probe or the difference of means is the better tool.",
  ];
}

/** A table of labels: the latent in colour, controls that reach it marked ≥. */
export function scoresHtml(view: ScoresView): string {
  const cell = "padding:0.25em 0.55em 0.25em 0;border:0;vertical-align:baseline";
  const right = `text-align:right;${cell};white-space:nowrap`;
  const left = `text-align:left;${cell}`;
  const code = (text: string): string =>
    `<code style="font-family:${MONO};background:transparent">${escapeHtml(text)}</code>`;
  const heads: [string, string][] = [
    ["correlates with", left],
    ["latent", left],
    ["training", right],
    ["held-out", right],
    ["AP", right],
    ["base rate", right],
    ...SHOWN.map(([, name]): [string, string] => [name, right]),
  ];
  const head = heads
    .map(
      ([name, style]) =>
        `<th style="${style};white-space:normal;border-bottom:${RULE};font-weight:600;vertical-align:bottom">${name}</th>`,
    )
    .join("");
  const rows = view.labels
    .map((score) => {
      const latent = score.detectors[0];
      const controls = SHOWN.map(([kind]) => {
        const one = of(score, kind);
        if (!one) return `<td style="${right}">–</td>`;
        const reaches = one.heldout >= latent.heldout;
        const word = kind === "keyword" ? `<br>${one.absent ? "no " : ""}${code(one.what)}` : "";
        return (
          `<td style="${right}" title="${escapeHtml(`${signOf(one)}; of ${count(one.searched)}; training ${figure(one.train)}, AP ${figure(one.averagePrecision)}`)}">` +
          `${reaches ? `<b>≥ ${figure(one.heldout)}</b>` : figure(one.heldout)}${word}</td>`
        );
      }).join("");
      return (
        `${ROW}<td style="${left}"><b>${escapeHtml(score.label)}</b><br><span style="font-size:12px;opacity:0.8;white-space:nowrap">${score.verdict}</span></td>` +
        `<td style="${left};white-space:nowrap">${score.latent} <br><span style="font-size:12px;opacity:0.8">${score.pooling}</span></td><td style="${right}">${figure(latent.train)}</td>` +
        `<td style="${right}"><b style="background:${shade(Math.max(0, Math.min(1, 2 * latent.heldout - 1)) * 0.6 || 0)};padding:0 0.3em">${figure(latent.heldout)}</b>` +
        ` <span style="opacity:0.7">${figure(latent.interval[0])}–${figure(latent.interval[1])}</span></td>` +
        `<td style="${right}">${figure(latent.averagePrecision)}</td><td style="${right}">${percent(score.baseRate)}</td>${controls}</tr>`
      );
    })
    .join("");
  return (
    `<div class="saelab-scores ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.4;overflow-x:auto">` +
    `<table style="${PLAIN_TABLE};margin:0"><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table>` +
    `<ul style="${SMALL};margin:0.6em 0 0;padding-left:1.3em">${notes(view)
      .map((note) => `<li>${escapeHtml(note)}</li>`)
      .join("")}</ul></div>`
  );
}

export function scoresText(view: ScoresView): string {
  const heads = [
    "correlates with",
    "latent",
    "training",
    "held-out",
    "AP",
    "base rate",
    ...SHOWN.map(([, name]) => name),
    "verdict",
  ];
  const rows = view.labels.map((score) => {
    const latent = score.detectors[0];
    return [
      score.label,
      `${score.latent} ${score.pooling}`,
      figure(latent.train),
      `${figure(latent.heldout)} [${figure(latent.interval[0])}, ${figure(latent.interval[1])}]`,
      figure(latent.averagePrecision),
      percent(score.baseRate),
      ...SHOWN.map(([kind]) => {
        const one = of(score, kind);
        return one
          ? `${one.heldout >= latent.heldout ? "≥" : ""}${figure(one.heldout)}${kind === "keyword" ? ` ${signOf(one)}` : ""}`
          : "–";
      }),
      score.verdict,
    ];
  });
  const width = heads.map((name, c) => Math.max(name.length, ...rows.map((row) => [...row[c]].length)));
  const lines = [heads, ...rows].map((row) =>
    row
      .map((text, c) => (c < 2 || c === heads.length - 1 ? padEnd : padStart)(text, width[c]))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, "", ...notes(view)].join("\n");
}
