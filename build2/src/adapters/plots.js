"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.trainingCurve = trainingCurve;
exports.featureScatter = featureScatter;
const html_1 = require("../core/html");
const plot_1 = require("../core/plot");
const errors_1 = require("../core/errors");
const png_1 = require("./png");
const show_1 = require("./show");
/**
 * Plots that a cell shows: interactive where there is a renderer for Plotly, a picture with a description everywhere
 * else.
 */
function plotted({ figure, words }) {
    let made;
    const draw = async () => {
        const png = Buffer.from(await (0, png_1.figurePng)(figure)).toString("base64");
        return {
            "application/vnd.plotly.v1+json": figure,
            "text/html": `<img alt="${(0, html_1.escapeHtml)(words)}" src="data:image/png;base64,${png}" width="${figure.layout.width}" style="max-width:100%;height:auto;border-radius:4px">`,
            "image/png": png,
            "text/plain": words,
        };
    };
    return (0, show_1.showing)({}, () => (made ??= draw()), () => words);
}
/**
 * How training went: variance unexplained and dead latents against the tokens seen.
 * @param of an SAE, or the points of its curve, by step
 * @returns shows itself as `application/vnd.plotly.v1+json`, `image/png`, HTML with that picture, and a sentence; it is
 *   drawn when it is shown
 * @throws OptionError if the SAE has no curve (it was trained elsewhere)
 */
function trainingCurve(of) {
    const curve = Array.isArray(of) ? of : of.curve;
    if (!curve?.length) {
        throw new errors_1.OptionError("trainingCurve: expected an SAE with a training curve, found none. One that trainSae made has it, also after save and loadSae; other checkpoints do not.");
    }
    return plotted((0, plot_1.trainingFigure)(curve));
}
/**
 * All latents at a glance: how often each fires (share of rows) against how strongly (maximum, in the model's own
 * units), a point each, both axes logarithmic.
 * @param features of which `statistics.density` and `.max` are shown, [latents] each
 * @returns shows itself as `trainingCurve` does
 */
function featureScatter(features) {
    const { density, max } = features.statistics;
    return plotted((0, plot_1.scatterFigure)(density, max));
}
//# sourceMappingURL=plots.js.map