import type { Content } from "./wire";
/** What history_request asks for. */
export interface HistoryQuery {
    hist_access_type?: string;
    output?: boolean;
    session?: number;
    start?: number;
    stop?: number;
    n?: number;
    pattern?: string;
    unique?: boolean;
}
export interface History {
    add(line: number, source: string): void;
    /** What a cell showed as its result, as text. */
    result(line: number, text: string): void;
    find(query: HistoryQuery): Content;
}
/** The counted cells of this session. */
export declare function createHistory(): History;
