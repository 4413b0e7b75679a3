"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.displayed = exports.DisplayError = exports.DISPLAY = void 0;
exports.checkedBundle = checkedBundle;
exports.bundleOf = bundleOf;
const node_util_1 = require("node:util");
/** A value that knows how to show itself; the protocol of Deno's kernel. */
exports.DISPLAY = Symbol.for("Jupyter.display");
/** What `display` was given, or what a value's own method returned, cannot be shown. */
class DisplayError extends Error {
    name = "DisplayError";
}
exports.DisplayError = DisplayError;
/** Whether a class of some library has its own idea of its text: a tensor prints its numbers, a data frame its table. */
function speaks(value) {
    if (typeof value !== "object" || value === null || node_util_1.inspect.custom in value)
        return false;
    if (Array.isArray(value) || ArrayBuffer.isView(value) || node_util_1.types.isNativeError(value))
        return false;
    const { constructor, toString } = value;
    if (typeof toString !== "function" || toString === Object.prototype.toString)
        return false;
    return typeof constructor === "function" && globalThis[constructor.name ?? ""] !== constructor;
}
/** At most 100 elements, four levels and 10,000 characters a string; without colours, so that a saved notebook stays readable. */
const plain = (value) => ({
    "text/plain": speaks(value)
        ? String(value)
        : (0, node_util_1.inspect)(value, { depth: 4, maxArrayLength: 100, maxStringLength: 10_000, breakLength: 100 }),
});
/** Whether every key is a MIME type: `{ "text/html": … }` given to display() is the bundle itself. */
const isBundle = (value) => typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype &&
    Object.keys(value).length > 0 && Object.keys(value).every((key) => /^[\w.+-]+\/[\w.+-]+$/.test(key));
/**
 * Makes a bundle fit for a message: bytes become base64.
 * @throws DisplayError if it is no object from MIME types to data, or the data is no JSON
 */
function checkedBundle(value) {
    if (!isBundle(value)) {
        throw new DisplayError(`expected an object from MIME types to data, such as { "text/html": "<b>…</b>" }, found ${(0, node_util_1.inspect)(value, { depth: 1 })}`);
    }
    const bundle = {};
    for (const [type, data] of Object.entries(value)) {
        bundle[type] = data instanceof Uint8Array ? Buffer.from(data).toString("base64") : data;
    }
    try {
        JSON.stringify(bundle);
    }
    catch (cause) {
        throw new DisplayError(`expected data that JSON can hold, found ${(0, node_util_1.inspect)(value, { depth: 1 })}`, { cause });
    }
    return bundle;
}
/**
 * How a value shows itself: what its [Symbol.for("Jupyter.display")]() returns (a promise of it is fine); otherwise text/plain: its
 * class's own toString(), or what Node's inspect prints.
 * @throws DisplayError if the method returns no bundle; what the method throws
 */
function bundleOf(value) {
    const method = value === null || value === undefined ? undefined : value[exports.DISPLAY];
    if (typeof method !== "function")
        return plain(value);
    const made = method.call(value);
    return made instanceof Promise ? made.then(checkedBundle) : checkedBundle(made);
}
/** As bundleOf, but an object from MIME types to data is the bundle itself: what `display(…)` takes. */
const displayed = (value) => isBundle(value) ? checkedBundle(value) : bundleOf(value);
exports.displayed = displayed;
//# sourceMappingURL=bundle.js.map