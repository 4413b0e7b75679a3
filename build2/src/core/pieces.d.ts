/**
 * Long work in pieces: a generator that yields every few milliseconds and returns its result. What drives it decides
 * what happens in between: nothing, or timers, sockets and a look at the interrupt flag.
 */
export type Pieces<T> = Generator<undefined, T, undefined>;
/** All pieces at once. */
export declare function atOnce<T>(work: Pieces<T>): T;
