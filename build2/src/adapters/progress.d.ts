import type { Progress } from "../core/types";
/**
 * Watches a count grow: tells `progress` the rate and the time left, at most ten times a second and always when the work is done.
 * @param progress nothing is done without one
 * @param begun units that were there before this run (a run that goes on): they count as done, not in the rate
 * @param clock seconds, from any beginning
 * @returns to be called with the units done so far
 */
export declare function meter(stage: string, total: number, unit: string, progress: Progress | undefined, begun?: number, clock?: () => number): (done: number, detail?: string) => void;
