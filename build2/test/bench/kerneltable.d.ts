export declare const LINES = 20000;
/** What kernel.py found out about one kernel: values and failures by row; `gone` if it could not be had to the end. */
export interface Measured {
    samples: Record<string, number[]>;
    failed: Record<string, string[]>;
    gone: string | null;
}
export type Column = {
    name: string;
    absent?: string;
    skip?: Record<string, string>;
    remarks?: string[];
} & Partial<Measured>;
/** A Markdown table of medians, its footnotes, and the same numbers by kernel. */
export declare function markdown(columns: Column[], { rounds, starts }: {
    rounds: number;
    starts: number;
}): {
    text: string;
    values: object;
};
