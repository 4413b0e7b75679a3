"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.figurePng = figurePng;
const node_path_1 = require("node:path");
const package_1 = require("./package");
/**
 * A figure as a picture, without a browser: plotly.js draws SVG in jsdom, resvg turns it into PNG with a font of our
 * own, so that the picture is the same, and has text, on a machine without fonts. About two seconds the first time, a
 * quarter of one after that.
 */
const FONT = (0, node_path_1.join)(package_1.packageRoot, "data", "fonts", "OpenSans-latin.ttf");
let drawing;
/**
 * jsdom lays nothing out: sizes of text come from its length and the size of its font. What is not needed for a static
 * picture answers with nothing.
 */
function load() {
    const { JSDOM } = require("jsdom");
    const { readFileSync } = require("node:fs");
    const { window } = new JSDOM("<!doctype html><body></body>", { runScripts: "outside-only", pretendToBeVisual: true });
    const styleOf = (element, name) => new RegExp(`(?:^|[;\\s])${name}:\\s*([^;]+)`).exec(element.getAttribute("style") ?? "")?.[1] ??
        element.getAttribute(name) ??
        undefined;
    const width = (element) => 0.55 * parseFloat(styleOf(element, "font-size") ?? "13") * (element.textContent ?? "").length;
    const box = function () {
        const w = width(this);
        const anchor = styleOf(this, "text-anchor")?.trim();
        const left = anchor === "middle" ? -w / 2 : anchor === "end" ? -w : 0;
        return { x: left, y: -12, width: w, height: 16, left, right: left + w, top: -12, bottom: 4 };
    };
    const stub = (target, name, value) => {
        Object.defineProperty(target, name, { value, configurable: true, writable: true });
    };
    stub(window.URL, "createObjectURL", () => "");
    stub(window, "TextDecoder", TextDecoder);
    stub(window, "TextEncoder", TextEncoder);
    stub(window.HTMLCanvasElement.prototype, "getContext", () => null);
    stub(window.SVGElement.prototype, "getBBox", box);
    stub(window.SVGElement.prototype, "getBoundingClientRect", box);
    stub(window.SVGElement.prototype, "getComputedTextLength", function () {
        return width(this);
    });
    window.eval(readFileSync(require.resolve("plotly.js"), "utf8"));
    return { plotly: window.Plotly, document: window.document };
}
/** @param scale pixels a unit of the figure: 2 is sharp on today's screens */
async function figurePng(figure, scale = 2) {
    const { Resvg } = require("@resvg/resvg-js");
    drawing ??= load();
    const { plotly, document } = drawing;
    const element = document.body.appendChild(document.createElement("div"));
    try {
        await plotly.newPlot(element, structuredClone(figure.data), structuredClone(figure.layout), {
            ...figure.config,
            staticPlot: true,
            responsive: false,
        });
        const svg = plotly.Snapshot.toSVG(element, "svg");
        const font = {
            loadSystemFonts: false,
            fontFiles: [FONT],
            defaultFontFamily: "Open Sans",
            sansSerifFamily: "Open Sans",
        };
        return new Resvg(svg, { font, fitTo: { mode: "zoom", value: scale } }).render().asPng();
    }
    finally {
        plotly.purge(element);
        element.remove();
    }
}
//# sourceMappingURL=png.js.map