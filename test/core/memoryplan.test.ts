import assert from "node:assert/strict";
import { test } from "node:test";
import { OptionError } from "../../src/core/errors";
import { fits, LEAST_ROWS, planRun, rowsThatFit, runMemory, whatFits, type Free, type RunShape } from "../../src/core/memoryplan";

const GB = 1e9;
/** The setting that the figures of a card are given for. */
const large: RunShape = { d: 1536, latents: 65_536, k: 32, batch: 4096, device: "cuda", step: "stock" };
const onCpu: RunShape = { ...large, device: "cpu", step: "auto" };
const bytesOf = (memory: ReturnType<typeof runMemory>, what: RegExp): number => memory.parts.filter((part) => what.test(part.what)).reduce((sum, { bytes }) => sum + bytes, 0);

test("parameters and moments are what they are made of", () => {
  const { parts } = runMemory([large]), of = (what: string) => parts.find((part) => part.what === what)!;
  const numbers = 2 * 1536 * 65_536 + 65_536 + 1536;
  assert.deepEqual(of("parameters"), { what: "parameters", on: "card", bytes: 4 * numbers });
  assert.deepEqual(of("Adam's moments"), { what: "Adam's moments", on: "card", bytes: 8 * numbers });
  const brief = runMemory([{ ...onCpu, step: "fused", moments: "bf16", auxK: 0, batch: 16384 }]);
  assert.equal(brief.card, 0);
  assert.equal(bytesOf(runMemory([{ ...onCpu, step: "fused", batch: 262_144 }]), /moments/), 8 * numbers);
  assert.equal(bytesOf(runMemory([{ ...onCpu, step: "fused", moments: "bf16", batch: 262_144 }]), /moments/), 4 * (numbers - 65_536 - 1536) + 8 * (65_536 + 1536));
});

test("parts add up to the machine's and the card's, largest first", () => {
  for (const device of ["cuda", "webgpu", "cpu", "wasm"] as const) {
    const { host, card, parts } = runMemory([{ ...large, device, step: "auto" }], { held: 7e8, rows: 100_000 });
    const sum = (on: "host" | "card"): number => parts.filter((part) => part.on === on).reduce((all, { bytes }) => all + bytes, 0);
    assert.deepEqual([host, card], [sum("host"), sum("card")], device);
    assert.equal(card > 0, device === "cuda" || device === "webgpu");
    assert.ok(parts.every(({ bytes }, i) => bytes > 0 && (i === 0 || parts[i - 1].bytes >= bytes)));
    assert.ok(parts.some(({ what, bytes }) => what === "rows that are held" && bytes === 7e8));
  }
});

test("more of anything needs no less", () => {
  const least: RunShape = { d: 256, latents: 4096, k: 16, batch: 512, device: "cpu", step: "fused" };
  for (const device of ["cpu", "cuda", "webgpu"] as const) {
    for (const more of [{ d: 512 }, { latents: 8192 }, { k: 32 }, { batch: 1024 }, { dead: 4096 }, { kind: "multitopk" as const }]) {
      const [a, b] = [least, { ...least, ...more }].map((shape) => runMemory([{ ...shape, device, step: "auto" }]));
      assert.ok(b.host >= a.host && b.card >= a.card && b.host + b.card > a.host + a.card, `${device} ${JSON.stringify(more)}`);
    }
  }
  assert.ok(runMemory([least, least]).host > runMemory([least]).host);
});

test("rows encoded at a time are halved until the run fits, and no further", () => {
  const whole = runMemory([large]).card;
  const free = (card: number): Free => ({ host: 64 * GB, card });
  assert.equal(rowsThatFit([large], free(whole)), 4096);
  assert.equal(rowsThatFit([large], free(whole - 1)), 2048);
  const few = rowsThatFit([large], free(9 * GB));
  assert.ok(few < 4096 && fits(runMemory([{ ...large, rows: few }]), free(9 * GB)) && !fits(runMemory([{ ...large, rows: 2 * few }]), free(9 * GB)), `${few}`);
  assert.equal(rowsThatFit([large], free(GB)), LEAST_ROWS);
  assert.equal(rowsThatFit([{ ...large, batch: 9 }], free(GB)), 9);
});

test("what would fit alone does, and one step more does not", () => {
  const card: Free = { host: 64 * GB, card: 7 * GB };
  const changes = whatFits([large], card);
  assert.deepEqual(changes.map((change) => Object.keys(change)[0]), ["device", "latents"]);
  const latents = changes.at(-1)!.latents!;
  const fitting = (count: number): boolean => fits(runMemory([{ ...large, latents: count, rows: LEAST_ROWS }]), card);
  assert.ok(fitting(latents) && !fitting(Math.ceil(1.07 * latents)), `${latents}`);

  const [fused, fewer] = whatFits([onCpu], { host: 5 * GB, card: 0 });
  assert.equal(fused.step, "fused");
  assert.ok(fused.bytes <= 5 * GB && fewer.latents! < 65_536);
  assert.equal(whatFits([{ ...onCpu, step: "fused" }], { host: 5 * GB, card: 0 })[0].moments, "bf16");
  assert.ok(whatFits([{ ...onCpu, kind: "jumprelu" }], { host: 5 * GB, card: 0 }).every((change) => change.step === undefined));
  assert.equal(whatFits([{ ...onCpu, kind: "groupmax" }], { host: 2 * GB, card: 0 }).at(-1)!.latents! % 32, 0);
  assert.deepEqual(whatFits([onCpu], { host: 1e6, card: 0 }), []);
});

test("of several SAEs fewer would fit", () => {
  const one: RunShape = { d: 768, latents: 24_576, k: 32, batch: 1024, device: "cpu", step: "fused", moments: "bf16" };
  const free: Free = { host: 2.5 * runMemory([one]).host, card: 0 };
  const { saes, bytes } = whatFits([one, one, one, one, one, one], free).find((change) => change.saes !== undefined)!;
  assert.ok(saes! >= 2 && saes! < 6 && bytes <= free.host);
});

test("what a card shares with the machine is counted once", () => {
  const memory = runMemory([{ ...large, device: "webgpu" }]);
  assert.ok(fits(memory, { host: memory.host + memory.card, card: 0, shared: true }));
  assert.ok(!fits(memory, { host: memory.host + memory.card - 1, card: Infinity, shared: true }));
});

test("a plan: disk, steps and arithmetic of a run", () => {
  const { run, steps, disk, flops, memory, source } = planRun({ d: 1536, latents: 65_536, tokens: 1e8, dtype: "F16", batch: 4096, device: "cuda" });
  assert.equal(run.k, 32);
  assert.equal(steps, 24_414);
  assert.equal(disk.store, 1e8 * (2 * 1536 + 20));
  const numbers = 2 * 1536 * 65_536 + 65_536 + 1536;
  assert.equal(disk.sae, 4 * numbers);
  assert.equal(disk.checkpoints, 3 * (12 * numbers + 8 * 65_536));
  assert.equal(flops.encoder, 2 * 4096 * 65_536 * 1536);
  assert.ok(flops.encoder / flops.step > 0.8 && flops.total === steps * flops.step);
  assert.equal(source.held, 2 ** 31); // a pool, not all rows
  assert.deepEqual(memory, runMemory([run], source));
  assert.equal(planRun({ d: 64, latents: 512, tokens: 10_000 }).run.batch, 32);
  assert.equal(planRun({ d: 64, latents: 512, tokens: 1000, hooks: 3 }).disk.store, 1000 * (3 * 4 * 64 + 20));
});

test("a plan that cannot be is refused, by name", () => {
  const plan = { d: 64, latents: 512, tokens: 1000 };
  for (const [change, message] of [
    [{ d: 0 }, /plan: d: expected a whole number of at least 1, found 0/], [{ latents: undefined }, /latents: .*found none/], [{ tokens: 1.5 }, /tokens: .*found 1\.5/],
    [{ k: 600 }, /k: expected 1 to 512 \(latents\), found 600/], [{ dtype: "F8" }, /dtype: expected "F32" or "F16", found "F8"/], [{ batch: NaN }, /batch: /],
  ] as const) {
    assert.throws(() => planRun({ ...plan, ...change } as typeof plan), (error: Error) => error instanceof OptionError && message.test(error.message), `${JSON.stringify(change)}`);
  }
});
