"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_crypto_1 = require("node:crypto");
const node_test_1 = require("node:test");
const wire_1 = require("../../kernel-ext/kernel/wire");
const fakes_1 = require("./fakes");
(0, node_test_1.test)("the signature is HMAC-SHA256 of header, parent, metadata and content", () => {
    const frames = (0, fakes_1.request)("kernel_info_request", { a: "ü" });
    const at = frames.findIndex((frame) => Buffer.from(frame).toString() === "<IDS|MSG>");
    const hmac = (0, node_crypto_1.createHmac)("sha256", fakes_1.KEY);
    for (const part of frames.slice(at + 2))
        hmac.update(part);
    strict_1.default.equal(Buffer.from(frames[at + 1]).toString(), hmac.digest("hex"));
});
(0, node_test_1.test)("decode reads what encode wrote, identities and buffers included", () => {
    const parent = (0, wire_1.decode)((0, fakes_1.request)("execute_request", { code: "1" }), fakes_1.KEY);
    const message = (0, wire_1.answer)(parent, { type: "execute_reply", content: { text: "ü😀" }, session: "s", identities: parent.identities });
    message.buffers.push(Buffer.from([0, 255]));
    const got = (0, wire_1.decode)((0, wire_1.encode)(message, fakes_1.KEY).map((frame) => Buffer.from(frame)), fakes_1.KEY);
    strict_1.default.deepEqual(got.content, { text: "ü😀" });
    strict_1.default.equal(Buffer.from(got.identities[0]).toString(), "client");
    strict_1.default.deepEqual([...got.buffers[0]], [0, 255]);
    strict_1.default.equal(got.parent.msg_id, parent.header.msg_id);
});
const hostile = [
    ["no delimiter", (frames) => frames.filter((_, i) => i !== 1), /expected a frame <IDS\|MSG>/],
    ["a missing part", (frames) => frames.slice(0, -1), /found 4 frames/],
    ["a changed content", (frames) => [...frames.slice(0, -1), Buffer.from('{"code":"evil"}')], /signature/],
    ["a short signature", (frames) => frames.map((frame, i) => (i === 2 ? Buffer.from("00") : frame)), /signature/],
    ["another key", () => (0, fakes_1.request)("execute_request", {}, "another key"), /signature/],
    ["no frames", () => [], /found none in 0 frames/],
];
for (const [what, damage, pattern] of hostile) {
    (0, node_test_1.test)(`${what} is refused`, () => {
        strict_1.default.throws(() => (0, wire_1.decode)(damage((0, fakes_1.request)("execute_request", { code: "1" })), fakes_1.KEY), (error) => error instanceof wire_1.WireError && pattern.test(error.message));
    });
}
(0, node_test_1.test)("without a key nothing is signed, and JSON is still checked", () => {
    const frames = (0, fakes_1.request)("execute_request", { code: "1" }, "");
    strict_1.default.equal((0, wire_1.decode)(frames, "").content.code, "1");
    const broken = [...frames.slice(0, -1), Buffer.from("{")];
    strict_1.default.throws(() => (0, wire_1.decode)(broken, ""), wire_1.WireError);
    strict_1.default.throws(() => (0, wire_1.decode)([...frames.slice(0, -1), Buffer.from("7")], ""), /content: expected an object/);
});
//# sourceMappingURL=wire.test.js.map