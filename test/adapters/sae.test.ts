import assert from "node:assert/strict";
import { cpSync, mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fusedOps } from "../../src/adapters/fusedstep";
import { evaluate, loadSae, saeOf } from "../../src/adapters/sae";
import { tensorflow } from "../../src/adapters/tensorflow";
import { CheckpointError, DiskError, OptionError, StoreError } from "../../src/core/errors";
import { fvu } from "../../src/core/measure";
import { random } from "../../src/core/random";
import { decode, encode } from "../../src/core/sae";
import { bytesSource, readFloats, readHeader, readInts } from "../../src/core/safetensors";
import type { SaeWeights } from "../../src/core/types";
import { memoryStore } from "../planted";

const ORACLE = join(__dirname, "../../../test/oracle/saes");
const scratch = mkdtempSync(join(tmpdir(), "saelab-sae-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

function close(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  assert.equal(actual.length, expected.length);
  const largest = expected.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  const worst = actual.reduce((max, v, i) => Math.max(max, Math.abs(v - expected[i])), 0);
  assert.ok(worst <= tolerance * largest, `differs by ${worst}, largest ${largest}`);
}

for (const name of ["sae", "sae_bf16", "sae_legacy_cfg"]) {
  test(`${name}: the loaded SAE agrees with sparsify`, async () => {
    const legacy = name === "sae_legacy_cfg"; // an early release's words for the first one; its own file is among the fixtures
    const folder = legacy ? join(scratch, name) : join(ORACLE, name);
    if (legacy) {
      cpSync(join(ORACLE, "sae"), folder, { recursive: true });
      cpSync(join(ORACLE, name, "cfg.json"), join(folder, "cfg.json"));
    }
    const sae = await loadSae(folder);
    const bytes = bytesSource(readFileSync(join(folder, "golden.safetensors")));
    const { tensors } = readHeader(bytes, "golden.safetensors");
    const floats = (key: string) => readFloats(bytes, tensors.get(key)!);
    const x = floats("x");
    const got = sae.encode(x);
    assert.deepEqual(got.index, readInts(bytes, tensors.get("acts_indices")!));
    close(got.value, floats("acts_values"), 1e-5);
    close(sae.decode(got), floats("recon"), 1e-5);
    assert.ok(Math.abs(fvu(x, sae.decode(got), 48) - floats("fvu")[0]) < 1e-5);
  });
}

function weights(d: number, latents: number, k: number, seed: number): SaeWeights {
  const rng = random(seed);
  const normals = (n: number, scale: number) => Float32Array.from({ length: n }, () => scale * rng.normal());
  return { d, latents, k, wEnc: normals(latents * d, 1 / Math.sqrt(d)), bEnc: normals(latents, 0.1), wDec: normals(latents * d, 1 / Math.sqrt(d)), bDec: normals(d, 1) };
}

test("encode and decode over many chunks agree with the plain loops", () => {
  const w = weights(6, 5000, 5, 1); // 5000 latents: chunks of some thousand rows
  const rng = random(2);
  const x = Float32Array.from({ length: 700 * 6 }, () => 2 * rng.normal());
  const sae = saeOf(w);
  const got = sae.encode(x), want = encode(w, x);
  assert.deepEqual(got.index, want.index);
  close(got.value, want.value, 1e-5);
  close(sae.decode(got), decode(w, want), 1e-5);
  assert.deepEqual(sae.encode(new Float32Array(0)), { n: 0, k: 5, index: new Int32Array(0), value: new Float32Array(0) });
  const long = new Float32Array(9000 * 6); // more rows than one chunk of either
  for (let i = 0; i < long.length; i += x.length) long.set(x.subarray(0, Math.min(x.length, long.length - i)), i);
  const many = sae.encode(long);
  assert.deepEqual(many.index.subarray(8400 * 5, 9000 * 5), want.index.subarray(0, 600 * 5));
  assert.deepEqual(sae.decode(many).subarray(8400 * 6), sae.decode(got).subarray(0, 600 * 6));
});

test("a row is encoded to the same bits whatever rows are beside it, and whichever SAE was used before", () => {
  const d = 24, latents = 1031, n = 150, rng = random(3);
  const normals = (count: number) => Float32Array.from({ length: count }, () => rng.normal());
  const made = () => saeOf({ d, latents, k: 7, wEnc: normals(latents * d), bEnc: normals(latents), wDec: normals(latents * d), bDec: normals(d) });
  const one = made(), two = made();
  const x = normals(n * d);
  const all = one.encode(x);
  for (const [from, to] of [[0, 1], [149, 150], [3, 70]]) {
    const other = two.encode(x.slice(from * d, to * d));
    const part = one.encode(x.slice(from * d, to * d));
    assert.deepEqual(part.index, all.index.slice(7 * from, 7 * to));
    if ("id" in fusedOps(tensorflow())) assert.deepEqual(part.value, all.value.slice(7 * from, 7 * to)); // TensorFlow's own product may sum otherwise
    assert.notDeepEqual(other.index, part.index);
    assert.deepEqual(other.index, encode(two.weights, x.slice(from * d, to * d)).index);
  }
});

test("of the SAEs that were used only the last one's encoder stays on TensorFlow, and goes with it; inside a tidy too", () => {
  const engine = tensorflow();
  const made = (latents: number) => saeOf({ d: 3, latents, k: 1, wEnc: Float32Array.from({ length: 3 * latents }, (_, i) => i), bEnc: new Float32Array(latents), wDec: new Float32Array(3 * latents), bDec: new Float32Array(3) });
  const x = Float32Array.of(1, 2, 3);
  const live = (): number => (engine.tf.backend() as unknown as { binding: { getNumOfTensors(): number } }).binding.getNumOfTensors();
  made(4).encode(x);
  const before = live();
  const kept = made(5);
  for (const sae of [made(6), made(7), kept]) engine.tidy(() => void sae.encode(x));
  assert.equal(live(), before);
  assert.deepEqual([...kept.encode(x).index], [4]); // nor did the tidy delete it
});

test("save and load: the same bits, hook, card and curve; nothing else in the folder; saved again over itself", async () => {
  const folder = join(scratch, "saved", "deeper");
  const curve = [{ step: 1, tokens: 10, fvu: 0.5, dead: 0.1, learningRate: 0.01 }];
  const sae = saeOf(weights(6, 20, 3, 3), { hook: "layers.2.mlp", card: { seed: 3 }, curve });
  await sae.save(folder);
  assert.deepEqual(readdirSync(folder).sort(), ["cfg.json", "sae.safetensors", "saelab.json"]);
  const again = await loadSae(folder);
  assert.deepEqual(again.weights, sae.weights);
  assert.deepEqual([again.hook, again.card, again.curve], [sae.hook, sae.card, sae.curve]);
  const before = readFileSync(join(folder, "sae.safetensors"));
  await again.save(folder);
  assert.deepEqual(readFileSync(join(folder, "sae.safetensors")), before);
  assert.deepEqual(readdirSync(folder).length, 3);
  const cfg = JSON.parse(readFileSync(join(folder, "cfg.json"), "utf8"));
  assert.deepEqual(cfg, {
    activation: "topk", expansion_factor: 3, normalize_decoder: true, num_latents: 20, k: 3, multi_topk: false, skip_connection: false, transcode: false, d_in: 6,
  });
});

test("a save over another that is cut short leaves no checkpoint, not a mixed one", async () => {
  const folder = join(scratch, "over");
  await saeOf(weights(6, 20, 4, 3)).save(folder);
  const card = join(folder, "saelab.json");
  rmSync(card);
  mkdirSync(card); // a folder in the card's way: the weights are written, the card is not
  const next = saeOf(weights(6, 20, 2, 4));
  await assert.rejects(next.save(folder), (error: Error) => error instanceof DiskError && /saelab\.json/.test(error.message));
  await assert.rejects(loadSae(folder), (error: Error) => error instanceof CheckpointError && /over: expected cfg\.json/.test(error.message));
  rmSync(card, { recursive: true });
  await next.save(folder);
  assert.deepEqual((await loadSae(folder)).weights, next.weights);
});

test("a folder with another tool's cfg.json is not saved to, and stays as it is", async () => {
  const folder = join(scratch, "foreign");
  mkdirSync(folder);
  const others = ['{"architecture":"topk","d_in":6,"d_sae":20,"k":2}', "[tool]", "null", '{"sae_lens_version":"6.0"}'];
  for (const text of others) {
    writeFileSync(join(folder, "cfg.json"), text);
    await assert.rejects(
      saeOf(weights(6, 20, 2, 4)).save(folder),
      (error: Error) => error instanceof CheckpointError && /cfg\.json: expected none.*Choose another folder/.test(error.message));
    assert.deepEqual(readdirSync(folder), ["cfg.json"]);
    assert.equal(readFileSync(join(folder, "cfg.json"), "utf8"), text);
  }
  for (const known of ["sae", "sae_legacy_cfg"]) { // sparsify's own are replaced
    cpSync(join(ORACLE, known, "cfg.json"), join(folder, "cfg.json"));
    await saeOf(weights(6, 20, 2, 4)).save(folder);
    assert.equal((await loadSae(folder)).weights.latents, 20);
  }
});

test("of a folder with one checkpoint a hook, the hook picks one", async () => {
  const parent = join(scratch, "hub");
  await saeOf(weights(4, 8, 2, 4)).save(join(parent, "layers.0.mlp"));
  assert.equal((await loadSae(parent)).hook, "layers.0.mlp");
  await saeOf(weights(4, 16, 2, 5)).save(join(parent, "layers.1.mlp"));
  const picked = await loadSae(parent, { hook: "layers.1.mlp" });
  assert.deepEqual([picked.weights.latents, picked.hook], [16, "layers.1.mlp"]);
  await assert.rejects(loadSae(parent), (error: Error) => error instanceof CheckpointError && /layers\.0\.mlp, layers\.1\.mlp.*found none.*loadSae\(/.test(error.message));
  await assert.rejects(loadSae(parent, { hook: "layers.7" }), /found "layers\.7"/);
});

test("what is no checkpoint is refused, and the message names the file", async () => {
  await assert.rejects(loadSae(join(scratch, "nowhere")), /nowhere: expected a folder.*found no such folder/);
  const folder = join(scratch, "broken");
  mkdirSync(folder);
  await assert.rejects(loadSae(folder), /broken: expected cfg\.json.*an empty folder/);
  cpSync(join(ORACLE, "sae", "cfg.json"), join(folder, "cfg.json"));
  await assert.rejects(loadSae(folder), /expected sae\.safetensors beside cfg\.json/);
  cpSync(join(ORACLE, "sae", "sae.safetensors"), join(folder, "sae.safetensors"));
  await loadSae(folder);
  writeFileSync(join(folder, "saelab.json"), '{"format":"saelab-sae","version":2}');
  await assert.rejects(loadSae(folder), (error: Error) => error instanceof CheckpointError && /saelab\.json: expected.*version 2.*Delete this file/.test(error.message));
});

test("arrays that do not fit each other make no SAE", () => {
  const w = weights(4, 8, 2, 6);
  assert.throws(() => saeOf({ ...w, wDec: w.wDec.subarray(1) }), /wDec: expected 32 numbers.*found 31/);
  assert.throws(() => saeOf({ ...w, k: 9 }), /k: expected 1 to 8, found 9/);
});

test("evaluate: the measures of the held-out rows, over chunks as in one piece", async () => {
  const d = 6, w = weights(d, 40, 3, 7);
  const rng = random(8);
  const rows = Float32Array.from({ length: 1000 * d }, () => 1.5 * rng.normal());
  const store = memoryStore(rows, d, { document: 10 });
  const sae = saeOf(w);
  const heldout = Float32Array.from(rows.filter((_, i) => Math.floor(i / d / 10) % 4 === 3));
  const codes = encode(w, heldout);
  const got = await evaluate(sae, store);
  assert.ok(Math.abs(got.fvu - fvu(heldout, decode(w, codes), d)) < 1e-6);
  assert.equal(got.explainedVariance, 1 - got.fvu);
  assert.equal(got.rows, 250);
  assert.equal(got.hook, "layers.1");
  const counts = new Float64Array(40);
  codes.index.forEach((f, i) => (counts[f] += codes.value[i] > 0 ? 1 : 0));
  assert.ok(Math.abs(got.l0 - counts.reduce((a, b) => a + b, 0) / 250) < 1e-9);
  assert.equal(got.dead, counts.filter((c) => c === 0).length / 40);
  assert.equal(got.dense, counts.filter((c) => c > 25).length / 40);
  assert.equal((await evaluate(sae, store, { split: "train" })).rows, 750);
  assert.equal((await evaluate(sae, store, { split: "all", rows: 123 })).rows, 123);
});

test("evaluate names the store and hook of a row that is not finite", async () => {
  const rng = random(10);
  const rows = Float32Array.from({ length: 400 * 5 }, () => rng.normal());
  rows[399 * 5] = NaN; // of the last document, which is held out
  await assert.rejects(
    evaluate(saeOf(weights(5, 12, 3, 9)), memoryStore(rows, 5)),
    (error: Error) => error instanceof StoreError && /memory: layers\.1: expected finite activations, found NaN.*Harvest again/.test(error.message));
});

test("evaluate refuses rows of another width and an empty split before it reads", async () => {
  const store = memoryStore(new Float32Array(30 * 5), 5);
  await assert.rejects(evaluate(saeOf(weights(6, 12, 3, 9)), store), (error: Error) => error instanceof OptionError && /width 6.*found 5/.test(error.message));
  await assert.rejects(evaluate(saeOf(weights(5, 12, 3, 9)), store), /at least 2 rows of the split "heldout", found 0/);
  await assert.rejects(evaluate(saeOf(weights(5, 12, 3, 9)), store, { split: "train" }), /rows that differ/);
  await assert.rejects(evaluate(saeOf(weights(5, 12, 3, 9)), store, { rows: 0 }), OptionError);
});
