"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const schedule_1 = require("../../src/core/schedule");
(0, node_test_1.test)("learning rate: the recipe's formula, constant, then linear over the last fifth", () => {
    strict_1.default.ok(Math.abs((0, schedule_1.defaultLearningRate)(128, 1024, 1e6) - 0.045 / Math.sqrt(128)) < 1e-12);
    strict_1.default.ok(Math.abs((0, schedule_1.defaultLearningRate)(128, 4096, 4e6) - 0.045 / Math.sqrt(128)) < 1e-12); // √4 · √¼
    strict_1.default.equal((0, schedule_1.defaultLearningRate)(576, 1024, 2e5), (0, schedule_1.defaultLearningRate)(576, 1024, 1e6)); // short runs do not go higher
    strict_1.default.equal((0, schedule_1.learningRateAt)(0, 100, 0.5), 0.5);
    strict_1.default.equal((0, schedule_1.learningRateAt)(80, 100, 0.5), 0.5);
    strict_1.default.equal((0, schedule_1.learningRateAt)(90, 100, 0.5), 0.25);
    strict_1.default.ok(Math.abs((0, schedule_1.learningRateAt)(99, 100, 0.5) - 0.025) < 1e-12);
});
(0, node_test_1.test)("batch: 1024 up to 4 million tokens, smaller for short runs", () => {
    strict_1.default.deepEqual([1e6, 4e6, 5e6, 1e8, 262144, 120000, 20000, 100].map(schedule_1.defaultBatch), [1024, 1024, 2048, 4096, 512, 128, 32, 32]);
    for (let tokens = 16000; tokens < 4e6; tokens *= 1.37)
        strict_1.default.ok(tokens / (0, schedule_1.defaultBatch)(tokens) >= 500, `${tokens} tokens`);
    strict_1.default.equal((0, schedule_1.defaultDeadAfter)(1000), 50);
});
(0, node_test_1.test)("auxiliary loss: at most half the width takes part, its weight grows with the dead", () => {
    strict_1.default.deepEqual((0, schedule_1.auxiliary)(0, 64, 1), { k: 0, scale: 0 });
    strict_1.default.deepEqual((0, schedule_1.auxiliary)(8, 64, 1), { k: 8, scale: 0.25 });
    strict_1.default.deepEqual((0, schedule_1.auxiliary)(32, 64, 1), { k: 32, scale: 1 });
    strict_1.default.deepEqual((0, schedule_1.auxiliary)(500, 64, 0.5), { k: 32, scale: 0.5 });
    strict_1.default.equal((0, schedule_1.auxiliary)(500, 64, 0).k, 0);
    strict_1.default.equal((0, schedule_1.auxiliary)(1, 1, 1).k, 1);
});
(0, node_test_1.test)("a latent is dead after it was silent for more than so many tokens, and alive as soon as it fires", () => {
    const fires = (0, schedule_1.firing)(4, 20);
    fires.count(10, Int32Array.of(0, 1), Float32Array.of(1, 0)); // a value of 0 is silence
    fires.count(10, Int32Array.of(0, 2), Float32Array.of(1, 1));
    strict_1.default.deepEqual([...fires.dead()], []);
    fires.count(10, Int32Array.of(0), Float32Array.of(1));
    strict_1.default.deepEqual([...fires.dead()], [1, 3]);
    fires.count(10, Int32Array.of(3), Float32Array.of(0.1));
    strict_1.default.deepEqual([...fires.dead()], [1]);
});
//# sourceMappingURL=schedule.test.js.map