"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const node_worker_threads_1 = require("node:worker_threads");
const cell_1 = require("./cell");
const comm_1 = require("./comm");
const connection_1 = require("./connection");
const input_1 = require("./input");
const interrupt_1 = require("./interrupt");
const kernel_1 = require("./kernel");
const output_1 = require("./output");
const packages_1 = require("./packages");
const ring_1 = require("./ring");
const server_1 = require("./server");
const typescript_1 = require("./typescript");
const FLUSHED = 1_000; // ms in which the last messages should have left
function main() {
    const connection = (0, connection_1.readConnection)(process.argv[2]);
    const packageRoot = (0, node_path_1.dirname)(require.resolve("../../../package.json"));
    const { version } = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(packageRoot, "package.json"), "utf8"));
    const root = process.cwd();
    const warn = (message) => (0, output_1.writeAside)(2, `saelab kernel: ${message}\n`);
    // The sockets live in a thread of their own: they are served while a cell computes.
    const shared = (0, interrupt_1.sharedInterrupt)();
    const addon = (0, node_path_1.join)(packageRoot, "kernel-ext", "signal.node");
    const signals = (0, interrupt_1.loadSignals)(addon);
    const interrupts = (0, interrupt_1.createInterrupts)(shared, signals);
    if (!signals)
        process.on("SIGINT", interrupts.poll);
    const printed = (0, ring_1.sharedRing)();
    const session = (0, node_crypto_1.randomUUID)();
    const { version: typescript } = JSON.parse((0, node_fs_1.readFileSync)(require.resolve("typescript/package.json"), "utf8"));
    const parent = process.ppid;
    const thread = new node_worker_threads_1.Worker((0, node_path_1.join)(__dirname, "thread.js"), {
        workerData: {
            connection, session, shared, printed, addon, signals: signals && (0, interrupt_1.takeSignals)(shared, signals), info: (0, kernel_1.kernelInfo)({ version, typescript }),
            unpaced: process.env.SAELAB_OUTPUT_PACE === "off",
            parent: Number(process.env.JPY_PARENT_PID) === parent ? parent : undefined,
        },
    });
    const ring = (0, ring_1.ringWriter)(printed, () => thread.postMessage({ kind: "text" }));
    const send = (said) => thread.postMessage((said.kind === "send" ? { ...said, at: ring.position() } : said));
    // TF.js 4.22 calls two functions that Node 23 removed.
    const util = require("node:util");
    util.isNullOrUndefined ??= (value) => value === null || value === undefined;
    util.isArray ??= Array.isArray;
    Error.stackTraceLimit = 50; // a cell's own frame lies under those of the library it calls
    const clock = cell_1.systemClock;
    const scope = (0, cell_1.cellScope)();
    let server;
    const publish = (cell, type, content, options) => server.publish(cell?.request, type, content, options);
    // The protocol's silent cells are heard in their reply only.
    const loud = (cell) => cell.request?.content.silent !== true;
    const shown = (cell, type, content) => {
        if (loud(cell))
            publish(cell, type, content);
    };
    const headers = new WeakMap();
    const headerOf = (cell) => {
        let header = headers.get(cell);
        if (header === undefined)
            headers.set(cell, (header = cell.request ? JSON.stringify(cell.request.header) : ""));
        return header;
    };
    const output = (0, output_1.createOutput)({
        publish: shown, clock, tidy: (text) => kernel.tidy(text),
        print(cell, name, text) {
            if (loud(cell))
                ring.write(headerOf(cell), name, text);
        },
    });
    const comms = (0, comm_1.createComms)({ publish, current: scope.current });
    const input = (0, input_1.createInput)({ scope, ask: (...args) => server.ask(...args) });
    const lent = (0, packages_1.lentPackages)({ root, packageRoot });
    (0, packages_1.lendPackages)(lent);
    const show = (0, kernel_1.showHook)({ scope, output });
    const language = (0, typescript_1.createTypeScript)({
        root, packageRoot, lent, scope, interrupts, clock, warn,
        prelude: (0, kernel_1.cellPrelude)({ scope, output, input: input.input, comms }),
        onImport(specifier) {
            if (specifier === "tslab")
                showTslab(require.resolve("tslab/dist/jupyter", { paths: [root, packageRoot] }), show);
        },
    });
    const kernel = (0, kernel_1.createKernel)({ language, output, scope, clock, publish: shown, interrupts, input, comms, warn });
    interrupts.onInterrupt(kernel.interrupt);
    server = (0, server_1.createServer)({ handlers: kernel.handlers, session, send, clock, warn });
    globalThis[kernel_1.SHOW] = show;
    (0, interrupt_1.installInterruptFlag)({ current: scope.current, clock, poll: interrupts.poll });
    (0, output_1.captureStreams)(output, scope.current);
    process.on("uncaughtException", (error) => kernel.report("Uncaught exception:", error));
    process.on("unhandledRejection", (reason) => kernel.report("Unhandled rejection:", reason));
    // A library's process.exit() must not take the notebook's variables with it.
    const { exit } = process;
    let closing = false;
    process.exit = ((code) => {
        if (closing || !scope.current())
            return exit(code);
        throw new Error(`process.exit(${code ?? ""}) was called; the kernel goes on. To end it, restart or shut it down from the notebook.`);
    });
    const close = () => {
        closing = true;
        language.close();
        // The thread closes its sockets behind the last message; if it cannot, the process ends all the same.
        thread.postMessage({ kind: "close" });
        setTimeout(() => process.exit(0), FLUSHED);
    };
    thread.on("message", (message) => {
        switch (message.kind) {
            case "request": return server.take(message);
            case "interrupt": return interrupts.poll();
            case "warn": return warn(message.message);
            case "shutdown": return close();
            case "closed": return process.exit(0);
            case "bound": return undefined;
        }
    });
    thread.on("error", (error) => warn(`the thread of the sockets failed: ${error.stack ?? error.message}`));
    thread.on("exit", () => exit(closing ? 0 : 1));
}
/** tslab.display and newDisplay() of a cell that imports tslab. */
function showTslab(path, show) {
    const jupyter = require(path);
    jupyter.lastWriteDisplayData = ({ data, metadata, transient }, update) => show(data, { metadata, display_id: transient.display_id, update });
}
try {
    main();
}
catch (error) {
    (0, output_1.writeAside)(2, `saelab kernel: ${error.message}\n`);
    process.exit(1);
}
//# sourceMappingURL=main.js.map