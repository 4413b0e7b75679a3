/** MIME type → data: text, an object for …+json types, base64 text for images. */
export type Bundle = Record<string, unknown>;
/** A value that knows how to show itself; the protocol of Deno's kernel. */
export declare const DISPLAY: unique symbol;
/** What `display` was given, or what a value's own method returned, cannot be shown. */
export declare class DisplayError extends Error {
    name: string;
}
/**
 * Makes a bundle fit for a message: bytes become base64.
 * @throws DisplayError if it is no object from MIME types to data, or the data is no JSON
 */
export declare function checkedBundle(value: unknown): Bundle;
/**
 * How a value shows itself: what its [Symbol.for("Jupyter.display")]() returns (a promise of it is fine); otherwise text/plain: its
 * class's own toString(), or what Node's inspect prints.
 * @throws DisplayError if the method returns no bundle; what the method throws
 */
export declare function bundleOf(value: unknown): Bundle | Promise<Bundle>;
/** As bundleOf, but an object from MIME types to data is the bundle itself: what `display(…)` takes. */
export declare const displayed: (value: unknown) => Bundle | Promise<Bundle>;
