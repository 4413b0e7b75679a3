import type { Pieces } from "../core/pieces";
/**
 * Does work piece by piece; timers, sockets and the interrupt flag get their turn ten times a second.
 * @throws InterruptError, when asked to stop
 */
export declare function inPieces<T>(work: Pieces<T>, kept: string): Promise<T>;
