import type { InferenceSession } from "onnxruntime-node";
import type { Feed } from "../core/feeds";
/**
 * ONNX Runtime on a thread of its own: its addon computes synchronously and would hold up timers, sockets and interrupts.
 * Messages are served one after the other; arrays come and go by transfer, not by copy.
 */
export type Request = {
    do: "load";
    session: string;
    model: Uint8Array;
    options: InferenceSession.SessionOptions;
} | {
    do: "release";
    session: string;
}
/**
 * Runs a session. Inputs that are not fed are looked up in the slot, then among the tables, then taken as empty. `outputs` are given
 * back; of a slot's `keep`, each output stays here under another name: keys and values for the next step, or what a later segment reads.
 */
 | {
    do: "run";
    session: string;
    feeds: Record<string, Feed>;
    outputs: string[];
    slot?: {
        id: number;
        keep: [output: string, as: string][];
        empty: Record<string, Pick<Feed, "type" | "dims">>;
    };
} | {
    do: "forget";
    slot: number;
}
/** Frees everything and ends the thread. */
 | {
    do: "end";
};
/**
 * Two flags that both threads see at once. ONNX Runtime's addon aborts the whole process when its thread is ended within a call,
 * so that whoever wants the end sets STOP, which turns down what has not begun, and waits until BUSY is 0.
 */
export declare const BUSY = 0;
export declare const STOP = 1;
export interface Reply {
    id: number;
    error?: string;
    outputs?: Record<string, {
        data: Float32Array;
        dims: number[];
    }>;
    milliseconds?: number;
}
/** What a thread is given so that this file knows that it is the one to serve. */
export interface WorkerData {
    serves: "saelab model";
    flags: Int32Array;
}
