"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const plot_1 = require("../../src/core/plot");
const values = ({ bdata }) => [...new Float32Array(Uint8Array.from(Buffer.from(bdata, "base64")).buffer)];
(0, node_test_1.test)("columns are base64 of float32", () => {
    const want = Array.from({ length: 5000 }, (_, i) => Math.fround(i / 3));
    strict_1.default.deepEqual(values((0, plot_1.column)(want)), want);
});
(0, node_test_1.test)("training curve: FVU and dead share against tokens, axes that hold them", () => {
    const curve = [0.9, 0.3, 0.12].map((fvu, i) => ({
        step: i,
        tokens: 1000 * (i + 1),
        fvu,
        dead: i / 100,
        learningRate: 1,
    }));
    const { figure } = (0, plot_1.trainingFigure)(curve);
    strict_1.default.deepEqual(values(figure.data[0].x), [1000, 2000, 3000]);
    strict_1.default.deepEqual(values(figure.data[0].y), [0.9, 0.3, 0.12].map(Math.fround));
    strict_1.default.deepEqual(values(figure.data[1].y), [0, 1, 2]);
    const { type, range, tickvals } = figure.layout.yaxis;
    strict_1.default.equal(type, "log");
    strict_1.default.ok(10 ** range[0] < 0.12 && 10 ** range[1] > 0.9);
    strict_1.default.ok(tickvals.length >= 3 && tickvals.every((v) => v >= 10 ** range[0] && v <= 10 ** range[1]));
    strict_1.default.throws(() => (0, plot_1.trainingFigure)([]), RangeError);
});
(0, node_test_1.test)("a curve that does not move, or holds a zero, has axes all the same", () => {
    for (const fvu of [0.5, 0]) {
        const { range } = (0, plot_1.trainingFigure)([{ step: 0, tokens: 1, fvu, dead: 0, learningRate: 1 }]).figure.layout.yaxis;
        strict_1.default.ok(Number.isFinite(range[0]) && range[0] < range[1]);
    }
});
(0, node_test_1.test)("scatter: living latents only, numbered; of very many one in so many", () => {
    const { figure, words } = (0, plot_1.scatterFigure)([0, 0.01, 0.5], [0, 2, 3]);
    strict_1.default.deepEqual(values(figure.data[0].customdata), [1, 2]);
    strict_1.default.match(words, /of 3 latents 1 are dead and 1 fire/);
    const many = (0, plot_1.scatterFigure)(new Float32Array(10_000).fill(0.01), new Float32Array(10_000).fill(1));
    strict_1.default.equal(values(many.figure.data[0].x).length, 3334);
    strict_1.default.match(many.figure.layout.title.text, /one in 3 drawn/);
});
//# sourceMappingURL=plot.test.js.map