"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.evaluationTable = evaluationTable;
const html_1 = require("./html");
const measure_1 = require("./measure");
/** An evaluation in words, measure by measure; says so when the SAE does not belong to these rows. */
function evaluationTable(e, split, latents) {
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const doubt = e.fvu >= 0.9 ? " No better than the mean row: suspect the hook, or the SAE." : "";
    const rows = [
        ["FVU", (0, html_1.short)(e.fvu), `explains ${percent(e.explainedVariance)} of the variance of ${(0, html_1.count)(e.rows)} ${split === "all" ? "" : split === "train" ? "training " : "held-out "}rows of ${e.hook}.${doubt}`],
        ["L0", (0, html_1.short)(e.l0), "latents active in a row, on average"],
        ["dead", percent(e.dead), `of ${(0, html_1.count)(latents)} latents fire on none of these rows`],
        ["dense", percent(e.dense), `fire on more than ${percent(measure_1.DENSE)} of them`],
    ];
    return { columns: ["measure", "value", "what it says"], rows, total: rows.length };
}
//# sourceMappingURL=evaluationtable.js.map