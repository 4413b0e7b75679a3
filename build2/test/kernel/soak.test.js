"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const soak_1 = require("./soak");
(0, node_test_1.test)("300 cells of all kinds: none lost, none wrong", { timeout: 300_000 }, async (t) => void (await (0, soak_1.soak)(t, 300)));
//# sourceMappingURL=soak.test.js.map