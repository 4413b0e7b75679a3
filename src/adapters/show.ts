import { inspect } from "node:util";
import {
  heatMapHtml,
  heatMapText,
  heatMapView,
  packHeatMap,
  type HeatMapOptions,
  type ShownFeature,
  type Words,
} from "../core/heatmap";

/**
 * What a cell shows. A value that can show itself has a method at Symbol.for("Jupyter.display") which returns a bundle:
 * MIME type → content, each saying the same for another reader. `application/vnd.saelab.<kind>.v1+json` is for a
 * renderer of ours, `text/html` needs neither script nor style sheet, `text/plain` is for terminals.
 */
export const DISPLAY: unique symbol = Symbol.for("Jupyter.display") as never;

export type Bundle = Record<string, unknown>;

export interface Shown {
  [DISPLAY](): Bundle | Promise<Bundle>;
}

/**
 * Whether text gets colour: in a notebook and on a terminal, unless NO_COLOR says no (https://no-color.org) or
 * FORCE_COLOR yes.
 */
export const colored = (): boolean =>
  !process.env.NO_COLOR &&
  (Boolean(process.env.FORCE_COLOR) || Boolean(process.stdout.isTTY) || displayHook() !== undefined);

/** A value whose bundle is there at once. */
export interface ShownNow extends Shown {
  [DISPLAY](): Bundle;
}

/**
 * Gives a value the power to show itself: in a cell, and in a terminal through console.log.
 * @param text what a terminal prints; the bundle's text/plain by default
 */
export function showing<T extends object>(value: T, bundle: () => Bundle): T & ShownNow;
export function showing<T extends object>(value: T, bundle: () => Promise<Bundle>, text: () => string): T & Shown;
export function showing<T extends object>(
  value: T,
  bundle: () => Bundle | Promise<Bundle>,
  text = () => String((bundle() as Bundle)["text/plain"]),
): T & Shown {
  Object.defineProperty(value, DISPLAY, { value: bundle, enumerable: false, configurable: true });
  Object.defineProperty(value, inspect.custom, { value: text, enumerable: false, configurable: true });
  return value as T & Shown;
}

/** Shows a value so as the last line of a cell only; to a program, and to console.log, it is what it was. */
export function inCell<T extends object>(value: T, bundle: () => Bundle): T {
  return Object.defineProperty(value, DISPLAY, { value: bundle, enumerable: false, configurable: true });
}

/** A value that does nothing but show itself. */
export const shown = (bundle: () => Bundle): ShownNow => showing({}, bundle);

export interface DisplayOptions {
  display_id?: string; // shows in a place that a later call may update
  update?: boolean; // false: true replaces what display_id shows
}

/** What the kernel offers at Symbol.for("saelab.display"). */
type DisplayHook = (bundle: Bundle, options: DisplayOptions & { metadata?: Record<string, unknown> }) => void;

export const displayHook = (): DisplayHook | undefined =>
  (globalThis as Record<symbol, unknown>)[Symbol.for("saelab.display")] as DisplayHook | undefined;

/**
 * Shows a value now, in the middle of a cell; outside a notebook it prints the value's text. Await it where the value has
 * to be drawn first, as plots have.
 */
export async function display(value: unknown, options: DisplayOptions = {}): Promise<void> {
  const method = (value as Partial<Shown> | null | undefined)?.[DISPLAY];
  const made =
    typeof method === "function"
      ? method.call(value)
      : { "text/plain": typeof value === "string" ? value : inspect(value) };
  const bundle = made instanceof Promise ? await made : made;
  const hook = displayHook();
  if (hook) hook(bundle, options);
  else console.log(String(bundle["text/plain"]));
}

/** A list of features that shows itself as heat maps. */
export type FeatureList<T extends ShownFeature = ShownFeature> = T[] & {
  words: Words;
  /** A sentence to be shown below the maps. */
  note?: string;
};

/** Features of one collection, each with the words to show it by: also what `filter`, `slice` and the like make of a list. */
type Features = (ShownFeature & { words: Words })[];

/**
 * Heat maps of features: their strongest contexts, a line each, shaded by activation ÷ maximum.
 * @param features what `collect(…)` or its `top(…)` gave; a part of that; or one feature. Values of an example are as
 *   long as its tokens, in the model's own units
 * @returns shows itself as `application/vnd.saelab.heatmap.v1+json` (a PackedHeatMap), HTML without script, and text
 * @throws OptionError for an unknown scale
 */
export function heatMap(
  features: FeatureList | Features | (ShownFeature & { words: Words }) | { top(): FeatureList },
  options: HeatMapOptions = {},
): ShownNow {
  const given =
    "top" in features && typeof features.top === "function"
      ? features.top()
      : (features as FeatureList | Features | (ShownFeature & { words: Words }));
  const list: ShownFeature[] = Array.isArray(given) ? given : [given];
  const words = "words" in given ? given.words : given[0]?.words;
  const view = heatMapView(list, words ?? { token: String, document: String }, options);
  if ("note" in given && typeof given.note === "string") view.leftOut.push(given.note);
  return shown(() => ({
    "application/vnd.saelab.heatmap.v1+json": packHeatMap(view),
    "text/html": heatMapHtml(view, options),
    "text/plain": heatMapText(view, { ...options, color: options.color ?? colored() }),
  }));
}
