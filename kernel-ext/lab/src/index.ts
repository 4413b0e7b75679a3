import { heatMapHtml, unpackHeatMap, type PackedHeatMap } from "../../../src/core/heatmap";
import { drawBrowser } from "./browser";
import { renderer, styled } from "./renderer";
import { STYLE } from "./style";

styled(STYLE);

/** What the front end finds: a renderer for each of saelab's MIME types, and Plotly's. */
export default [
  renderer("browser", "application/vnd.saelab.browser.v1+json", drawBrowser),
  renderer("heatmap", "application/vnd.saelab.heatmap.v1+json", (node, content: PackedHeatMap) => {
    node.innerHTML = heatMapHtml(unpackHeatMap(content), { bytes: Infinity });
  }),
];
