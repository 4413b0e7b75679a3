import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkDevice, type Checked } from "../../src/adapters/devicecheck";
import type { Engine } from "../../src/adapters/engine";
import { harvest } from "../../src/adapters/harvest";
import { checkpointFiles } from "../../src/adapters/modelfiles";
import { deviceNamed, onDevice, tellDevice } from "../../src/adapters/ondevice";
import { openModel } from "../../src/adapters/open";
import { prepare, runtime } from "../../src/adapters/runtime";
import { builtSource } from "../../src/adapters/source";
import type { Built, Wanted } from "../../src/core/build";
import type { Found } from "../../src/core/device";
import { DeviceLostError, EngineError, MemoryError, ModelError, OptionError } from "../../src/core/errors";
import type { Model, ModelDevice } from "../../src/core/types";
import { onCard } from "./devicechild";
import { fakeDocuments, fakeModel } from "./fake-model";
import { ORACLE, scratch } from "./tiny";

const LLAMA = join(ORACLE, "models", "llama");
const SOURCE = builtSource(LLAMA, checkpointFiles(LLAMA));

test("on WebGPU: every hook, texts and steering are PyTorch's; edits, SAEs and a harvest the CPU's; a file whose soft cap is ignored is refused", async () => {
  const tasks = ["parity:llama", "parity:gemma2", "cpu:phi", "refused"]; // float32; bfloat16 and a soft cap; float16
  const lines = await onCard(tasks);
  assert.deepEqual(lines.map((line) => line.split(" ").slice(0, 2).join(" ")), tasks.map((task) => `${task} ok`));
  assert.ok(Number(lines[3].split(" ")[2]) > 0.1, `an ignored soft cap is no rounding: ${lines[3]}`);
});

const CARD = { there: true, name: "Card One" } as const;
const machine = (more: Partial<Found>): Promise<Found> => Promise.resolve({
  cuda: { there: false, why: "no NVIDIA driver" }, webgpu: CARD, cpu: { there: true, name: "A processor × 2" }, wasm: { there: false, why: "none" }, ...more,
});
const SETTINGS = { threads: 1, holding: "auto" } as const;
const checked = (more: Partial<Checked> = {}): Checked =>
  ({ device: 100, cpu: {}, difference: 2e-6, at: "layers.1.mlp", allowed: 1e-4, places: 92, tokens: 197, blocks: [0, 1, 2], milliseconds: 900, noPatterns: false, ...more });

/** Warnings of a piece of work. */
async function warned<T>(work: () => Promise<T>): Promise<{ made: T; warnings: string[] }> {
  const warnings: string[] = [];
  const { emitWarning } = process;
  process.emitWarning = ((text: string) => void warnings.push(text)) as typeof emitWarning;
  try {
    return { made: await work(), warnings };
  } finally {
    process.emitWarning = emitWarning;
  }
}

test("auto takes a card that computes as the CPU does, and says what was compared and what is left to the CPU", async () => {
  const { made, warnings } = await warned(() => onDevice("a model", SOURCE, SETTINGS, "auto", () => machine({}), () => Promise.resolve(checked({ cpu: { Gather: 1, Cast: 2 } }))));
  assert.deepEqual(warnings, []);
  assert.deepEqual(made.provider, { device: "webgpu", name: "Card One" });
  assert.equal(made.source, SOURCE);
  assert.deepEqual(made.device, {
    device: "webgpu", name: "Card One", instead: [{ device: "cuda", why: "no NVIDIA driver" }],
    checked: "197 tokens at 92 places, of blocks 0, 1, 2 and of the head, agree with the CPU's to 2.0e-6 of a row's largest number (farthest at layers.1.mlp; compared in 0.9 s). " +
      "Of 103 operators 3 are left to the CPU (Gather, 2 Cast).",
  });
});

test("auto on a card with other numbers, or that cannot run the model: the CPU, with a warning and the reason; asked for, an error", async () => {
  const wrong = () => Promise.resolve(checked({ difference: 0.43, at: "layers.0.attn.z" }));
  const broken = () => Promise.reject(new EngineError("a model: ONNX Runtime: Program Gather requires f16"));
  const large = () => Promise.reject(new ModelError("a model: expected memory on Card One (webgpu) for 28.0 GB of weights, found 8.0 GB."));
  for (const [check, why] of [[large, /: expected memory on Card One \(webgpu\) for 28\.0 GB of weights, found 8\.0 GB\.?$/], [wrong, /layers\.0\.attn\.z differs from the CPU's by 0\.43 of a row's largest number/], [broken, /Program Gather requires f16/]] as const) {
    const { made, warnings } = await warned(() => onDevice("a model", SOURCE, SETTINGS, "auto", () => machine({}), check));
    assert.equal(made.provider.device, "cpu");
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /^a model: not computed on Card One \(webgpu\): /);
    assert.match(warnings[0], why);
    assert.match(made.device.instead[1].why, why);
  }
  await assert.rejects(onDevice("a model", SOURCE, SETTINGS, "webgpu", () => machine({}), wrong), (error: Error) =>
    error instanceof ModelError && /^a model: device: "webgpu": expected the CPU's numbers from Card One, found others: layers\.0\.attn\.z.*\{ device: "cpu" \}/.test(error.message));
  await assert.rejects(onDevice("a model", SOURCE, SETTINGS, "webgpu", () => machine({}), broken), EngineError);
  await assert.rejects(onDevice("a model", SOURCE, SETTINGS, "auto", () => machine({}), () => Promise.reject(new TypeError("a fault of ours"))), TypeError);
});

test("of two devices the better one is compared first; a wrong one leaves the other; numbers that are not finite are wrong", async () => {
  const asked: string[] = [];
  const { made, warnings } = await warned(() => onDevice("a model", SOURCE, SETTINGS, "auto", () => machine({ cuda: { there: true, name: "Card Two" } }), (_, __, { provider }) => {
    asked.push(provider.device);
    return Promise.resolve(checked(provider.device === "cuda" ? { difference: Infinity } : {}));
  }));
  assert.deepEqual([asked, made.provider.device, warnings.length], [["cuda", "webgpu"], "webgpu", 1]);
  assert.match(made.device.instead[0].why, /^Card Two: .*differs from the CPU's by Infinity/);
});

test("software is not auto's, the CPU is compared with nothing, and no device is asked for it", async () => {
  const never = (): never => assert.fail("nothing is asked");
  const software = await onDevice("a model", SOURCE, SETTINGS, "auto", () => machine({ webgpu: { there: true, name: "SwiftShader", software: true } }), never);
  assert.equal(software.provider.device, "cpu");
  assert.match(software.device.instead[1].why, /^SwiftShader/);
  assert.equal((await onDevice("a model", SOURCE, SETTINGS, "cpu", never, never)).provider.device, "cpu");
  await assert.rejects(onDevice("a model", SOURCE, SETTINGS, "cuda", () => machine({}), never), (error: Error) => error instanceof OptionError && /no NVIDIA driver/.test(error.message));
});

test("patterns that a card's operator does not give are missing from the hooks, with the reason", async () => {
  const made = await onDevice("a model", SOURCE, SETTINGS, "webgpu", () => machine({}), () => Promise.resolve(checked({ noPatterns: true })));
  const patterns = made.source.rows.filter(({ kind }) => kind === "pattern");
  assert.ok(patterns.length === 3 && patterns.every(({ missing }) => /device: "cpu"/.test(missing ?? "")));
  assert.deepEqual(made.source.rows.filter(({ missing }) => missing), patterns);
});

test("SAELAB_DEVICE=cpu: the CPU, where nothing is said", async () => {
  const before = process.env.SAELAB_DEVICE;
  process.env.SAELAB_DEVICE = "cpu";
  try {
    const model = await openModel(LLAMA);
    assert.deepEqual(model.device, { device: "cpu", name: "CPU", instead: [] });
    assert.doesNotMatch(model.describe(), /Nothing better/);
    await model.close();
  } finally {
    if (before === undefined) delete process.env.SAELAB_DEVICE;
    else process.env.SAELAB_DEVICE = before;
  }
});

test("an unknown device is an error before anything is opened; words of a command line, and the line that tells a card", async () => {
  await assert.rejects(openModel(LLAMA, { device: "gpu" as "auto" }), (error: Error) => error instanceof OptionError && /^device: expected auto, cuda, webgpu, cpu, found gpu\.$/.test(error.message));
  assert.equal(deviceNamed("webgpu"), "webgpu");
  assert.equal(deviceNamed(undefined), undefined);
  assert.throws(() => deviceNamed("gpu"), OptionError);
  const lines: string[] = [];
  tellDevice({ device: { device: "cpu", name: "CPU", instead: [] } } as unknown as Model, (line) => lines.push(line));
  tellDevice({ device: { device: "cuda", name: "Card Two", instead: [], checked: "All agrees." } } as unknown as Model, (line) => lines.push(line));
  // a card that could be used: never the CPU in silence
  const instead = [{ device: "cuda", why: "driver 470.1 is too old", cure: "install a new one" }, { device: "webgpu", why: "there is no graphics card" }];
  const told: string[] = [];
  tellDevice({ device: { device: "cpu", name: "CPU", instead } } as unknown as Model, (line) => told.push(line));
  assert.deepEqual(told, ['Computed on "cpu" and not on "cuda": driver 470.1 is too old. To cure it: install a new one']);
  assert.deepEqual(lines, ["Computed on Card Two (cuda). All agrees."]);
});

/** A card that is the CPU, and computes attention's scores a little too large where it is asked to. */
async function comparedWith(wrong: (wanted: Wanted) => boolean): Promise<Checked> {
  const build = (wanted: Wanted): Built => {
    const built = SOURCE.build(wanted);
    if (!wrong(wanted)) return built;
    const initializers = built.model.initializers.map((one) => (one.name === "scale" ? { ...one, raw: new Uint8Array(new Float32Array(one.raw!.slice().buffer).map((x) => 1.01 * x).buffer) } : one));
    assert.notDeepEqual(initializers, built.model.initializers);
    return { ...built, model: { ...built.model, initializers } };
  };
  return checkDevice("a model", { ...SOURCE, build }, { threads: 1, holding: "auto", provider: { device: "cpu", name: "stands for a card" } });
}

test("the comparison: the same answers agree to rounding at every place of every sort; scores a hundredth too large are found, with a cache alone too", async () => {
  const same = await comparedWith(() => false);
  assert.ok(same.difference > 0 && same.difference < 2e-5, `${same.difference} at ${same.at}`);
  assert.deepEqual([same.blocks, same.tokens, same.allowed, same.noPatterns], [[0, 1, 2], 197, 2e-4, false]);
  const kinds = new Set(SOURCE.rows.map(({ kind }) => kind)).size;
  assert.ok(same.places > 3 * (kinds - 4), `${same.places} places`);
  const all = await comparedWith(({ decomposed }) => decomposed === true);
  assert.ok(all.difference > 5 * all.allowed && /^layers\.\d\./.test(all.at), `${all.difference} at ${all.at}`);
  const cached = await comparedWith(({ decomposed, cache }) => decomposed === true && cache === true);
  assert.ok(cached.difference > cached.allowed && cached.at === "layers.0, token by token", `${cached.difference} at ${cached.at}`);
  const alone = await comparedWith(({ decomposed, cache }) => decomposed === true && cache !== true);
  assert.ok(alone.difference > alone.allowed);
});

/** A thread whose sessions give what is foretold, or fail. */
function thread(fail: () => string | undefined) {
  const asked: string[] = [];
  const start = (what: string): Engine => ({
    ask(request) {
      asked.push(request.do === "load" || request.do === "release" ? `${request.do} ${request.session}` : request.do);
      const said = request.do === "run" || request.do === "load" ? fail() : undefined;
      if (said !== undefined) return Promise.reject(new EngineError(`${what}: ONNX Runtime: ${said}`));
      return Promise.resolve({ id: 0, outputs: { "layers.0": { data: Float32Array.of(1), dims: [1, 1] } } });
    },
    stop: () => Promise.resolve(),
  });
  return { asked, start };
}

test("a card that is lost, or full, in the middle has an error of its own; sessions are made anew after a loss", async () => {
  const built = SOURCE.build({ hooks: [SOURCE.rows.find(({ name }) => name === "layers.0")!], decomposed: true });
  const parts = prepare("a", built.model);
  let fault: string | undefined;
  const { asked, start } = thread(() => fault);
  const card = runtime("a model", { threads: 1, holding: "auto", provider: { device: "webgpu", name: "Card One" } }, start);
  const run = () => card.run(parts, { feeds: () => ({}), outputs: ["layers.0"], cache: { pairs: [] } });
  await run();
  await run();
  assert.deepEqual(asked, ["load a#0", "run", "run"]);
  fault = "WebGPU device lost (2): Device was destroyed.";
  await assert.rejects(run(), (error: Error) => error instanceof DeviceLostError && error instanceof EngineError &&
    /^a model: expected Card One \(webgpu\) to stay, found it lost: WebGPU device lost.*goes on behind its last whole shard/.test(error.message));
  fault = undefined;
  asked.length = 0;
  await run();
  assert.deepEqual(asked, ["load a#0", "run"]);
  fault = "Failed to allocate memory for requested buffer of size 12";
  await assert.rejects(run(), (error: Error) => error instanceof MemoryError && error.intact && /Card One \(webgpu\).*found it full.*smaller batches/.test(error.message));
  fault = "Non-zero status code returned while running Gemm node";
  await assert.rejects(run(), (error: Error) => error.constructor === EngineError);
  await card.close();
  const cpu = thread(() => "CUDA failure 719");
  await assert.rejects(runtime("a model", { threads: 1, holding: "auto" }, cpu.start).run(parts, { feeds: () => ({}), outputs: ["layers.0"], cache: { pairs: [] } }), (error: Error) => error.constructor === EngineError);
});

test("what a card cannot hold is told before it is loaded; of several graphs those stay that fit", async () => {
  const graph = (name: string) => prepare(name, SOURCE.build({ hooks: [SOURCE.rows.find((row) => row.name === name)!], decomposed: true }).model);
  const bytes = (part: ReturnType<typeof graph>[number]): number => part.model.initializers.reduce((sum, { external }) => sum + (external?.length ?? 0), 0);
  const [one, two] = [graph("layers.1"), graph("layers.1.mlp")];
  const { asked, start } = thread(() => undefined);
  const run = (card: ReturnType<typeof runtime>, parts: ReturnType<typeof graph>) => card.run(parts, { feeds: () => ({}), outputs: [], cache: { pairs: [] } });
  const small = runtime("a model", { threads: 1, holding: "auto", provider: { device: "cuda", name: "Card Two", memory: 1000 } }, start);
  await assert.rejects(run(small, one), (error: Error) => error instanceof ModelError && /expected memory on Card Two \(cuda\) for .*, as they are stored, found .* available.*\{ device: "cpu" \}/.test(error.message));
  const room = runtime("a model", { threads: 1, holding: "auto", provider: { device: "cuda", name: "Card Two", memory: 1.5 * bytes(one[0]) } }, start);
  await run(room, one);
  await run(room, two);
  await run(room, one);
  assert.deepEqual(asked.filter((request) => request !== "run"), ["load layers.1#0", "release layers.1#0", "load layers.1.mlp#0", "release layers.1.mlp#0", "load layers.1#0"]);
});

test("a harvest whose card is lost keeps its whole shards, and goes on on the CPU; the manifest says which shard is whose", async () => {
  await scratch(async (folder) => {
    const documents = fakeDocuments(40);
    const options = { hooks: ["layers.1"], folder: join(folder, "store"), context: 32, shardRows: 128, batchTokens: 64, dropNorm: false as const };
    const card: ModelDevice = { device: "webgpu", name: "Card One", instead: [] };
    let passes = 0;
    const losing = { ...fakeModel({ onRun: () => { if (++passes > 12) throw new DeviceLostError("lost"); } }), device: card };
    await assert.rejects(harvest(losing, documents, options), DeviceLostError);
    const kept = (JSON.parse(readFileSync(join(options.folder, "unfinished.json"), "utf8")) as { shards: ({ device?: string } | null)[] }).shards;
    const whole = kept.filter(Boolean).length;
    assert.ok(whole > 0 && whole < kept.length, `${whole} of ${kept.length}`);
    assert.ok(kept.every((shard) => !shard || shard.device === "Card One (webgpu)"));
    const store = await harvest(fakeModel(), documents, options);
    assert.deepEqual(store.manifest.shards.map(({ device }) => device), kept.map((shard) => shard?.device), "the rest is the CPU's, and bears no name");
    const plain = await harvest(fakeModel(), documents, { ...options, folder: join(folder, "plain") });
    assert.deepEqual(store.read("layers.1", 0, store.rows), plain.read("layers.1", 0, plain.rows));
    store.close();
    plain.close();
  });
});
