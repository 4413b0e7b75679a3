"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.loadSignals = exports.sharedInterrupt = exports.INTERRUPT = void 0;
exports.takeSignals = takeSignals;
exports.createBell = createBell;
exports.createInterrupts = createInterrupts;
exports.installInterruptFlag = installInterruptFlag;
const node_fs_1 = require("node:fs");
/** Where the library's loops look: `globalThis[INTERRUPT].requested`. */
exports.INTERRUPT = Symbol.for("saelab.interrupt");
/*
 * Four integers that all threads and the signal handler see. Guards that the compiler puts into a cell's loops read the first one:
 * nothing else reaches code that never gives the event loop a turn.
 */
const FLAG = 0; // not 0: look whether you are meant
const COUNT = 1; // interrupts asked for since the start
const SEEN = 2; // of these, taken into account
const SYNC = 3; // 1 while code runs that SIGINT ends by force
const FORCE = 700; // ms in which a guard or a loop of the library should have looked; then synchronous code is ended by force
const sharedInterrupt = () => new SharedArrayBuffer(16);
exports.sharedInterrupt = sharedInterrupt;
const loadSignals = (addon) => ((0, node_fs_1.existsSync)(addon) ? require(addon) : undefined);
exports.loadSignals = loadSignals;
/**
 * Takes SIGINT for good. Node changes the signal's handler at the beginning and at the end of each script that a signal may end, and
 * what arrives in between is lost, or ends the process. It counts such scripts; with one more in the count, as its REPL has it, it
 * puts its handler there once, ours comes on top, and nothing changes any more.
 * @returns file descriptor that becomes readable at SIGINT
 */
function takeSignals(shared, signals) {
    const state = new Int32Array(shared);
    signals.install(state, false);
    process.binding("contextify").startSigintWatchdog?.();
    return signals.install(state, true);
}
/** The other thread's side: asks for an interrupt. */
function createBell(shared, signals) {
    const state = new Int32Array(shared);
    /** Ends what neither guards nor the library's loops have stopped in time. */
    const watch = () => {
        const asked = Atomics.load(state, COUNT);
        setTimeout(() => {
            if (Atomics.load(state, SEEN) - asked < 0 && Atomics.load(state, SYNC) === 1)
                signals?.force();
        }, FORCE);
    };
    return {
        ring() {
            Atomics.add(state, COUNT, 1);
            Atomics.store(state, FLAG, 1);
            watch();
        },
        watch,
    };
}
/** The side of the thread that runs cells. */
function createInterrupts(shared, signals) {
    const state = new Int32Array(shared);
    let act = () => { };
    const interrupts = {
        flag: state,
        ever: false,
        poll() {
            const count = Atomics.load(state, COUNT);
            if (count === state[SEEN])
                return;
            Atomics.store(state, SEEN, count);
            act();
        },
        raise() {
            Atomics.store(state, FLAG, 1);
            interrupts.ever = true;
        },
        lower() {
            if (Atomics.load(state, COUNT) === state[SEEN])
                Atomics.store(state, FLAG, 0);
        },
        forcible(run, work) {
            try {
                return run(() => {
                    signals?.install(state, true); // nothing is to be done where takeSignals() could do it for good
                    Atomics.store(state, SYNC, 1);
                    try {
                        return work();
                    }
                    finally {
                        Atomics.store(state, SYNC, 0);
                    }
                });
            }
            finally {
                Atomics.store(state, SYNC, 0);
                signals?.install(state, false); // a cell may have called process.on("SIGINT")
            }
        },
        onInterrupt: (given) => void (act = given),
    };
    return interrupts;
}
/**
 * Puts the interrupt flag where loops read it between steps. It answers for the cell that the reading code belongs to: a loop of an
 * interrupted cell still sees true after the next cell has begun, and the next cell's loops see false.
 * An object that the library put there before keeps its identity.
 */
function installInterruptFlag({ current, clock, poll = () => { } }) {
    const place = globalThis;
    const flag = (place[exports.INTERRUPT] ??= { requested: false });
    return Object.defineProperty(flag, "requested", {
        configurable: true,
        enumerable: true,
        get() {
            const cell = current();
            if (!cell)
                return false;
            cell.polledAt = clock.now();
            poll();
            return cell.interrupted;
        },
        set(value) {
            const cell = current();
            if (cell)
                cell.interrupted = value;
        },
    });
}
//# sourceMappingURL=interrupt.js.map