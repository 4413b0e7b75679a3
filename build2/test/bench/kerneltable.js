"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.LINES = void 0;
exports.markdown = markdown;
exports.LINES = 20_000; // a cell prints
const median = (values) => values.slice().sort((a, b) => a - b)[values.length >> 1];
const number = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
/** `from` names the row whose taking gives this one, too; its failures count for both. */
const ROWS = [
    { row: "ready", title: "start → kernel_info_reply, ms" },
    { row: "first", title: "start → first cell's result, ms", from: "ready" },
    { row: "trivial", title: "`1 + 1`, ms" },
    { row: "import", title: "the cell that imports TensorFlow.js and saelab, ms", from: "memoryMB" },
    { row: "memoryMB", title: "idle memory after it, MB" },
    { row: "trivialAfter", title: "`1 + 1` after it, ms" },
    { row: "tensors", title: "a cell that declares and uses tensors, ms" },
    { row: "completion", title: "completion after `tf.`, ms" },
    { row: "matches", title: "names it offers", from: "completion", show: String },
    { row: "linesArrived", title: `of ${exports.LINES.toLocaleString("en")} printed lines, how many arrive`, from: "lines", show: (value) => value.toLocaleString("en") },
    { row: "lines", title: "until all have arrived and the cell is idle, ms" },
    { row: "control", title: "control channel while a cell computes for 400 ms, ms" },
    { row: "heartbeat", title: "heartbeat meanwhile, ms", from: "control" },
    { row: "interruptLoop", title: "interrupt of `while (true) {}`, ms" },
    { row: "interruptWait", title: "interrupt of an awaited promise, ms" },
    { row: "interruptLate", title: "interrupt of `await null; while (true) {}`, ms" },
    { row: "mistyped", title: "refuses a cell with a wrong type", show: (value) => (value ? "yes" : "no") },
];
/** A Markdown table of medians, its footnotes, and the same numbers by kernel. */
function markdown(columns, { rounds, starts }) {
    const notes = [];
    const note = (text) => {
        if (!notes.includes(text))
            notes.push(text);
        return ` [${notes.indexOf(text) + 1}]`;
    };
    const cell = (column, { row, from = row, show = number }) => {
        const { name, absent, skip = {}, samples = {}, failed = {}, gone } = column;
        if (absent)
            return "absent";
        const values = samples[row] ?? [], failures = failed[from] ?? [];
        const tries = failures.length + (samples[from]?.length ?? 0);
        const why = failures.length
            ? `${failures.at(-1)} (${failures.length} of ${tries} tries)`
            : values.length ? undefined : skip[from] ?? gone ?? skip[row];
        return `${values.length ? show(median(values)) : "–"}${why ? note(`${name}: ${why}`) : ""}`;
    };
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const text = [
        line(["", ...columns.map(({ name, absent }) => (absent ? name + note(`${name} is absent: ${absent}`) : name))]),
        line(["---", ...columns.map(() => "---:")]),
        ...ROWS.map((row) => line([row.title, ...columns.map((column) => cell(column, row))])),
        "",
        `Medians of ${rounds}; of ${starts} for a start, of 3 for the import and the memory, each in a new process while no other kernel runs. A cell's time ends when its reply,`,
        "its result and its idle status are here; a completion's and an interrupt's with the reply. Memory is what the kernel's process tree keeps resident, its type server",
        "included; a file that several of its processes map counts once.",
        ...columns.flatMap(({ remarks = [] }) => remarks).map((remark) => `${remark}.`),
        ...notes.map((text, i) => `[${i + 1}] ${text}.`),
    ].join("\n");
    const values = Object.fromEntries(columns.map(({ name, absent, samples = {}, failed = {}, gone }) => [name, absent ? { absent } : {
            ...mapped(samples, (list) => (list.length ? Number(median(list).toPrecision(3)) : undefined)),
            // RESULTS.md puts the line between backticks in a table.
            failed: mapped(failed, (list) => (list.length ? `${list.length}: ${list.at(-1)?.replace(/[`|\n]/g, "'")}` : undefined)),
            ...(gone ? { gone } : {}),
        }]));
    return { text, values };
}
const mapped = (record, f) => Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]));
//# sourceMappingURL=kerneltable.js.map