import { performance } from "node:perf_hooks";
import { featureBrowser } from "../../src/adapters/browser";
import { openFeatures } from "../../src/adapters/features";
import { DISPLAY } from "../../src/adapters/show";

/** Opens the features in a folder, and shows them: one line of JSON, milliseconds and kilobytes. */
async function main(folder: string): Promise<void> {
  const began = performance.now();
  const features = await openFeatures(folder);
  const opened = performance.now();
  const bundle = JSON.stringify(featureBrowser(features)[DISPLAY]());
  const shown = performance.now();
  const cards = Array.from({ length: 20 }, (_, i) => {
    const from = performance.now();
    JSON.stringify(features.card(i * 37)[DISPLAY]());
    return performance.now() - from;
  }).sort((a, b) => a - b);
  const { "text/html": html, ...rest } = JSON.parse(bundle) as Record<string, unknown>;
  console.log(JSON.stringify({
    open: opened - began, browser: shown - opened, card: cards[10],
    packedKB: JSON.stringify(rest["application/vnd.saelab.browser.v1+json"]).length / 1000, fallback20KB: String(html).length / 1000,
  }));
  features.close();
}

void main(process.argv[2]);
