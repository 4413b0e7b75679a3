import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, test } from "node:test";
import { PIECE_ROWS } from "../../src/adapters/codes";
import { collect } from "../../src/adapters/collect";
import { openFeatures } from "../../src/adapters/features";
import { FormatError, InterruptError, StoreError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import type { Sae, Store } from "../../src/core/types";
import { SHARD_ROWS } from "./collect-child";
import { digest } from "./folders";
import { synthetic } from "./synthetic";

/** Collections that are killed or interrupted go on, and end in the bytes of one that was not. */

const root = mkdtempSync(join(tmpdir(), "saelab-collectresume-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** @returns how often it encoded; -1 when it was killed */
function child(folder: string, moment?: string, killAfter?: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const run = spawn(process.execPath, [join(__dirname, "collect-child.js"), folder, ...(moment ? [moment] : [])], { stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    run.stderr.on("data", (piece) => (err += piece));
    run.stdout.on("data", (piece) => {
      const begun = !out.includes("begun");
      out += piece;
      if (killAfter !== undefined && begun && out.includes("begun")) setTimeout(() => run.kill("SIGKILL"), killAfter);
    });
    run.on("close", (code, signal) => {
      const done = /done after (\d+) calls/.exec(out);
      if (code === 0 && done) resolve(Number(done[1]));
      else if (signal === "SIGKILL") resolve(-1);
      else reject(new Error(`code ${code}, signal ${signal}: ${err}`));
    });
  });
}

const same = (found: string, wanted: string): void => assert.deepEqual(digest(found), digest(wanted));

const hidden = (folder: string): string[] => readdirSync(dirname(folder)).filter((name) => name.startsWith(`.${basename(folder)}.`)).sort();

test("killed at the same moments, again and at random: only what is missing is encoded, and the bytes are the same", async () => {
  const { store } = synthetic();
  const shards = Math.ceil(store.rows / SHARD_ROWS);
  assert.ok(shards > 12);
  const wanted = join(root, "whole");
  assert.equal(await child(wanted), shards);

  const folder = join(root, "killed");
  assert.equal(await child(folder, "encode 1"), -1); // before anything is kept
  assert.equal(await child(folder, "encode 5"), -1);
  assert.deepEqual(hidden(folder), [".killed.lock", ".killed.part"]);
  assert.equal(await child(folder, "encode 4"), -1); // three more of them
  await assert.rejects(openFeatures(folder), (error: Error) => error instanceof FormatError && /was stopped. Collect again with the same options and folder/.test(error.message));
  const part = join(dirname(folder), ".killed.part");
  assert.equal(readdirSync(part).filter((name) => name.startsWith("codes-")).length, 7);
  writeFileSync(join(part, ".codes-00007.safetensors.1.abc.part"), "half"); // what a writer leaves
  truncateSync(join(part, "codes-00006.safetensors"), 100); // and a disk
  assert.equal(await child(folder, "examples"), -1);
  assert.equal(await child(folder), 0);
  same(folder, wanted);
  assert.deepEqual(hidden(folder), []);

  const rng = random(7);
  const often = join(root, "often");
  let lives = 0;
  while (lives < 6 && (await child(often, undefined, rng.below(60))) < 0) lives++;
  await child(often);
  same(often, wanted);
  assert.deepEqual(hidden(often), []);
});

test("an interrupt keeps whole shards; other rows under the same name are not mixed with them", async () => {
  const { store, sae } = synthetic();
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  const folder = join(root, "interrupted");
  const stop = async (): Promise<void> => {
    let calls = 0;
    try {
      await assert.rejects(
        collect(store, { ...sae, encode: (x) => ((flag.requested = ++calls === 4), sae.encode(x)) }, { folder, shardRows: SHARD_ROWS }),
        (error: Error) => error instanceof InterruptError && /4 shards of codes are kept: collect again to go on/.test(error.message),
      );
    } finally {
      flag.requested = false;
    }
  };
  const counted = async (from: Store, wanted: string): Promise<number> => {
    let calls = 0;
    (await collect(from, { ...sae, encode: (x) => (calls++, sae.encode(x)) }, { folder, shardRows: SHARD_ROWS })).close();
    (await collect(from, sae, { folder: join(root, wanted), shardRows: SHARD_ROWS })).close();
    same(folder, join(root, wanted));
    rmSync(folder, { recursive: true });
    return calls;
  };
  const shards = Math.ceil(store.rows / SHARD_ROWS);
  await stop();
  assert.equal(await counted(store, "the same"), shards - 4);
  await stop();
  const otherwise: Store = { ...store, read: (...where) => store.read(...where).map((value) => value * (1 + 2 ** -20)) };
  assert.equal(await counted(otherwise, "otherwise"), shards);
  await stop();
  const another = { ...store, manifest: { ...store.manifest, texts: { ...store.manifest.texts, sha256: "other" } } };
  assert.equal(await counted(another, "another"), shards);
  await stop();
  await assert.rejects(collect(store, sae, { folder, shardRows: SHARD_ROWS, append: join(root, "none") }), FormatError); // and nothing is lost by it
  assert.equal(await counted(store, "after a wrong append"), shards - 4);
  await stop();
  await assert.rejects(collect({ ...store, read: (hook, from, to) => store.read(hook, from, to).fill(NaN) }, sae, { folder, shardRows: SHARD_ROWS }), StoreError);
  assert.deepEqual(hidden(folder), []);
});

/** The same documents and those that come after them: the first so many of a corpus. */
function longer(documents: number) {
  const all = synthetic({ documents: 40 });
  const { store } = all;
  const rows = store.documentRows()[documents];
  const texts = store.documents().slice(0, documents);
  const first: Store = {
    ...store,
    rows,
    documents: () => texts,
    documentRows: () => store.documentRows().slice(0, documents + 1),
    manifest: { ...store.manifest, rows, texts: { ...store.manifest.texts, documents, sha256: `first ${documents}` } },
  };
  return { ...all, first };
}

test("append: only new rows are encoded, and the family is that of collecting all", async () => {
  const cases: ["topk" | "jumprelu", "all" | "train" | "heldout", number, number][] = [
    ["topk", "all", 1, SHARD_ROWS], ["topk", "train", 13, SHARD_ROWS], ["topk", "heldout", 31, 65_536], ["jumprelu", "all", 31, 65_536],
    ["jumprelu", "heldout", 13, SHARD_ROWS], ["jumprelu", "train", 39, SHARD_ROWS], ["topk", "all", 40, SHARD_ROWS],
  ];
  for (const [kind, split, documents, shardRows] of cases) {
    const { store, first, sae: plain } = longer(documents);
    let rows = 0;
    const encode = (x: Float32Array) => {
      rows += x.length / 32;
      const codes = plain.encode(x);
      if (kind === "topk") return codes;
      // as thresholds do: as many columns as the fullest row has
      for (let i = 0; i < codes.value.length; i++) if (codes.value[i] < 1) codes.value[i] = 0;
      let k = 1;
      for (let i = 0; i < codes.value.length; i++) if (codes.value[i] > 0) k = Math.max(k, (i % codes.k) + 1);
      const cut = <T extends Int32Array | Float32Array>(all: T): T => all.filter((_, i) => i % codes.k < k) as T;
      return { n: codes.n, k, index: cut(codes.index), value: cut(codes.value) };
    };
    const weights = { ...plain.weights, ...(kind === "topk" ? {} : { k: plain.weights.latents, kind, threshold: 1 }) } as Sae["weights"];
    const sae: Sae = { ...plain, encode, weights };
    const name = `${kind}-${split}-${documents}`;
    const options = { shardRows, split };
    const before = await collect(first, sae, { ...options, folder: join(root, `${name}-first`) });
    const old = rows;
    (await collect(store, sae, { ...options, folder: join(root, `${name}-all`) })).close();
    const all = rows - old;
    rows = 0;
    const appended = await collect(store, sae, { ...options, folder: join(root, `${name}-appended`), append: before });
    same(appended.path, join(root, `${name}-all`));
    assert.ok(rows >= all - old && rows < all - old + Math.min(shardRows, PIECE_ROWS), `${name}: ${rows} of ${all}, ${old} were there`);
    if (documents === 40) assert.equal(rows, 0);
    before.close();
    appended.close();
  }
});

test("append into its own folder, to other pieces, and rows that changed within", async () => {
  const { store, first, sae } = longer(20);
  const folder = join(root, "own");
  (await collect(first, sae, { folder, shardRows: SHARD_ROWS })).close();
  (await collect(store, sae, { folder: join(root, "own-all"), shardRows: SHARD_ROWS })).close();
  (await collect(store, sae, { folder, shardRows: SHARD_ROWS, append: folder })).close();
  same(folder, join(root, "own-all"));
  const changed: Store = {
    ...store,
    read(hook, from, to) {
      const x = store.read(hook, from, to);
      if (from <= 700 && 700 < to) x[(700 - from) * 32] += 1;
      return x;
    },
  };
  const [a, b] = [join(root, "changed"), join(root, "changed-all")];
  (await collect(changed, sae, { folder: a, shardRows: 500, append: folder })).close();
  (await collect(changed, sae, { folder: b, shardRows: 500 })).close();
  same(a, b);
});

test("append refuses what is not the beginning of the same", async () => {
  const { store, first, sae } = longer(20);
  const folder = join(root, "beginning");
  (await collect(first, sae, { folder })).close();
  const refused = (what: RegExp, from: Store, options: object = {}, one = sae) =>
    assert.rejects(
      collect(from, one, { folder: join(root, "refused"), append: folder, ...options }),
      (error: Error) => error instanceof StoreError && what.test(error.message) && /Collect without append/.test(error.message),
    );
  await refused(/another SAE/, store, {}, { ...sae, weights: { ...sae.weights, bEnc: sae.weights.bEnc.map((b) => b + 1) } });
  await refused(/split "train" instead of "all"/, store, { split: "train" });
  await refused(/model other instead of m/, { ...store, manifest: { ...store.manifest, model: { ...store.manifest.model, sha256: "other" } } });
  await refused(/context 64 instead of undefined/, { ...store, manifest: { ...store.manifest, settings: { context: 64 } } });
  await refused(/7 documents instead of 20 and more/, longer(7).first);
  const renamed = store.documents().map((document, i) => (i === 3 ? { ...document, id: "other" } : document));
  await refused(/document 3 "other" instead of "doc-3"/, { ...store, documents: () => renamed });
  assert.deepEqual(readdirSync(root).filter((name) => name.includes("refused")), []);
});
