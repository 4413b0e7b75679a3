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
    identities: Uint8Array[];
    header: Header;
    parent: Header | Record<string, never>;
    metadata: Content;
    content: Content;
    buffers: Uint8Array[];
}
/** A set of frames that is no Jupyter message of ours: it is dropped. */
export declare class WireError extends Error {
    name: string;
}
export declare const PROTOCOL_VERSION = "5.4";
/**
 * Frames → message: [identity…, "<IDS|MSG>", HMAC, header, parent, metadata, content, buffer…].
 * The signature is checked before anything is parsed, in constant time; an empty key turns signing off.
 * @throws WireError if the delimiter or a part is missing, the signature differs, or a part is no JSON object
 * @see jupyter_client, messaging.rst: the wire protocol
 */
export declare function decode(frames: Uint8Array[], key: string): Message;
/** A message whose four parts are JSON already, so that another thread need only sign and send it. */
export interface Letter {
    identities: Uint8Array[];
    parts: string[];
    buffers: Uint8Array[];
}
export declare const letter: ({ identities, header, parent, metadata, content, buffers }: Message) => Letter;
/** Letter → signed frames. */
export declare const seal: ({ identities, parts, buffers }: Letter, key: string) => (string | Uint8Array)[];
/** Message → signed frames; the inverse of decode. */
export declare const encode: (message: Message, key: string) => (string | Uint8Array)[];
/**
 * Recognises a message that was sent before: a signature is never made twice, because each header has its own id and date.
 * @returns function that says whether frames are new; unsigned ones always are
 */
export declare function replayGuard(): (frames: Uint8Array[]) => boolean;
/** A message of the kernel in answer to, or because of, `parent`. */
export declare function answer(parent: Message | undefined, { type, content, session, identities, metadata, buffers }: {
    type: string;
    content: Content;
    session: string;
    identities: Uint8Array[];
    metadata?: Content;
    buffers?: Uint8Array[];
}): Message;
