import { readFileSync } from "node:fs";

/** What a Jupyter connection file says. */
export interface Connection {
  transport: string;
  ip: string;
  key: string;
  signature_scheme?: string;
  shell_port: number;
  control_port: number;
  iopub_port: number;
  stdin_port: number;
  hb_port: number;
}

/**
 * Reads the connection file, which Jupyter writes and names on the command line.
 * @throws Error if there is none, a field is missing, or messages are to be signed in a way we do not know
 */
export function readConnection(path: string | undefined): Connection {
  if (!path) throw new Error("expected the path of a connection file as the only argument; Jupyter starts the kernel so");
  const connection = JSON.parse(readFileSync(path, "utf8")) as Connection;
  for (const field of ["transport", "ip", "key", "shell_port", "control_port", "iopub_port", "stdin_port", "hb_port"] as const) {
    if (connection[field] === undefined) throw new Error(`${path}: expected the field ${field} of a Jupyter connection file`);
  }
  if ((connection.signature_scheme ?? "hmac-sha256") !== "hmac-sha256") {
    throw new Error(`${path}: expected signature_scheme hmac-sha256, found ${connection.signature_scheme}`);
  }
  return connection;
}
