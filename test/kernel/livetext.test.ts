import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { packageRoot } from "../../src/adapters/package";
import { unpackText, type PackedText } from "../../src/core/textview";
import { drive, resultOf, type Answer, type Driven, type Step } from "./drive";

/* A shown text that the front end asks about anew, while cells run between. */

const scratch = mkdtempSync(join(tmpdir(), "saelab-livetext-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const built = (name: string): string => JSON.stringify(join(packageRoot, "build", "src", "adapters", name));
const ask = (comm: string, text: unknown): Step => ({ send: "comm_msg", content: { comm_id: comm, data: { text } } });
// the model reads one text after the other: once this one is read, those asked for before are answered
const wait: Step = { code: "for (let i = 0; i < 3; i++) await textFeatures('5 + 7 = 12.', { model, sae });\n'waited'" };

let shown: PackedText, driven: Driven;
before(async () => {
  const begin: Record<string, Step> = {
    open: {
      code: `import { openModel } from "saelab";
import { textFeatures } from ${built("textfeatures")};
import { saeOf } from ${built("sae")};
const model = await openModel(${JSON.stringify(join(packageRoot, "data", "tiny-reasoner"))});
const d = model.width, latents = 64;
const wEnc = Float32Array.from({ length: latents * d }, (_, i) => Math.sin(i * i));
const sae = saeOf({ d, latents, k: 8, wEnc, bEnc: new Float32Array(latents), wDec: wEnc, bDec: new Float32Array(d) }, { hook: "layers.2" });`,
    },
    show: { code: "await textFeatures('Wait, no.', { model, sae })" },
  };
  // the id is the same whenever the same cells run, so that one kernel can tell it and another be asked for it
  const first = await drive(begin, scratch);
  const result = (first.answers.show as Answer).outputs.find(({ type }) => type === "execute_result");
  assert.ok(result, JSON.stringify(first.answers).slice(0, 3000));
  shown = (result.content.data as Record<string, PackedText>)["application/vnd.saelab.text.v1+json"];
  driven = await drive({
    ...begin,
    openComm: { send: "comm_open", content: { comm_id: "t", target_name: "saelab.text", data: { id: shown.live } } },
    asked: ask("t", "So the total is 15."), wait,
    empty: ask("t", ""), waitEmpty: wait,
    wrong: ask("t", 5),
    flood1: ask("t", "a"), flood2: ask("t", "a b"), flood3: ask("t", "a b c"), flood4: ask("t", "a b c d"), waitFlood: wait,
    unknown: { send: "comm_open", content: { comm_id: "u", target_name: "saelab.text", data: { id: "another" } } },
    info: { request: "comm_info_request", content: { target_name: "saelab.text" } },
    close: { send: "comm_close", content: { comm_id: "t", data: {} } },
    afterClose: ask("t", "no"), waitClose: wait,
    direct: { code: "const again = await textFeatures('So the total is 15.', { model, sae });\nJSON.stringify(again.latents.map(({ latent }) => latent))" },
    shut: { code: "await model.close()" },
    reopen: { send: "comm_open", content: { comm_id: "v", target_name: "saelab.text", data: { id: shown.live } } },
    closedModel: ask("v", "x y"), waitClosed: { code: "await new Promise((done) => setTimeout(done, 200))" },
  }, scratch);
});

const replies = (...names: string[]): Record<string, unknown>[] =>
  names.flatMap((name) => (driven.answers[name] as Answer).outputs).filter(({ type }) => type === "comm_msg").map(({ content }) => content.data as Record<string, unknown>);

test("what is shown has an id, the same in each kernel", () => {
  assert.match(shown.live!, /^[0-9a-f]{12}$/);
  const again = (driven.answers.show as Answer).outputs.find(({ type }) => type === "execute_result")!;
  assert.deepEqual((again.content.data as Record<string, PackedText>)["application/vnd.saelab.text.v1+json"], shown);
});

test("a text that is typed is answered with its latents, those that the library finds", () => {
  const [{ text, view }] = replies("asked");
  assert.equal(text, "So the total is 15.");
  const found = unpackText(view as PackedText);
  assert.equal(found.tokens.join(""), text);
  assert.equal(resultOf(driven.answers.direct as Answer), `'${JSON.stringify(found.latents.map(({ latent }) => latent))}'`);
});

test("no text, something else, an unknown id, a closed model: an error in words", () => {
  assert.match(String(replies("empty")[0].error), /at least one token/);
  assert.match(String(replies("wrong")[0].error), /expected \{ text \}, found number/);
  assert.match(String(replies("unknown")[0].error), /run its cell again/);
  assert.equal((driven.answers.unknown as Answer).outputs.at(-1)?.type, "comm_close");
  const [{ text, error }] = replies("closedModel");
  assert.equal(text, "x y");
  assert.match(String(error), /closed/i);
});

test("of texts that come faster than they are read the last is answered, and the first that was begun", () => {
  const texts = replies("flood1", "flood2", "flood3", "flood4").map(({ text }) => text);
  assert.equal(texts.at(-1), "a b c d");
  assert.ok(texts.length <= 4 && new Set(texts).size === texts.length, texts.join(" | "));
});

test("the line is listed while it is open; a closed one is silent", () => {
  assert.deepEqual((driven.answers.info as Answer).reply.content.comms, { t: { target_name: "saelab.text" } });
  assert.deepEqual(replies("afterClose"), []);
});
