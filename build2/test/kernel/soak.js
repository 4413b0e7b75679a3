"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.soak = soak;
const strict_1 = __importDefault(require("node:assert/strict"));
const node_os_1 = require("node:os");
const drive_1 = require("./drive");
/** Least-squares slope of memory over cells, MB a thousand cells, of the last three quarters of a run. */
function slopeOf({ memory, cells }) {
    const late = memory.slice(Math.floor(memory.length / 4));
    const x = late.map((_, i) => (i * cells) / memory.length / 1000);
    const [mx, my] = [x, late].map((list) => list.reduce((a, b) => a + b, 0) / list.length);
    return x.reduce((sum, each, i) => sum + (each - mx) * (late[i] - my), 0) / x.reduce((sum, each) => sum + (each - mx) ** 2, 0);
}
/** Cells of all kinds, errors and interrupts among them: each gives what it must. Reports the memory, and its slope. */
async function soak(t, cells) {
    const found = await (0, drive_1.withKernel)("soak.py", { cwd: (0, node_os_1.tmpdir)(), cells });
    const slope = slopeOf(found);
    t.diagnostic(`${found.cells} cells (${Object.entries(found.kinds).map(([kind, n]) => `${n} ${kind}`).join(", ")})`);
    // The first hundreds of cells fill heaps and caches: their slope says nothing.
    t.diagnostic(`memory, MB: ${found.memory.join(" ")}${cells < 2000 ? "" : `; slope ${slope.toFixed(2)} MB a thousand cells`}`);
    strict_1.default.deepEqual(found.wrong, []);
    strict_1.default.equal(found.cells, cells + 1);
    return { slope };
}
//# sourceMappingURL=soak.js.map