/**
 * Takes the lock, also one whose process has died.
 * @param refusal makes the error from words for who holds it, such as "process 12, since …"
 * @returns gives it back
 * @throws what `refusal` made; errors of the file system
 */
export declare function takeLock(file: string, refusal: (holder: string) => Error): () => void;
/** Whether a process of this machine runs, and is the one that started then. */
export declare function isAlive(pid: number, started?: string | null): boolean;
