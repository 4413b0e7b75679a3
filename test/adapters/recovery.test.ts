import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { openModel } from "../../src/adapters/open";
import { CheckpointError, EngineError } from "../../src/core/errors";
import type { SaeWeights } from "../../src/core/types";
import { noise, ORACLE } from "./tiny";

/** Threads and processes that end before their time, and what they leave. */

const LLAMA = join(ORACLE, "models/llama");
const SRC = join(__dirname, "../../src");
const node = (program: string, env: NodeJS.ProcessEnv = process.env): string => execFileSync(process.execPath, ["-e", program], { encoding: "utf8", timeout: 60_000, env });

/** What goes to the thread while the work is done, and the thread itself. */
async function watched<T>(work: (asked: string[], thread: () => Worker) => Promise<T>): Promise<T> {
  const post = Worker.prototype.postMessage;
  const asked: string[] = [];
  let thread: Worker | undefined;
  Worker.prototype.postMessage = function (this: Worker, message: { request?: { do: string } }, ...rest: never[]) {
    if (message.request) asked.push(message.request.do);
    if (message.request) thread = this;
    return post.call(this, message, ...rest);
  };
  try {
    return await work(asked, () => thread!);
  } finally {
    Worker.prototype.postMessage = post;
  }
}

test("what cannot be handed to the thread is refused, and does not keep the process alive", () => {
  const said = node(`
    const { startEngine } = require(${JSON.stringify(join(SRC, "adapters/engine"))});
    const feeds = { x: { type: "float32", data: { buffer: 1 }, dims: [1] } };
    startEngine("a model", () => {}).ask({ do: "run", session: "s", feeds, outputs: [], empty: {} }).catch((error) => console.log(error.name, error.message));`);
  assert.match(said, /^EngineError a model: expected arrays that can be handed over, found: /);
});

test("a thread that ends ends the texts that are being written with an error; the next text is as before", async () => {
  const model = await openModel(LLAMA);
  const [whole] = await model.generate(["one two three"], { maxTokens: 6 });
  await watched(async (_, thread) => {
    await assert.rejects(async () => {
      for await (const piece of model.generate(["one two three"], { maxTokens: 6 })) {
        assert.equal(piece.prompt, 0);
        await thread().terminate();
      }
    }, EngineError);
  });
  assert.deepEqual(await model.generate(["one two three"], { maxTokens: 6 }), [whole]);
  await model.close();
});

test("a graph that many edits cut is loaded once, however many its parts", async () => {
  const model = await openModel(LLAMA);
  const places = [0, 1, 2].flatMap((n) => [".attn.in", ".self_attn", ".mlp"].map((part) => `layers.${n}${part}`));
  const run = () => watched(async (asked) => {
    await model.run([[1, 2, 3]], { logits: true, writes: places.map((hook) => ({ hook, edit: () => {} })) });
    return asked.filter((what) => what === "load").length;
  });
  assert.ok(await run() > 6);
  assert.equal(await run(), 0);
  await model.close();
});

test("an SAE that a killed process left on the disk goes with the next; one whose arrays are too short leaves nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-recovery-"));
  const left = (): string[] => readdirSync(folder).filter((name) => name.startsWith("saelab-sae-"));
  const before = process.env.TMPDIR;
  const program = (end: string): string => `
    const { openModel } = require(${JSON.stringify(join(SRC, "adapters/open"))});
    const array = (n) => new Float32Array(n).fill(0.1);
    const sae = { weights: { d: 48, latents: 64, k: 4, wEnc: array(64 * 48), bEnc: array(64), wDec: array(64 * 48), bDec: array(48) } };
    (async () => {
      const model = await openModel(${JSON.stringify(LLAMA)});
      await model.run([[1, 2]], { hooks: ["layers.1"], writes: [{ hook: "layers.0", sae }] });
      ${end}
    })();`;
  try {
    const env = { ...process.env, TMPDIR: folder };
    assert.throws(() => node(program('process.kill(process.pid, "SIGKILL");'), env));
    assert.equal(left().length, 1, "nothing runs in a process that is killed");
    node(program("await model.close();"), env);
    assert.deepEqual(left(), []);

    process.env.TMPDIR = folder;
    const model = await openModel(LLAMA);
    const weights: SaeWeights = { d: 48, latents: 64, k: 4, wEnc: noise(64 * 48), bEnc: noise(64), wDec: noise(64 * 48, 2), bDec: noise(48) };
    const run = (one: SaeWeights) => model.run([[1, 2]], { hooks: ["layers.1"], writes: [{ hook: "layers.0", sae: { weights: one } }] });
    await assert.rejects(run({ ...weights, wEnc: noise(5) }), (error: Error) => error instanceof CheckpointError && /layers\.0.*wEnc: expected 3072 numbers/.test(error.message));
    await run(weights);
    await model.close();
    assert.deepEqual(left(), []);
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    rmSync(folder, { recursive: true, force: true });
  }
});
