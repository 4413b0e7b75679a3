"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const sinks_1 = require("../../src/core/sinks");
const floats = (...values) => Float64Array.from(values);
(0, node_test_1.test)("norm limit: a multiple of the median, first positions left aside where they are dropped", () => {
    const norms = floats(1000, 1, 2, 3, 900, 4); // positions 0 and 4 are first
    const isFirst = Uint8Array.of(1, 0, 0, 0, 1, 0);
    strict_1.default.equal((0, sinks_1.normLimit)(norms, isFirst, { dropFirst: true, dropNorm: 10 }), 25); // of 1, 2, 3, 4
    strict_1.default.equal((0, sinks_1.normLimit)(norms, isFirst, { dropFirst: false, dropNorm: 10 }), 35); // of 1, 2, 3, 4, 900, 1000
    strict_1.default.equal((0, sinks_1.normLimit)(norms, isFirst, { dropFirst: true, dropNorm: false }), null);
    strict_1.default.equal((0, sinks_1.normLimit)(floats(5, 0, 0), Uint8Array.of(1, 0, 0), { dropFirst: true, dropNorm: 10 }), null, "a hook that gives zeros");
    strict_1.default.equal((0, sinks_1.normLimit)(floats(5, 5), Uint8Array.of(1, 1), { dropFirst: true, dropNorm: 10 }), null, "contexts of one token");
    strict_1.default.deepEqual([...norms], [1000, 1, 2, 3, 900, 4], "the caller's norms stay in order");
});
(0, node_test_1.test)("kept rows: a sink at one hook is dropped from all; each is counted once, by its first rule", () => {
    const isFirst = Uint8Array.of(1, 0, 0, 0, 1, 0, 0);
    const norms = [floats(99, 1, 1, 99, 1, 10, 1, 77), floats(1, 1, 1, 1, 99, 1, 99, 77)]; // buffers may be longer than the shard
    strict_1.default.deepEqual((0, sinks_1.keptRows)(norms, [10, 20], isFirst, true), { runs: [{ from: 1, to: 3 }, { from: 5, to: 6 }], dropped: { first: 2, norm: 2 } });
    strict_1.default.deepEqual((0, sinks_1.keptRows)(norms, [10, null], isFirst, false), { runs: [{ from: 1, to: 3 }, { from: 4, to: 7 }], dropped: { first: 0, norm: 2 } });
    strict_1.default.deepEqual((0, sinks_1.keptRows)(norms, [null, null], isFirst, false).runs, [{ from: 0, to: 7 }]);
    strict_1.default.deepEqual((0, sinks_1.keptRows)(norms, [0, 0], isFirst, true), { runs: [], dropped: { first: 2, norm: 5 } });
});
(0, node_test_1.test)("gaps are closed in place, rows stay whole", () => {
    const x = Float32Array.from({ length: 14 }, (_, i) => i);
    const kept = (0, sinks_1.closeGaps)(x, 2, [{ from: 1, to: 3 }, { from: 5, to: 6 }]);
    strict_1.default.deepEqual([...kept], [2, 3, 4, 5, 10, 11]);
    strict_1.default.equal(kept.buffer, x.buffer);
    strict_1.default.deepEqual([...(0, sinks_1.closeGaps)(Int32Array.of(7, 8, 9), 1, [{ from: 0, to: 1 }, { from: 2, to: 3 }])], [7, 9]);
    strict_1.default.equal((0, sinks_1.closeGaps)(Int32Array.of(7, 8), 1, []).length, 0);
});
//# sourceMappingURL=sinks.test.js.map