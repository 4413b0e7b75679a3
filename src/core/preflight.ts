import { tableHtml, tableText, type TableView } from "./featuretable";
import { count, escapeHtml, PLAIN, SANS, shade, short } from "./html";
import type { Hook, HookKind, HookRow } from "./types";

/**
 * Does an SAE belong to a place of a model? Its measures there and at the places around it → a verdict.
 *
 * An SAE of the MLP's output that is fed the residual stream runs without an error, and its features look plausible; but its FVU is above 1 where
 * 0.2 was promised, and one latent fires everywhere. So it is read at every place that it might have been meant for.
 */

/** What is measured at one place, in one way of reading. */
export interface PlaceMeasures {
  hook: string;
  /** What is done other than the checkpoint says; absent: as it says. */
  other?: Reading;
  /** Fraction of variance unexplained; NaN where the SAE overflows or the rows are all equal. */
  fvu: number;
  l0: number;
  /** Share of latents that fire on none of these rows, and on more than a tenth of them. */
  dead: number;
  dense: number;
  rows: number;
  /** Largest norm of a row over the median norm, first positions left out. */
  outlier: number;
}

/** A reading other than the checkpoint's own. */
export type Reading = "b_dec subtracted" | "b_dec not subtracted" | `rows normalised: ${string}`;

/** What the checkpoint tells of itself, as far as it does. */
export interface Told {
  hook?: string;
  fvu?: number;
  l0?: number;
}

export interface Verdict {
  verdict: "fits" | "better elsewhere" | "fits nowhere";
  /** In a sentence, with the numbers. */
  says: string;
  /** At the declared hook, read as the checkpoint says. */
  declared: PlaceMeasures;
  /** Where FVU is least. */
  best: PlaceMeasures;
  /** What differs from what the checkpoint tells; no reason to refuse it, as it was measured on other texts. */
  notes: string[];
}

/**
 * FVU from which an SAE explains next to nothing: the mean row alone reaches 1. SAEs at their own place reach 0.05 to 0.4, the latter on texts of
 * another kind than they were trained on; at a wrong one, on a small model, 0.2 to 2.3: so this alone does not tell a wrong place.
 */
export const NO_FIT = 0.9;

/**
 * A place is better when its FVU is less than so much of the declared one's. Three SAEs of 512 latents on a model of five blocks, on texts of the
 * training's kind and of another: at its own place no reading around beat any of them at all; one sublayer or block off, the own
 * place's FVU was 0.10 to 0.84 of the one measured.
 */
export const BETTER = 0.9;

/** What the card tells is not met when the measured number is so many times it, or (of L0) so many times less. */
const FAR = 2;

const WORK = 1.2e11; // operations over all places but the declared one: a second or two
const CHOICE = 1400; // bias, ReLU and top-k of a pre-activation, in both readings, take as long as so many operations of the product
const FEWEST = 256; // rows of such a place, also where they are more work than that

/** Rows to measure at each of the places around: all there are (so many or more) for a small SAE, fewer for a wide one. */
export const rowsAround = (latents: number, width: number, places: number): number =>
  Math.max(FEWEST, Math.floor(WORK / (latents * (2 * width + CHOICE) * Math.max(1, places))));

const AROUND: HookKind[] = ["attn_out", "attn_add", "resid_mid", "mlp_in", "mlp_out", "mlp_add", "resid_post"];

/**
 * The declared place and those around it: stream before, within and after the block, output of attention and MLP (where a norm follows them,
 * also what is added to the stream), the MLP's input; the same of the neighbouring blocks. Only places of the SAE's width that the
 * model's file offers, and each tensor once.
 * @param rows of model.hooks()
 */
export function placesAround(rows: HookRow[], declared: Hook, width: number): HookRow[] {
  const kinds = new Set<HookKind>([...AROUND, declared.kind]);
  const first = rows.find(({ kind, layer }) => kind === "resid_pre" && layer === Math.max(0, declared.layer - 1));
  const near = rows.filter((row) => row === first || (kinds.has(row.kind) && Math.abs(row.layer - declared.layer) <= 1));
  const sameTensor = (a: Hook, b: Hook): boolean => streamBefore(a) !== undefined && streamBefore(a) === streamBefore(b);
  const isDeclared = (row: Hook): boolean => row.kind === declared.kind && row.layer === declared.layer;
  return near.filter((row, i) => isDeclared(row) || (
    row.width === width && !row.missing && !sameTensor(row, declared) && !near.slice(0, i).some((earlier) => sameTensor(earlier, row))));
}

/** Of a place of the stream between blocks, the block before which it lies. */
const streamBefore = ({ kind, layer }: Hook): number | undefined =>
  kind === "resid_pre" ? layer : kind === "resid_post" || kind === "embed" ? layer + 1 : undefined;

/**
 * @param places the first is the declared one, read as the checkpoint says
 * @param target hook whose rows a transcoder predicts
 */
export function verdictOn(places: PlaceMeasures[], told: Told, target?: string): Verdict {
  const size = ({ fvu }: PlaceMeasures): number => (Number.isNaN(fvu) ? Infinity : fvu);
  const [declared] = places;
  const best = places.reduce((least, place) => (size(place) < size(least) ? place : least));
  const verdict = size(best) >= NO_FIT ? "fits nowhere"
    : best !== declared && (size(declared) >= NO_FIT || size(best) < BETTER * size(declared)) ? "better elsewhere" : "fits";
  const at = (place: PlaceMeasures): string => `FVU ${short(place.fvu)} at ${nameOf(place)}`;
  const here = `${at(declared)} (L0 ${short(declared.l0)}, ${share(declared.dense)} of the latents dense, ${share(declared.dead)} dead)`;
  const of = `on ${count(declared.rows)} rows${target ? ` of ${target}, which it predicts` : ""}`;
  const says = {
    fits: `fits: ${here} ${of}${best === declared ? "" : `; nothing near is better by enough to tell (${at(best)})`}`,
    "better elsewhere": `better at ${nameOf(best)}: ${here}, ${at(best)}, ${of}`,
    "fits nowhere": `fits nowhere: ${here} ${of}, where the mean row alone would give 1${best === declared ? "" : `; of ${places.length} readings the best is ${at(best)}`}`,
  }[verdict];
  return { verdict, says: `${says}.`, declared, best, notes: notesOn(declared, told) };
}

function notesOn(declared: PlaceMeasures, { hook, fvu, l0 }: Told): string[] {
  return [
    ...(hook !== undefined && hook !== declared.hook ? [`The checkpoint says that it reads ${hook}, not ${declared.hook}.`] : []),
    ...(fvu !== undefined && !(declared.fvu <= FAR * fvu) ? [`The checkpoint tells of FVU ${short(fvu)}; here it is ${short(declared.fvu)}. Other texts, or another place.`] : []),
    ...(l0 !== undefined && !(declared.l0 <= FAR * l0 && declared.l0 >= l0 / FAR) ? [`The checkpoint tells of L0 ${short(l0)}; here it is ${short(declared.l0)}. Other texts, another place, or other units.`] : []),
  ];
}

/**
 * What a checkpoint tells of itself in its card: `fvu`, `l0`, also within `measures` or `metrics`; `average_l0_82` in the name of its folder; k of a top-k SAE.
 * @param k latents that are active in each row, where that is fixed
 */
export function toldBy(card: Record<string, unknown>, hook: string | undefined, k: number | undefined): Told {
  const fields = [card, card.measures, card.metrics].filter((part): part is Record<string, unknown> => typeof part === "object" && part !== null);
  const number = (name: string): number | undefined => fields.map((part) => part[name]).find((value): value is number => typeof value === "number" && Number.isFinite(value));
  const named = /average_l0_(\d+)/.exec(String(card.source ?? ""))?.[1];
  return { hook, fvu: number("fvu"), l0: number("l0") ?? (named === undefined ? k : Number(named)) };
}

const nameOf = ({ hook, other }: PlaceMeasures): string => (other ? `${hook}, ${other}` : hook);
const share = (x: number): string => `${(100 * x).toFixed(x > 0 && x < 0.1 ? 1 : 0)} %`;

/** One row a place and reading, the declared one marked; other readings only where they are better than the checkpoint's own. */
export function preflightTable(places: PlaceMeasures[], { declared, best }: Verdict): TableView {
  const own = new Map(places.filter(({ other }) => !other).map((place) => [place.hook, place]));
  const shownPlaces = places.filter((place) => !place.other || place.hook === declared.hook || place.fvu < own.get(place.hook)!.fvu);
  const mark = (place: PlaceMeasures): string => [...(place === declared ? ["declared"] : []), ...(place === best ? ["best"] : [])].join(", ");
  const rows = shownPlaces.map((place) => [
    place.hook, place.other ?? "", mark(place), place.fvu, place.l0, share(place.dense), share(place.dead), place.outlier, place.rows,
  ]);
  return { columns: ["read at", "with", "", "FVU", "L0", "dense", "dead", "max ÷ median norm", "rows"], rows, total: rows.length };
}

/** The verdict in a line. */
export const preflightTitle = (verdict: Verdict): string => `${signOf(verdict)} ${verdict.says}`;

/** The verdict above its table. */
export const preflightText = (places: PlaceMeasures[], verdict: Verdict): string =>
  [preflightTitle(verdict), ...verdict.notes, tableText(preflightTable(places, verdict))].join("\n");

/** The same for a cell: what does not fit stands out by weight and a sign, not by colour alone. */
export function preflightHtml(places: PlaceMeasures[], verdict: Verdict): string {
  const lines = verdict.notes.map((note) => `<br>${escapeHtml(note)}`).join("");
  const look = verdict.verdict === "fits" ? "" : `;background:${shade(0.25)}`;
  return (
    `<p class="saelab-preflight ${PLAIN}" style="font-family:${SANS};font-size:13px;margin:0 0 0.4em;padding:0.2em 0.4em${look}"><b>${escapeHtml(preflightTitle(verdict))}</b>${lines}</p>` +
    tableHtml(preflightTable(places, verdict)));
}

const signOf = ({ verdict }: Verdict): string => (verdict === "fits" ? "✓" : "⚠");
