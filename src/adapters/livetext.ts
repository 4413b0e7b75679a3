import { packText, type PackedText, type TextView } from "../core/textview";

/**
 * "Type a text, see its features", live. A front end opens a comm to the target "saelab.text" with data { id }, the id that the shown value's
 * `live` field has; sends { text }; and gets for it { text, view: PackedText }, or { text, error }. Of texts that arrive while one is being read only the
 * last is answered: what was typed meanwhile is no longer asked for.
 */

/** As much of a kernel's comms as is used here. */
interface Comm {
  send(data: Record<string, unknown>): void;
  onMessage(act: (data: { text?: unknown }) => unknown): void;
  onClose(act: () => unknown): void;
  close(data?: Record<string, unknown>): void;
}
interface Comms {
  register(target: string, act: (comm: Comm, data: { id?: unknown }) => unknown): void;
}

const TARGET = "saelab.text";
type Reader = (text: string) => Promise<TextView>;

const readers = new Map<string, Reader>();
const told = new WeakSet<Comms>();

/**
 * Makes a reader of texts reachable from the front end.
 * @param name stays the same when the same cell runs again, so that a notebook's outputs do
 * @returns the id by which it is asked for; undefined outside a kernel that has comms
 */
export function listen(name: string, read: Reader): string | undefined {
  const comms = (globalThis as Record<symbol, unknown>)[Symbol.for("saelab.comms")] as Comms | undefined;
  if (!comms) return undefined;
  if (!told.has(comms)) {
    comms.register(TARGET, opened);
    told.add(comms);
  }
  readers.set(name, read);
  return name;
}

function opened(comm: Comm, { id }: { id?: unknown }): void {
  const read = readers.get(String(id));
  if (!read) {
    comm.send({ error: "This kernel does not know the text that was shown here: run its cell again." });
    comm.close();
    return;
  }
  let waiting: string | undefined;
  let busy = false;
  let open = true;
  const work = async (): Promise<void> => {
    busy = true;
    while (open && waiting !== undefined) {
      const text = waiting;
      waiting = undefined;
      const answer = await read(text).then((view): { view: PackedText } => ({ view: packText(view) }), (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }));
      if (open) comm.send({ text, ...answer });
    }
    busy = false;
  };
  comm.onMessage(({ text }) => {
    if (typeof text !== "string") return comm.send({ error: `expected { text }, found ${typeof text} where the text should be.` });
    waiting = text;
    if (!busy) void work(); // not awaited: the kernel goes on, and hears what is typed next
  });
  comm.onClose(() => void (open = false));
}
