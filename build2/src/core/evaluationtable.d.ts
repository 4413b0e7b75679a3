import type { TableView } from "./featuretable";
import { type Measures } from "./measure";
/** An evaluation in words, measure by measure; says so when the SAE does not belong to these rows. */
export declare function evaluationTable(e: Measures & {
    hook: string;
}, split: string, latents: number): TableView;
