"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const evaluationtable_1 = require("../../src/core/evaluationtable");
const featuretable_1 = require("../../src/core/featuretable");
const good = { fvu: 0.0857, explainedVariance: 0.9143, l0: 16, dead: 0.0078, dense: 0.001, rows: 183735, hook: "layers.3" };
(0, node_test_1.test)("an evaluation says what each measure means", () => {
    const text = (0, featuretable_1.tableText)((0, evaluationtable_1.evaluationTable)(good, "heldout", 1024));
    strict_1.default.match(text, /FVU +0\.0857 +explains 91\.4 % of the variance of 183,735 held-out rows of layers\.3\.$/m);
    strict_1.default.match(text, /dead +0\.8 % +of 1,024 latents/);
    strict_1.default.doesNotMatch(text, /suspect/);
});
(0, node_test_1.test)("an SAE that rebuilds no better than the mean row is called suspect", () => {
    strict_1.default.match((0, featuretable_1.tableText)((0, evaluationtable_1.evaluationTable)({ ...good, fvu: 1.7, explainedVariance: -0.7 }, "all", 1024)), /No better than the mean row: suspect the hook/);
});
//# sourceMappingURL=evaluationtable.test.js.map