import { join } from "node:path";
import type { Figure } from "../core/plot";
import { packageRoot } from "./package";

/**
 * A figure as a picture, without a browser: plotly.js draws SVG in jsdom, resvg turns it into PNG with a font of our
 * own, so that the picture is the same, and has text, on a machine without fonts. About two seconds the first time, a
 * quarter of one after that.
 */
const FONT = join(packageRoot, "data", "fonts", "OpenSans-latin.ttf");

/** As much of the DOM as is touched here. */
interface Node {
  textContent: string | null;
  getAttribute(name: string): string | null;
  remove(): void;
}

interface Page {
  body: { appendChild(node: Node): Node };
  createElement(name: string): Node;
}

interface Window {
  document: Page;
  URL: object;
  HTMLCanvasElement: { prototype: object };
  SVGElement: { prototype: object };
  Plotly: Plotly;
  eval(code: string): void;
}

interface Plotly {
  newPlot(element: Node, data: unknown, layout: unknown, config: unknown): Promise<unknown>;
  Snapshot: { toSVG(element: Node, format: "svg"): string };
  purge(element: Node): void;
}

let drawing: { plotly: Plotly; document: Page } | undefined;

/**
 * jsdom lays nothing out: sizes of text come from its length and the size of its font. What is not needed for a static
 * picture answers with nothing.
 */
function load(): { plotly: Plotly; document: Page } {
  const { JSDOM } = require("jsdom") as { JSDOM: new (html: string, options: object) => { window: Window } };
  const { readFileSync } = require("node:fs") as typeof import("node:fs");
  const { window } = new JSDOM("<!doctype html><body></body>", { runScripts: "outside-only", pretendToBeVisual: true });
  const styleOf = (element: Node, name: string): string | undefined =>
    new RegExp(`(?:^|[;\\s])${name}:\\s*([^;]+)`).exec(element.getAttribute("style") ?? "")?.[1] ??
    element.getAttribute(name) ??
    undefined;
  const width = (element: Node): number =>
    0.55 * parseFloat(styleOf(element, "font-size") ?? "13") * (element.textContent ?? "").length;
  const box = function (this: Node): object {
    // text is placed by its distance from this point
    if (this.getAttribute("class") === "js-reference-point") return { x: 0, y: 0, width: 0, height: 0, left: 0, right: 0, top: 0, bottom: 0 };
    const w = width(this);
    const anchor = styleOf(this, "text-anchor")?.trim();
    const left = anchor === "middle" ? -w / 2 : anchor === "end" ? -w : 0;
    return { x: left, y: -12, width: w, height: 16, left, right: left + w, top: -12, bottom: 4 };
  };
  const stub = (target: object, name: string, value: unknown): void => {
    Object.defineProperty(target, name, { value, configurable: true, writable: true });
  };
  stub(window.URL, "createObjectURL", () => "");
  stub(window, "TextDecoder", TextDecoder);
  stub(window, "TextEncoder", TextEncoder);
  stub(window.HTMLCanvasElement.prototype, "getContext", () => null);
  stub(window.SVGElement.prototype, "getBBox", box);
  stub(window.SVGElement.prototype, "getBoundingClientRect", box);
  stub(window.SVGElement.prototype, "getComputedTextLength", function (this: Node) {
    return width(this);
  });
  window.eval(readFileSync(require.resolve("plotly.js"), "utf8"));
  return { plotly: window.Plotly, document: window.document };
}

/** Plotly hides labels of ticks that lie outside of the page, where all text lies that has no place yet. */
const withLabels = (layout: Figure["layout"]): Figure["layout"] =>
  Object.fromEntries(Object.entries(structuredClone(layout)).map(([name, value]) => [name, /^[xy]axis/.test(name) ? { ...(value as object), ticklabeloverflow: "allow" } : value])) as Figure["layout"];

/** @param scale pixels a unit of the figure: 2 is sharp on today's screens */
export async function figurePng(figure: Figure, scale = 2): Promise<Uint8Array> {
  drawing ??= load();
  const { plotly, document } = drawing;
  const element = document.body.appendChild(document.createElement("div"));
  try {
    await plotly.newPlot(element, structuredClone(figure.data), withLabels(figure.layout), {
      ...figure.config,
      staticPlot: true,
      responsive: false,
    });
    return svgPng(plotly.Snapshot.toSVG(element, "svg"), scale);
  } finally {
    plotly.purge(element);
    element.remove();
  }
}

/** An SVG as a picture, its text in our own font. @param scale pixels a unit of the drawing */
export function svgPng(svg: string, scale = 2): Uint8Array {
  const { Resvg } = require("@resvg/resvg-js") as typeof import("@resvg/resvg-js");
  const font = { loadSystemFonts: false, fontFiles: [FONT], defaultFontFamily: "Open Sans", sansSerifFamily: "Open Sans" };
  return new Resvg(svg, { font, fitTo: { mode: "zoom", value: scale } }).render().asPng();
}
