import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { cases } from "./cases";

/**
 * Draws all cases anew, beside their source: `node build/test/views/draw.js`. What changed is then seen in the diff, and
 * in a browser.
 */
const folder = join(__dirname, "..", "..", "..", "test", "views");
for (const { name, html, text } of cases) {
  writeFileSync(join(folder, `${name}.html`), `${html}\n`);
  if (text !== undefined) writeFileSync(join(folder, `${name}.txt`), `${text}\n`);
}
