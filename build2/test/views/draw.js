"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const cases_1 = require("./cases");
/**
 * Draws all cases anew, beside their source: `node build/test/views/draw.js`. What changed is then seen in the diff, and
 * in a browser.
 */
const folder = (0, node_path_1.join)(__dirname, "..", "..", "..", "test", "views");
for (const { name, html, text } of cases_1.cases) {
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, `${name}.html`), `${html}\n`);
    if (text !== undefined)
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, `${name}.txt`), `${text}\n`);
}
//# sourceMappingURL=draw.js.map