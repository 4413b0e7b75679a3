import { heatMapHtml, unpackHeatMap, type PackedHeatMap } from "../../../src/core/heatmap";
import { factory } from "./renderer";

export default [
  factory("heatmap", "application/vnd.saelab.heatmap.v1+json", (node, content) => {
    node.innerHTML = heatMapHtml(unpackHeatMap(content as PackedHeatMap), { bytes: Infinity });
  }),
];
