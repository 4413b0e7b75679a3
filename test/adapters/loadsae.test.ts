import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { encodeCommand } from "../../src/adapters/encodecli";
import { loadSae } from "../../src/adapters/loadsae";

import { evaluate, saeOf } from "../../src/adapters/sae";
import { openCheckpoint } from "../../src/core/checkpoint";
import { CheckpointError, DiskError, FormatError, OptionError } from "../../src/core/errors";
import { fvu } from "../../src/core/measure";
import { decode, encode, reconstruct } from "../../src/core/sae";
import { bytesSource, readFloats, readHeader, readInts } from "../../src/core/safetensors";
import type { SaeWeights } from "../../src/core/types";
import { cases, folderOf, goldenOf, worst, worstActivation } from "../checkpoints";
import { FIXTURES } from "../fixtures";
import { kinds, WIDTH } from "../kinds";
import { memoryStore } from "../planted";
import { startHub } from "./hub-server";

const ORACLE = join(__dirname, "../../../test/oracle/saes");
const TINY = join(ORACLE, "tiny");
const scratch = mkdtempSync(join(tmpdir(), "saelab-load-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

for (const root of [ORACLE, join(FIXTURES, "saes")]) {
  for (const name of cases(root)) {
    test(`${name}${root === ORACLE ? "" : " (fixtures)"}: loadSae, encode and reconstruct agree with the library`, async () => {
      const golden = goldenOf(join(root, name));
      const sae = await loadSae(join(root, name));
      const codes = sae.encode(golden.x);
      assert.ok(worstActivation(codes, golden) <= 1e-5);
      assert.ok(worst(sae.reconstruct(golden.x), golden.recon) <= 1e-5);
      assert.ok(worst(sae.decode(codes), golden.decode ?? decode(sae.weights, codes)) <= 1e-5);
    });
  }
}

/** Bytes of each file that were asked for. */
function counted(folder: string, latents?: number[]) {
  const read = new Map<string, number>();
  const opened = openCheckpoint(folderOf(folder, undefined, (file, bytes) => read.set(file, (read.get(file) ?? 0) + bytes)), { latents });
  return { ...opened, bytes: () => read.get(opened.file)! };
}

/** F latents of width d in the SAELens layout, 4·F·d bytes a matrix. */
const wide: SaeWeights = (() => {
  const d = 32, F = 512;
  const numbers = (n: number, from: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(from + i));
  return { d, latents: F, k: 4, wEnc: numbers(F * d, 1), bEnc: numbers(F, 2), wDec: numbers(F * d, 3), bDec: numbers(d, 4) };
})();

test("opening reads header and small tensors; a matrix is read when it is used, and once", async () => {
  const folder = join(scratch, "wide");
  await saeOf(wide).save(folder);
  const { weights, bytes } = counted(folder);
  const matrix = 4 * wide.latents * wide.d, small = 4 * (wide.latents + wide.d) + 1000;
  assert.ok(bytes() <= small, `${bytes()}`);
  assert.deepEqual(weights.wDec, wide.wDec);
  assert.ok(bytes() >= matrix && bytes() <= small + matrix);
  assert.equal(weights.wDec, weights.wDec);
  assert.deepEqual({ ...weights }, wide);
  assert.ok(bytes() <= small + 2 * matrix);
});

test("a part of the latents: their rows only are read, and they are the whole SAE's", async () => {
  const some = [400, 3, 77, 78];
  for (const format of ["sparsify", "saelens"] as const) {
    const folder = join(scratch, `part-${format}`);
    await saeOf(wide).save(folder, { format });
    const { weights, bytes } = counted(folder, some);
    const before = bytes();
    assert.deepEqual([...weights.subset!], [3, 77, 78, 400]);
    assert.deepEqual([weights.latents, weights.k], [4, 4]);
    [...weights.subset!].forEach((latent, i) => {
      const row = (x: Float32Array, at: number) => x.slice(at * wide.d, (at + 1) * wide.d);
      assert.deepEqual(row(weights.wDec, i), row(wide.wDec, latent));
      assert.equal(weights.bEnc[i], wide.bEnc[latent]);
      if (i === 0) assert.equal(bytes() - before, 4 * 4 * wide.d); // W_dec has a row a latent in both
      assert.deepEqual(row(weights.wEnc, i), row(wide.wEnc, latent));
    });
    const sae = await loadSae(folder, { latents: some });
    assert.throws(() => sae.encode(new Float32Array(wide.d)), (error: Error) => error instanceof OptionError && /topk chooses among them, found 4/.test(error.message));
    await assert.rejects(sae.save(join(scratch, "no")), /expected a whole SAE, found 4 of its latents/);
  }
  await assert.rejects(loadSae(join(scratch, "part-saelens"), { latents: [512] }), (error: Error) => error instanceof OptionError && /from 0 to 511 .*found 512/.test(error.message));
  await assert.rejects(loadSae(join(scratch, "part-saelens"), { latents: [] }), OptionError);
  // where thresholds alone decide, a part gives what the whole gives for it
  const folder = join(TINY, "gemma_scope"), { x } = goldenOf(folder);
  const all = await loadSae(folder), part = await loadSae(folder, { latents: [2, 5, 11] });
  const values = (sae: typeof all, latent: number, place: number) => {
    const { n, k, index, value } = sae.encode(x);
    return Array.from({ length: n }, (_, row) => {
      const at = Array.from({ length: k }, (_, j) => row * k + j).find((i) => index[i] === place && value[i] > 0);
      return at === undefined ? 0 : value[at];
    }).concat(latent * 0);
  };
  [2, 5, 11].forEach((latent, i) => assert.ok(worst(Float32Array.from(values(part, latent, i)), Float32Array.from(values(all, latent, latent))) <= 1e-6));
});

test("a file is a source too; a format can be said; what is not there is named", async () => {
  const { x, recon } = goldenOf(join(TINY, "dictionary_learning"));
  const named = await loadSae(join(TINY, "dictionary_learning", "ae.pt"));
  assert.ok(worst(named.reconstruct(x), recon) <= 1e-5);
  assert.equal(named.hook, "layers.3");
  assert.equal((await loadSae(join(TINY, "saelens"))).hook, "blocks.3.hook_resid_post");
  assert.equal((await loadSae(TINY, { hook: "saelens" })).hook, "saelens"); // a folder of folders
  await assert.rejects(loadSae(TINY), /expected the name of one of its hooks \(.*gemma_scope.*Say which: loadSae\(/);
  await assert.rejects(loadSae(join(TINY, "saelens"), { format: "sparsify" }), (error: Error) => error instanceof CheckpointError && /sae\.safetensors/.test(error.message));
  await assert.rejects(loadSae(join(TINY, "saelens"), { format: "pickle" as never }), OptionError);
  const alone = join(scratch, "alone");
  mkdirSync(alone);
  cpSync(join(TINY, "dictionary_learning", "ae.pt"), join(alone, "ae.pt"));
  await assert.rejects(loadSae(alone), (error: Error) => error instanceof CheckpointError && /expected config\.json beside it/.test(error.message));
  cpSync(join(TINY, "llama_scope", "sae_weights.safetensors"), join(alone, "sae_weights.safetensors"));
  rmSync(join(alone, "ae.pt"));
  await assert.rejects(loadSae(alone), /expected cfg\.json beside sae_weights\.safetensors, as saelens has it/);
});

test("a file that changed after loading is not mixed with what was read before", async () => {
  const folder = join(scratch, "changed");
  await saeOf(wide).save(folder);
  const sae = await loadSae(folder);
  const file = join(folder, "sae.safetensors");
  writeFileSync(file, readFileSync(file));
  utimesSync(file, 1, 1);
  assert.throws(() => sae.weights.wEnc, (error: Error) => error instanceof DiskError && /sae\.safetensors: .*has changed.*Load the SAE again/.test(error.message));
});

test("NaN in a matrix is refused when it is first used, and named", async () => {
  const folder = join(scratch, "nan");
  await saeOf({ ...wide, wDec: wide.wDec.map((value, i) => (i === 70 ? NaN : value)) }).save(folder);
  const sae = await loadSae(folder);
  assert.throws(() => sae.weights.wDec, (error: Error) => error instanceof CheckpointError && /W_dec: expected finite numbers, found NaN at 70/.test(error.message));
});

test("from the hub: a folder of a repository, a file in it, the hook's folder among several; only what is needed is sent", async () => {
  const files: Record<string, { content: Buffer; lfs?: boolean }> = { "README.md": { content: Buffer.from("# SAEs\n") } };
  for (const [inside, folder] of [["layers.3.mlp", "sparsify"], ["layers.4.mlp", "saelens"], ["layer_12/width_16k/average_l0_82", "gemma_scope"]]) {
    for (const name of readdirSync(join(TINY, folder))) files[`${inside}/${name}`] = { content: readFileSync(join(TINY, folder, name)), lfs: /\.(npz|safetensors)$/.test(name) };
  }
  const hub = await startHub({ "org/saes": { revisions: { main: "a".repeat(40) }, files } });
  try {
    const options = { endpoint: hub.endpoint, cache: join(scratch, "cache"), token: false as const, retries: 0 };
    const first = await loadSae("org/saes/layers.3.mlp", options);
    const golden = goldenOf(join(TINY, "sparsify"));
    assert.ok(worst(first.reconstruct(golden.x), golden.recon) <= 1e-5);
    assert.deepEqual([first.hook, first.card.source], ["layers.3.mlp", "org/saes/layers.3.mlp"]);
    assert.ok(!hub.seen.some(({ path }) => /golden|layers\.4|README/.test(path)));
    assert.equal((await loadSae("org/saes", { ...options, hook: "layers.4.mlp" })).weights.normalize, "constant_norm_rescale");
    assert.equal((await loadSae("org/saes", { ...options, subfolder: "layer_12/width_16k/average_l0_82" })).weights.kind, "jumprelu");
    assert.equal((await loadSae("org/saes/layer_12/width_16k/average_l0_82/params.npz", options)).weights.latents, 24);
    await assert.rejects(loadSae("org/saes", options), /expected the name of one of its hooks \(.*layers\.3\.mlp.*found none/);
    const before = hub.seen.length;
    assert.equal((await loadSae("org/saes/layers.3.mlp", { ...options, offline: true })).weights.kind, "groupmax");
    assert.equal(hub.seen.length, before);
  } finally {
    await hub.close();
  }
  await assert.rejects(loadSae("no such folder"), (error: Error) => error instanceof CheckpointError && /found no such folder/.test(error.message));
});

for (const { name, weights, formats } of kinds) {
  test(`save and load: ${name}`, async () => {
    const x = Float32Array.from({ length: 30 * WIDTH }, (_, i) => 2 * Math.cos(3 * i + 1));
    for (const format of ["sparsify", "saelens"] as const) {
      const folder = join(scratch, `kind ${name} ${format}`);
      const sae = saeOf(weights, { hook: "layers.1.mlp", card: { model: "a model" } });
      if (!formats.includes(format)) {
        await assert.rejects(sae.save(folder, { format }), (error: Error) => error instanceof CheckpointError && /^save: expected .* found .*sae\.save\(folder/.test(error.message));
        continue;
      }
      await sae.save(folder, { format });
      const again = await loadSae(folder);
      assert.ok(worst(reconstruct(again.weights, x), reconstruct(weights, x)) <= 1e-6);
      assert.deepEqual([again.hook, again.card], ["layers.1.mlp", { model: "a model" }]);
      assert.deepEqual(encode(again.weights, x).index, encode(weights, x).index);
      await again.save(folder, { format }); // over itself
    }
  });
}

test("saelab encode: indices, values and recon of a file's rows; a file without them is refused", async () => {
  const folder = join(TINY, "saelens"), out = join(scratch, "encoded.safetensors");
  const golden = goldenOf(folder);
  assert.equal(await encodeCommand([folder, "--in", join(folder, "golden.safetensors"), "--out", out]), 0);
  const bytes = bytesSource(readFileSync(out));
  const { tensors } = readHeader(bytes, out);
  const index = readInts(bytes, tensors.get("indices")!), value = readFloats(bytes, tensors.get("values")!);
  const [n, k] = tensors.get("indices")!.shape;
  assert.ok(worstActivation({ n, k, index, value }, golden) <= 1e-5);
  assert.ok(worst(readFloats(bytes, tensors.get("recon")!), golden.recon) <= 1e-5);
  index.forEach((latent, i) => assert.equal(latent === -1, value[i] === 0));
  await assert.rejects(encodeCommand([folder, "--in", join(folder, "sae_weights.safetensors"), "--out", out]), (error: Error) => error instanceof FormatError && /x: expected rows \[n, 8\].*found .*W_enc/.test(error.message));
  await assert.rejects(encodeCommand([folder, "--out", out]), /--in: expected it, found none/);
  const cli = join(__dirname, "../../src/adapters/cli.js");
  assert.match(execFileSync(process.execPath, [cli, "encode", "--help"], { encoding: "utf8" }), /saelab encode SAE --in/);
});

test("evaluate: a transcoder is held against its target's rows, an SAE against its own", async () => {
  const folder = join(TINY, "sparsify"), { x, recon } = goldenOf(folder);
  const transcoder = await loadSae(folder);
  const y = recon.map((value, i) => value + 0.1 * Math.sin(i)); // rows that it predicts well
  const mine = memoryStore(x, 8, { document: 4 }), theirs = memoryStore(y, 8, { document: 4 });
  const store = {
    ...mine,
    hook: (name?: string) => name ?? "layers.1",
    read: (hook: string, from: number, to: number) => (hook === "layers.2" ? theirs : mine).read(hook, from, to),
  };
  const found = await evaluate(transcoder, store, { hook: "layers.1", target: "layers.2", split: "all" });
  assert.ok(Math.abs(found.fvu - fvu(y, recon, 8)) < 1e-5 && found.fvu < 0.1, `${found.fvu}`);
  await assert.rejects(evaluate(transcoder, store), (error: Error) => error instanceof OptionError && /target: expected the hook that a transcoder predicts, found none for a groupmax transcoder/.test(error.message));
  const sae = await loadSae(join(TINY, "gemma_scope"));
  const rows = goldenOf(join(TINY, "gemma_scope"));
  const own = await evaluate(sae, memoryStore(rows.x, 8, { document: 4 }), { split: "all" });
  assert.ok(Math.abs(own.fvu - fvu(rows.x, rows.recon, 8)) < 1e-5);
  await assert.rejects(evaluate(sae, store, { target: "layers.2" }), /target: expected none/);
});

test("a model card says what the SAE is, how it was made, and the hashes of its files", async () => {
  const folder = join(scratch, "card");
  const card = { hook: "layers.1", model: { source: "org/model", sha256: "ab" }, texts: { tokens: 12 }, fvu: 0.25, note: "a | b\nc" };
  await saeOf(wide, { hook: "layers.1", card }).save(folder, { format: "saelens", readme: true });
  const text = readFileSync(join(folder, "README.md"), "utf8");
  assert.match(text, /^---\ntags: \[sparse-autoencoder, saelens\]\nbase_model: org\/model\n---\n\n# A topk SAE for layers\.1 of org\/model\n/);
  for (const row of ["| latents | 512 |", "| active a row | 4 |", "| texts.tokens | 12 |", "| fvu | 0.25 |", "| note | a \\| b c |"]) assert.ok(text.includes(`\n${row}\n`), row);
  for (const file of ["cfg.json", "sae_weights.safetensors"]) {
    assert.ok(text.includes(createHash("sha256").update(readFileSync(join(folder, file))).digest("hex")), file);
  }
  assert.equal(JSON.parse(readFileSync(join(folder, "cfg.json"), "utf8")).metadata.model_name, "org/model");
});

test("a SAELens transcoder's card tells what it predicts, and is saved so", async () => {
  const sae = await loadSae(join(TINY, "saelens_transcoder"));
  assert.deepEqual([sae.hook, sae.card.target, sae.weights.transcoder], ["blocks.3.hook_resid_mid", "blocks.3.hook_mlp_out", true]);
  const folder = join(scratch, "predicts");
  await sae.save(folder, { format: "saelens" });
  const { hook_name, hook_name_out } = JSON.parse(readFileSync(join(folder, "cfg.json"), "utf8")).metadata;
  assert.deepEqual([hook_name, hook_name_out], ["blocks.3.hook_resid_mid", "blocks.3.hook_mlp_out"]);
  assert.equal((await loadSae(folder)).card.target, "blocks.3.hook_mlp_out");
});

test("a repository's own config.json does not hide its folders; a file has no folder in it", async () => {
  const parent = join(scratch, "repository");
  mkdirSync(parent);
  writeFileSync(join(parent, "config.json"), "{}");
  cpSync(join(TINY, "sparsify"), join(parent, "layers.0.mlp"), { recursive: true });
  assert.equal((await loadSae(parent)).hook, "layers.0.mlp");
  assert.equal((await loadSae(parent, { subfolder: "layers.0.mlp" })).weights.kind, "groupmax");
  const refused = (error: Error) => error instanceof CheckpointError && /expected a folder in .*found none/.test(error.message);
  await assert.rejects(loadSae(parent, { subfolder: "layers.1.mlp" }), refused);
  await assert.rejects(loadSae(join(parent, "config.json"), { subfolder: "layers.1.mlp" }), refused);
});
