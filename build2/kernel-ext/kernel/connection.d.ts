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
export declare function readConnection(path: string | undefined): Connection;
