"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.breathe = exports.interrupted = void 0;
exports.stopIfInterrupted = stopIfInterrupted;
const errors_1 = require("../core/errors");
/**
 * The flag that kernel and library share: a kernel sets `requested`, the loops of harvest, train and collect read it between steps.
 * It lives on globalThis, so that kernel and library need not import each other.
 */
const KEY = Symbol.for("saelab.interrupt");
const flag = () => (globalThis[KEY] ??= { requested: false });
/** True once a stop was asked for. */
const interrupted = () => flag().requested;
exports.interrupted = interrupted;
/** @throws InterruptError that says what was kept, when a stop was asked for */
function stopIfInterrupted(kept) {
    if ((0, exports.interrupted)())
        throw new errors_1.InterruptError(`Interrupted. ${kept}`);
}
/** Lets timers, sockets and the kernel's control channel run between two steps of a long loop. */
const breathe = () => new Promise((resolve) => setImmediate(resolve));
exports.breathe = breathe;
//# sourceMappingURL=interrupt.js.map