"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.FEATURE_COLUMNS = void 0;
exports.featureRows = featureRows;
exports.tableHtml = tableHtml;
exports.tableText = tableText;
const html_1 = require("./html");
const collect_1 = require("./collect");
const token_1 = require("./token");
/** Columns of the feature table, one row a latent. */
exports.FEATURE_COLUMNS = ["latent", "density", "mean", "max", "entropy", "distinct", "tokens"];
function featureRows({ rows, fired, mean, max, entropy, distinct, trigger, words, }) {
    return Array.from(fired, (n, f) => [
        f,
        n / rows,
        mean[f],
        max[f],
        entropy[f],
        distinct[f],
        [...trigger.subarray(f * collect_1.TRIGGERS, (f + 1) * collect_1.TRIGGERS)]
            .filter((id) => id >= 0)
            .map((id) => (0, token_1.visible)(words.token(id)).trim())
            .join(" "),
    ]);
}
const cell = (value) => value === null || value === undefined
    ? ""
    : typeof value === "string"
        ? value
        : Number.isInteger(value)
            ? (0, html_1.count)(value)
            : (0, html_1.short)(value);
const isNumeric = ({ rows }, column) => rows.length > 0 && rows.every((row) => typeof row[column] !== "string");
const rest = ({ rows, total }) => total > rows.length ? `the first ${(0, html_1.count)(rows.length)} of ${(0, html_1.count)(total)} rows` : "";
/** Any table as HTML: numbers to the right with three digits, text in <code>. Survives JupyterLab's sanitiser unchanged. */
function tableHtml(table) {
    const align = table.columns.map((_, c) => (isNumeric(table, c) ? "right" : "left"));
    const style = (c) => `text-align:${align[c]};padding:0.15em 0.8em 0.15em 0;border:0;white-space:nowrap`;
    const head = table.columns
        .map((name, c) => `<th style="${style(c)};border-bottom:${html_1.RULE};font-weight:600">${(0, html_1.escapeHtml)(name)}</th>`)
        .join("");
    const body = table.rows
        .map((row) => `<tr style="background:transparent">${row
        .map((value, c) => `<td style="${style(c)}">${align[c] === "right" ? cell(value) : `<code style="font-family:${html_1.MONO};background:transparent">${(0, html_1.escapeHtml)(cell(value))}</code>`}</td>`)
        .join("")}</tr>`)
        .join("");
    const note = rest(table);
    return (`<div class="saelab-table ${html_1.PLAIN}" style="font-family:${html_1.SANS};font-size:13px;overflow-x:auto"><table style="border-collapse:collapse;border:0;margin:0"><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>` +
        `${note ? `<p style="font-size:12px;opacity:0.85;margin:0.3em 0 0">${note}</p>` : ""}</div>`);
}
function tableText(table) {
    const cells = [table.columns, ...table.rows.map((row) => row.map(cell))];
    const width = table.columns.map((_, c) => Math.max(...cells.map((row) => [...row[c]].length)));
    const lines = cells.map((row) => row
        .map((text, c) => (isNumeric(table, c) ? html_1.padStart : html_1.padEnd)(text, width[c]))
        .join("  ")
        .trimEnd());
    return [...lines, rest(table)].filter(Boolean).join("\n");
}
//# sourceMappingURL=featuretable.js.map