"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.encode = exports.seal = exports.letter = exports.PROTOCOL_VERSION = exports.WireError = void 0;
exports.decode = decode;
exports.replayGuard = replayGuard;
exports.answer = answer;
const node_crypto_1 = require("node:crypto");
/** A set of frames that is no Jupyter message of ours: it is dropped. */
class WireError extends Error {
    name = "WireError";
}
exports.WireError = WireError;
const DELIMITER = Buffer.from("<IDS|MSG>");
exports.PROTOCOL_VERSION = "5.4";
const LARGEST = 1 << 28; // bytes of the JSON parts of one message: a cell of 10 MB is fine, a flood is not
const sign = (key, frames) => {
    const hmac = (0, node_crypto_1.createHmac)("sha256", key);
    for (const frame of frames)
        hmac.update(frame);
    return hmac.digest("hex");
};
/**
 * Frames → message: [identity…, "<IDS|MSG>", HMAC, header, parent, metadata, content, buffer…].
 * The signature is checked before anything is parsed, in constant time; an empty key turns signing off.
 * @throws WireError if the delimiter or a part is missing, the signature differs, or a part is no JSON object
 * @see jupyter_client, messaging.rst: the wire protocol
 */
function decode(frames, key) {
    const at = frames.findIndex((frame) => DELIMITER.equals(frame));
    if (at < 0)
        throw new WireError(`expected a frame <IDS|MSG>, found none in ${frames.length} frames`);
    const parts = frames.slice(at + 2, at + 6);
    if (parts.length < 4) {
        throw new WireError(`expected signature, header, parent, metadata and content, found ${frames.length - at - 1} frames`);
    }
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    if (size > LARGEST)
        throw new WireError(`expected at most ${LARGEST} bytes, found ${size}`);
    if (key !== "") {
        const want = Buffer.from(sign(key, parts));
        const found = frames[at + 1];
        if (found.length !== want.length || !(0, node_crypto_1.timingSafeEqual)(found, want)) {
            throw new WireError("the signature does not fit the message: another key, or not a message of this connection file");
        }
    }
    const [header, parent, metadata, content] = parts.map((part, i) => {
        const name = ["header", "parent", "metadata", "content"][i];
        let value;
        try {
            value = JSON.parse(Buffer.from(part).toString("utf8"));
        }
        catch (cause) {
            throw new WireError(`${name}: expected JSON`, { cause });
        }
        if (typeof value !== "object" || value === null || Array.isArray(value))
            throw new WireError(`${name}: expected an object, found ${JSON.stringify(value)}`);
        return value;
    });
    if (typeof header.msg_type !== "string" || typeof header.msg_id !== "string") {
        throw new WireError("header: expected msg_type and msg_id to be strings");
    }
    return {
        identities: frames.slice(0, at),
        header: header,
        parent: parent,
        metadata,
        content,
        buffers: frames.slice(at + 6),
    };
}
const letter = ({ identities, header, parent, metadata, content, buffers }) => ({
    identities, parts: [header, parent, metadata, content].map((part) => JSON.stringify(part)), buffers,
});
exports.letter = letter;
/** Letter → signed frames. */
const seal = ({ identities, parts, buffers }, key) => [...identities, DELIMITER, key === "" ? "" : sign(key, parts), ...parts, ...buffers];
exports.seal = seal;
/** Message → signed frames; the inverse of decode. */
const encode = (message, key) => (0, exports.seal)((0, exports.letter)(message), key);
exports.encode = encode;
const REMEMBERED = 1 << 16; // signatures, as many as jupyter_client remembers
/**
 * Recognises a message that was sent before: a signature is never made twice, because each header has its own id and date.
 * @returns function that says whether frames are new; unsigned ones always are
 */
function replayGuard() {
    let recent = new Set();
    let older = new Set();
    return (frames) => {
        const at = frames.findIndex((frame) => DELIMITER.equals(frame));
        const signature = Buffer.from(frames[at + 1] ?? []).toString("latin1");
        if (signature === "")
            return true;
        if (recent.has(signature) || older.has(signature))
            return false;
        recent.add(signature);
        if (recent.size >= REMEMBERED / 2)
            [older, recent] = [recent, new Set()];
        return true;
    };
}
/** A message of the kernel in answer to, or because of, `parent`. */
function answer(parent, { type, content, session, identities, metadata = {}, buffers = [] }) {
    return {
        identities,
        header: {
            msg_id: (0, node_crypto_1.randomUUID)(),
            session,
            username: parent?.header.username ?? "kernel",
            date: new Date().toISOString(),
            msg_type: type,
            version: exports.PROTOCOL_VERSION,
        },
        parent: parent?.header ?? {},
        metadata,
        content,
        buffers,
    };
}
//# sourceMappingURL=wire.js.map