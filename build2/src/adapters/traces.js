"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.showTrace = void 0;
exports.traceMap = traceMap;
const trace_1 = require("../core/trace");
const errors_1 = require("../core/errors");
const show_1 = require("./show");
/** A document to be looked at. */
const traced = (view) => (0, show_1.shown)(() => ({
    "application/vnd.saelab.trace.v1+json": { version: 1, ...view, pieces: JSON.stringify(view.pieces) },
    "text/html": (0, trace_1.traceHtml)(view),
    "text/plain": (0, trace_1.traceText)(view, (0, show_1.colored)()),
}));
/**
 * A document with its labelled sentences marked.
 * @param labels names in the order of their colours, so that several documents agree; by first appearance when absent
 */
const showTrace = (document, labels) => traced((0, trace_1.traceView)(document, labels));
exports.showTrace = showTrace;
/**
 * A whole document shaded by one latent, its labelled sentences underlined.
 * @param document its number in the store, or its id
 * @throws OptionError if there is no such document or latent, or its rows were not collected
 */
async function traceMap(features, latent, document) {
    const store = await features.store();
    const documents = store.documents();
    const number = typeof document === "number" ? document : documents.findIndex(({ id }) => id === document);
    if (!documents[number])
        throw new errors_1.OptionError(`${features.path}: expected a document from 0 to ${documents.length - 1} or the id of one, found ${JSON.stringify(document)}.`);
    if (!Number.isInteger(latent) || latent < 0 || latent >= features.count)
        throw new errors_1.OptionError(`${features.path}: expected a latent from 0 to ${features.count - 1}, found ${latent}.`);
    const first = store.documentRows();
    const [from, to] = [first[number], first[number + 1]];
    // the row's place among the collected ones
    let before = 0;
    const range = features.manifest.ranges.find((one) => {
        if (one.from <= from && to <= one.to)
            return true;
        before += one.to - one.from;
        return false;
    });
    if (!range)
        throw new errors_1.OptionError(`${features.path}: expected a document on the side "${features.manifest.split}", found ${documents[number].id}. collect(store, sae) takes all.`);
    const codes = features.codes(before + from - range.from, before + to - range.from);
    const { position } = store.origin(from, to);
    const tokens = store.tokens(number);
    const values = new Float32Array(tokens.ids.length);
    for (let i = 0; i < codes.index.length; i++)
        if (codes.index[i] === latent && codes.value[i] > 0)
            values[position[Math.floor(i / codes.k)]] = codes.value[i];
    const labels = [...new Set(documents.flatMap(({ spans = [] }) => spans.map(({ label }) => label)))];
    return traced((0, trace_1.traceView)(documents[number], labels, { ...tokens, values, latent, max: features.statistics.max[latent] }));
}
//# sourceMappingURL=traces.js.map