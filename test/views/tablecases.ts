import { detectionTable, type DetectionScore } from "../../src/core/detection";
import { tableHtml, tableText, type TableView } from "../../src/core/featuretable";
import { notedHtml, notedText } from "../../src/core/noted";
import { pairTable, type PartnerMeasures } from "../../src/core/similarity";
import type { ViewCase } from "./cases";

/** Tables about many latents: labels and how true they are, partners in another SAE. */

const drawn = (name: string, table: TableView): ViewCase => ({ name, html: tableHtml(table), text: tableText(table) });

const noted = (name: string, table: ReturnType<typeof detectionTable>): ViewCase => ({ name, html: notedHtml(table), text: notedText(table) });

const score = (latent: number, label: string, more: Partial<DetectionScore>): DetectionScore => ({
  latent, label, balancedAccuracy: 0.875, interval: [0.78, 0.95], sensitivity: 0.9, specificity: 0.85, active: 20, silent: 20, unanswered: 0, ...more,
});

const measures = (latents: number, matched: number): PartnerMeasures => ({ latents, matched, share: matched / latents, mean: 0.412, median: 0.371, chance: 0.112 });
const partners = { latent: new Int32Array(0), cosine: new Float32Array(0) };

export const tableCases: ViewCase[] = [
  noted("detection", detectionTable([
    score(812, "the word “wait” where a line of thought is taken back, and what is said in its place", {}),
    score(9, "$5 and $x$ <script>alert(1)</script>", { balancedAccuracy: 0.525, interval: [0.41, 0.63], sensitivity: 0.35, specificity: 0.7 }),
    score(4, "numbers", { active: 3, silent: 20, unanswered: 17 }),
    score(60_001, "never answered", { balancedAccuracy: NaN, interval: [NaN, NaN], sensitivity: NaN, specificity: NaN, active: 0, silent: 0, unanswered: 40 }),
  ])),
  drawn("labels", {
    columns: ["latent", "label", "why"],
    rows: [[1, "“wait”", "93 % of the activation mass; 412 firings in 96 documents"], [2, "many tokens, strongest “<b>”, “ $x$” or “‹U+202E›”", "7.1 bits; the largest shares are 12 % of the mass; 80 firings in 31 documents"], [31, "–", "never fires"]],
    total: 65_536, words: true,
  }),
  drawn("partners", pairTable({ names: ["layers.10", "layers.11"], threshold: 0.7, forth: { partners, measures: measures(61_204, 7_345) }, back: { partners, measures: measures(9_000, 7_002) } })),
];
