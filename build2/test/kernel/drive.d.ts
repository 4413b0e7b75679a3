import type { Content } from "../../kernel-ext/kernel/wire";
export interface Step {
    code?: string;
    interruptOn?: string;
    how?: "message" | "signal";
    askOn?: string;
    answer?: string;
    expressions?: Record<string, string>;
    silent?: boolean;
    send?: string;
    hostile?: true;
    burst?: string[];
    request?: string;
    content?: Content;
    restart?: true;
}
export interface Answer {
    reply: {
        type: string;
        content: Content;
    };
    outputs: {
        type: string;
        content: Content;
    }[];
    control?: {
        type: string;
        content: Content;
    };
    asked?: unknown;
}
export interface Driven {
    info: Answer["reply"];
    answers: Record<string, Answer | Answer[]>;
    ended: boolean;
    beating: boolean;
}
/** Runs a Python script of this folder that starts this build's kernel, under a kernelspec in a scratch folder. */
export declare function withKernel<T>(script: string, task: Content): Promise<T>;
/** Takes a kernel through steps, one after the other; drive.py says what each may be. */
export declare function drive(steps: Record<string, Step>, cwd: string): Promise<Driven>;
/** Text of a cell's result; its reply where it has none. */
export declare function resultOf({ outputs, reply }: Answer): unknown;
export declare const printedBy: ({ outputs }: Answer, which?: string) => string;
