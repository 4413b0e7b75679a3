import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { compareSaes, comparison } from "../../src/adapters/compare";
import { dictionaryRecovery } from "../../src/adapters/dictionary";
import { evaluate } from "../../src/adapters/evaluate";
import { densityHistogram } from "../../src/adapters/evaluationplots";
import { harvest } from "../../src/adapters/harvest";
import { loadSae } from "../../src/adapters/loadsae";
import { openModel } from "../../src/adapters/open";
import { saeOf } from "../../src/adapters/saevalue";
import { DISPLAY } from "../../src/adapters/show";
import { OptionError } from "../../src/core/errors";
import type { Document } from "../../src/core/types";
import { memoryStore, planted } from "../planted";

const ORACLE = join(__dirname, "../../../test/oracle");
const scratch = mkdtempSync(join(tmpdir(), "saelab-compare-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
after(() => rmSync(scratch, { recursive: true, force: true }));
const refuses = (work: Promise<unknown> | (() => unknown), message: RegExp): Promise<void> =>
  assert.rejects(async () => await (typeof work === "function" ? work() : work), (error: Error) => error instanceof OptionError && message.test(error.message) || assert.fail(`${error.name}: ${error.message}`));

const { rows, directions } = planted({ d: 16, rows: 800, directions: 24, active: 3 });
const store = memoryStore(rows, 16);
const mean = Float32Array.from({ length: 16 }, (_, j) => rows.reduce((sum, x, i) => sum + (i % 16 === j ? x : 0), 0) / 800);
/** The planted dictionary itself, k latents of it at a time. */
const known = (k: number, more: object = {}) => saeOf({ d: 16, latents: 24, k, wEnc: directions, bEnc: new Float32Array(24), wDec: directions, bDec: mean, ...more } as never, { hook: "layers.1" });

test("several SAEs: each as evaluate has it; sorted, as CSV, JSON, DataFrame, on disk", async () => {
  const saes = { "top 3": known(3), 'top 1, "a"': known(1), relu: known(24, { kind: "relu" }) };
  const found = await compareSaes(saes, store, { split: "all" });
  for (const row of found.rows) {
    const { fvu, l0, cosine, dead, histogram } = await evaluate(saes[row.name as keyof typeof saes], store, { split: "all" });
    assert.deepEqual([row.fvu, row.l0, row.cosine, row.dead, row.histogram], [fvu, l0, cosine, dead, histogram]);
  }
  assert.deepEqual(found.rows.map(({ kind, latents }) => [kind, latents]), [["topk", 24], ["topk", 24], ["relu", 24]]);
  const byFvu = [...found.rows].sort((a, b) => a.fvu - b.fvu).map(({ name }) => name);
  assert.deepEqual(found.sort("fvu").rows.map(({ name }) => name), byFvu);
  assert.deepEqual(found.sort("explainedVariance").rows.map(({ name }) => name), byFvu); // best first
  assert.deepEqual(found.sort("fvu", { descending: true }).rows.map(({ name }) => name), [...byFvu].reverse());
  assert.deepEqual(found.sort("name").rows.map(({ name }) => name), ["relu", 'top 1, "a"', "top 3"]);
  await refuses(() => found.sort("beauty" as never), /one of the measures latents, l0.*found "beauty"/);

  const lines = found.csv().split("\r\n");
  assert.match(lines[0], /^name,hook,kind,latents,l0,fvu,/);
  assert.ok(lines[2].startsWith('"top 1, ""a""",layers.1,topk,24,1,'), lines[2]);
  assert.equal(Number(lines[1].split(",")[5]), found.rows[0].fvu); // in full
  assert.deepEqual(JSON.parse(found.json()).map(({ name, fvu }: { name: string; fvu: number }) => [name, fvu]), found.rows.map(({ name, fvu }) => [name, fvu]));
  const frame = found.table();
  assert.equal(frame.shape[0], 3);
  assert.deepEqual(frame.column("fvu").values, found.rows.map(({ fvu }) => fvu));
  await found.save(join(scratch, "all.csv"));
  await found.save(join(scratch, "all.json"));
  assert.equal(readFileSync(join(scratch, "all.csv"), "utf8"), found.csv());
  assert.deepEqual(readdirSync(scratch).sort().filter((name) => name !== "cache"), ["all.csv", "all.json"]);
  await refuses(found.save(join(scratch, "all.xlsx")), /ends in \.csv or \.json/);
  assert.match((found[DISPLAY]() as Record<string, string>)["text/plain"], /^SAE +kind +latents +L0 +FVU +cosine +L2 ratio +dead +dense\ntop 3 +topk +24 +3/);
});

test("one that does not fit is named before any is measured", async () => {
  const idle = { ...store, read: () => assert.fail("rows were read") };
  const narrow = saeOf({ d: 8, latents: 2, k: 1, wEnc: new Float32Array(16), bEnc: new Float32Array(2), wDec: new Float32Array(16).fill(1), bDec: new Float32Array(8) });
  await refuses(compareSaes({ good: known(2), narrow }, idle), /compareSaes: "narrow": evaluate: expected rows of width 8/);
  await refuses(compareSaes({}, idle), /at least one SAE, found none/);
  await refuses(() => comparison({}), /at least one evaluation/);
});

test("the Pareto plot and the density show themselves as figure, picture and words", async () => {
  const found = await compareSaes({ one: known(1), three: known(3) }, store, { split: "all" });
  const bundle = (await found.pareto()[DISPLAY]()) as Record<string, string>;
  assert.match(bundle["text/plain"], /L0 against FVU of 2 SAEs\. No other beats one \(1\.00, 0\.\d+\)/);
  assert.equal(Buffer.from(bundle["image/png"], "base64").subarray(1, 4).toString(), "PNG");
  await refuses(() => found.pareto({ y: "lossRecovered" }), /L0 and loss recovered, found none\. Losses and KL need the model/);
  const density = (await densityHistogram(await evaluate(known(3), store, { split: "all" }))[DISPLAY]()) as Record<string, string>;
  assert.match(density["text/plain"], /^Density of the latents: of 24 latents 0 fire on none/);
});

test("with the model: in one pass what evaluate finds one by one; the plot takes the loss", async () => {
  const model = await openModel(join(ORACLE, "models/llama"));
  try {
    const documents: Document[] = ["The rain fell and the box is on the table.", "Wait, hmm, let me check the sum again."].map((text, i) => ({ id: `${i}`, text, spans: [] }));
    const acts = await harvest(model, documents, { hooks: ["layers.1", "layers.0"], folder: join(scratch, "store") });
    const [topk, jumprelu] = await Promise.all(["topk", "jumprelu"].map((name) => loadSae(join(ORACLE, "evals", name), { hook: "layers.1" })));
    let passes = 0;
    const counting = { ...model, run: (...args: Parameters<typeof model.run>) => (passes++, model.run(...args)) };
    const found = await compareSaes({ topk, jumprelu, "topk elsewhere": { sae: topk, hook: "layers.0" } }, acts, { split: "all", model: counting });
    assert.equal(passes, 1 + 1 + 2 * 2 + 3); // means, as it is, two ablations of two places, three SAEs
    for (const [i, [sae, hook]] of ([[topk, "layers.1"], [jumprelu, "layers.1"], [topk, "layers.0"]] as const).entries()) {
      const { splice } = await evaluate(sae, acts, { split: "all", hook, model });
      assert.deepEqual(found.rows[i].splice, splice);
    }
    assert.match(found.csv().split("\r\n")[0], /,lossRecovered,klRecovered,/);
    assert.match(((await found.pareto({ y: "klRecovered" })[DISPLAY]()) as Record<string, string>)["text/plain"], /L0 against KL recovered of 3 SAEs/);
    assert.match((found[DISPLAY]() as Record<string, string>)["text/plain"], /FVU +loss recovered +KL, nats +cosine/);
    acts.close();
  } finally {
    await model.close();
  }
});

test("a planted dictionary is found by itself, and not by its dead half", async () => {
  const whole = await dictionaryRecovery(known(3), directions, { probability: new Float32Array(24).fill(2) });
  assert.ok(Math.abs(whole.meanMaxCosine - 1) < 1e-6 && whole.recovered === 1 && whole.distinct === 1);
  assert.ok(Math.abs(whole.weighted!.meanMaxCosine - 1) < 1e-6);
  const density = Float32Array.from({ length: 24 }, (_, f) => (f % 2 ? 0.1 : 0));
  const half = await dictionaryRecovery(known(3), directions, { density });
  assert.equal(half.recovered, 0.5);
  assert.ok([...half.latent].every((f) => f % 2));
  assert.match((half[DISPLAY]() as Record<string, string>)["text/plain"], /^measure +value\nmean of largest cosines +0\.\d+\nshare above 0\.900 +0\.500\n/);
  await refuses(dictionaryRecovery(known(3), new Float32Array(15)), /dictionaryRecovery: recovery: expected rows of width 16/);
  await refuses(dictionaryRecovery(known(3), directions, { density: new Float32Array(24) }), /all 24 are dead/);
});
