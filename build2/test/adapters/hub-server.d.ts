import { type IncomingMessage } from "node:http";
/**
 * A hub on this computer, with the endpoints of huggingface.co that a download needs: api/models/…/revision, …/tree in pages,
 * resolve, and a second origin from which the large files come. Faults are put in by a function that sees each request.
 */
export interface FakeRepository {
    /** Branch or tag to commit. */
    revisions: Record<string, string>;
    /** All commits have the same files. */
    files: Record<string, {
        content: Buffer;
        lfs?: boolean;
    }>;
    private?: boolean;
    gated?: boolean;
}
/** What goes wrong with one answer. */
export interface Fault {
    status?: number;
    headers?: Record<string, string>;
    body?: string;
    /** Bytes after which the connection is torn. */
    cut?: number;
    /** Answers 200 with the whole file, whatever range was asked for. */
    noRange?: boolean;
    /** One byte is another. */
    flip?: boolean;
    /** So many bytes every 20 ms. */
    drip?: number;
    /** Says nothing. */
    silent?: boolean;
}
export interface Seen {
    origin: "hub" | "cdn";
    method: string;
    path: string;
    headers: IncomingMessage["headers"];
    status: number;
    /** Bytes of the body that were written. */
    sent: number;
}
export declare const TOKEN = "hf_right";
export declare const gitHash: (content: Buffer) => string;
export declare const sha256: (content: Buffer) => string;
export interface FakeHub {
    endpoint: string;
    cdn: string;
    seen: Seen[];
    /** Called for each request; `nth` counts those of the same path from 0. */
    fault: (request: {
        origin: "hub" | "cdn";
        path: string;
        nth: number;
        range?: string;
    }) => Fault | undefined;
    close(): Promise<void>;
}
/** @param page files a page of the tree */
export declare function startHub(repositories: Record<string, FakeRepository>, page?: number): Promise<FakeHub>;
