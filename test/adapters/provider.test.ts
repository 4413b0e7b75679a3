import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { openAiProvider, type OpenAiOptions } from "../../src/adapters/provider";
import { InterruptError, OptionError, ProviderError } from "../../src/core/errors";
import { json, labelServer, type LabelServer, type Reply } from "./label-server";

const KEY = "sk-secret-123";
const QUESTION = [{ role: "user", content: "Hello?" }];

/** Asks once a server that replies so, and closes it. */
async function asking(replies: Reply[], options: Partial<OpenAiOptions> = {}): Promise<{ answer?: string; error?: Error; server: LabelServer }> {
  const server = await labelServer((n) => replies[Math.min(n, replies.length - 1)]);
  try {
    const provider = openAiProvider({ endpoint: server.endpoint, model: "m", key: KEY, retryDelay: 0.001, ...options });
    return { answer: await provider.complete(QUESTION), server };
  } catch (error) {
    return { error: error as Error, server };
  } finally {
    await server.close();
  }
}

test("a question and its answer; the key is in the header and nowhere else", async () => {
  const { answer, server } = await asking(["Hi é"], { temperature: 0.5, headers: { "x-gateway": "g" } });
  assert.equal(answer, "Hi é");
  const [{ url, headers, body }] = server.asked;
  assert.deepEqual([url, headers.authorization, headers["x-gateway"]], ["/v1/chat/completions", `Bearer ${KEY}`, "g"]);
  assert.deepEqual(body, { model: "m", messages: QUESTION, temperature: 0.5, max_tokens: 2000, stream: false });
  const provider = openAiProvider({ endpoint: "https://example.org/v1/", model: "m", key: KEY });
  assert.equal(provider.name, "m at example.org");
  assert.doesNotMatch(`${inspect(provider, { depth: 9, showHidden: true })}${JSON.stringify(provider)}`, /secret/);
  const { server: open } = await asking(["a"], { key: undefined });
  assert.equal(open.asked[0].headers.authorization, undefined);
});

const hang = (): void => {}; // never answers
const broken: Reply = (response) => void response.socket!.destroy();
const half: Reply = (response) => {
  response.writeHead(200, { "content-length": "1000" });
  response.write('{"choices": [');
  setTimeout(() => response.socket!.destroy(), 5);
};

for (const [what, replies] of Object.entries<Reply[]>({
  "too many requests": [json(429, { error: { message: "slow down" } }, { "retry-after": "0" }), "ok"],
  "errors of the server": [json(500, "oops"), json(503, { detail: "starting" }), "ok"],
  "a lost connection": [broken, "ok"],
  "an answer cut short": [half, "ok"],
  "an answer that is no JSON": [json(200, "<html>welcome</html>"), "ok"],
  "JSON without an answer": [json(200, { choices: [] }), json(200, "null"), json(200, { choices: [{ message: { content: null } }] }), "ok"],
  "no answer in time": [hang, "ok"],
}))
  test(`${what}: asked again`, async () => {
    const { answer, error, server } = await asking(replies, { timeout: 0.3 });
    assert.equal(answer, "ok", String(error));
    assert.equal(server.asked.length, replies.length);
  });

test("tries come to an end, and the message says what to do", async () => {
  const { error, server } = await asking([json(500, { error: { message: "out of memory" } })], { retries: 2 });
  assert.ok(error instanceof ProviderError && /found 500 \(out of memory\)\. Tried 3 times/.test(error.message), String(error));
  assert.equal(server.asked.length, 3);
  const slow = await asking([hang], { retries: 0, timeout: 0.1 });
  assert.ok(slow.error instanceof ProviderError && /found none after 0\.1 s\. Tried 1 time/.test(slow.error.message), String(slow.error));
  const gone = openAiProvider({ endpoint: "http://127.0.0.1:9/v1", model: "m", retries: 1, retryDelay: 0 });
  await assert.rejects(gone.complete(QUESTION), (raised: Error) => raised instanceof ProviderError && /Is the server running/.test(raised.message));
});

for (const [what, reply, message] of [
  ["a wrong key", json(401, { error: { message: `Incorrect key ${KEY}` } }), /found 401 \(Incorrect key •••\)\. Check the key/],
  ["no such model", json(404, { error: "no model m" }), /404 \(no model m\).*ends with the API's version/],
  ["a bad request", json(400, { message: "too\u0007 long" }), /found 400 \(too long\)/],
  ["a redirect", json(302, "", { location: "http://127.0.0.1:9/elsewhere" }), /redirect \(302\), which is not followed/],
] as [string, Reply, RegExp][])
  test(`${what}: told at once, without the key`, async () => {
    const { error, server } = await asking([reply]);
    assert.ok(error instanceof ProviderError && message.test(error.message), String(error));
    assert.doesNotMatch(inspect(error, { depth: 9 }), /secret/);
    assert.equal(server.asked.length, 1);
  });

test("a header's value is kept from messages as the key is", async () => {
  const { error, server } = await asking([json(403, { error: { message: `gateway says no to gw-secret-77, key ${KEY}` } })], { headers: { "api-key": "gw-secret-77" } });
  assert.equal(server.asked[0].headers["api-key"], "gw-secret-77");
  assert.match(error!.message, /says no to •••, key •••/);
  const bad = await asking(["ok"], { headers: { "api-key": "gw-secret\n-77" }, retries: 0 });
  assert.doesNotMatch(inspect(bad.error, { depth: 9 }).replaceAll(/\s/g, ""), /gw-secret/);
});

test("an answer without end is given up", async () => {
  const { error } = await asking([(response) => {
    response.writeHead(200);
    const piece = Buffer.alloc(1 << 20, "x");
    const write = (): void => void (response.write(piece, (failed) => failed ? undefined : setImmediate(write)));
    write();
  }], { retries: 0 });
  assert.ok(error instanceof ProviderError && /at most 4 MB/.test(error.message), String(error));
});

test("a stop ends the waiting: for an answer, and for as long as the server wants to be left alone", async () => {
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  for (const reply of [hang, json(429, {}, { "retry-after": "60" }), json(503, {}, { "retry-after": new Date(Date.now() + 60_000).toUTCString() })]) {
    setTimeout(() => (flag.requested = true), 100);
    try {
      const { error, server } = await asking([reply, "ok"]);
      assert.ok(error instanceof InterruptError, String(error));
      assert.equal(server.asked.length, 1); // without the server's word it would have been asked again after a millisecond
    } finally {
      flag.requested = false;
    }
  }
});

test("options that cannot be right", () => {
  const refuse = (options: Partial<OpenAiOptions>, what: RegExp): void =>
    assert.throws(() => openAiProvider({ endpoint: "http://localhost:1/v1", model: "m", ...options }), (error: Error) => error instanceof OptionError && what.test(error.message) && !error.message.includes("secret"));
  refuse({ endpoint: "localhost" }, /endpoint/);
  refuse({ endpoint: "ftp://x/v1" }, /endpoint/);
  refuse({ endpoint: "https://me:secret@x/v1" }, /endpoint/);
  refuse({ endpoint: "https://x/v1?key=secret" }, /endpoint/);
  refuse({ endpoint: "http://example.org/v1", key: KEY }, /expected https where a key is sent/);
  refuse({ endpoint: "http://example.org/v1", headers: { "X-Api-Key": "secret" } }, /expected https where a key is sent/);
  refuse({ model: "" }, /model/);
  refuse({ key: "sk-secret\n" }, /line break/);
  refuse({ timeout: 0 }, /timeout/);
  refuse({ retries: -1 }, /retries/);
  assert.equal(openAiProvider({ endpoint: "http://192.168.0.7:8000/v1", model: "m" }).name, "m at 192.168.0.7:8000");
});
