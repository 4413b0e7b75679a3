"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.sharedRing = void 0;
exports.parts = parts;
exports.ringWriter = ringWriter;
exports.ringReader = ringReader;
/*
 * Printed text on its way from the thread of the cells to that of the sockets, in shared memory: it arrives while a cell computes
 * without a pause, it costs no message each, and when the ring is full the printing code waits, so that a flood holds little memory.
 *
 * Two counters of bytes, written and read, and the bytes. A record: its kind, its length (4 bytes), its content in UTF-8.
 */
const WRITTEN = 0;
const READ = 1;
const AWAKE = 2; // 1: the reader was told that there is text and has not looked yet
const COUNTERS = 12; // bytes before the data
const SIZE = 1 << 22; // bytes, a power of two
const LONGEST = 1 << 18; // UTF-16 units of one record: at most 3 bytes each
const HEAD = 5; // bytes of a record before its content
const PATIENCE = 10_000; // ms after which text is dropped because nobody reads
const KINDS = ["stdout", "stderr", "parent"];
const sharedRing = () => new SharedArrayBuffer(COUNTERS + SIZE);
exports.sharedRing = sharedRing;
/** Cuts a text into parts of at most `longest` units, never between the halves of a character. */
function* parts(text, longest) {
    for (let from = 0; from < text.length;) {
        let to = Math.min(text.length, from + longest);
        if (to < text.length && /[\ud800-\udbff]/.test(text[to - 1]))
            to--;
        yield text.slice(from, to);
        from = to;
    }
}
/** @param wake tells the reader that there is text */
function ringWriter(shared, wake) {
    const counters = new Int32Array(shared, 0, 3);
    const data = Buffer.from(shared, COUNTERS);
    let last;
    function put(kind, content) {
        const length = HEAD + content.length;
        const began = Date.now();
        for (let read = Atomics.load(counters, READ); ((counters[WRITTEN] - read) >>> 0) + length > SIZE; read = Atomics.load(counters, READ)) {
            wake();
            Atomics.wait(counters, READ, read, 1000);
            if (Date.now() - began > PATIENCE)
                return;
        }
        const record = Buffer.allocUnsafe(length);
        record[0] = kind;
        record.writeUInt32LE(content.length, 1);
        record.set(content, HEAD);
        const at = counters[WRITTEN] & (SIZE - 1);
        const first = Math.min(length, SIZE - at);
        data.set(record.subarray(0, first), at);
        data.set(record.subarray(first), 0);
        Atomics.store(counters, WRITTEN, (counters[WRITTEN] + length) | 0);
    }
    return {
        write(parent, name, text) {
            if (parent !== last)
                put(KINDS.indexOf("parent"), Buffer.from(parent));
            last = parent;
            for (const part of parts(text, LONGEST))
                put(KINDS.indexOf(name), Buffer.from(part));
            if (Atomics.exchange(counters, AWAKE, 1) === 0)
                wake();
        },
        position: () => counters[WRITTEN],
    };
}
function ringReader(shared) {
    const counters = new Int32Array(shared, 0, 3);
    const data = Buffer.from(shared, COUNTERS);
    let parent = "";
    const bytes = (from, length) => {
        const at = from & (SIZE - 1);
        const out = Buffer.allocUnsafe(length);
        const first = Math.min(length, SIZE - at);
        out.set(data.subarray(at, at + first), 0);
        out.set(data.subarray(0, length - first), first);
        return out;
    };
    return {
        position: () => Atomics.load(counters, WRITTEN),
        take(upTo, most = Infinity) {
            const from = counters[READ];
            const out = [];
            let at = counters[READ];
            while (((upTo - at) | 0) > 0 && ((at - from) | 0) < most) {
                const head = bytes(at, HEAD);
                const content = bytes((at + HEAD) | 0, head.readUInt32LE(1)).toString("utf8");
                at = (at + HEAD + head.readUInt32LE(1)) | 0;
                const kind = KINDS[head[0]];
                if (kind === "parent") {
                    parent = content;
                    continue;
                }
                const group = out.at(-1);
                if (group?.parent === parent && group.name === kind)
                    group.parts.push(content);
                else
                    out.push({ parent, name: kind, parts: [content] });
            }
            Atomics.store(counters, READ, at);
            Atomics.notify(counters, READ);
            return out.map(({ parts: pieces, ...rest }) => ({ ...rest, text: pieces.join("") }));
        },
        rest: () => void Atomics.store(counters, AWAKE, 0),
    };
}
//# sourceMappingURL=ring.js.map