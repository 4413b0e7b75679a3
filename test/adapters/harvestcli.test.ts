import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openStore } from "../../src/adapters/store";
import { readState } from "../../src/adapters/storestate";

const ROOT = join(__dirname, "..", "..", "..");
const CLI = join(ROOT, "build", "src", "adapters", "cli.js");
const MODEL = join(ROOT, "test", "oracle", "models", "llama");

const root = mkdtempSync(join(tmpdir(), "saelab-harvestcli-"));
after(() => rmSync(root, { recursive: true }));
let folders = 0;
const fresh = (): string => join(root, `${folders++}`);
const texts = join(root, "texts.jsonl");
before(() => {
  const lines = Array.from({ length: 400 }, (_, i) => {
    const question = `What is ${i} times ${i % 7}?`;
    return JSON.stringify({ id: `${i}`, text: `${question} ${`It is ${i * (i % 7)}, so they say. `.repeat(1 + (i % 9))}`, prompt: question.length, spans: [] });
  });
  writeFileSync(texts, lines.join("\n"));
});

const digest = (folder: string): Record<string, string> =>
  Object.fromEntries(readdirSync(folder).sort().map((name) => [name, createHash("sha256").update(readFileSync(join(folder, name))).digest("hex")]));

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
}

/** The command as a process of its own. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  after(() => child.kill("SIGKILL")); // nothing to do where the test came to its end
  let [out, err] = ["", ""];
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (err += text));
  const ended = new Promise<Ended>((resolve) => child.on("close", (code, signal) => resolve({ code, signal, out, err })));
  return { child, ended };
}
const run = (...args: string[]): Promise<Ended> => start(...args).ended;

const args = (out: string, ...more: string[]): string[] =>
  ["harvest", MODEL, texts, "--hooks", "layers.1,layers.2.mlp", "--out", out, "--context", "64", "--batch-tokens", "256", "--shard-rows", "600", "--threads", "1", ...more];

/** Waits until so many shards are on record. */
async function shards(folder: string, count: number, child: { exitCode: number | null }): Promise<void> {
  const made = (): number => {
    const state = readState(folder);
    return state.kind === "unfinished" ? state.manifest.shards.filter(Boolean).length : 0;
  };
  while (made() < count) {
    assert.equal(child.exitCode, null, "it ran to its end");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

let whole: string;
test("one process: a store, a line about it, progress on stderr", async () => {
  whole = fresh();
  const { code, out, err } = await run(...args(whole));
  assert.equal(code, 0, err);
  const store = await openStore(whole);
  assert.ok(store.manifest.shards.length > 20);
  assert.match(out, new RegExp(`^${whole}: ${store.rows.toLocaleString("en")} rows of layers\\.1 \\(48\\), layers\\.2\\.mlp \\(48\\) from .* of 400 documents, F32, ${store.manifest.shards.length} shards, .* MB; dropped: .* first.*; .* s\n$`));
  assert.match(err, /^tokenize .* 400 documents.*\nharvest .* tokens/);
  store.close();
});

test("four processes side by side and a merge give the bytes of one", async () => {
  const folder = fresh();
  const all = await Promise.all([0, 1, 2, 3].map((i) => run(...args(folder, "--shard", `${i}/4`))));
  all.forEach(({ code, out, err }, i) => {
    assert.equal(code, 0, err);
    assert.match(out, new RegExp(`part-0${i}-of-4: part ${i} of 4, [\\d,]+ rows`));
  });
  const { code, out, err } = await run("merge", folder);
  assert.equal(code, 0, err);
  assert.match(out, /400 documents, F32/);
  assert.deepEqual(digest(folder), digest(whole));
  assert.equal((await run("merge", folder)).code, 0, "merged before");
});

test("kill -9 in the middle, and the same command goes on to the same bytes", async () => {
  const folder = fresh();
  const { child, ended } = start(...args(folder));
  await shards(folder, 3, child);
  child.kill("SIGKILL");
  assert.equal((await ended).signal, "SIGKILL");
  const kept = readdirSync(folder).filter((name) => name.startsWith("shard-")).length;
  assert.ok(kept >= 3 && !existsSync(join(folder, "manifest.json")));
  const { code, err } = await run(...args(folder));
  assert.equal(code, 0, err);
  assert.deepEqual(digest(folder), digest(whole));
});

for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  test(`${signal} stops it with exit code ${status}, whole shards kept, and says so`, async () => {
    const folder = fresh();
    const { child, ended } = start(...args(folder));
    await shards(folder, 2, child);
    child.kill(signal);
    const { code, out, err } = await ended;
    assert.equal(code, status, err);
    assert.equal(out, "");
    assert.match(err, /Stopping after this batch.*\nsaelab: Interrupted\. \d+ of 400 documents are kept in .*: run harvest again to go on\.\n$/s);
    const state = readState(folder);
    assert.ok(state.kind === "unfinished" && state.manifest.shards.filter(Boolean).length >= 2);
    assert.ok(!existsSync(join(folder, "harvest.lock")));
    assert.equal((await run(...args(folder))).code, 0);
    assert.deepEqual(digest(folder), digest(whole));
  });
}

test("options reach the harvest", async () => {
  const folder = fresh();
  const { code, err } = await run(
    "harvest", MODEL, texts, "--hooks", "layers.0", "--out", folder, "--dtype", "F16", "--whole", "--context", "100", "--too-long", "skip", "--mask", "prompt", "--limit", "50",
    "--keep-first", "--drop-norm", "none", "--shard-rows", "500");
  assert.equal(code, 0, err);
  const { manifest, ...store } = await openStore(folder);
  assert.equal(manifest.dtype, "F16");
  assert.deepEqual([manifest.settings.cut, manifest.settings.tooLong, manifest.settings.context, manifest.settings.mask, manifest.settings.dropFirst, manifest.settings.dropNorm],
    ["whole", "skip", 100, "prompt", false, false]);
  assert.equal(manifest.texts.documents, 50);
  assert.ok(manifest.dropped.prompt! > 100 && manifest.dropped.long! > 100 && manifest.dropped.first === 0);
  const { document, position } = store.origin(0, manifest.rows);
  const prompts = store.documents().map(({ prompt }) => prompt!);
  const starts = store.documents().map((_, i) => store.tokens(i).start);
  for (let row = 0; row < manifest.rows; row++) assert.ok(starts[document[row]][position[row]] >= prompts[document[row]]);
  store.close();
});

test("what cannot be understood ends with exit code 1, one line and no folder", async () => {
  const folder = fresh();
  for (const [words, message] of [
    [["harvest", MODEL, "--hooks", "layers.1", "--out", folder], /expected MODEL and TEXTS/],
    [["harvest", MODEL, texts, "--out", folder], /--hooks: expected it/],
    [["harvest", MODEL, texts, "--hooks", "layers.1"], /--out: expected it/],
    [[...args(folder), "--shard", "4/4"], /--shard: expected I\/N with I from 0 to N - 1, as 0\/16 to 15\/16, found 4\/4/],
    [[...args(folder), "--limit", "0"], /--limit: expected a whole number from 1/],
    [[...args(folder), "--drop-norm", "x"], /--drop-norm/],
    [[...args(folder), "--device", "gpu"], /--device: expected auto, cuda, webgpu or cpu, found gpu/],
    [[...args(folder), "--dtype", "F8"], /dtype: expected "F32" or "F16", found "F8"/],
    [[...args(folder), "--colour"], /harvest: expected the options.*--colour/],
    [["merge"], /merge: expected a folder/],
    [["merge", folder], /merge: expected parts in/],
    [["merge", folder, join(root, "none")], /expected a finished part, found no such folder/],
  ] as [string[], RegExp][]) {
    const { code, out, err } = await run(...words);
    assert.equal(code, 1, words.join(" "));
    assert.match(err, message);
    assert.match(err, /^saelab: [^\n]*\n$/, "one line");
    assert.equal(out, "");
    assert.ok(!existsSync(folder));
  }
  const { code, out } = await run("harvest", "--help");
  assert.equal(code, 0);
  assert.match(out, /^  saelab harvest MODEL TEXTS[^]*--no-resume[^\n]*\n$/);
});
