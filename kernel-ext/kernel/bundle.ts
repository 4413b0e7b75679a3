import { inspect, types } from "node:util";

/** MIME type → data: text, an object for …+json types, base64 text for images. */
export type Bundle = Record<string, unknown>;

/** A value that knows how to show itself; the protocol of Deno's kernel. */
export const DISPLAY = Symbol.for("Jupyter.display");

/** What `display` was given, or what a value's own method returned, cannot be shown. */
export class DisplayError extends Error {
  override name = "DisplayError";
}

/** Whether a class of some library has its own idea of its text: a tensor prints its numbers, a data frame its table. */
function speaks(value: unknown): value is object {
  if (typeof value !== "object" || value === null || inspect.custom in value) return false;
  if (Array.isArray(value) || ArrayBuffer.isView(value) || types.isNativeError(value)) return false;
  const { constructor, toString } = value as { constructor?: { name?: string }; toString?: unknown };
  if (typeof toString !== "function" || toString === Object.prototype.toString) return false;
  return typeof constructor === "function" && (globalThis as Record<string, unknown>)[constructor.name ?? ""] !== constructor;
}

/** At most 100 elements, four levels and 10,000 characters a string; without colours, so that a saved notebook stays readable. */
const plain = (value: unknown): Bundle => ({
  "text/plain": speaks(value)
    ? String(value)
    : inspect(value, { depth: 4, maxArrayLength: 100, maxStringLength: 10_000, breakLength: 100 }),
});

/** Whether every key is a MIME type: `{ "text/html": … }` given to display() is the bundle itself. */
const isBundle = (value: unknown): value is Bundle =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype &&
  Object.keys(value).length > 0 && Object.keys(value).every((key) => /^[\w.+-]+\/[\w.+-]+$/.test(key));

/**
 * Makes a bundle fit for a message: bytes become base64.
 * @throws DisplayError if it is no object from MIME types to data, or the data is no JSON
 */
export function checkedBundle(value: unknown): Bundle {
  if (!isBundle(value)) {
    throw new DisplayError(
      `expected an object from MIME types to data, such as { "text/html": "<b>…</b>" }, found ${inspect(value, { depth: 1 })}`,
    );
  }
  const bundle: Bundle = {};
  for (const [type, data] of Object.entries(value)) {
    bundle[type] = data instanceof Uint8Array ? Buffer.from(data).toString("base64") : data;
  }
  try {
    JSON.stringify(bundle);
  } catch (cause) {
    throw new DisplayError(`expected data that JSON can hold, found ${inspect(value, { depth: 1 })}`, { cause });
  }
  return bundle;
}

/**
 * How a value shows itself: what its [Symbol.for("Jupyter.display")]() returns (a promise of it is fine); otherwise text/plain: its
 * class's own toString(), or what Node's inspect prints.
 * @throws DisplayError if the method returns no bundle; what the method throws
 */
export function bundleOf(value: unknown): Bundle | Promise<Bundle> {
  const method = value === null || value === undefined ? undefined : (value as Record<symbol, unknown>)[DISPLAY];
  if (typeof method !== "function") return plain(value);
  const made = method.call(value) as unknown;
  return made instanceof Promise ? made.then(checkedBundle) : checkedBundle(made);
}

/** As bundleOf, but an object from MIME types to data is the bundle itself: what `display(…)` takes. */
export const displayed = (value: unknown): Bundle | Promise<Bundle> =>
  isBundle(value) ? checkedBundle(value) : bundleOf(value);
