import type { Config, Data, Frame, Layout } from "plotly.js";
import type { Drawn } from "./renderer";

interface Figure {
  data: Data[];
  layout?: Partial<Layout>;
  config?: Partial<Config>;
  frames?: Frame[];
}

/** Plotly itself is loaded with the first plot. */
export async function drawPlot(node: HTMLElement, figure: Figure): Promise<Drawn> {
  const { default: plotly } = await import(/* webpackChunkName: "plotly" */ "plotly.js");
  const { data, layout = {}, config = {}, frames } = structuredClone(figure); // Plotly writes into what it draws
  const place = document.createElement("div");
  node.replaceChildren(place);
  await plotly.newPlot(place, { data, layout: { autosize: true, ...layout }, config: { responsive: true, displaylogo: false, ...config }, frames });
  return {
    keeps: (next) => JSON.stringify(next) === JSON.stringify(figure),
    resized: () => void (place.offsetWidth && plotly.Plots.resize(place)),
    dispose: () => plotly.purge(place),
  };
}
