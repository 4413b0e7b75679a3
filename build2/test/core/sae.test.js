"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const sae_1 = require("../../src/core/sae");
const weights = {
    d: 2, latents: 4, k: 2,
    wEnc: Float32Array.of(1, 0, 0, 1, 1, 0, -1, -1),
    bEnc: Float32Array.of(0, 0.5, 0, 0),
    wDec: Float32Array.of(1, 0, 0, 1, 0.5, 0.5, -1, 0),
    bDec: Float32Array.of(1, 2),
};
(0, node_test_1.test)("encode by hand: the largest first, ties by smaller index, zeros where nothing is positive", () => {
    // x − b_dec: (2, 1), (0, 0), (−1, −3); pre-activations (2, 1.5, 2, −3), (0, 0.5, 0, 0), (−1, −2.5, −1, 4)
    const { n, k, index, value } = (0, sae_1.encode)(weights, Float32Array.of(3, 3, 1, 2, 0, -1));
    strict_1.default.deepEqual([n, k], [3, 2]);
    strict_1.default.deepEqual([...index], [0, 2, 1, 0, 3, 0]);
    strict_1.default.deepEqual([...value], [2, 2, 0.5, 0, 4, 0]);
});
(0, node_test_1.test)("decode by hand; a value of 0 may carry any index", () => {
    const x = (0, sae_1.decode)(weights, { n: 2, k: 2, index: Int32Array.of(0, 2, 3, -1), value: Float32Array.of(2, 2, 4, 0) });
    strict_1.default.deepEqual([...x], [1 + 2 + 1, 2 + 1, 1 - 4, 2]);
});
(0, node_test_1.test)("encode refuses rows of another width", () => {
    strict_1.default.throws(() => (0, sae_1.encode)(weights, new Float32Array(3)), { name: "RangeError", message: /multiple of the SAE's width 2, found 3/ });
});
//# sourceMappingURL=sae.test.js.map