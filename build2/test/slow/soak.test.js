"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const soak_1 = require("../kernel/soak");
(0, node_test_1.test)("10,000 cells of all kinds: none lost, none wrong, memory flat", { timeout: 3_600_000 }, async (t) => {
    const { slope } = await (0, soak_1.soak)(t, 10_000);
    // A cell's text, history and maps are kept, some kilobytes; a leak of its values or its program would be many times that.
    strict_1.default.ok(slope < 10, `expected less than 10 MB a thousand cells, found ${slope.toFixed(1)}`);
});
//# sourceMappingURL=soak.test.js.map