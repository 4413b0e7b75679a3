"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const pieces_1 = require("../../src/adapters/pieces");
const errors_1 = require("../../src/core/errors");
const pieces_2 = require("../../src/core/pieces");
(0, node_test_1.test)("timers get their turn in endless work, and an interrupt ends it", async () => {
    const flag = (globalThis[Symbol.for("saelab.interrupt")] ??= { requested: false });
    const endless = function* () {
        for (;;)
            yield;
    };
    setTimeout(() => (flag.requested = true), 1);
    try {
        await strict_1.default.rejects((0, pieces_1.inPieces)(endless(), "Nothing was kept."), (error) => {
            return error instanceof errors_1.InterruptError && error.message.endsWith("Nothing was kept.");
        });
    }
    finally {
        flag.requested = false;
    }
});
(0, node_test_1.test)("the result is the same in pieces and at once", async () => {
    const sum = function* (n) {
        let all = 0;
        for (let i = 1; i <= n; i++) {
            all += i;
            yield;
        }
        return all;
    };
    strict_1.default.equal((0, pieces_2.atOnce)(sum(100)), 5050);
    strict_1.default.equal(await (0, pieces_1.inPieces)(sum(100), ""), 5050);
});
//# sourceMappingURL=pieces.test.js.map