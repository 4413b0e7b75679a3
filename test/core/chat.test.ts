import assert from "node:assert/strict";
import { test } from "node:test";
import { asUserMessage } from "../../src/core/chat";
import { OptionError, TextError } from "../../src/core/errors";
import type { Tokenizer } from "../../src/core/types";

type Chat = Tokenizer["chat"];

/** Characters as tokens, `<s>` put before each text when asked for. */
function tokenizer(chat: Chat, bos = false): Tokenizer {
  const lead = bos ? [0] : [];
  return {
    vocabularySize: 2 ** 16,
    encode: (text) => ({
      ids: Int32Array.from([...lead, ...Array.from(text, (c) => c.charCodeAt(0))]),
      start: Int32Array.from([...lead, ...Array.from(text, (_, i) => i)]),
      end: Int32Array.from([...lead, ...Array.from(text, (_, i) => i + 1)]),
    }),
    decode: (ids) => Array.from(ids, (id) => (id ? String.fromCharCode(id) : "<s>")).join(""),
    bytes: () => new Uint8Array(),
    isSpecial: (id) => id === 0,
    chat,
  };
}
const llama: Chat = (messages, { addGenerationPrompt } = {}) =>
  `<s>${messages.map(({ role, content }) => `[${role}]\n${content.trim()}[end]`).join("")}${addGenerationPrompt ? "[assistant]\n" : ""}`;
const document = { id: "a", text: "user asks: why?", spans: [{ start: 0, end: 4, label: "who" }, { start: 11, end: 15, label: "what" }], split: "train" as const };

test("a document becomes the user's message; its spans label what they did, also where the template says the same words", () => {
  const made = asUserMessage(tokenizer(llama), { system: "user asks", addGenerationPrompt: true })(document);
  assert.equal(made.text, "<s>[system]\nuser asks[end][user]\nuser asks: why?[end][assistant]\n");
  assert.deepEqual(made.spans.map(({ start, end, label }) => [made.text.slice(start, end), label]), [["user", "who"], ["why?", "what"]]);
  assert.ok(made.spans[0].start > made.text.indexOf("[user]"), "the second of two places");
  assert.deepEqual([made.id, made.split], ["a", "train"]);
});

test("what the template trims is gone from the spans too", () => {
  const { text, spans } = asUserMessage(tokenizer(llama), {})({
    id: "b", text: "\n why? \n", spans: [{ start: 0, end: 3, label: "a" }, { start: 0, end: 2, label: "space" }, { start: 4, end: 8, label: "b" }],
  });
  assert.deepEqual(spans.map(({ start, end, label }) => [text.slice(start, end), label]), [["w", "a"], ["y?", "b"]]);
});

test("the beginning-of-text token does not stand there twice", () => {
  const { text, spans } = asUserMessage(tokenizer(llama, true), {})(document);
  assert.equal(text, "[user]\nuser asks: why?[end]");
  assert.equal(text.slice(spans[1].start, spans[1].end), "why?");
});

test("no template, one that writes the message twice or changes it, and texts of a model are refused", () => {
  const format = (content: (text: string) => string) => asUserMessage(tokenizer((messages) => content(messages[0].content)), {});
  assert.throws(() => format((text) => text + text), (error: Error) => error instanceof OptionError && /once, found 2 times/.test(error.message));
  const fails = (change: (text: string) => string, text: string, message: RegExp): void =>
    assert.throws(() => format((content) => `<${change(content)}>`)({ id: "x", text, spans: [] }), (error: Error) => error instanceof TextError && message.test(error.message));
  fails((text) => text.replace("?", ""), "why?", /"x": expected the chat template to write the text as it is, found that it makes "<why>" of "why\?"/);
  fails((text) => text.trim(), "  ", /found that it makes "<>"/);
  fails((text) => text.split("</think>").at(-1)!, "a</think>b", /found that it makes "<b>"/);
  assert.throws(() => format((text) => text)({ ...document, prompt: 3 }), (error: Error) => error instanceof TextError && /from 3 on/.test(error.message));
});
