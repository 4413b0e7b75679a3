import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { evaluate } from "../../src/adapters/evaluate";
import { evaluateCommand, namesOf } from "../../src/adapters/evaluatecli";
import { harvest } from "../../src/adapters/harvest";
import { loadSae } from "../../src/adapters/loadsae";
import { openModel } from "../../src/adapters/open";
import { openStore } from "../../src/adapters/store";
import { CheckpointError, OptionError, StoreError } from "../../src/core/errors";
import type { Document } from "../../src/core/types";

const ORACLE = join(__dirname, "../../../test/oracle");
const CLI = join(__dirname, "../../src/adapters/cli.js");
const MODEL = join(ORACLE, "models/llama"), TOPK = join(ORACLE, "evals/topk"), JUMP = join(ORACLE, "evals/jumprelu");
const scratch = mkdtempSync(join(tmpdir(), "saelab-evaluatecli-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
const STORE = join(scratch, "store");
after(() => rmSync(scratch, { recursive: true, force: true }));
before(async () => {
  const model = await openModel(MODEL);
  const documents = Array.from({ length: 12 }, (_, i): Document => {
    const text = `The rain fell ${i} times. Wait, let me check that again.`;
    return { id: `${i}`, text, spans: [{ start: 0, end: text.indexOf("Wait"), label: "telling" }, { start: text.indexOf("Wait"), end: text.length, label: "checking" }], split: i % 3 ? "train" : "heldout" };
  });
  (await harvest(model, documents, { hooks: ["layers.1"], folder: STORE, progress: () => {} })).close();
  await model.close();
});
/** What the verb prints. */
async function said(...args: string[]): Promise<string> {
  let text = "";
  assert.equal(await evaluateCommand(args, (line) => (text += line)), 0);
  return text;
}
const refuses = (args: string[], type: new (...args: never[]) => Error, message: RegExp): Promise<void> =>
  assert.rejects(evaluateCommand(args, () => {}), (error: Error) => error instanceof type && message.test(error.message) || assert.fail(`${error.name}: ${error.message}`));

test("one SAE: the table, and as JSON what evaluate gives, with splice and probes", async () => {
  assert.match(await said(TOPK, "--store", STORE, "--hook", "layers.1"), /^measure +value +what it says\nFVU +0\.\d+ +No better than the mean row: .*explains 1\.7 %/);
  const found = JSON.parse(await said(TOPK, "--store", STORE, "--hook", "layers.1", "--split", "all", "--model", MODEL, "--probe", "--json"));
  const [store, sae, model] = [await openStore(STORE), await loadSae(TOPK, { hook: "layers.1" }), await openModel(MODEL)];
  const { density: _, ...wanted } = await evaluate(sae, store, { split: "all", model });
  await model.close();
  store.close();
  const { name, probes, ...rest } = found;
  assert.deepEqual(rest, JSON.parse(JSON.stringify(wanted)));
  assert.deepEqual([name, probes.map(({ label, sparse }: { label: string; sparse: unknown[] }) => [label, sparse.length])], ["topk", [["checking", 3], ["telling", 3]]]);
});

test("several SAEs: a table, CSV, JSON; named by what differs in their paths", async () => {
  assert.match(await said(TOPK, JUMP, "--store", STORE, "--hook", "layers.1"), /^SAE +kind +latents +L0 .*\ntopk +topk +48 +8\.00 .*\njumprelu +jumprelu +48 /);
  const csv = (await said(TOPK, JUMP, "--store", STORE, "--hook", "layers.1", "--csv")).split("\r\n");
  assert.equal(csv.length, 3);
  const json = JSON.parse(await said(TOPK, JUMP, "--store", STORE, "--hook", "layers.1", "--json"));
  assert.deepEqual(json.map(({ name, fvu }: { name: string; fvu: number }) => `${name} ${fvu}`), csv.slice(1).map((line) => `${line.split(",")[0]} ${line.split(",")[5]}`));
  assert.deepEqual(namesOf(["a/x/sae", "b/x/sae", "c"]), ["a/x/sae", "b/x/sae", "c"]);
  assert.deepEqual(namesOf(["runs/a/", "runs/b"]), ["a", "b"]);
  assert.deepEqual(namesOf(["a", "a"]), ["a (1)", "a (2)"]);
});

test("bad words are refused by name; the exit code says so", async () => {
  await refuses([], OptionError, /expected an SAE, found none: saelab evaluate/);
  await refuses([TOPK], OptionError, /--store: expected it, found none/);
  await refuses([TOPK, "--store", STORE, "--json", "--csv"], OptionError, /found both/);
  await refuses([TOPK, "--store", STORE, "--tokens", "9"], OptionError, /--tokens: expected --model beside it/);
  await refuses([TOPK, "--store", STORE, "--rows", "x"], OptionError, /--rows: expected a whole number from 1, found x/);
  await refuses([TOPK, "--store", STORE, "--hook", "layers.1", "--split", "some"], OptionError, /split: expected "heldout", "train" or "all", found "some"/);
  await refuses([TOPK, "--store", STORE, "--frobnicate"], OptionError, /expected the options --store, .*Unknown option '--frobnicate'/);
  await refuses([TOPK, "--store", join(scratch, "none")], StoreError, /no such folder/);
  writeFileSync(join(scratch, "cfg.json"), "{}");
  await refuses([join(scratch, "nothing-here"), "--store", STORE], Error, /nothing-here/);
  await refuses([scratch, "--store", STORE], CheckpointError, /cfg\.json|weights/);
  const { status, stderr } = spawnSync(process.execPath, [CLI, "evaluate", TOPK], { encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /^saelab: --store: expected it/);
  assert.match(execFileSync(process.execPath, [CLI, "evaluate", "--help"], { encoding: "utf8" }), /saelab evaluate SAE… --store STORE/);
  assert.ok(readFileSync(join(scratch, "cfg.json"), "utf8") === "{}");
});
