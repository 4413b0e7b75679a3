import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { cellScope, systemClock, type Cell } from "./cell";
import { COMMS, createComms } from "./comm";
import { readConnection } from "./connection";
import { createInput } from "./input";
import { createInterrupts, installInterruptFlag, loadSignals, sharedInterrupt, takeSignals } from "./interrupt";
import { cellPrelude, createKernel, kernelInfo, showHook, SHOW } from "./kernel";
import { captureStreams, createOutput, writeAside } from "./output";
import { lendPackages, lentPackages } from "./packages";
import type { Incoming } from "./post";
import { ringWriter, sharedRing } from "./ring";
import { createServer, type PublishOptions, type Said, type Server } from "./server";
import type { FromThread, ThreadData, ToThread } from "./thread";
import { createTypeScript } from "./typescript";
import type { Content } from "./wire";

const FLUSHED = 1_000; // ms in which the last messages should have left

function main(): void {
  const connection = readConnection(process.argv[2]);
  const packageRoot = dirname(require.resolve("../../../package.json"));
  const { version } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string };
  const root = process.cwd();
  const warn = (message: string): void => writeAside(2, `saelab kernel: ${message}\n`);

  // The sockets live in a thread of their own: they are served while a cell computes.
  const shared = sharedInterrupt();
  const addon = join(packageRoot, "kernel-ext", "signal.node");
  const signals = loadSignals(addon);
  const interrupts = createInterrupts(shared, signals);
  if (!signals) process.on("SIGINT", interrupts.poll);
  const printed = sharedRing();
  const session = randomUUID();
  const { version: typescript } = JSON.parse(readFileSync(require.resolve("typescript/package.json"), "utf8")) as { version: string };
  const parent = process.ppid;
  const thread = new Worker(join(__dirname, "thread.js"), {
    workerData: {
      connection, session, shared, printed, addon, signals: signals && takeSignals(shared, signals), info: kernelInfo({ version, typescript }),
      unpaced: process.env.SAELAB_OUTPUT_PACE === "off",
      parent: Number(process.env.JPY_PARENT_PID) === parent ? parent : undefined,
    } satisfies ThreadData,
  });
  const ring = ringWriter(printed, () => thread.postMessage({ kind: "text" } satisfies ToThread));
  const send = (said: Said): void =>
    thread.postMessage((said.kind === "send" ? { ...said, at: ring.position() } : said) satisfies ToThread);

  // TF.js 4.22 calls two functions that Node 23 removed.
  const util = require("node:util") as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
  Error.stackTraceLimit = 50; // a cell's own frame lies under those of the library it calls

  const clock = systemClock;
  const scope = cellScope();
  let server: Server;
  const publish = (cell: Cell | undefined, type: string, content: Content, options?: PublishOptions): void =>
    server.publish(cell?.request, type, content, options);
  // The protocol's silent cells are heard in their reply only.
  const loud = (cell: Cell): boolean => cell.request?.content.silent !== true;
  const shown = (cell: Cell, type: string, content: Content): void => {
    if (loud(cell)) publish(cell, type, content);
  };
  const headers = new WeakMap<Cell, string>();
  const headerOf = (cell: Cell): string => {
    let header = headers.get(cell);
    if (header === undefined) headers.set(cell, (header = cell.request ? JSON.stringify(cell.request.header) : ""));
    return header;
  };
  const output = createOutput({
    publish: shown, clock, tidy: (text) => kernel.tidy(text),
    print(cell, name, text) {
      if (loud(cell)) ring.write(headerOf(cell), name, text);
    },
  });
  const comms = createComms({ publish, current: scope.current });
  const input = createInput({ scope, ask: (...args) => server.ask(...args) });

  const lent = lentPackages({ root, packageRoot });
  lendPackages(lent);
  const show = showHook({ scope, output });
  const language = createTypeScript({
    root, packageRoot, lent, scope, interrupts, clock, warn,
    prelude: cellPrelude({ scope, output, input: input.input, comms }),
    onImport(specifier) {
      if (specifier === "tslab") showTslab(require.resolve("tslab/dist/jupyter", { paths: [root, packageRoot] }), show);
    },
  });
  const kernel = createKernel({ language, output, scope, clock, publish: shown, interrupts, input, comms, warn });
  interrupts.onInterrupt(kernel.interrupt);
  server = createServer({ handlers: kernel.handlers, session, send, clock, warn });

  Object.assign(globalThis, { [SHOW]: show, [COMMS]: { open: comms.open, register: comms.register } });
  installInterruptFlag({ current: scope.current, clock, poll: interrupts.poll });
  captureStreams(output, scope.current);
  process.on("uncaughtException", (error) => kernel.report("Uncaught exception:", error));
  process.on("unhandledRejection", (reason) => kernel.report("Unhandled rejection:", reason));

  // A library's process.exit() must not take the notebook's variables with it.
  const { exit } = process;
  let closing = false;
  process.exit = ((code?: number): never => {
    if (closing || !scope.current()) return exit(code);
    throw new Error(`process.exit(${code ?? ""}) was called; the kernel goes on. To end it, restart or shut it down from the notebook.`);
  }) as typeof exit;

  const close = (): void => {
    closing = true;
    language.close();
    // The thread closes its sockets behind the last message; if it cannot, the process ends all the same.
    thread.postMessage({ kind: "close" } satisfies ToThread);
    setTimeout(() => process.exit(0), FLUSHED);
  };
  thread.on("message", (message: Incoming | FromThread) => {
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
function showTslab(path: string, show: ReturnType<typeof showHook>): void {
  const jupyter = require(path) as { lastWriteDisplayData: unknown };
  jupyter.lastWriteDisplayData = (
    { data, metadata, transient }: { data: Record<string, unknown>; metadata: Record<string, unknown>; transient: { display_id?: string } },
    update?: boolean,
  ) => show(data, { metadata, display_id: transient.display_id, update });
}

try {
  main();
} catch (error) {
  writeAside(2, `saelab kernel: ${(error as Error).message}\n`);
  process.exit(1);
}
