import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { answer, decode, encode, WireError } from "../../kernel-ext/kernel/wire";
import { KEY, request } from "./fakes";

test("the signature is HMAC-SHA256 of header, parent, metadata and content", () => {
  const frames = request("kernel_info_request", { a: "ü" });
  const at = frames.findIndex((frame) => Buffer.from(frame).toString() === "<IDS|MSG>");
  const hmac = createHmac("sha256", KEY);
  for (const part of frames.slice(at + 2)) hmac.update(part);
  assert.equal(Buffer.from(frames[at + 1]).toString(), hmac.digest("hex"));
});

test("decode reads what encode wrote, identities and buffers included", () => {
  const parent = decode(request("execute_request", { code: "1" }), KEY);
  const message = answer(parent, { type: "execute_reply", content: { text: "ü😀" }, session: "s", identities: parent.identities });
  message.buffers.push(Buffer.from([0, 255]));
  const got = decode(encode(message, KEY).map((frame) => Buffer.from(frame)), KEY);
  assert.deepEqual(got.content, { text: "ü😀" });
  assert.equal(Buffer.from(got.identities[0]).toString(), "client");
  assert.deepEqual([...got.buffers[0]], [0, 255]);
  assert.equal((got.parent as { msg_id: string }).msg_id, parent.header.msg_id);
});

const hostile: [string, (frames: Uint8Array[]) => Uint8Array[], RegExp][] = [
  ["no delimiter", (frames) => frames.filter((_, i) => i !== 1), /expected a frame <IDS\|MSG>/],
  ["a missing part", (frames) => frames.slice(0, -1), /found 4 frames/],
  ["a changed content", (frames) => [...frames.slice(0, -1), Buffer.from('{"code":"evil"}')], /signature/],
  ["a short signature", (frames) => frames.map((frame, i) => (i === 2 ? Buffer.from("00") : frame)), /signature/],
  ["another key", () => request("execute_request", {}, "another key"), /signature/],
  ["no frames", () => [], /found none in 0 frames/],
];
for (const [what, damage, pattern] of hostile) {
  test(`${what} is refused`, () => {
    assert.throws(() => decode(damage(request("execute_request", { code: "1" })), KEY), (error) =>
      error instanceof WireError && pattern.test(error.message));
  });
}

test("without a key nothing is signed, and JSON is still checked", () => {
  const frames = request("execute_request", { code: "1" }, "");
  assert.equal(decode(frames, "").content.code, "1");
  const broken = [...frames.slice(0, -1), Buffer.from("{")];
  assert.throws(() => decode(broken, ""), WireError);
  assert.throws(() => decode([...frames.slice(0, -1), Buffer.from("7")], ""), /content: expected an object/);
});
