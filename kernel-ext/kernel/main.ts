import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Publisher, Reply, Router, type Socket } from "zeromq";
import { cellScope, systemClock } from "./cell";
import { installInterruptFlag } from "./interrupt";
import { cellPrelude, createKernel, showHook, SHOW } from "./kernel";
import { createTslab } from "./language";
import { captureStreams, createOutput } from "./output";
import { lendPackages, lentPackages } from "./packages";
import { createServer } from "./server";

interface Connection {
  transport: string;
  ip: string;
  key: string;
  shell_port: number;
  control_port: number;
  iopub_port: number;
  stdin_port: number;
  hb_port: number;
}

/** The connection file, which Jupyter writes and names on the command line. */
function readConnection(path: string | undefined): Connection {
  if (!path) throw new Error("expected the path of a connection file as the only argument; Jupyter starts the kernel so");
  const connection = JSON.parse(readFileSync(path, "utf8")) as Connection;
  for (const field of ["transport", "ip", "key", "shell_port", "control_port", "iopub_port", "stdin_port", "hb_port"] as const) {
    if (connection[field] === undefined) throw new Error(`${path}: expected the field ${field} of a Jupyter connection file`);
  }
  return connection;
}

async function main(): Promise<void> {
  const connection = readConnection(process.argv[2]);
  const packageRoot = dirname(require.resolve("../../../package.json"));
  const { version } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string };
  const root = process.cwd();
  const stderr = process.stderr.write.bind(process.stderr); // before cells get the stream
  const warn = (message: string): void => void stderr(`saelab kernel: ${message}\n`);

  // TF.js 4.22 calls two functions that Node 23 removed.
  const util = require("node:util") as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
  Error.stackTraceLimit = 50; // a cell's own frame lies under those of the library it calls

  // Without these two, zeromq loses what is sent after 512 messages in one turn of the event loop.
  const options = { sendTimeout: 0, sendHighWaterMark: 0, linger: 1000 };
  const sockets = {
    shell: new Router(options),
    control: new Router(options),
    iopub: new Publisher(options),
    stdin: new Router(options),
    heartbeat: new Reply({ linger: 1000 }),
  };
  const bind = (socket: Socket, port: number): Promise<void> =>
    socket.bind(`${connection.transport}://${connection.ip}${connection.transport === "ipc" ? "-" : ":"}${port}`);
  await Promise.all([
    bind(sockets.shell, connection.shell_port),
    bind(sockets.control, connection.control_port),
    bind(sockets.iopub, connection.iopub_port),
    bind(sockets.stdin, connection.stdin_port),
    bind(sockets.heartbeat, connection.hb_port),
  ]);

  const clock = systemClock;
  const scope = cellScope();
  const server = createServer({ sockets, key: connection.key, clock, warn });
  const publish = (cell: { request?: Parameters<typeof server.publish>[0] }, type: string, content: Record<string, unknown>): void =>
    server.publish(cell.request, type, content);
  const output = createOutput({ publish, clock });

  const lent = lentPackages({ root, packageRoot });
  lendPackages(lent);
  const language = createTslab({ root, lent, prelude: cellPrelude({ scope, output }) });
  const kernel = createKernel({
    language, output, scope, clock, publish, version, warn,
    exit() {
      output.flush();
      // One turn later the reply is in the socket; `linger` gets it to the client.
      setImmediate(() => {
        for (const socket of Object.values(sockets)) socket.close();
        process.exit(0);
      });
    },
  });

  const show = showHook({ scope, output });
  (globalThis as unknown as Record<symbol, unknown>)[SHOW] = show;
  installInterruptFlag({ current: scope.current, clock });
  // tslab.display and newDisplay() of a cell that imports tslab
  const jupyter = require("tslab/dist/jupyter") as { lastWriteDisplayData: unknown };
  jupyter.lastWriteDisplayData = (
    { data, metadata, transient }: { data: Record<string, unknown>; metadata: Record<string, unknown>; transient: { display_id?: string } },
    update?: boolean,
  ) => show(data, { metadata, display_id: transient.display_id, update });

  captureStreams(output, scope.current);
  process.on("SIGINT", () => kernel.interrupt());
  process.on("uncaughtException", (error) => kernel.report("Uncaught exception:", error));
  process.on("unhandledRejection", (reason) => kernel.report("Unhandled rejection:", reason));

  // Jupyter gone without a goodbye: a kernel nobody can reach any more ends.
  const parent = process.ppid;
  if (Number(process.env.JPY_PARENT_PID) === parent) {
    setInterval(() => {
      if (process.ppid !== parent) process.exit(0);
    }, 2000).unref();
  }
  await server.serve(kernel.handlers);
}

main().catch((error: Error) => {
  console.error(`saelab kernel: ${error.message}`);
  process.exit(1);
});
