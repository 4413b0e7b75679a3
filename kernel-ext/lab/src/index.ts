import css from "style.raw.css";
import { drawBrowser } from "./browser";
import { drawDocument } from "./document";
import { drawHeatMap } from "./heatmap";
import { drawPlot } from "./plotly";
import { renderer, styled } from "./renderer";
import { drawTable } from "./table";
import { drawText } from "./text";

styled(css);

/** What the front end finds: a renderer for each of saelab's MIME types, and Plotly's. */
export default [
  renderer("browser", "application/vnd.saelab.browser.v1+json", drawBrowser),
  renderer("heatmap", "application/vnd.saelab.heatmap.v1+json", drawHeatMap),
  renderer("document", "application/vnd.saelab.document.v1+json", drawDocument),
  renderer("text", "application/vnd.saelab.text.v1+json", drawText),
  renderer("table", "application/vnd.saelab.table.v1+json", drawTable),
  renderer("plotly", "application/vnd.plotly.v1+json", drawPlot),
];
