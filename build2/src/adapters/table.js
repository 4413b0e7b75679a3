"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.tableBundle = void 0;
exports.dataFrame = dataFrame;
exports.featureTable = featureTable;
const featuretable_1 = require("../core/featuretable");
const token_1 = require("../core/token");
const show_1 = require("./show");
const tensorflow_1 = require("./tensorflow");
const SHOWN_ROWS = 20;
/**
 * Rows as a danfojs DataFrame. From then on every DataFrame of this process shows itself in a cell, those that its
 * methods return too.
 * @throws EngineError if TensorFlow, which danfojs computes with, cannot be loaded
 */
function dataFrame(rows, columns) {
    (0, tensorflow_1.tensorflow)(); // first: sets back what old TF.js needs of newer Node versions
    const danfo = require("danfojs-node");
    // the exported class extends the one whose instances sortValues, head and the like return
    const prototype = Object.getPrototypeOf(danfo.DataFrame.prototype);
    prototype[show_1.DISPLAY] ??= function () {
        return (0, exports.tableBundle)({
            columns: this.columns,
            rows: this.values.slice(0, SHOWN_ROWS),
            total: this.shape[0],
        });
    };
    return new danfo.DataFrame(rows, { columns });
}
const tableBundle = (table) => ({
    "application/vnd.saelab.table.v1+json": {
        version: 1,
        columns: table.columns,
        rows: JSON.stringify(table.rows),
        total: table.total,
    },
    "text/html": (0, featuretable_1.tableHtml)(table),
    "text/plain": (0, featuretable_1.tableText)(table),
});
exports.tableBundle = tableBundle;
/**
 * The features of `top(options)` as rows: how often, how strongly and on which tokens each fires. The same as a
 * DataFrame: `features.table()`.
 */
function featureTable(features, options = {}) {
    const top = features.top({ ...options, examples: 1 });
    const rows = top.map(({ latent, density, mean, max, entropy, distinctTokens, triggers }) => [
        latent,
        density,
        mean,
        max,
        entropy,
        distinctTokens,
        triggers.map(({ text }) => (0, token_1.visible)(text).trim()).join(" "),
    ]);
    const alive = features.fired.reduce((sum, n) => sum + (n > 0 ? 1 : 0), 0);
    return (0, show_1.shown)(() => (0, exports.tableBundle)({ columns: featuretable_1.FEATURE_COLUMNS, rows, total: options.latents ? rows.length : alive }));
}
//# sourceMappingURL=table.js.map