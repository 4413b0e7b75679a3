/** True once a stop was asked for. */
export declare const interrupted: () => boolean;
/** @throws InterruptError that says what was kept, when a stop was asked for */
export declare function stopIfInterrupted(kept: string): void;
/** Lets timers, sockets and the kernel's control channel run between two steps of a long loop. */
export declare const breathe: () => Promise<void>;
