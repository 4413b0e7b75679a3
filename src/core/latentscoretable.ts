import { count, short, smallShare } from "./html";
import type { NotedTable } from "./noted";
import type { Pooling } from "./score";
import type { Detector } from "./scoretable";

/** A latent and a label: picked on training documents, measured on held-out ones. */
export interface LatentScore {
  latent: number;
  /** What its scores of a sentence are, chosen on training documents. */
  pooling: Pooling;
  /** AUROC on training sentences: what it was picked by. */
  train: number;
  /** AUROC on held-out sentences. */
  heldout: number;
  averagePrecision: number;
  /** Share of held-out sentences that carry the label: average precision of guessing. */
  baseRate: number;
  /** AUROC and average precision on held-out tokens, each by its own activation. */
  tokenAuroc: number;
  tokenAveragePrecision: number;
  tokenBaseRate: number;
  /** Document-clustered Mann–Whitney of `heldout`, a normal deviate; NaN where it fires on fewer than five held-out documents. */
  z: number;
  /** False discovery rate among all latents (Benjamini–Hochberg, two-sided p of z). */
  q: number;
  /** P of a held-out AUROC as large when whole documents swap their labels; NaN beyond the best hundred. */
  permutationP: number;
}

const COLUMNS = ["latent", "pooling", "training AUROC", "AUROC", "AP", "token AUROC", "token AP", "z", "q", "permutation p"];

export interface BestView {
  label: string;
  scores: LatentScore[];
  latents: number;
  poolings: number;
  heldout: { sentences: number; documents: number };
  permutations: number;
  /** What the same sentences give without an SAE. */
  controls: Detector[];
}

/** One row a latent. */
export function bestTable({ label, scores, latents, poolings, heldout, permutations, controls }: BestView): NotedTable {
  const shares = scores.length ? ` Base rates: ${scores[0].baseRate.toFixed(3)} of sentences, ${scores[0].tokenBaseRate.toFixed(3)} of tokens.` : "";
  return {
    columns: COLUMNS,
    rows: scores.map((one) => [one.latent, one.pooling, one.train, one.heldout, one.averagePrecision, one.tokenAuroc, one.tokenAveragePrecision, one.z, one.q < 1e-30 ? smallShare(one.q) : one.q, one.permutationP].map(figure)),
    total: scores.length,
    notes: [
      `Latents that correlate with ${label}: the best by AUROC on training sentences (training) of ${count(latents)} latents × ${poolings} poolings; held-out, the same on others, and all other figures from ${count(heldout.sentences)} sentences of ${count(heldout.documents)} held-out documents.${shares}`,
      `z: document-clustered Mann–Whitney. q: Benjamini–Hochberg over all latents that fire on at least five held-out documents, two-sided. p: share of ${count(permutations)} swaps of whole documents' labels that give as large an AUROC; so the place in the document counts for nothing.`,
      ...(controls.length ? [`Without an SAE, AUROC (AP) on the same sentences: ${controls.map(said).join(", ")}.`] : []),
    ],
  };
}

const said = ({ kind, what, absent, heldout, averagePrecision }: Detector): string =>
  `${kind === "keyword" ? `${absent ? "no " : ""}“${what}”` : kind === "position" || kind === "length" ? `${kind} (${what})` : kind} ${heldout.toFixed(2)} (${averagePrecision.toFixed(2)})`;

/** What JSON has no number for is a word. */
const figure = (value: number | string): number | string => (typeof value !== "number" || Number.isFinite(value) ? value : short(value));
