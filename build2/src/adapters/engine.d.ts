import { type Reply, type Request } from "./model-worker";
export interface Engine {
    ask(request: Request): Promise<Reply>;
    stop(): Promise<void>;
}
/**
 * The worker, started on the first request; it keeps the process alive only while something is asked of it.
 * @param lost called when it ended, with all that it held; the next request starts another
 */
export declare function startEngine(what: string, lost: () => void): Engine;
