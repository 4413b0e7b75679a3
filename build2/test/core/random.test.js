"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const random_1 = require("../../src/core/random");
(0, node_test_1.test)("random: same seed, same numbers; seeds and streams differ; moments are right", () => {
    const draw = (seed, stream = 0) => Array.from({ length: 4 }, (0, random_1.random)(seed, stream).uniform);
    strict_1.default.deepEqual(draw(1), draw(1));
    strict_1.default.notDeepEqual(draw(1), draw(2));
    strict_1.default.notDeepEqual(draw(1), draw(1, 1));
    // Pinned: a change of the generator would silently change every seeded run.
    const fixed = (0, random_1.random)(0);
    strict_1.default.deepEqual(Array.from({ length: 3 }, () => fixed.below(1000)), [44, 639, 612]);
    const rng = (0, random_1.random)(3), n = 20000;
    const uniform = Array.from({ length: n }, rng.uniform), normal = Array.from({ length: n }, rng.normal);
    const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
    strict_1.default.ok(Math.abs(mean(uniform) - 0.5) < 0.01 && Math.min(...uniform) >= 0 && Math.max(...uniform) < 1);
    strict_1.default.ok(Math.abs(mean(normal)) < 0.03 && Math.abs(mean(normal.map((v) => v * v)) - 1) < 0.05);
});
(0, node_test_1.test)("a permutation holds each number once and moves evenly; a sample is ascending, without repetition", () => {
    const order = (0, random_1.permutation)(1000, (0, random_1.random)(5));
    strict_1.default.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
    const firsts = new Float64Array(4);
    for (let seed = 0; seed < 4000; seed++)
        firsts[(0, random_1.permutation)(4, (0, random_1.random)(seed))[0]]++;
    for (const count of firsts)
        strict_1.default.ok(Math.abs(count - 1000) < 120, `${firsts}`);
    const some = (0, random_1.sample)(1000, 100, (0, random_1.random)(6));
    strict_1.default.equal(new Set(some).size, 100);
    strict_1.default.ok(some.every((v, i) => v < 1000 && (i === 0 || v > some[i - 1])));
    strict_1.default.deepEqual([...(0, random_1.sample)(3, 10, (0, random_1.random)(0))], [0, 1, 2]);
});
//# sourceMappingURL=random.test.js.map