"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.createOutput = createOutput;
exports.writeAside = writeAside;
exports.captureStreams = captureStreams;
const node_fs_1 = require("node:fs");
const node_stream_1 = require("node:stream");
const node_string_decoder_1 = require("node:string_decoder");
const CELL_LIMIT = 16 << 20; // characters of one cell: a million lines of 16; a front end holds them all in memory, and saves them
const REMINDER = 10_000; // ms between notices of what a cell's timers had cut after its end
const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
/**
 * What cells print and show. What a cell prints past the limit is counted instead of sent, and the cell says so.
 * @param print takes text; displays published later stand behind it
 * @param tidy makes printed stacks readable
 * @param limit characters a cell may print
 */
function createOutput({ publish, print, clock, tidy = (text) => text, limit = CELL_LIMIT }) {
    const decoders = new WeakMap();
    const spending = new WeakMap();
    const decode = (cell, name, chunk) => {
        if (typeof chunk === "string")
            return chunk;
        let pair = decoders.get(cell);
        if (!pair)
            decoders.set(cell, (pair = { stdout: new node_string_decoder_1.StringDecoder("utf8"), stderr: new node_string_decoder_1.StringDecoder("utf8") }));
        return pair[name].write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)); // half a character waits
    };
    const spentOf = (cell) => {
        let spent = spending.get(cell);
        if (!spent)
            spending.set(cell, (spent = { sent: 0, full: false, cut: { characters: 0, lines: 0 }, ended: false, reminding: false }));
        return spent;
    };
    const notice = (cell, text) => print(cell, "stderr", `\n[saelab] ${text}\n`);
    const saySoFar = (cell, { cut }) => {
        if (cut.characters === 0)
            return;
        notice(cell, `Not shown: ${count(cut.characters, "character")}${cut.lines > 0 ? ` in ${count(cut.lines, "line")}` : ""}.`);
        cut.characters = cut.lines = 0;
    };
    const cutOff = (cell, spent, text) => {
        spent.cut.characters += text.length;
        for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1))
            spent.cut.lines++;
        if (!spent.ended || spent.reminding)
            return;
        spent.reminding = true;
        clock.after(REMINDER, () => {
            spent.reminding = false;
            saySoFar(cell, spent);
        });
    };
    return {
        stream(cell, name, chunk) {
            // Half a surrogate pair is no text: front ends fail to save it.
            const text = tidy(decode(cell, name, chunk).toWellFormed());
            if (text === "")
                return;
            const spent = spentOf(cell);
            const rest = limit - spent.sent;
            if (text.length <= rest) {
                spent.sent += text.length;
                print(cell, name, text);
                return;
            }
            if (rest > 0)
                print(cell, name, text.slice(0, rest).toWellFormed());
            spent.sent = limit;
            if (!spent.full)
                notice(cell, `This cell has printed ${count(limit, "character")}, the most that is shown of one cell; what follows is counted only.`);
            spent.full = true;
            cutOff(cell, spent, text.slice(rest));
        },
        display(cell, bundle, { display_id, update = false, metadata = {} } = {}) {
            publish(cell, update ? "update_display_data" : "display_data", {
                data: bundle, metadata, transient: display_id === undefined ? {} : { display_id },
            });
        },
        clear: (cell, wait) => publish(cell, "clear_output", { wait }),
        end(cell) {
            const spent = spending.get(cell);
            if (!spent)
                return;
            saySoFar(cell, spent);
            spent.ended = true;
        },
    };
}
/** Writes to the process's own stdout or stderr. */
function writeAside(fd, data) {
    try {
        (0, node_fs_1.writeSync)(fd, data);
    }
    catch {
        // Nobody reads it (any more): Jupyter's terminal is closed.
    }
}
/**
 * Replaces process.stdout and process.stderr by streams that lead to the cell whose code writes; what no cell has written goes where
 * the process's own output goes. Node's streams are never opened: they would make a pipe that the kernel shares with whoever started
 * it non-blocking, for that program too.
 * @returns function that puts the original streams back
 */
function captureStreams(output, current) {
    const restore = ["stdout", "stderr"].map((name, i) => {
        const original = Object.getOwnPropertyDescriptor(process, name);
        const fd = (i + 1);
        const stream = Object.assign(new node_stream_1.Writable({ decodeStrings: false }), { fd, isTTY: false });
        // All at once, in the order of the calls, and for the cell that calls: a Writable's own queue keeps none of that.
        stream.write = ((chunk, ...rest) => {
            const cell = current();
            const encoding = typeof rest[0] === "string" ? rest[0] : "utf8";
            const data = typeof chunk === "string" && /^(hex|base64|base64url|latin1|binary)$/.test(encoding) ? Buffer.from(chunk, encoding) : chunk;
            if (cell)
                output.stream(cell, name, data);
            else
                writeAside(fd, data);
            const done = rest.find((each) => typeof each === "function");
            if (done)
                queueMicrotask(done);
            return true;
        });
        stream.end = ((...rest) => {
            if (typeof rest[0] === "string" || rest[0] instanceof Uint8Array)
                stream.write(rest[0]);
            return stream; // as with Node's, it stays open
        });
        stream.destroy = () => stream;
        Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream });
        return () => void Object.defineProperty(process, name, original);
    });
    return () => restore.forEach((each) => each());
}
//# sourceMappingURL=output.js.map