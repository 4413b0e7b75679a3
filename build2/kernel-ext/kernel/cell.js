"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.systemClock = exports.newCell = void 0;
exports.waitIn = waitIn;
exports.cellScope = cellScope;
const node_async_hooks_1 = require("node:async_hooks");
const newCell = (given) => ({
    ...given, interrupted: false, polledAt: -Infinity, sparedUntil: -Infinity, pending: new Set(), waits: new Set(), timers: new Set(),
});
exports.newCell = newCell;
/**
 * Waits for a value, or until the cell is given up.
 * @param failed told of what it was rejected with
 */
function waitIn(cell, value, failed = () => { }) {
    return new Promise((resolve, reject) => {
        const fail = (error) => {
            cell.waits.delete(fail);
            failed(error);
            reject(error);
        };
        cell.waits.add(fail);
        Promise.resolve(value).then((result) => {
            cell.waits.delete(fail);
            resolve(result);
        }, fail);
    });
}
/** The scope; code whose origin is lost (a native callback) counts as the latest cell's. */
function cellScope() {
    const storage = new node_async_hooks_1.AsyncLocalStorage();
    let latest;
    return {
        run(cell, work) {
            latest = cell;
            return storage.run(cell, work);
        },
        current: () => storage.getStore() ?? latest,
    };
}
exports.systemClock = {
    now: () => performance.now(),
    after(ms, work) {
        const timer = setTimeout(work, ms);
        return () => clearTimeout(timer);
    },
};
//# sourceMappingURL=cell.js.map