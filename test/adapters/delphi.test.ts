import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { exportDelphi } from "../../src/adapters/delphi";
import { fileSource } from "../../src/adapters/files";
import { firingsWithin, latentRanges } from "../../src/core/delphi";
import { InterruptError, OptionError } from "../../src/core/errors";
import { atOnce } from "../../src/core/pieces";
import { fromFloat16, readHeader, toFloat16 } from "../../src/core/safetensors";
import type { Sparse } from "../../src/core/types";
import { synthetic } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-delphi-"));
after(() => rmSync(root, { recursive: true, force: true }));

function read(file: string): { tokens: number[]; shape: number[]; locations: number[][]; activations: Float32Array; dtype: string } {
  const source = fileSource(file);
  const { tensors } = readHeader(source, file);
  const bytes = (name: string): Uint8Array => new Uint8Array(source.slice(tensors.get(name)!.offset, tensors.get(name)!.offset + tensors.get(name)!.bytes));
  const { dtype } = tensors.get("locations")!;
  const flat = dtype === "U16" ? new Uint16Array(bytes("locations").buffer) : new Uint32Array(bytes("locations").buffer);
  const out = {
    tokens: Array.from(new BigInt64Array(bytes("tokens").buffer), Number), shape: tensors.get("tokens")!.shape, dtype,
    locations: Array.from({ length: flat.length / 3 }, (_, i) => [...flat.subarray(3 * i, 3 * i + 3)]), activations: fromFloat16(bytes("activations")),
  };
  source.close();
  return out;
}

test("a latent cache holds every firing at its token, in half precision, by ranges of latents", async () => {
  const { store, sae } = synthetic();
  const features = await collect(store, sae, { folder: join(root, "family"), split: "train" });
  const folder = join(root, "latents");
  const made = await exportDelphi(features, folder, { contextLength: 32, splits: 3, model: "some/model", dataset: "some/texts" });
  assert.equal(made.path, join(folder, "layers.1"));
  assert.deepEqual(readdirSync(made.path).sort(), ["0_9.safetensors", "10_20.safetensors", "21_31.safetensors", "config.json"]);
  const config = JSON.parse(readFileSync(join(made.path, "config.json"), "utf8"));
  assert.deepEqual([config.ctx_len, config.model_name, config.dataset_repo, config.n_splits, config.n_tokens], [32, "some/model", "some/texts", 3, made.contexts * 32]);

  const sequence: number[] = [], begins = new Map<number, number>();
  store.documents().forEach(({ split }, document) => {
    if (split !== "train") return;
    begins.set(document, sequence.length);
    sequence.push(...store.tokens(document).ids);
  });
  assert.deepEqual([made.contexts, made.leftOut], [Math.floor(sequence.length / 32), sequence.length % 32]);
  const want: Record<string, number> = {};
  for (const { from, to } of features.manifest.ranges) {
    const codes = sae.encode(store.read("layers.1", from, to));
    const { document, position } = store.origin(from, to);
    for (let i = 0; i < codes.index.length; i++) {
      const r = Math.floor(i / codes.k), at = begins.get(document[r])! + position[r];
      const half = new Uint16Array(1);
      toFloat16(Float32Array.of(codes.value[i]), half);
      if (codes.value[i] > 1e-5 && at < made.contexts * 32) want[`${codes.index[i]} at ${at}`] = fromFloat16(new Uint8Array(half.buffer))[0];
    }
  }
  const got: Record<string, number> = {};
  for (const [first, last] of [[0, 9], [10, 20], [21, 31]]) {
    const { tokens, shape, locations, activations, dtype } = read(join(made.path, `${first}_${last}.safetensors`));
    assert.deepEqual([tokens, shape, dtype], [sequence.slice(0, made.contexts * 32), [made.contexts, 32], "U16"]);
    locations.forEach(([context, position, latent], i) => (got[`${latent + first} at ${context * 32 + position}`] = activations[i]));
    assert.deepEqual(locations, [...locations].sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]));
  }
  assert.deepEqual(got, want);
  assert.equal(made.firings, Object.keys(want).length);
  assert.equal(made.clamped, 0);

  // what a killed export left is taken away; what a living one is making is not
  mkdirSync(join(folder, ".layers.1.999999999-1.part", "old"), { recursive: true });
  mkdirSync(join(folder, `.layers.1.${process.ppid}-1.part`));
  await exportDelphi(features, folder, { contextLength: 64, splits: 2 });
  assert.deepEqual(readdirSync(folder).sort(), [`.layers.1.${process.ppid}-1.part`, "layers.1"]);
  rmSync(join(folder, `.layers.1.${process.ppid}-1.part`), { recursive: true });

  // again in the place of the first, another module beside it
  await exportDelphi(features, folder, { contextLength: 64, splits: 1 });
  assert.deepEqual(readdirSync(made.path).sort(), ["0_31.safetensors", "config.json"]);
  await exportDelphi(features, folder, { module: "layers.2", contextLength: 64 });
  assert.deepEqual(readdirSync(folder).sort(), ["layers.1", "layers.2"]);
  features.close();
});

test("refusals: something in the way, contexts longer than the text, a module that is a path; a stop leaves nothing", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const features = await collect(store, sae, { folder: join(root, "small") });
  const folder = join(root, "refused");
  mkdirSync(join(folder, "layers.1"), { recursive: true });
  writeFileSync(join(folder, "layers.1", "notes.txt"), "mine");
  await assert.rejects(exportDelphi(features, folder, { contextLength: 16 }), (error: Error) => error instanceof OptionError && /notes\.txt/.test(error.message));
  assert.equal(readFileSync(join(folder, "layers.1", "notes.txt"), "utf8"), "mine");
  await assert.rejects(exportDelphi(features, folder, { contextLength: 100_000 }), (error: Error) => error instanceof OptionError && /shorter ones/.test(error.message));
  await assert.rejects(exportDelphi(features, folder, { module: "../x" }), OptionError);
  await assert.rejects(exportDelphi(features, folder, { splits: 0 }), OptionError);
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  flag.requested = true;
  try {
    await assert.rejects(exportDelphi({ ...features, codes: (from: number, to: number) => (wait(110), features.codes(from, to)) }, join(root, "stopped"), { contextLength: 16 }), InterruptError);
  } finally {
    flag.requested = false;
  }
  assert.ok(!existsSync(join(root, "stopped", "layers.1")) && readdirSync(join(root, "stopped")).length === 0);
  features.close();
});

/** Time enough for a look at the flag. */
const wait = (milliseconds: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);

test("ranges are even and never empty; wide ones have 32 bits; values beyond half precision are its largest", () => {
  assert.deepEqual(latentRanges(10, 3), [{ first: 0, last: 2 }, { first: 3, last: 5 }, { first: 6, last: 9 }]);
  assert.deepEqual(latentRanges(2, 5), [{ first: 0, last: 0 }, { first: 1, last: 1 }]);
  const codes: Sparse = { n: 2, k: 3, index: Int32Array.of(70_000, 3, 9, 1, 2, 3), value: Float32Array.of(7e4, 2, 1e-6, 0, 1, 65_504) };
  const placing = { place: Int32Array.of(5, 9), length: 4, contexts: 3 };
  const wide = atOnce(firingsWithin({ first: 2, last: 70_001 }, placing, () => codes, 2));
  assert.deepEqual([...wide.locations], [1, 1, 1, 1, 1, 69_998, 2, 1, 0, 2, 1, 1]);
  assert.ok(wide.locations instanceof Uint32Array);
  assert.deepEqual([[...fromFloat16(new Uint8Array(wide.activations.buffer))], wide.clamped], [[2, 65_504, 1, 65_504], 1]);
  assert.deepEqual([...atOnce(firingsWithin({ first: 2, last: 3 }, { ...placing, contexts: 2 }, () => codes, 2)).locations], [1, 1, 1]);
});
