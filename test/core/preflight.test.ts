import assert from "node:assert/strict";
import { test } from "node:test";
import { allHooks, type Anatomy } from "../../src/core/hookname";
import { placesAround, rowsAround, toldBy, verdictOn, type PlaceMeasures } from "../../src/core/preflight";
import type { HookRow } from "../../src/core/types";

const rowsOf = (anatomy: Anatomy, missing = ""): HookRow[] => allHooks(anatomy).map((hook) => ({
  ...hook, width: hook.kind === "mlp_act" ? 32 : hook.kind === "logits" ? 99 : 8, shape: "", ...(hook.name === missing ? { missing: "not there" } : {}),
}));
const around = (rows: HookRow[], name: string): string[] => placesAround(rows, rows.find((row) => row.name === name)!, 8).map((row) => row.name);

test("places around: three blocks' sublayers and the stream, each tensor once, and only what the file offers in the SAE's width", () => {
  assert.deepEqual(around(rowsOf({ layers: 9 }), "layers.4.mlp"), [
    "layers.3.pre", ...[3, 4, 5].flatMap((n) => [`layers.${n}.self_attn`, `layers.${n}.mid`, `layers.${n}.mlp.in`, `layers.${n}.mlp`, `layers.${n}`]),
  ]);
  // one tensor by two names: the declared one stays
  const stream = around(rowsOf({ layers: 9 }), "layers.4.pre");
  assert.ok(stream.includes("layers.4.pre") && !stream.includes("layers.3"));
  assert.ok(!around(rowsOf({ layers: 9 }, "layers.5.mlp"), "layers.4.mlp").includes("layers.5.mlp"));
  assert.ok(around(rowsOf({ layers: 9, postNorm: true }), "layers.4.mlp").includes("layers.5.mlp.add"));
  assert.ok(!around(rowsOf({ layers: 9, parallel: true }), "layers.4.mlp").includes("layers.4.mid"));
  // the ends of a model; a place of a kind that is else not looked at
  assert.deepEqual(around(rowsOf({ layers: 2 }), "embed_tokens"), ["embed_tokens", "layers.0.self_attn", "layers.0.mid", "layers.0.mlp.in", "layers.0.mlp", "layers.0"]);
  assert.ok(around(rowsOf({ layers: 2 }), "layers.1.mlp").every((name) => !name.startsWith("logits")));
  assert.deepEqual(around(rowsOf({ layers: 3 }), "layers.1.attn.z").filter((name) => name.endsWith(".z")), ["layers.0.attn.z", "layers.1.attn.z", "layers.2.attn.z"]);
});

const at = (hook: string, fvu: number, more: Partial<PlaceMeasures> = {}): PlaceMeasures => ({ hook, fvu, l0: 16, dead: 0, dense: 0, rows: 100, outlier: 2, ...more });

test("verdict: fits, better elsewhere, fits nowhere, with the numbers", () => {
  const verdict = (...places: PlaceMeasures[]) => verdictOn(places, {});
  assert.equal(verdict(at("a", 0.2), at("b", 0.19)).verdict, "fits"); // not by enough to tell
  const better = verdict(at("a", 0.5), at("b", 0.6), at("b", 0.1, { other: "b_dec subtracted" }));
  assert.equal(better.verdict, "better elsewhere");
  assert.equal(better.says, "better at b, b_dec subtracted: FVU 0.500 at a (L0 16.0, 0 % of the latents dense, 0 % dead), FVU 0.100 at b, b_dec subtracted, on 100 rows.");
  assert.equal(verdict(at("a", 0.95), at("b", 0.88)).verdict, "better elsewhere"); // what explains nothing is not believed for a near tie
  assert.equal(verdict(at("a", 1.8), at("b", 0.9)).verdict, "fits nowhere");
  assert.equal(verdict(at("a", NaN), at("b", NaN)).verdict, "fits nowhere");
  assert.equal(verdict(at("a", NaN), at("b", 0.3)).best.hook, "b");
});

test("what a checkpoint tells is held against what was measured", () => {
  assert.deepEqual(toldBy({ fvu: 0.1, source: "google/gemma-scope/layer_12/width_16k/average_l0_82" }, "layers.12", undefined), { hook: "layers.12", fvu: 0.1, l0: 82 });
  assert.deepEqual(toldBy({ measures: { l0: 40, fvu: "0.1" } }, undefined, 32), { hook: undefined, fvu: undefined, l0: 40 });
  assert.deepEqual(toldBy({}, undefined, 32).l0, 32);
  const { notes } = verdictOn([at("layers.3", 0.5, { l0: 900 })], { hook: "layers.3.mlp", fvu: 0.2, l0: 82 });
  assert.deepEqual(notes.map((note) => /reads layers\.3\.mlp|FVU 0\.200|L0 82/.exec(note)![0]), ["reads layers.3.mlp", "FVU 0.200", "L0 82"]);
  assert.deepEqual(verdictOn([at("layers.3", 0.3)], { hook: "layers.3", fvu: 0.2, l0: 16 }).notes, []);
});

test("places around a wide SAE get fewer rows, but enough to tell", () => {
  assert.equal(rowsAround(65_536, 1536, 15), 256);
  assert.equal(rowsAround(4608, 576, 15), 680); // 1.2e11 / (4608 · (2 · 576 + 1400) · 15)
  assert.ok(rowsAround(1024, 128, 15) > 2000);
});
