"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.kernelInfo = exports.showHook = exports.SHOW = void 0;
exports.cellPrelude = cellPrelude;
exports.createKernel = createKernel;
const node_util_1 = require("node:util");
const bundle_1 = require("./bundle");
const cell_1 = require("./cell");
const comm_1 = require("./comm");
const errors_1 = require("./errors");
const history_1 = require("./history");
const input_1 = require("./input");
const wire_1 = require("./wire");
/** Where the library finds the kernel: `globalThis[SHOW]?.(bundle, options)`. */
exports.SHOW = Symbol.for("saelab.display");
const GRACE = 5_000; // ms an interrupted loop gets to reach its next look at the flag; a second interrupt does not wait
const COOPERATES = 10_000; // ms since its last look within which a loop counts as one that looks
/** Declared for cells as if an earlier cell had; a cell may redeclare it. */
const DECLARATIONS = `\
/**
 * Shows a value: an object with a method at \`Symbol.for("Jupyter.display")\` by its own bundle, an object from MIME types to data as that
 * bundle, anything else as text. With \`display_id\` the display can be updated later: \`display(value, { display_id, update: true })\`.
 */
declare function display(value: unknown, options?: {
  display_id?: string; update?: boolean; metadata?: Record<string, unknown>;
}): Promise<void>;
/** Takes away what this cell has shown so far; with wait: true, only when something new comes. */
declare function clearOutput(options?: { wait?: boolean }): void;
`;
/** What cells find declared: display, clearOutput, input, comms. */
function cellPrelude({ scope, output, input, comms }) {
    const display = (value, options) => {
        const cell = scope.current();
        const made = (0, bundle_1.displayed)(value);
        if (!(made instanceof Promise)) {
            if (cell)
                output.display(cell, made, options);
            return Promise.resolve();
        }
        const shown = made.then((bundle) => {
            if (cell)
                output.display(cell, bundle, options);
        });
        cell?.pending.add(shown.catch(() => { }));
        return shown.then(() => { }); // a promise of its own: if nobody waits for it and it fails, that is reported
    };
    const clearOutput = ({ wait = false } = {}) => {
        const cell = scope.current();
        if (cell)
            output.clear(cell, wait);
    };
    return {
        declarations: DECLARATIONS + input_1.INPUT_DECLARATIONS + comm_1.COMM_DECLARATIONS,
        values: { display, clearOutput, input, comms: { open: comms.open, register: comms.register } },
    };
}
/** The hook by which the library shows things by itself, progress for one. */
const showHook = ({ scope, output }) => (bundle, options) => {
    const cell = scope.current();
    if (cell)
        output.display(cell, (0, bundle_1.checkedBundle)(bundle), options);
};
exports.showHook = showHook;
/** Jupyter counts code points, JavaScript UTF-16 units. */
const toUnits = (text, points) => [...text].slice(0, points).join("").length;
const toPoints = (text, units) => [...text.slice(0, units)].length;
const text = (value) => (typeof value === "string" ? value : "");
/** The protocol's language_info and the rest of kernel_info_reply. */
const kernelInfo = ({ version, typescript }) => ({
    status: "ok",
    protocol_version: wire_1.PROTOCOL_VERSION,
    implementation: "saelab",
    implementation_version: version,
    language_info: {
        name: "typescript",
        version: typescript,
        mimetype: "text/typescript",
        file_extension: ".ts",
        pygments_lexer: "typescript",
        // JupyterLab reads mode, the classic notebook name and typescript.
        codemirror_mode: { mode: "typescript", name: "javascript", typescript: true },
        nbconvert_exporter: "script",
    },
    banner: `saelab ${version}: TypeScript ${typescript}, Node ${process.version}`,
    debugger: false,
    help_links: [
        { text: "TypeScript", url: "https://www.typescriptlang.org/docs/" },
        { text: "Node.js", url: "https://nodejs.org/api/" },
    ],
    supported_features: [],
});
exports.kernelInfo = kernelInfo;
/**
 * What the kernel does with each request, apart from sockets: runs cells, keeps count, shows values and errors.
 * @param publish sends one iopub message because of a cell
 * @param interrupts told when a cell is interrupted and when it has ended
 * @param warn told of errors that belong to no cell
 */
function createKernel({ language, output, scope, clock, publish, interrupts, input, comms, warn }) {
    const cells = new Map();
    const tracer = { ...language.tracer, cell: (file) => cells.get(file) };
    const history = (0, history_1.createHistory)();
    let count = 0; // Jupyter's execution count
    let serial = 0; // of executions, counted or not
    let running;
    let latest;
    /** A promise as the last value is awaited, and what shows itself does so; a cell may be interrupted meanwhile. */
    async function shown(outcome, cell) {
        if (!outcome.ok)
            return outcome;
        try {
            const value = node_util_1.types.isPromise(outcome.value) ? await (0, cell_1.waitIn)(cell, outcome.value) : outcome.value;
            if (value === undefined)
                return outcome;
            const bundle = await (0, cell_1.waitIn)(cell, (0, bundle_1.bundleOf)(value));
            // Node shows an error with all the frames of its stack.
            if (node_util_1.types.isNativeError(value) && typeof bundle["text/plain"] === "string")
                bundle["text/plain"] = (0, errors_1.tidied)(bundle["text/plain"], tracer);
            return { ok: true, value, bundle };
        }
        catch (error) {
            return { ok: false, error };
        }
    }
    /** Cells no code of which can run any more need not be explained any more. */
    function forget() {
        if (latest && !language.keeps(latest.name))
            cells.delete(latest.name);
    }
    function begin(request, source, label) {
        const cell = (0, cell_1.newCell)({ name: `cell-${++serial}.ts`, label, source, request });
        cells.set(cell.name, { label, source });
        return cell;
    }
    async function expressions(cell) {
        const asked = (cell.request?.content.user_expressions ?? {});
        const out = {};
        for (const [name, source] of Object.entries(asked)) {
            const inner = begin(cell.request, text(source), `user expression ${name}`);
            const outcome = await shown(await language.evaluate(inner), cell);
            out[name] = outcome.ok
                ? { status: "ok", data: outcome.bundle ?? { "text/plain": "undefined" }, metadata: {} }
                : { status: "error", ...(0, errors_1.errorContent)(outcome.error, tracer, inner) };
            cells.delete(inner.name);
        }
        return out;
    }
    async function execute(request) {
        const { silent = false, store_history = !silent } = request.content;
        const source = text(request.content.code);
        const counted = !silent && store_history;
        if (counted)
            history.add(++count, source);
        forget();
        const cell = begin(request, source, counted ? `cell ${count}` : "cell (uncounted)");
        if (!silent)
            publish(cell, "execute_input", { code: source, execution_count: count });
        running = { cell, given: false };
        latest = cell;
        let expressed = {};
        const outcome = await scope.run(cell, async () => {
            const done = await shown(await language.run(cell), cell);
            await (0, cell_1.waitIn)(cell, Promise.all(cell.pending)).catch(() => { }); // displays in the making belong to the cell
            if (done.ok)
                expressed = await expressions(cell);
            return done;
        });
        running = undefined;
        interrupts.lower();
        output.end(cell);
        if (!outcome.ok) {
            const error = (0, errors_1.errorContent)(outcome.error, tracer, cell);
            publish(cell, "error", { ...error });
            return { status: "error", execution_count: count, ...error };
        }
        if (outcome.bundle) {
            if (counted)
                history.result(count, String(outcome.bundle["text/plain"] ?? ""));
            if (!silent)
                publish(cell, "execute_result", { execution_count: count, data: outcome.bundle, metadata: {} });
        }
        return { status: "ok", execution_count: count, user_expressions: expressed, payload: [] };
    }
    function stopTimers(cell) {
        for (const timer of cell.timers)
            clearTimeout(timer);
        cell.timers.clear();
    }
    function interrupt() {
        const cell = running?.cell ?? latest;
        if (!cell)
            return;
        const again = cell.interrupted;
        cell.interrupted = true;
        interrupts.raise();
        if (!running)
            return stopTimers(cell); // what the cell left behind: loops that look, and its timers
        if (running.given)
            return;
        const mine = running;
        const stop = () => {
            if (running !== mine || mine.given)
                return;
            mine.given = true;
            stopTimers(cell);
            const reason = new errors_1.KeyboardInterrupt("the cell was interrupted");
            for (const reject of [...cell.waits])
                reject(reason);
        };
        if (again || clock.now() - cell.polledAt > COOPERATES) {
            cell.sparedUntil = -Infinity;
            stop();
        }
        else {
            cell.sparedUntil = clock.now() + GRACE;
            clock.after(GRACE, stop);
        }
    }
    /** What a comm's callback prints and throws belongs to the message that called it. */
    async function called(request, act) {
        const cell = begin(request, "", "comm");
        try {
            await scope.run(cell, () => act(request));
        }
        catch (error) {
            publish(cell, "error", { ...(0, errors_1.errorContent)(error, tracer, cell) });
        }
        output.end(cell);
        cells.delete(cell.name);
    }
    const withUnits = ({ content }) => {
        const code = text(content.code);
        return { code, offset: toUnits(code, Number(content.cursor_pos ?? code.length)) };
    };
    return {
        interrupt,
        tidy: (text) => (0, errors_1.tidied)(text, tracer),
        report(what, error) {
            const cell = scope.current();
            // The rest of an interrupted cell ends so; the cell has said it.
            if (cell?.interrupted && error instanceof errors_1.KeyboardInterrupt)
                return;
            const lines = (0, errors_1.errorContent)(error, tracer, cell ?? { label: "", source: "" }).traceback.join("\n");
            if (cell)
                output.stream(cell, "stderr", `${what}\n${lines}\n`);
            else
                warn(`${what} ${lines}`);
        },
        handlers: {
            execute_request: execute,
            is_complete_request({ content }) {
                const { status, indent } = language.isComplete(text(content.code));
                return status === "incomplete" ? { status, indent } : { status };
            },
            async complete_request(request) {
                const { code, offset } = withUnits(request);
                const { proposals, start, end } = await language.complete(code, offset);
                const [cursor_start, cursor_end] = [toPoints(code, start), toPoints(code, end)];
                return {
                    status: "ok", matches: proposals.map((each) => each.text), cursor_start, cursor_end,
                    metadata: {
                        _jupyter_types_experimental: proposals.map(({ text: label, kind, type, documentation }) => ({
                            start: cursor_start, end: cursor_end, text: label, type: kind, ...(type ? { signature: type } : {}), ...(documentation ? { documentation } : {}),
                        })),
                    },
                };
            },
            async inspect_request(request) {
                const { code, offset } = withUnits(request);
                const found = await language.inspect(code, offset);
                if (!found)
                    return { status: "ok", found: false, data: {}, metadata: {} };
                const { signature, documentation } = found;
                return {
                    status: "ok", found: true, metadata: {},
                    data: {
                        "text/plain": [signature, documentation].filter(Boolean).join("\n\n"),
                        "text/markdown": [`\`\`\`typescript\n${signature}\n\`\`\``, documentation.replace(/\n+@/g, "\n\n@")].filter(Boolean).join("\n\n"),
                    },
                };
            },
            history_request: ({ content }) => history.find(content),
            comm_info_request: ({ content }) => comms.list(content.target_name),
            comm_open: (message) => called(message, comms.opened),
            comm_msg: (message) => called(message, comms.received),
            comm_close: (message) => called(message, comms.closed),
            input_reply: (message) => input.replied(message),
        },
    };
}
//# sourceMappingURL=kernel.js.map