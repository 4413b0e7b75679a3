"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const measure_1 = require("../../src/core/measure");
(0, node_test_1.test)("fvu by hand: perfect 0, the mean row 1", () => {
    const x = Float32Array.of(1, 2, 3, 4, 5, 9);
    strict_1.default.equal((0, measure_1.fvu)(x, x, 2), 0);
    strict_1.default.equal((0, measure_1.fvu)(x, Float32Array.of(3, 5, 3, 5, 3, 5), 2), 1);
    // errors 1, 0, 0, 1, 0, 0 over variance (4 + 9) + (0 + 1) + (4 + 16)
    strict_1.default.equal((0, measure_1.fvu)(x, Float32Array.of(0, 2, 3, 3, 5, 9), 2), 2 / 34);
});
(0, node_test_1.test)("fvu keeps its digits far from zero", () => {
    const far = 1e4;
    const x = Float32Array.from({ length: 2000 }, (_, i) => far + (i % 2 ? 1 : -1) * (1 + (i % 3)));
    const xHat = x.map((v, i) => v + (i % 5 === 0 ? 0.5 : 0));
    const mean = [0, 1].map((j) => x.filter((_, i) => i % 2 === j).reduce((a, b) => a + b, 0) / 1000);
    let error = 0, variance = 0;
    x.forEach((v, i) => {
        error += (v - xHat[i]) ** 2;
        variance += (v - mean[i % 2]) ** 2;
    });
    strict_1.default.ok(Math.abs((0, measure_1.fvu)(x, xHat, 2) - error / variance) < 1e-9);
});
(0, node_test_1.test)("fvu of equal rows, or of other shapes, is an error", () => {
    strict_1.default.throws(() => (0, measure_1.fvu)(Float32Array.of(1, 2, 1, 2), new Float32Array(4), 2), { name: "RangeError", message: /rows that differ/ });
    strict_1.default.throws(() => (0, measure_1.fvu)(new Float32Array(4), new Float32Array(2), 2), RangeError);
    strict_1.default.throws(() => (0, measure_1.fvu)(new Float32Array(3), new Float32Array(3), 2), RangeError);
});
(0, node_test_1.test)("measures add up over chunks: L0, dead and dense", () => {
    const tally = (0, measure_1.measuring)(1, 5);
    // latent 0 fires in every row, latent 1 in one of 10 (a tenth is not dense), 2 in two, 3 is chosen with value 0, 4 never
    for (let row = 0; row < 10; row++) {
        tally.rows(Float32Array.of(row), Float32Array.of(row + 1));
        tally.latents(Int32Array.of(0, row === 0 ? 1 : row < 3 ? 2 : 3), Float32Array.of(1, row < 3 ? 0.5 : 0));
    }
    const { fvu: share, explainedVariance, ...rest } = tally.result();
    strict_1.default.ok(Math.abs(share - 10 / 82.5) < 1e-12);
    strict_1.default.equal(explainedVariance, 1 - share);
    strict_1.default.deepEqual(rest, { l0: 1.3, dead: 2 / 5, dense: 2 / 5, rows: 10 });
});
//# sourceMappingURL=measure.test.js.map