import type { Figure } from "../core/plot";
/** @param scale pixels a unit of the figure: 2 is sharp on today's screens */
export declare function figurePng(figure: Figure, scale?: number): Promise<Uint8Array>;
