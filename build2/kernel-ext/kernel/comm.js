"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.COMM_DECLARATIONS = void 0;
exports.createComms = createComms;
const node_crypto_1 = require("node:crypto");
/** Declared for cells. */
exports.COMM_DECLARATIONS = `\
/** A line between this notebook's code and something in the front end. */
interface Comm {
  readonly id: string;
  readonly target: string;
  send(data: Record<string, unknown>, buffers?: Uint8Array[]): void;
  onMessage(act: (data: any, buffers: Uint8Array[]) => unknown): void;
  onClose(act: (data: any) => unknown): void;
  close(data?: Record<string, unknown>): void;
}
/** Lines to the front end: open(target) to what it registered under that name, register(target, act) for what it opens itself. */
declare const comms: {
  open(target: string, data?: Record<string, unknown>, options?: { metadata?: Record<string, unknown>; buffers?: Uint8Array[] }): Comm;
  register(target: string, act: (comm: Comm, data: any, buffers: Uint8Array[]) => unknown): void;
};
`;
/**
 * Jupyter's comms.
 * @param publish sends an iopub message because of the running code's cell
 */
function createComms({ publish, current }) {
    const open = new Map();
    const targets = new Map();
    function make(id, target) {
        const comm = {
            id, target,
            send: (data, buffers) => publish(current(), "comm_msg", { comm_id: id, data }, { buffers }),
            onMessage: (act) => void (comm.message = act),
            onClose: (act) => void (comm.end = act),
            close(data = {}) {
                if (open.delete(id))
                    publish(current(), "comm_close", { comm_id: id, data });
            },
        };
        open.set(id, comm);
        return comm;
    }
    const parts = ({ content, buffers }) => ({ id: String(content.comm_id), data: (content.data ?? {}), buffers });
    return {
        open(target, data = {}, { metadata, buffers } = {}) {
            const comm = make((0, node_crypto_1.randomUUID)().replaceAll("-", ""), target);
            publish(current(), "comm_open", { comm_id: comm.id, target_name: target, data }, { metadata, buffers });
            return comm;
        },
        register: (target, act) => void targets.set(target, act),
        opened(message) {
            const { id, data, buffers } = parts(message);
            const target = String(message.content.target_name);
            const act = targets.get(target);
            // The protocol's answer to a target nobody knows.
            if (!act)
                return publish(current(), "comm_close", { comm_id: id, data: {} });
            return act(make(id, target), data, buffers);
        },
        received(message) {
            const { id, data, buffers } = parts(message);
            return open.get(id)?.message?.(data, buffers);
        },
        closed(message) {
            const { id, data } = parts(message);
            const comm = open.get(id);
            open.delete(id);
            return comm?.end?.(data);
        },
        list: (target) => ({
            status: "ok",
            comms: Object.fromEntries([...open.values()].filter((comm) => !target || comm.target === target).map((comm) => [comm.id, { target_name: comm.target }])),
        }),
    };
}
//# sourceMappingURL=comm.js.map