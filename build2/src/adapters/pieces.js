"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.inPieces = inPieces;
const node_perf_hooks_1 = require("node:perf_hooks");
const interrupt_1 = require("./interrupt");
const BREATH = 100; // milliseconds: a fifth of what a reader notices
/**
 * Does work piece by piece; timers, sockets and the interrupt flag get their turn ten times a second.
 * @throws InterruptError, when asked to stop
 */
async function inPieces(work, kept) {
    for (let last = node_perf_hooks_1.performance.now();;) {
        const { done, value } = work.next();
        if (done)
            return value;
        if (node_perf_hooks_1.performance.now() - last < BREATH)
            continue;
        (0, interrupt_1.stopIfInterrupted)(kept);
        await (0, interrupt_1.breathe)();
        last = node_perf_hooks_1.performance.now();
    }
}
//# sourceMappingURL=pieces.js.map