import { heatMapHtml, heatMapText, unpackHeatMap, type PackedHeatMap } from "../../../src/core/heatmap";
import { copyText } from "./clipboard";
import { onTokens } from "./pointer";
import { STATUS, type Drawn } from "./renderer";
import { visible } from "../../../src/core/token";

/** Heat maps as everywhere, with all features that the output has, a line that tells the token under the pointer, and a copy as text. */
export function drawHeatMap(node: HTMLElement, content: PackedHeatMap): Drawn {
  const map = unpackHeatMap(content);
  node.innerHTML = `<button type="button" class="saelab-copy" title="copy as text">copy</button>${heatMapHtml(map, { bytes: Infinity })}${STATUS}`;
  const status = node.querySelector("[role=status]")!;
  node.querySelector("button")!.addEventListener("click", async () => {
    status.textContent = (await copyText(heatMapText(map, { color: false }))) ? "copied as text" : "the browser does not allow copying";
  });
  onTokens(node, (line, token, value) => void (status.textContent = `${visible(token)}  ${value}  ${line.lastElementChild?.getAttribute("title") ?? ""}`));
  return {};
}
