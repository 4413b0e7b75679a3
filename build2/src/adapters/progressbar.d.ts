import type { Progress } from "../core/types";
/** How far a long loop is, shown where one looks: a bar in a notebook's cell, a line on stderr else. */
type State = Parameters<Progress>[0];
interface Line {
    state: State;
    begun: number;
    seconds: number;
}
export declare function progressHtml(lines: Line[]): string;
export declare const progressText: (lines: Line[]) => string;
/**
 * A progress display that grows a line a stage. In a notebook it is one output, replaced at most ten times a second;
 * nbclient keeps its last state only. On a terminal it is the last line of stderr; where stderr is no terminal, a line
 * when a stage is done.
 * @param title put before the name of each stage
 */
export declare function progressBar(title?: string, clock?: () => number): Progress;
/** What long loops show when they are not told: a bar in a notebook, nothing elsewhere. */
export declare const defaultProgress: () => Progress | undefined;
export {};
