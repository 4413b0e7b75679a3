import type { StreamName } from "./output";
/** Text of one cell and stream. */
export interface Text {
    parent: string;
    name: StreamName;
    text: string;
}
export declare const sharedRing: () => SharedArrayBuffer;
/** Cuts a text into parts of at most `longest` units, never between the halves of a character. */
export declare function parts(text: string, longest: number): Iterable<string>;
export interface RingWriter {
    write(parent: string, name: StreamName, text: string): void;
    /** How far it has written: what is sent now stands behind that. */
    position(): number;
}
/** @param wake tells the reader that there is text */
export declare function ringWriter(shared: SharedArrayBuffer, wake: () => void): RingWriter;
export interface RingReader {
    position(): number;
    /** What was written up to there, a record more than `most` bytes of it; text of one cell and stream is put together. */
    take(upTo: number, most?: number): Text[];
    /** From now on the writer calls again. */
    rest(): void;
}
export declare function ringReader(shared: SharedArrayBuffer): RingReader;
