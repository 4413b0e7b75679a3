import { colouredPoints, isShaded, type ColouredPoints } from "./colouredpoints";
import { count, percent } from "./html";
import { axis, CONFIG, frame, PALETTE, type Plot } from "./plot";

/** Directions of latents in two dimensions → a Plotly figure, a point each. */

export interface MapPoints extends ColouredPoints {
  latents: ArrayLike<number>;
  method: "umap" | "pca";
  /** Latents that the SAE has. */
  total: number;
  /** Of PCA, the shares of the variance that the two axes hold. */
  explained?: [number, number];
}

export function mapFigure(map: MapPoints, title = "Decoder directions"): Plot {
  const { color, explained, total, method } = map;
  const n = map.latents.length;
  const data = colouredPoints({ ...map, hover: map.hover.map((lines, i) => [`latent ${map.latents[i]}`, ...lines]) });
  const how = method === "umap" ? "UMAP by cosine" : `PCA${explained ? `, ${percent(explained[0])} and ${percent(explained[1])} of the variance` : ""}`;
  const bare = axis({ showticklabels: false, ticks: "", showline: false, showgrid: false, zeroline: method === "pca", zerolinecolor: PALETTE.grid }); // units say nothing
  const many = color !== undefined && !isShaded(color) && data.length > 1;
  return {
    words: `${title}: ${count(n)}${n < total ? ` of ${count(total)}` : ""} latents in two dimensions (${how})${color ? `, coloured by ${color.name}` : ""}.`,
    figure: {
      data,
      layout: {
        ...frame(`${title}: ${count(n)}${n < total ? ` of ${count(total)}` : ""} latents, ${how}`, {
          xaxis: bare, yaxis: { ...bare, ...(method === "umap" ? { scaleanchor: "x" } : {}) }, showlegend: many, legend: { font: { size: 12 } }, hovermode: "closest", plot_bgcolor: PALETTE.plot,
        }),
        height: 560, margin: { l: 24, r: color && isShaded(color) ? 80 : 24, t: 64, b: 24 }, // room for the scale's name
      },
      config: CONFIG,
    },
  };
}
