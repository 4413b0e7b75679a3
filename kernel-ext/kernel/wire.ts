import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

/** Jupyter's message header, protocol 5.4. */
export interface Header {
  msg_id: string;
  session: string;
  username: string;
  date: string;
  msg_type: string;
  version: string;
}

export type Content = Record<string, unknown>;

export interface Message {
  identities: Uint8Array[]; // routing prefix: the client on a router socket, the topic on iopub
  header: Header;
  parent: Header | Record<string, never>;
  metadata: Content;
  content: Content;
  buffers: Uint8Array[];
}

/** A set of frames that is no Jupyter message of ours: it is dropped. */
export class WireError extends Error {
  override name = "WireError";
}

const DELIMITER = Buffer.from("<IDS|MSG>");
export const PROTOCOL_VERSION = "5.4";

const LARGEST = 1 << 28; // bytes of the JSON parts of one message: a cell of 10 MB is fine, a flood is not

const sign = (key: string, frames: (string | Uint8Array)[]): string => {
  const hmac = createHmac("sha256", key);
  for (const frame of frames) hmac.update(frame);
  return hmac.digest("hex");
};

/**
 * Frames → message: [identity…, "<IDS|MSG>", HMAC, header, parent, metadata, content, buffer…].
 * The signature is checked before anything is parsed, in constant time; an empty key turns signing off.
 * @throws WireError if the delimiter or a part is missing, the signature differs, or a part is no JSON object
 * @see jupyter_client, messaging.rst: the wire protocol
 */
export function decode(frames: Uint8Array[], key: string): Message {
  const at = frames.findIndex((frame) => DELIMITER.equals(frame));
  if (at < 0) throw new WireError(`expected a frame <IDS|MSG>, found none in ${frames.length} frames`);
  const parts = frames.slice(at + 2, at + 6);
  if (parts.length < 4) {
    throw new WireError(`expected signature, header, parent, metadata and content, found ${frames.length - at - 1} frames`);
  }
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  if (size > LARGEST) throw new WireError(`expected at most ${LARGEST} bytes, found ${size}`);
  if (key !== "") {
    const want = Buffer.from(sign(key, parts));
    const found = frames[at + 1];
    if (found.length !== want.length || !timingSafeEqual(found, want)) {
      throw new WireError("the signature does not fit the message: another key, or not a message of this connection file");
    }
  }
  const [header, parent, metadata, content] = parts.map((part, i) => {
    const name = ["header", "parent", "metadata", "content"][i];
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(part).toString("utf8"));
    } catch (cause) {
      throw new WireError(`${name}: expected JSON`, { cause });
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new WireError(`${name}: expected an object, found ${JSON.stringify(value)}`);
    return value as Content;
  });
  if (typeof header.msg_type !== "string" || typeof header.msg_id !== "string") {
    throw new WireError("header: expected msg_type and msg_id to be strings");
  }
  return {
    identities: frames.slice(0, at),
    header: header as unknown as Header,
    parent: parent as unknown as Header,
    metadata,
    content,
    buffers: frames.slice(at + 6),
  };
}

/** A message whose four parts are JSON already, so that another thread need only sign and send it. */
export interface Letter {
  identities: Uint8Array[];
  parts: string[]; // header, parent, metadata, content
  buffers: Uint8Array[];
}

export const letter = ({ identities, header, parent, metadata, content, buffers }: Message): Letter => ({
  identities, parts: [header, parent, metadata, content].map((part) => JSON.stringify(part)), buffers,
});

/** Letter → signed frames. */
export const seal = ({ identities, parts, buffers }: Letter, key: string): (string | Uint8Array)[] =>
  [...identities, DELIMITER, key === "" ? "" : sign(key, parts), ...parts, ...buffers];

/** Message → signed frames; the inverse of decode. */
export const encode = (message: Message, key: string): (string | Uint8Array)[] => seal(letter(message), key);

const REMEMBERED = 1 << 16; // signatures, as many as jupyter_client remembers

/**
 * Recognises a message that was sent before: a signature is never made twice, because each header has its own id and date.
 * @returns function that says whether frames are new; unsigned ones always are
 */
export function replayGuard(): (frames: Uint8Array[]) => boolean {
  let recent = new Set<string>();
  let older = new Set<string>();
  return (frames) => {
    const at = frames.findIndex((frame) => DELIMITER.equals(frame));
    const signature = Buffer.from(frames[at + 1] ?? []).toString("latin1");
    if (signature === "") return true;
    if (recent.has(signature) || older.has(signature)) return false;
    recent.add(signature);
    if (recent.size >= REMEMBERED / 2) [older, recent] = [recent, new Set()];
    return true;
  };
}

/** A message of the kernel in answer to, or because of, `parent`. */
export function answer(
  parent: Message | undefined,
  { type, content, session, identities, metadata = {}, buffers = [] }: {
    type: string; content: Content; session: string; identities: Uint8Array[]; metadata?: Content; buffers?: Uint8Array[];
  },
): Message {
  return {
    identities,
    header: {
      msg_id: randomUUID(),
      session,
      username: parent?.header.username ?? "kernel",
      date: new Date().toISOString(),
      msg_type: type,
      version: PROTOCOL_VERSION,
    },
    parent: parent?.header ?? {},
    metadata,
    content,
    buffers,
  };
}
