"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.displayHook = exports.shown = exports.colored = exports.DISPLAY = void 0;
exports.showing = showing;
exports.display = display;
exports.heatMap = heatMap;
const node_util_1 = require("node:util");
const heatmap_1 = require("../core/heatmap");
/**
 * What a cell shows. A value that can show itself has a method at Symbol.for("Jupyter.display") which returns a bundle:
 * MIME type → content, each saying the same for another reader. `application/vnd.saelab.<kind>.v1+json` is for a
 * renderer of ours, `text/html` needs neither script nor style sheet, `text/plain` is for terminals.
 */
exports.DISPLAY = Symbol.for("Jupyter.display");
/**
 * Whether text gets colour: in a notebook and on a terminal, unless NO_COLOR says no (https://no-color.org) or
 * FORCE_COLOR yes.
 */
const colored = () => !process.env.NO_COLOR &&
    (Boolean(process.env.FORCE_COLOR) || Boolean(process.stdout.isTTY) || (0, exports.displayHook)() !== undefined);
exports.colored = colored;
function showing(value, bundle, text = () => String(bundle()["text/plain"])) {
    Object.defineProperty(value, exports.DISPLAY, { value: bundle, enumerable: false, configurable: true });
    Object.defineProperty(value, node_util_1.inspect.custom, { value: text, enumerable: false, configurable: true });
    return value;
}
/** A value that does nothing but show itself. */
const shown = (bundle) => showing({}, bundle);
exports.shown = shown;
const displayHook = () => globalThis[Symbol.for("saelab.display")];
exports.displayHook = displayHook;
/**
 * Shows a value now, in the middle of a cell; outside a notebook it prints the value's text. Await it where the value has
 * to be drawn first, as plots have.
 */
async function display(value, options = {}) {
    const method = value?.[exports.DISPLAY];
    const made = typeof method === "function"
        ? method.call(value)
        : { "text/plain": typeof value === "string" ? value : (0, node_util_1.inspect)(value) };
    const bundle = made instanceof Promise ? await made : made;
    const hook = (0, exports.displayHook)();
    if (hook)
        hook(bundle, options);
    else
        console.log(String(bundle["text/plain"]));
}
/**
 * Heat maps of features: their strongest contexts, a line each, shaded by activation ÷ maximum.
 * @param features what `collect(…)` or its `top(…)` gave; a part of that; or one feature. Values of an example are as
 *   long as its tokens, in the model's own units
 * @returns shows itself as `application/vnd.saelab.heatmap.v1+json` (a PackedHeatMap), HTML without script, and text
 * @throws OptionError for an unknown scale
 */
function heatMap(features, options = {}) {
    const given = "top" in features && typeof features.top === "function"
        ? features.top()
        : features;
    const list = Array.isArray(given) ? given : [given];
    const words = "words" in given ? given.words : given[0]?.words;
    const view = (0, heatmap_1.heatMapView)(list, words ?? { token: String, document: String }, options);
    if ("note" in given && typeof given.note === "string")
        view.leftOut.push(given.note);
    return (0, exports.shown)(() => ({
        "application/vnd.saelab.heatmap.v1+json": (0, heatmap_1.packHeatMap)(view),
        "text/html": (0, heatmap_1.heatMapHtml)(view, options),
        "text/plain": (0, heatmap_1.heatMapText)(view, { ...options, color: options.color ?? (0, exports.colored)() }),
    }));
}
//# sourceMappingURL=show.js.map