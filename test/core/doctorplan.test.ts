import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePlan, planFor, type PlanBasis } from "../../src/core/doctorplan";
import type { HarvestSpeed, TrainingSpeed } from "../../src/core/doctorspeeds";
import { roughly } from "../../src/core/doctortext";
import { OptionError } from "../../src/core/errors";
import { planRun } from "../../src/core/memoryplan";

test("a plan's words: numbers as people write them, names and choices checked", () => {
  assert.deepEqual(parsePlan(["latents=65536", "d=1536", "tokens=100M"]), { latents: 65_536, d: 1536, tokens: 100e6, k: 32 });
  assert.deepEqual(
    parsePlan(["latents=65_536", "d=1,536", "tokens=1.5B", "k=64", "batch=8k", "dtype=bf16", "kind=batchtopk", "device=webgpu", "parameters=1.5b", "auxK=0.5", "tokens=2e6"]),
    { latents: 65_536, d: 1536, tokens: 2e6, k: 64, batch: 8000, dtype: "F16", kind: "batchtopk", device: "webgpu", parameters: 1.5e9, auxK: 0.5 });
  for (const [words, pattern] of [
    [["latents=65536"], /expected d, tokens, found none/], [["latents"], /expected NAME=VALUE/], [["width=3", "d=1"], /found width=3/], [["d=0"], /d: expected a number above 0/],
    [["d=many"], /found many/], [["d=1e"], /found 1e/], [["dtype=int8", "d=1"], /dtype: expected F16, F32, found int8/], [["device=gpu"], /device: expected cuda, webgpu, cpu, wasm/], [["k=-1"], /found -1/],
  ] as const) assert.throws(() => parsePlan([...words]), (error: Error) => error instanceof OptionError && pattern.test(error.message), words.join(" "));
});

const SIZES = { d: 576, latents: 4608, k: 32, batch: 1024 };
const training: TrainingSpeed = { device: "cpu", step: "fused", ...SIZES, tokensPerSecond: 80_000, perStep: 0.003, perRow: 9.57e-6, others: 0 };
const harvest: HarvestSpeed = { device: "cpu", model: "", parameters: 14e6, hook: "layers.3", tokens: 1, tokensPerSecond: 10_000, others: 0 };
const basis: PlanBasis = { device: "cpu", step: "fused", free: { host: 32e9, card: Infinity, disk: 1e12 }, training, harvest };

test("the sizes that were measured take the time that they took; others what their arithmetic and parameters add", () => {
  const same = planFor({ ...SIZES, tokens: 1024 * 1000 }, basis);
  assert.ok(Math.abs(same.training! - 1000 * (0.003 + 1024 * 9.57e-6)) < 1e-9 * 1000 * 13, `${same.training}`);
  // twice the parameters: a step's own cost doubles, a row's grows with its arithmetic
  const flops = (latents: number): number => planRun({ ...SIZES, latents, device: "cpu", step: "fused", tokens: 1024 }).flops.step;
  const twice = planFor({ ...SIZES, latents: 9216, tokens: 1024 * 1000 }, basis);
  const wanted = 1000 * (2 * 0.003 + 1024 * 9.57e-6 * (flops(9216) / flops(4608)));
  assert.ok(Math.abs(twice.training! - wanted) < 0.01 * wanted, `${twice.training} for ${wanted}`);
  assert.ok(flops(9216) / flops(4608) > 1.5);
  // larger batches share a step's cost
  assert.ok(planFor({ ...SIZES, batch: 4096, tokens: 4096 * 250 }, basis).training! < same.training!);
  assert.equal(planFor({ ...SIZES, tokens: 1e6, parameters: 1.4e9 }, basis).harvest, (1e6 * 1.4e9) / (10_000 * 14e6));
  assert.equal(planFor({ ...SIZES, tokens: 1e6 }, basis).harvest, undefined); // of no model in particular
});

test("another device than the measured one has no hours; nothing measured, no hours", () => {
  const elsewhere = planFor({ ...SIZES, tokens: 1e6, device: "webgpu" }, basis);
  assert.equal(elsewhere.training, undefined);
  assert.equal(elsewhere.asked.step, "webgpu");
  assert.equal(planFor({ ...SIZES, tokens: 1e6 }, { ...basis, training: undefined }).training, undefined);
});

test("what is short is named, with changes of which each suffices; rows are cut before that", () => {
  const large = { d: 1536, latents: 65_536, k: 32, tokens: 100e6, batch: 8192 };
  const plenty = planFor(large, basis);
  assert.deepEqual([plenty.fits, plenty.short, plenty.changes, plenty.rowsAtOnce], [true, [], [], undefined]);
  const tight = planFor(large, { ...basis, free: { ...basis.free, host: plenty.memory.host - 1e8 } });
  assert.ok(tight.fits && tight.rowsAtOnce! < 8192 && tight.memory.host < plenty.memory.host);
  const short = planFor(large, { ...basis, free: { ...basis.free, host: 3e9 } });
  assert.deepEqual([short.fits, short.short], [false, ["memory"]]);
  assert.ok(short.changes.length);
  for (const { batch, latents, moments } of short.changes) {
    const changed = planFor({ ...large, ...(batch ? { batch } : {}), ...(latents ? { latents } : {}), ...(moments ? { moments } : {}) }, { ...basis, free: { ...basis.free, host: 3e9 } });
    assert.ok(!changed.short.includes("memory"), JSON.stringify({ batch, latents, moments }));
  }
  const disk = planFor(large, { ...basis, free: { ...basis.free, disk: 50e9 } });
  assert.deepEqual([disk.fits, disk.short, disk.changes], [false, ["disk"], []]);
  assert.equal(planFor({ ...large, dtype: "F16" }, basis).disk.store * 2 > 0.99 * plenty.disk.store, true);
});

test("a card's memory is its own, or the machine's", () => {
  const large = { d: 1536, latents: 65_536, k: 32, tokens: 1e6, batch: 8192 };
  const card = planFor(large, { ...basis, device: "webgpu", step: "webgpu", free: { host: 32e9, card: 4e9 } });
  assert.deepEqual(card.short, ["memory on the card"]);
  const shared = planFor(large, { ...basis, device: "webgpu", step: "webgpu", free: { host: 5e9, card: Infinity, shared: true } });
  assert.deepEqual(shared.short, ["memory"]);
});

test("hours of a guess have two digits, and days where they are many", () => {
  assert.deepEqual([30, 3600, 7200, 36_000, 1_080_000].map(roughly), ["30 s", "60 min 0 s", "2.0 hours", "10 hours", "300 hours (13 days)"]);
});

test("mistakes are typed", () => {
  assert.throws(() => planFor({ d: 0, latents: 10, tokens: 100, k: 1 }, basis), OptionError);
  assert.throws(() => planFor({ d: 8, latents: 10, tokens: 100, k: 20 }, basis), OptionError);
});
