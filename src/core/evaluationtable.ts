import type { TableView } from "./featuretable";
import { count, short } from "./html";
import { DENSE, type Measures } from "./measure";

/** An evaluation in words, measure by measure; says so when the SAE does not belong to these rows. */
export function evaluationTable(e: Measures & { hook: string }, split: string, latents: number): TableView {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const doubt = e.fvu >= 0.9 ? " No better than the mean row: suspect the hook, or the SAE." : "";
  const rows = [
    ["FVU", short(e.fvu), `explains ${percent(e.explainedVariance)} of the variance of ${count(e.rows)} ${split === "all" ? "" : split === "train" ? "training " : "held-out "}rows of ${e.hook}.${doubt}`],
    ["L0", short(e.l0), "latents active in a row, on average"],
    ["dead", percent(e.dead), `of ${count(latents)} latents fire on none of these rows`],
    ["dense", percent(e.dense), `fire on more than ${percent(DENSE)} of them`],
  ];
  return { columns: ["measure", "value", "what it says"], rows, total: rows.length };
}
