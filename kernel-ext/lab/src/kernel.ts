import type { Widget } from "@lumino/widgets";

/** A line from an output to code in the kernel of its notebook: Jupyter's comm. */
export interface Line {
  send(data: object): void;
  close(): void;
}

interface Comm {
  isDisposed: boolean;
  onMsg: (message: { content: { data: unknown } }) => void;
  onClose: (message: unknown) => void;
  open(data: object): unknown;
  send(data: object): unknown;
  close(): unknown;
}
interface Kernel {
  createComm(target: string): Comm;
}

/** The kernel of the notebook that holds a widget: a panel above it knows the session. A renderer is given none. */
function kernelOf(widget: Widget): Kernel | undefined {
  for (let above: Widget | null = widget; above; above = above.parent) {
    const kernel = (above as { sessionContext?: { session?: { kernel?: Kernel | null } | null } }).sessionContext?.session?.kernel;
    if (kernel) return kernel;
  }
  return undefined;
}

/** @returns undefined where there is no kernel */
export function openLine(widget: Widget, target: string, data: object, heard: (data: unknown) => void, ended: () => void): Line | undefined {
  const comm = kernelOf(widget)?.createComm(target);
  if (!comm) return undefined;
  let closed = false;
  comm.onMsg = ({ content }) => heard(content.data);
  comm.onClose = () => {
    if (!closed) ended();
    closed = true;
  };
  comm.open(data);
  return {
    send: (more) => {
      if (!comm.isDisposed) comm.send(more);
      else if (!closed) comm.onClose(undefined);
    },
    close() {
      if (closed || comm.isDisposed) return;
      closed = true;
      comm.close();
    },
  };
}
