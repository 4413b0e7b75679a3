"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.meter = meter;
const node_perf_hooks_1 = require("node:perf_hooks");
const WINDOW = 5; // seconds the rate looks back: long enough to be steady, short enough to notice a busy machine
const PAUSE = 0.1; // seconds between two calls
/**
 * Watches a count grow: tells `progress` the rate and the time left, at most ten times a second and always when the work is done.
 * @param progress nothing is done without one
 * @param begun units that were there before this run (a run that goes on): they count as done, not in the rate
 * @param clock seconds, from any beginning
 * @returns to be called with the units done so far
 */
function meter(stage, total, unit, progress, begun = 0, clock = () => node_perf_hooks_1.performance.now() / 1000) {
    if (!progress)
        return () => { };
    const marks = [{ time: clock(), done: begun }];
    let told = -Infinity;
    return (done, detail) => {
        const time = clock();
        if (time - told < PAUSE && done < total)
            return;
        told = time;
        while (marks.length > 1 && time - marks[1].time >= WINDOW)
            marks.shift();
        const rate = time > marks[0].time ? (done - marks[0].done) / (time - marks[0].time) : 0;
        marks.push({ time, done });
        const secondsLeft = done >= total ? 0 : rate > 0 ? (total - done) / rate : Infinity;
        progress({ stage, done, total, unit, rate, secondsLeft, detail });
    };
}
//# sourceMappingURL=progress.js.map