"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.readConnection = readConnection;
const node_fs_1 = require("node:fs");
/**
 * Reads the connection file, which Jupyter writes and names on the command line.
 * @throws Error if there is none, a field is missing, or messages are to be signed in a way we do not know
 */
function readConnection(path) {
    if (!path)
        throw new Error("expected the path of a connection file as the only argument; Jupyter starts the kernel so");
    const connection = JSON.parse((0, node_fs_1.readFileSync)(path, "utf8"));
    for (const field of ["transport", "ip", "key", "shell_port", "control_port", "iopub_port", "stdin_port", "hb_port"]) {
        if (connection[field] === undefined)
            throw new Error(`${path}: expected the field ${field} of a Jupyter connection file`);
    }
    if ((connection.signature_scheme ?? "hmac-sha256") !== "hmac-sha256") {
        throw new Error(`${path}: expected signature_scheme hmac-sha256, found ${connection.signature_scheme}`);
    }
    return connection;
}
//# sourceMappingURL=connection.js.map