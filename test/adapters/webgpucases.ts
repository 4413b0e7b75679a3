import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { differsLater } from "../../src/adapters/cardcheck";
import { plainStep } from "../../src/adapters/plainstep";
import { freshState, type Step, type StepNow, type StepState, type UpdateOptions } from "../../src/adapters/step";
import { stockStep } from "../../src/adapters/stockstep";
import { tensorflow } from "../../src/adapters/tensorflow";
import { openWebGpu, type Gpu } from "../../src/adapters/webgpu";
import { CARD } from "../../src/adapters/webgpukernels";
import { webgpuStep, WEBGPU_KINDS, type WebGpuOptions } from "../../src/adapters/webgpustep";
import { DeviceLostError, EngineError, MemoryError, OptionError } from "../../src/core/errors";
import { random, type Random } from "../../src/core/random";
import { bytesSource, readFloats, readHeader, readInts } from "../../src/core/safetensors";
import { partsOf, type FreshOptions, type Parameters } from "../../src/core/trained";
import { STRUCTURES, torchKinds } from "./kindsteps";
import { close, names } from "./torchsteps";

/** What a card must compute, whichever it is: run by webgpuchild.ts in a process that has one, listed by webgpu.test.ts. */

export interface Case { name: string; run(): Promise<void> }
export const cases: Case[] = [];
const check = (name: string, run: () => Promise<void>): void => void cases.push({ name, run });

const normals = (n: number, rng: Random, scale = 1): Float32Array => Float32Array.from({ length: n }, () => scale * rng.normal());
/** Pre-activations of multiples of 1/16 are exact in any order of summing: no two steps can choose other latents. */
const sixteenths = (values: Float32Array): Float32Array => values.map((value) => Math.round(16 * value) / 16);
const rowsOf = (n: number, d: number, rng: Random): Float32Array => sixteenths(normals(n * d, rng));

interface Sizes { d: number; latents: number; k: number }
const SMALL: Sizes = { d: 16, latents: 128, k: 4 };
const N = 32;

function stateOf({ d, latents, k }: Sizes, seed: number, options: FreshOptions = {}): StepState {
  const rng = random(seed), { dOut = d } = options;
  const wEnc = sixteenths(normals(latents * d, rng, 1 / Math.sqrt(d)));
  for (const [to, from] of [[9, 8], [latents - 1, 8], [5, 3]]) wEnc.copyWithin(to * d, from * d, (from + 1) * d); // ties, near and far
  const parameters: Parameters = { wEnc, bEnc: sixteenths(normals(latents, rng, 0.2)), wDec: normals(latents * dOut, rng), bDec: sixteenths(normals(dOut, rng, 0.3)) };
  for (const [to, from] of [[9, 8], [latents - 1, 8], [5, 3]]) parameters.bEnc[to] = parameters.bEnc[from];
  return freshState(d, latents, k, parameters, options);
}

const LOSSES = ["fvu", "aux", "extra", "l0"] as const;
type Given = Omit<UpdateOptions, "learningRate">;

function closeLosses(got: Record<(typeof LOSSES)[number], number>, want: typeof got, what: string): void {
  for (const name of LOSSES) assert.ok(Math.abs(got[name] - want[name]) <= 1e-5 * Math.abs(want[name]), `${what}: ${name} ${got[name]}, expected ${want[name]}`);
}

/** A gradient and 20 updates beside a reference, read in strides of 8. */
async function agrees(step: Step, reference: StepNow, { n = N, dead }: { n?: number; dead?: Int32Array } = {}): Promise<void> {
  const { kind, d, dOut, transcoder } = step.sizes(), rng = random(7);
  // Values that tied before an update differ in their last place after it: where the batch's n·k-th decides there must be none.
  const make = kind === "batchtopk" || kind === "matryoshka" ? (): Float32Array => normals(n * d, rng) : (): Float32Array => rowsOf(n, d, rng);
  const batch = (): [Float32Array, Given] => [make(), { dead, ...(transcoder ? { target: normals(n * dOut, rng) } : {}) }];
  const [x, options] = batch();
  const got = await step.gradients(x, options), want = reference.gradients(x, options);
  closeLosses(got, want, "gradient");
  assert.equal(want.aux > 0, dead !== undefined);
  const order = ({ index, value, k }: typeof got.chosen): number[] => // by latent, of those above 0: their order is nobody's business
    Array.from(index, (f, i) => (value[i] > 0 ? Math.floor(i / k) * 1e6 + f : -1)).filter((one) => one >= 0).sort((a, b) => a - b);
  assert.deepEqual(order(got.chosen), order(want.chosen), "chosen latents");
  for (const name of names) close(got.gradient[name], want.gradient[name], 1e-5, `gradient of ${name}`);
  assert.equal(step.sizes().steps, reference.sizes().steps);
  for (const count of [8, 8, 4]) {
    const wanted = Array.from({ length: count }, () => {
      const [rows, rest] = batch(), all = { learningRate: 0.003, ...rest };
      step.send(rows, all);
      return reference.update(rows, all);
    });
    const { losses, silent } = await step.taken();
    assert.equal(losses.length, count);
    losses.forEach((one, i) => closeLosses(one, wanted[i], `update ${i} of ${count}`));
    const expected = new Int32Array(silent.length).fill(count);
    wanted.forEach(({ chosen: { index, value } }, u) => index.forEach((f, i) => {
      if (value[i] > 0) expected[f] = count - 1 - u;
    }));
    assert.deepEqual(silent, expected);
  }
  const a = await step.state(), b = reference.state();
  assert.equal(a.steps, b.steps);
  assert.ok(a.threshold === b.threshold || Math.abs(a.threshold! - b.threshold!) <= 1e-5 * b.threshold!, `threshold ${a.threshold} ${b.threshold}`);
  for (const set of ["parameters", "m", "v"] as const) for (const name of names) close(a[set][name], b[set][name], 2e-5, `${name} after 20 updates (${set})`);
  step.dispose();
  reference.dispose();
}

const few = Int32Array.of(3, 9, 64, 127);
const many = (latents: number): Int32Array => Int32Array.from({ length: Math.floor(latents / 2) }, (_, i) => 2 * i + 1);

for (const kind of ["none", "few", "many"]) {
  check(`20 updates agree with PyTorch's autograd and Adam: ${kind} dead`, async () => {
    const golden = bytesSource(readFileSync(join(__dirname, "../../../test/oracle/step/golden.safetensors")));
    const { tensors } = readHeader(golden, "golden.safetensors");
    const floats = (name: string): Float32Array => readFloats(golden, tensors.get(name)!);
    const of = (prefix: string): Parameters => Object.fromEntries(names.map((name) => [name, floats(`${prefix}.${name}`)])) as unknown as Parameters;
    const [steps, rows, d] = tensors.get("x")!.shape, latents = tensors.get("start.bEnc")!.shape[0];
    const x = floats("x"), losses = floats(`${kind}.losses`), dead = readInts(golden, tensors.get(`${kind}.dead`)!);
    const step = await webgpuStep(await openWebGpu(), { ...freshState(d, latents, 4, of("start")), parameters: of("start") });
    const batch = (t: number): Float32Array => x.slice(t * rows * d, (t + 1) * rows * d);
    const { gradient } = await step.gradients(batch(0), { dead });
    for (const name of names) close(gradient[name], floats(`${kind}.gradient.${name}`), 2e-6, `gradient of ${name}`);
    for (let t = 0; t < steps; t++) step.send(batch(t), { learningRate: 3e-3, dead });
    (await step.taken()).losses.forEach(({ fvu, aux }, t) => {
      for (const [name, got, want] of [["fvu", fvu, losses[2 * t]], ["aux", aux, losses[2 * t + 1]]] as const) {
        assert.ok(Math.abs(got - want) <= 1e-5 * want, `step ${t}: ${name} ${got}, expected ${want}`);
      }
    });
    const end = (await step.state()).parameters;
    for (const name of names) close(end[name], floats(`${kind}.end.${name}`), 1e-5, `${name} after ${steps} steps`);
    step.dispose();
  });
}

const here = async (initial: StepState, options?: WebGpuOptions): Promise<Step> => webgpuStep(await openWebGpu(), initial, options);
const stock = (initial: StepState): StepNow => stockStep(tensorflow(), initial);
const plain = (initial: StepState): StepNow => plainStep(tensorflow(), initial);

for (const kind of WEBGPU_KINDS) {
  check(`${kind}, SAE, transcoder and skip connection, agrees with PyTorch's autograd and Adam`, async () => {
    const { start, split, floats, steps, dead, learningRate, x, target } = torchKinds();
    for (const structure of STRUCTURES) {
      const initial = start(kind, structure), step = await here(initial), of = `${kind}.${structure}`;
      const { gradient } = await step.gradients(x(0), { dead, ...target(0, structure) });
      const wanted = split(floats(`${of}.gradient`), initial.parameters);
      assert.deepEqual(partsOf(gradient), partsOf(initial.parameters));
      for (const name of partsOf(gradient)) close(gradient[name]!, wanted[name]!, 3e-6, `${structure}: gradient of ${name}`);
      const losses = floats(`${of}.losses`);
      for (let t = 0; t < steps; t++) step.send(x(t), { dead, learningRate, ...target(t, structure) });
      (await step.taken()).losses.forEach(({ fvu, extra, aux }, t) => [fvu, extra, aux].forEach((value, i) => {
        const want = losses[3 * t + i];
        assert.ok(Math.abs(value - want) <= 2e-5 * Math.abs(want) + 1e-7, `${structure}, step ${t}: loss ${i} is ${value}, expected ${want}`);
      }));
      const { parameters } = await step.state(), end = split(floats(`${of}.end`), initial.parameters);
      for (const name of partsOf(parameters)) close(parameters[name]!, end[name]!, 5e-5, `${structure}: ${name} at the end`);
      const [rows, rest] = [x(0), target(0, structure).target], reference = stock(await step.state());
      const [got, want] = [await step.measure(rows, rest), reference.measure(rows, rest)];
      assert.ok(Math.abs(got.fvu - want.fvu) <= 1e-5 * want.fvu, `${structure}: ${got.fvu}, expected ${want.fvu}`);
      for (const part of partsOf(parameters)) assert.deepEqual(await step.part!("m", part, 1, 4), (await step.state()).m[part]!.slice(1, 4), part);
      step.dispose();
      reference.dispose();
    }
  });

  check(`${kind} agrees with the stock step, ties and dead latents among them`, async () => {
    const initial = stateOf(SMALL, 1, { kind, ...(kind === "matryoshka" ? { widths: [20, 60, 128] } : {}) });
    const step = await here(initial), reference = stock(initial);
    const x = rowsOf(21, SMALL.d, random(30));
    await agrees(step, reference, { dead: few });
    // what it is in use
    const trained = stock(initial), rng = random(31);
    for (let i = 0; i < 3; i++) trained.update(rowsOf(N, SMALL.d, rng), { learningRate: 0.003 });
    const now = trained.state(), inUse = await here(now);
    const [got, want] = [await inUse.encodeTopK(x), trained.encodeTopK(x)];
    const above = ({ index, value, k }: typeof got): number[] => Array.from(index, (f, i) => (value[i] > 1e-4 ? Math.floor(i / k) * 1000 + f : -1)).filter((one) => one >= 0).sort((a, b) => a - b);
    assert.deepEqual(above(got), above(want));
    const [m, w] = [await inUse.measure(x), trained.measure(x)];
    assert.ok(Math.abs(m.fvu - w.fvu) <= 1e-5 * w.fvu && m.l0 === w.l0, `${m.fvu} ${w.fvu} ${m.l0} ${w.l0}`);
    assert.equal(inUse.sizes().threshold, now.threshold);
    inUse.dispose();
    trained.dispose();
  });
}

// The plain step is the reference here: of the stock step, those take part too that tie with the last one.
check("batch-top-k of rows that differ: those of which all candidates are chosen are looked at again", async () => {
  const initial = stateOf(SMALL, 32, { kind: "batchtopk" });
  initial.parameters.bDec.fill(0);
  const step = await here(initial), reference = stock(initial);
  const x = rowsOf(N, SMALL.d, random(33)).map((value, i) => (i < 2 * SMALL.d ? 8 * value : value / 8));
  const got = await step.gradients(x), want = reference.gradients(x);
  assert.ok(got.chosen.k > 2 * SMALL.k, `${got.chosen.k}`);
  assert.deepEqual(got.chosen.index, want.chosen.index);
  close(got.gradient.wEnc, want.gradient.wEnc, 1e-5, "gradient of W_enc");
  step.dispose();
  reference.dispose();
});

check("half of the latents dead: the largest of each row take part", async () => {
  const initial = stateOf(SMALL, 2);
  await agrees(await here(initial, { rows: 10 }), plain(initial), { dead: many(128) });
});

check("sizes that divide nothing, encoded 7 rows at a time", async () => {
  const initial = stateOf({ d: 17, latents: 130, k: 5 }, 3);
  await agrees(await here(initial, { rows: 7 }), stock(initial), { n: 29, dead: Int32Array.of(0, 1, 50, 129) });
});

check("a transcoder of another width", async () => {
  const initial = stateOf(SMALL, 4, { transcoder: true, dOut: 11 });
  await agrees(await here(initial), stock(initial), { dead: few });
});

check("every latent is chosen", async () => {
  const initial = stateOf({ d: 16, latents: 128, k: 128 }, 5);
  await agrees(await here(initial), stock(initial));
});

check("one latent is chosen, always the same: one list has all rows", async () => {
  const initial = stateOf({ ...SMALL, k: 1 }, 6);
  initial.parameters.bEnc[20] = 40;
  await agrees(await here(initial), stock(initial), { n: 300 }); // more than the lists that are ranked by counting, more rows than a block
});

check("the workgroups of a card compute the same", async () => {
  const initial = stateOf(SMALL, 1);
  const step = await here(initial, { shape: CARD }), reference = plain(initial);
  const x = rowsOf(9, SMALL.d, random(7)), dead = many(128);
  const got = await step.gradients(x, { dead }), want = reference.gradients(x, { dead });
  closeLosses(got, want, "gradient");
  for (const name of names) close(got.gradient[name], want.gradient[name], 1e-5, `gradient of ${name}`);
  step.send(x, { learningRate: 0.003, dead });
  reference.update(x, { learningRate: 0.003, dead });
  await step.taken();
  const a = await step.state(), b = reference.state();
  for (const name of names) close(a.parameters[name], b.parameters[name], 1e-5, name);
  step.dispose();
  reference.dispose();
});

/** A card with less of something: tiny shapes take the ways of large ones. */
const limited = (gpu: Gpu, limits: Partial<Gpu["limits"]>): Gpu => ({ ...gpu, limits: { ...gpu.limits, ...limits } });

check("matrices in tiles, workgroups in two dimensions: the same within rounding", async () => {
  const gpu = limited(await openWebGpu(), { maxStorageBufferBindingSize: 3072, maxComputeWorkgroupsPerDimension: 7 });
  const initial = stateOf(SMALL, 8); // 48 latents a tile, 6 rows of pre-activations
  await agrees(await webgpuStep(gpu, initial), plain(initial), { dead: many(128) });
});

check("two runs give the same bits, however many rows are encoded at a time", async () => {
  const initial = stateOf(SMALL, 9), all: StepState[] = [];
  for (const rows of [Infinity, Infinity, 5]) {
    const step = await here(initial, { rows }), rng = random(10);
    for (let i = 0; i < 6; i++) step.send(normals(64 * SMALL.d, rng), { learningRate: 0.01, dead: rows === 5 ? undefined : few });
    await step.taken();
    all.push(await step.state());
    step.dispose();
  }
  assert.deepEqual(all[0], all[1]);
  const again = await here(initial), rng = random(10);
  for (let i = 0; i < 6; i++) again.send(normals(64 * SMALL.d, rng), { learningRate: 0.01 });
  await again.taken();
  assert.deepEqual(await again.state(), all[2]);
  again.dispose();
});

check("a state carries over, and is read in parts", async () => {
  const initial = stateOf({ d: 13, latents: 33, k: 3 }, 11), rng = random(12);
  const batches = Array.from({ length: 4 }, () => normals(N * 13, rng));
  const gpu = limited(await openWebGpu(), { maxStorageBufferBindingSize: 2048 });
  const first = await webgpuStep(gpu, initial);
  for (const x of batches.slice(0, 2)) first.send(x, { learningRate: 0.01 });
  const second = await webgpuStep(gpu, await first.state());
  assert.equal(second.sizes().steps, 2);
  for (const x of batches.slice(2)) for (const step of [first, second]) step.send(x, { learningRate: 0.01 });
  await Promise.all([first.taken(), second.taken()]);
  const state = await first.state();
  assert.deepEqual(await second.state(), state);
  for (const set of ["parameters", "m", "v"] as const) {
    for (const name of names) {
      for (const [from, to] of [[0, 5], [3, 6], [0, state[set][name].length]]) assert.deepEqual(await first.part!(set, name, from, to), state[set][name].slice(from, to), `${name} ${from} ${to}`);
    }
  }
  assert.deepEqual(await first.live(), state);
  first.settle();
  assert.deepEqual(await first.part!("parameters", "wEnc", 0, 10), state.parameters.wEnc.slice(0, 10));
  first.dispose();
  second.dispose();
});

check("encodeTopK, decode and measure are the stock step's", async () => {
  const initial = stateOf(SMALL, 13), rng = random(14);
  const tiled = await webgpuStep(limited(await openWebGpu(), { maxStorageBufferBindingSize: 3072 }), initial), reference = stock(initial);
  const x = rowsOf(25, SMALL.d, rng);
  x.fill(0, 0, SMALL.d); // a row of zeros
  const only = Int32Array.from([2, 3, 5, 8, 9, 13, 60, 100, 127]);
  for (const options of [{}, { k: 7 }, { k: 3, only }, { k: 9, only }]) {
    const got = await tiled.encodeTopK(x, options), want = reference.encodeTopK(x, options);
    assert.deepEqual([got.n, got.k], [want.n, want.k]);
    assert.deepEqual(got.index, want.index, JSON.stringify(options));
    close(got.value, want.value, 1e-6, "values");
    close(await tiled.decode(got), reference.decode(want), 1e-6, "rows");
  }
  const [m, w] = [await tiled.measure(x), reference.measure(x)];
  assert.ok(Math.abs(m.fvu - w.fvu) <= 1e-5 * w.fvu);
  assert.deepEqual([m.l0, m.dead, m.dense, m.rows], [w.l0, w.dead, w.dense, w.rows]);
  assert.throws(() => tiled.encodeTopK(x, { k: 129 }), /k: expected 1 to 128 latents/);
  await assert.rejects(async () => tiled.encodeTopK(x.map((value, i) => (i === 40 ? NaN : value))), OptionError);
  assert.throws(() => tiled.encodeTopK(new Float32Array(7)), RangeError);
  tiled.dispose();
  reference.dispose();
});

check("rows of which all latents tie: the first ones, and no gradient", async () => {
  const initial = stateOf(SMALL, 15);
  initial.parameters.bEnc.fill(0);
  initial.parameters.bDec.fill(0);
  const step = await here(initial), x = rowsOf(N, SMALL.d, random(16));
  x.fill(0, 2 * SMALL.d, 3 * SMALL.d);
  const { index, value } = await step.encodeTopK(x);
  assert.deepEqual(Array.from(index.subarray(8, 12)), [0, 1, 2, 3]);
  assert.deepEqual(Array.from(value.subarray(8, 12)), [0, 0, 0, 0]);
  const reference = stock(initial);
  close((await step.gradients(x)).gradient.wEnc, reference.gradients(x).gradient.wEnc, 1e-5, "gradient of W_enc");
  step.dispose();
  reference.dispose();
});

check("NaN in a batch shows in its loss", async () => {
  const step = await here(stateOf(SMALL, 17)), x = normals(N * SMALL.d, random(18));
  x[5] = NaN;
  step.send(x, { learningRate: 0.01 });
  assert.ok(Number.isNaN((await step.taken()).losses[0].fvu));
  step.dispose();
});

check("no buffer is left behind", async () => {
  const gpu = await openWebGpu(), { device } = gpu;
  const { createBuffer } = device, alive = new Set<GPUBuffer>();
  device.createBuffer = function (this: GPUDevice, descriptor) {
    const buffer = createBuffer.call(device, descriptor), { destroy } = buffer;
    alive.add(buffer);
    buffer.destroy = () => {
      alive.delete(buffer);
      return destroy.call(buffer);
    };
    return buffer;
  };
  try {
    const step = await webgpuStep(gpu, stateOf(SMALL, 19)), rng = random(20);
    const update = async (dead?: Int32Array): Promise<void> => {
      step.send(normals(N * SMALL.d, rng), { learningRate: 0.01, dead });
      await step.taken();
    };
    await update(many(128));
    const held = alive.size;
    for (const dead of [undefined, few, many(128)]) await update(dead);
    await step.encodeTopK(normals(9 * SMALL.d, rng), { k: 2, only: few });
    await step.gradients(normals(N * SMALL.d, rng), { dead: few });
    await step.measure(normals(9 * SMALL.d, rng));
    await step.state();
    assert.equal(alive.size, held);
    step.dispose();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(alive.size, 0);
  } finally {
    device.createBuffer = createBuffer;
  }
});

check("too large a batch is refused with the state as it was; a smaller one goes on", async () => {
  const gpu = limited(await openWebGpu(), { maxStorageBufferBindingSize: 8192 });
  const initial = stateOf(SMALL, 21), step = await webgpuStep(gpu, initial), rng = random(22);
  step.send(normals(200 * SMALL.d, rng), { learningRate: 0.01 });
  step.send(normals(N * SMALL.d, rng), { learningRate: 0.01 }); // behind the one that fails: not done
  await assert.rejects(step.taken(), (error: Error) => error instanceof MemoryError && error.intact && /expected at most 1 MB in one piece/.test(error.message));
  const { steps, parameters } = await step.state();
  assert.deepEqual([steps, parameters], [0, initial.parameters]);
  step.send(normals(N * SMALL.d, rng), { learningRate: 0.01 });
  assert.equal((await step.taken()).losses.length, 1);
  assert.equal(step.sizes().steps, 1);
  step.dispose();
});

check("a card that has no memory left: which buffer, how much, and nothing kept", async () => {
  const gpu = await openWebGpu(), { device } = gpu;
  const { createBuffer, popErrorScope } = device, own = { createBuffer: createBuffer.bind(device), popErrorScope: popErrorScope.bind(device) };
  let most = Infinity, short = false, made = 0;
  const { GPUOutOfMemoryError } = globalThis as unknown as { GPUOutOfMemoryError: new (message: string) => GPUError };
  device.createBuffer = (descriptor) => {
    short ||= descriptor.size > most && (descriptor.usage & GPUBufferUsage.STORAGE) > 0;
    const buffer = own.createBuffer(descriptor), { destroy } = buffer;
    made++;
    buffer.destroy = () => (made--, destroy.call(buffer));
    return buffer;
  };
  device.popErrorScope = () => {
    const now = short;
    short = false;
    return own.popErrorScope().then((error) => (now ? new GPUOutOfMemoryError("no room") : error));
  };
  try {
    const initial = stateOf(SMALL, 23);
    most = 4096;
    await assert.rejects(webgpuStep(gpu, initial), (error: Error) => error instanceof MemoryError && error.bytes === 8192 && /wEnc, parameters: expected 1 MB of the card's memory/.test(error.message));
    assert.equal(made, 0);
    most = 8192;
    const step = await webgpuStep(gpu, initial), rng = random(24);
    step.send(normals(N * SMALL.d, rng), { learningRate: 0.01 }); // 16 KB of pre-activations
    await assert.rejects(step.taken(), (error: Error) => error instanceof MemoryError && error.intact);
    step.rows = 16;
    step.send(normals(N * SMALL.d, rng), { learningRate: 0.01 });
    assert.equal((await step.taken()).losses.length, 1);
    step.dispose();
  } finally {
    Object.assign(device, { createBuffer, popErrorScope });
  }
});

check("no memory to read what updates gave: they are not lost, and are taken when there is", async () => {
  const gpu = await openWebGpu(), { device } = gpu, { createBuffer } = device;
  const initial = stateOf(SMALL, 23), rng = random(24), batches = Array.from({ length: 3 }, () => normals(N * SMALL.d, rng));
  const [want, step] = [await webgpuStep(gpu, initial), await webgpuStep(gpu, initial)];
  for (const one of [want, step]) for (const x of batches.slice(0, 2)) one.send(x, { learningRate: 0.01 });
  const first = await want.taken();
  let failures = 2; // the losses, then the silence
  for (let at = 0; failures > 0; failures--, at = 0) {
    const fails = 3 - failures;
    device.createBuffer = (descriptor) => {
      if (descriptor.label === "reading" && ++at === fails) throw new RangeError("createBuffer: no room to map");
      return createBuffer.call(device, descriptor);
    };
    await assert.rejects(step.taken(), (error: Error) => error instanceof MemoryError && error.intact).finally(() => (device.createBuffer = createBuffer));
    assert.equal(step.sizes().steps, 2);
  }
  assert.deepEqual(await step.taken(), first);
  for (const one of [want, step]) one.send(batches[2], { learningRate: 0.01 });
  assert.deepEqual(await step.taken(), await want.taken());
  assert.deepEqual(await step.state(), await want.state());
  for (const one of [want, step]) one.dispose();
});

check("a fault that nobody asked about fails the step", async () => {
  const gpu = await openWebGpu(), step = await webgpuStep(gpu, stateOf(SMALL, 25)), x = normals(N * SMALL.d, random(26));
  step.send(x, { learningRate: 0.01 });
  gpu.device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
  await assert.rejects(step.taken(), (error: Error) => error instanceof EngineError && !(error instanceof MemoryError) && /expected the card to accept a command/.test(error.message));
  assert.throws(() => step.send(x, { learningRate: 0.01 }), EngineError);
  step.dispose();
  const next = await webgpuStep(gpu, stateOf(SMALL, 25)); // the device itself is whole
  next.send(x, { learningRate: 0.01 });
  await next.taken();
  next.dispose();
});

check("what is not there is refused in words", async () => {
  const gpu = await openWebGpu();
  await assert.rejects(webgpuStep(gpu, stateOf(SMALL, 27, { kind: "jumprelu" })), (error: Error) => error instanceof OptionError && /kind: expected one that WebGPU has \(topk, .*found jumprelu.*"cpu"/.test(error.message));
  const initial = stateOf(SMALL, 27, { transcoder: true });
  await assert.rejects(webgpuStep(gpu, stateOf({ d: 4, latents: 2000, k: 1500 }, 27)), /k: expected at most 1024 on WebGPU, found 1500/);
  const step = await webgpuStep(gpu, initial);
  assert.throws(() => step.send(new Float32Array(64), { learningRate: 0.01 }), /target: expected the rows that the transcoder predicts/);
  assert.throws(() => step.update(new Float32Array(64), { learningRate: 0.01 }), /update: expected send and taken/);
  assert.deepEqual((await step.taken()).losses, []);
  step.dispose();
});

check("a lost device is said by all that wait for it and all that come after; the next one is new", async () => {
  const gpu = await openWebGpu(), step = await webgpuStep(gpu, stateOf(SMALL, 28)), x = normals(N * SMALL.d, random(29));
  step.send(x, { learningRate: 0.01 });
  await step.taken();
  step.send(x, { learningRate: 0.01 });
  const waits = step.state();
  gpu.device.destroy();
  const lost = (error: Error): boolean => error instanceof DeviceLostError && /resume: true/.test(error.message);
  await assert.rejects(step.taken(), lost);
  await assert.rejects(async () => waits, lost);
  await assert.rejects(async () => step.measure(x), lost);
  assert.throws(() => step.send(x, { learningRate: 0.01 }), lost);
  step.dispose();
  await assert.rejects(webgpuStep(gpu, stateOf(SMALL, 28)), lost);
  const [next, same] = await Promise.all([openWebGpu(), openWebGpu()]);
  assert.notEqual(next, gpu);
  assert.equal(same, next);
  const buffer = next.device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
  await next.device.queue.onSubmittedWorkDone();
  assert.deepEqual([next.lost(), next.fault()], [undefined, undefined]);
  buffer.destroy();
});

check("the check of a card before it trains finds nothing here", async () => {
  const gpu = await openWebGpu();
  assert.equal(await differsLater("topk", (initial) => webgpuStep(gpu, initial)), undefined);
});
