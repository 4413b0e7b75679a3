import { newCell, type Cell, type Clock } from "../../kernel-ext/kernel/cell";
import type { Channel } from "../../kernel-ext/kernel/post";
import type { Said } from "../../kernel-ext/kernel/server";
import { decode, encode, seal, type Content, type Message } from "../../kernel-ext/kernel/wire";

export const KEY = "a key of the tests";

/** A socket without a network: put() is the client's side, sent is what the kernel answered. */
export interface FakeChannel extends Channel {
  put(frames: Uint8Array[]): void;
  sent: Message[];
  close(): void;
}

export function fakeChannel(): FakeChannel {
  const waiting: Uint8Array[][] = [];
  const sent: Message[] = [];
  let wake = (): void => {};
  let open = true;
  return {
    sent,
    put(frames) {
      waiting.push(frames);
      wake();
    },
    close() {
      open = false;
      wake();
    },
    async send(frames) {
      sent.push(decode(frames.map((frame) => Buffer.from(frame)), KEY));
    },
    async *[Symbol.asyncIterator]() {
      while (open) {
        const next = waiting.shift();
        if (next) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

let serial = 0;

/** A client's request as frames. */
export function request(type: string, content: Content = {}, key = KEY): Uint8Array[] {
  const header = {
    msg_id: `request-${++serial}`, session: "client", username: "tester", date: "2026-01-01T00:00:00Z", msg_type: type, version: "5.3",
  };
  return encode({ identities: [Buffer.from("client")], header, parent: {}, metadata: {}, content, buffers: [] }, key)
    .map((frame) => Buffer.from(frame));
}

/** A clock that moves when told to. */
export function fakeClock(): Clock & { advance(ms: number): void } {
  let now = 0;
  let timers: { at: number; work: () => void }[] = [];
  return {
    now: () => now,
    after(ms, work) {
      const timer = { at: now + ms, work };
      timers.push(timer);
      return () => {
        timers = timers.filter((each) => each !== timer);
      };
    },
    advance(ms) {
      now += ms;
      const due = timers.filter(({ at }) => at <= now);
      timers = timers.filter(({ at }) => at > now);
      due.forEach(({ work }) => work());
    },
  };
}

export const fakeCell = (source = "", name = "cell-1.ts"): Cell => newCell({ name, label: "cell 1", source, request: undefined });

/** What the thread of the cells said, by the line it said it on. */
export function fakeLines(): { send(said: Said): void; on(line: string): Message[]; running: (string | undefined)[] } {
  const said: { line: string; message: Message }[] = [];
  const running: (string | undefined)[] = [];
  return {
    running,
    send(what) {
      if (what.kind === "running") running.push(what.parent?.msg_id);
      else said.push({ line: what.line, message: decode(seal(what.letter, KEY).map((frame) => Buffer.from(frame)), KEY) });
    },
    on: (line) => said.filter((each) => each.line === line).map(({ message }) => message),
  };
}

/** Some turns of the event loop, for what promises and streams still have to do. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
