import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { OptionError } from "../../src/core/errors";
import type { EditPlace, Positions, SaeWeights, Write } from "../../src/core/types";
import { close, differs, golden, noise, opened, ORACLE, tensorsOf } from "./tiny";

const V = 320;

interface OracleEdit {
  point: string;
  op: string;
  vector?: string;
  factor?: number;
  positions?: number[];
  head?: number;
  latent?: number;
  value?: number;
}

const oracle = JSON.parse(readFileSync(join(ORACLE, "edits/edits.json"), "utf8")) as {
  rows: Record<string, number[]>;
  sae: { k: number };
  cases: { name: string; edits: OracleEdit[] }[];
  generate: { name: string; edits: OracleEdit[]; new: number[][] }[];
};
const tensor = tensorsOf(join(ORACLE, "edits/edits.safetensors"));
const { prompts } = golden("llama");
const ids = prompts.map((prompt) => prompt.ids);

const sae: SaeWeights = {
  d: 48, latents: 128, k: oracle.sae.k,
  wEnc: tensor("sae.encoder"), bEnc: tensor("sae.b_enc"), wDec: tensor("sae.W_dec"), bDec: tensor("sae.b_dec"),
};

/** Points of the oracle in our spelling. */
const hookOf = (point: string): string => {
  const [kind, layer] = point.split(".");
  const names: Record<string, string> = { embed: "embed_tokens", resid_post: "", mlp_out: ".mlp", attn_out: ".self_attn", z: ".attn.z", pattern: ".attn.pattern" };
  return kind === "embed" ? names.embed : `layers.${layer}${names[kind]}`;
};

/** Calls f with each text's heads, tokens and where its numbers begin: of a pattern, [heads, query, key] of each text. */
function eachPattern(place: EditPlace, heads: number, f: (head: number, tokens: number, at: number, past: number) => void): void {
  let at = 0;
  place.lengths.forEach((tokens, b) => {
    for (let head = 0; head < heads; head++, at += tokens * (place.past[b] + tokens)) f(head, tokens, at, place.past[b]);
  });
}

const uniform = (which: number) => (rows: Float32Array, place: EditPlace): void => eachPattern(place, 4, (head, tokens, at, past) => {
  if (head !== which) return;
  const S = past + tokens;
  for (let t = 0; t < tokens; t++) for (let s = 0; s < S; s++) rows[at + t * S + s] = s <= past + t ? 1 / (past + t + 1) : 0;
});

function writeOf({ point, op, vector, factor, positions, head, latent, value }: OracleEdit): Write {
  const hook = hookOf(point);
  const place = { hook, ...(positions ? { at: positions } : {}) };
  switch (op) {
    case "add": return { ...place, add: tensor(vector!) };
    case "scale": return { ...place, scale: factor! };
    case "zero": return { ...place, ablate: "zero", ...(head === undefined ? {} : { heads: head }) };
    case "project_out": return { ...place, projectOut: tensor(vector!) };
    case "set": return { ...place, set: tensor(vector!) };
    case "uniform": return { ...place, edit: uniform(head!) };
    case "sae_reconstruct": return { ...place, sae: { weights: sae } };
    case "sae_clamp": return { ...place, sae: { weights: sae }, latent, clamp: value };
    default: throw new Error(op);
  }
}

test("every intervention of the oracle gives PyTorch's logits, in one batch of unequal lengths and alone", async () => {
  assert.equal(oracle.cases.length, 11);
  await opened("llama", async (model) => {
    let largest = 0;
    for (const { name, edits } of oracle.cases) {
      const writes = edits.map(writeOf);
      const { logits } = await model.run(ids, { logits: true, writes });
      for (const k of [1, 2]) {
        const from = ids.slice(0, k).reduce((sum, { length }) => sum + length, 0);
        const alone = await model.run([ids[k]], { logits: true, writes });
        const wanted = tensor(`p${k}.${name}.logits`);
        const at = oracle.rows[`p${k}`];
        at.forEach((row, i) => {
          const want = wanted.subarray(i * V, (i + 1) * V);
          largest = Math.max(largest, close(logits.subarray((from + row) * V, (from + row + 1) * V), want, `${name}, prompt ${k}, row ${row}`));
          close(alone.logits.subarray(row * V, (row + 1) * V), want, `${name}, prompt ${k} alone, row ${row}`);
        });
      }
    }
    assert.ok(largest > 0);
  });
});

test("every generation of the oracle gives PyTorch's tokens, in one batch and alone", async () => {
  assert.equal(oracle.generate.length, 2);
  await opened("llama", async (model) => {
    for (const { name, edits, new: tokens } of oracle.generate) {
      const texts = prompts.map(({ text }) => text);
      const expected = texts.map((text, k) => text + Buffer.concat(tokens[k].map((id) => model.tokenizer.bytes(id))).toString());
      const writes = edits.map(writeOf);
      assert.deepEqual((await model.generate(texts, { maxTokens: 12, writes })).map(({ text }) => text), expected, name);
      for (const [k, text] of texts.entries()) assert.equal((await model.generate([text], { maxTokens: 12, writes }))[0].text, expected[k], `${name}, prompt ${k} alone`);
    }
  });
});

const BATCH = [ids[1], ids[2].slice(0, 5), ids[2]];
const N = BATCH.reduce((sum, { length }) => sum + length, 0);

/** Row t of text b, what it becomes. */
const rowwise = (f: (x: Float32Array, b: number, t: number) => Float32Array | void) => (rows: Float32Array, { lengths }: EditPlace): void => {
  const width = rows.length / lengths.reduce((sum, length) => sum + length, 0);
  let at = 0;
  lengths.forEach((length, b) => {
    for (let t = 0; t < length; t++, at += width) {
      const x = rows.subarray(at, at + width);
      x.set(f(x, b, t) ?? x);
    }
  });
};

/** The SAE in plain loops. */
function saeRow(x: Float32Array): { a: Float64Array; rebuilt: Float64Array } {
  const pre = Array.from({ length: sae.latents }, (_, j) => sae.bEnc[j] + sae.bDec.reduce((sum, b, i) => sum + (x[i] - b) * sae.wEnc[j * 48 + i], 0));
  const kept = pre.map((value, j) => ({ value, j })).filter(({ value }) => value > 0).sort((p, q) => q.value - p.value || p.j - q.j).slice(0, sae.k);
  const a = new Float64Array(sae.latents);
  const rebuilt = Float64Array.from(sae.bDec);
  for (const { value, j } of kept) {
    a[j] = value;
    for (let i = 0; i < 48; i++) rebuilt[i] += value * sae.wDec[j * 48 + i];
  }
  return { a, rebuilt };
}

const direction = (x: Float32Array, j: number, by: number): Float32Array => x.map((value, i) => value + by * sae.wDec[j * 48 + i]);

test("every write in the graph gives what a function gives that does the same to the rows", async () => {
  const v = noise(48);
  const rows = noise(N * 48, 2);
  const mean = Float32Array.from({ length: 48 }, (_, i) => Array.from({ length: 7 }, (__, r) => rows[r * 48 + i]).reduce((x, y) => x + y) / 7);
  const length = Math.hypot(...v);
  const offsets = [0, BATCH[0].length, BATCH[0].length + BATCH[1].length];
  const latent = oracle.cases.find(({ name }) => name === "sae_clamp")!.edits[0].latent!;
  const pairs: [string, (hook: string) => Write, (x: Float32Array, b: number, t: number) => Float32Array][] = [
    ["add", (hook) => ({ hook, add: v }), (x) => x.map((value, i) => value + v[i])],
    ["add, of plain numbers, times", (hook) => ({ hook, add: [...v], times: -2.5 }), (x) => x.map((value, i) => value - 2.5 * v[i])],
    ["add rows", (hook) => ({ hook, add: rows }), (x, b, t) => x.map((value, i) => value + rows[(offsets[b] + t) * 48 + i])],
    ["scale", (hook) => ({ hook, scale: -0.5 }), (x) => x.map((value) => -0.5 * value)],
    ["set number", (hook) => ({ hook, set: 0.25 }), (x) => x.map(() => 0.25)],
    ["set row", (hook) => ({ hook, set: v }), () => v],
    ["set rows", (hook) => ({ hook, set: rows }), (_, b, t) => rows.slice((offsets[b] + t) * 48, (offsets[b] + t + 1) * 48)],
    ["ablate", (hook) => ({ hook, ablate: "zero" }), (x) => x.map(() => 0)],
    ["mean", (hook) => ({ hook, ablate: "mean", of: rows.slice(0, 7 * 48) }), () => mean],
    ["projectOut", (hook) => ({ hook, projectOut: v }), (x) => {
      const along = x.reduce((sum, value, i) => sum + value * v[i], 0) / length ** 2;
      return x.map((value, i) => value - along * v[i]);
    }],
    ["sae", (hook) => ({ hook, sae: { weights: sae } }), (x) => Float32Array.from(saeRow(x).rebuilt)],
    ["sae, clamp", (hook) => ({ hook, sae: { weights: sae }, latent, clamp: 3 }), (x) => direction(x, latent, 3 - saeRow(x).a[latent])],
    ["sae, times", (hook) => ({ hook, sae: { weights: sae }, latent, times: -1 }), (x) => direction(x, latent, -2 * saeRow(x).a[latent])],
    ["sae, clamp, without the error", (hook) => ({ hook, sae: { weights: sae }, latent, clamp: 3, keepError: false }),
      (x) => direction(Float32Array.from(saeRow(x).rebuilt), latent, 3 - saeRow(x).a[latent])],
    ["sae, times, without the error", (hook) => ({ hook, sae: { weights: sae }, latent, times: 0, keepError: false }),
      (x) => direction(Float32Array.from(saeRow(x).rebuilt), latent, -saeRow(x).a[latent])],
  ];
  await opened("llama", async (model) => {
    const plain = await model.run(BATCH, { logits: true });
    for (const [what, make, f] of pairs) {
      for (const at of what.startsWith("sae") ? [undefined] : [undefined, { from: 1, to: 4 }]) {
        const write = { ...make("layers.1"), ...(at ? { at } : {}) };
        const asked = { hooks: ["layers.1", "layers.2.pre"], logits: true };
        const graph = await model.run(BATCH, { ...asked, writes: [write] });
        const plainly = await model.run(BATCH, { ...asked, writes: [{ hook: "layers.1", edit: rowwise((x, b, t) => (!at || (t >= 1 && t < 4) ? f(x, b, t) : undefined)) }] });
        for (const name of ["layers.1", "logits"]) close(graph[name], plainly[name], `${what}${at ? ", at some" : ""}: ${name}`);
        assert.deepEqual(graph["layers.2.pre"], graph["layers.1"], `${what}: two names of one place`);
        differs(graph.logits, plain.logits, what);
      }
    }
  });
});

test("what is read at a written place, and after it, is what was written; what comes before it is as it was, bit for bit", async () => {
  // norms on both sides; side by side with one norm; packed columns and learned positions
  for (const [name, kinds] of [["gemma3", undefined], ["phi", undefined], ["gpt2", ["tok_embed", "embed", "q", "k", "v", "mlp_act"]]] as const) {
    await opened(name, async (model) => {
      const hooks = model.hooks().map((hook) => hook.name);
      const before = await model.run(BATCH, { hooks });
      const written = model.hooks().filter(({ layer, kind }) => (layer === 1 || ["embed", "tok_embed", "final_norm", "logits"].includes(kind)) && (!kinds || (kinds as readonly string[]).includes(kind)));
      for (const row of written) {
        // neither a factor alone, which a norm that follows takes back, nor a row alone, which moves all keys alike
        const [v, pattern] = [noise(row.width), row.kind === "pattern"];
        const cells = row.width * BATCH[0].length ** 2; // of a pattern, the first text's
        const f = (x: number, i: number): number => (!pattern ? Math.fround(Math.fround(0.6 * x) + v[i % row.width]) : i >= cells || i % 3 ? x : 0.5 * x);
        for (const writes of [...(pattern ? [] : [[{ hook: row.name, scale: 0.6 }, { hook: row.name, add: v }]]), [{ hook: row.name, edit: (rows) => rows.map(f) }]] as Write[][]) {
          const after = await model.run(BATCH, { hooks, writes });
          const what = `${name}, ${row.name} by ${Object.keys(writes[0])[1]}`;
          close(after[row.name], before[row.name].map(f), what, 1e-6);
          differs(after.logits, before.logits, what);
          // resid_pre of block 1 is resid_post of block 0, which lies before all of block 1
          const block = row.kind === "resid_pre" ? row.layer - 1 : row.layer;
          for (const other of model.hooks()) if (other.layer < block) assert.deepEqual(after[other.name], before[other.name], `${what}: ${other.name}`);
        }
      }
    });
  }
});

test("several writes in one pass: in the order of the pass, at one place in the order given, each reading what was written", async () => {
  await opened("llama", async (model) => {
    const v = noise(48, 4);
    const seen: Record<string, Float32Array> = {};
    const look = (hook: string): Write => ({ hook, edit: (rows) => void (seen[hook] = rows.slice()) });
    // three places, given in another order than the pass takes them
    const writes: Write[] = [look("layers.1"), { hook: "layers.0", add: v }, look("layers.0"), { hook: "layers.1.mlp", scale: 2 }, look("layers.1.mlp")];
    const found = await model.run(BATCH, { hooks: ["layers.0", "layers.1.mlp", "layers.1"], logits: true, writes });
    for (const hook of ["layers.0", "layers.1.mlp", "layers.1"]) assert.deepEqual(seen[hook], found[hook], hook);
    const graph = await model.run(BATCH, { logits: true, writes: writes.filter((write) => !("edit" in write)) });
    close(found.logits, graph.logits, "looking changes nothing", 1e-6);

    // at one place: the order counts, for graph and functions alike
    const times2: Write = { hook: "layers.1", scale: 2 };
    const plus: Write = { hook: "layers.1", add: v };
    const times2Edit: Write = { hook: "layers.1", edit: (rows) => rows.map((x) => 2 * x) };
    const plusEdit: Write = { hook: "layers.1", edit: rowwise((x) => x.map((value, i) => value + v[i])) };
    const logits = async (...given: Write[]): Promise<Float32Array> => (await model.run(BATCH, { logits: true, writes: given })).logits;
    const [first, second] = [await logits(times2, plus), await logits(plus, times2)];
    differs(first, second, "the order counts");
    for (const [a, b] of [[times2Edit, plusEdit], [times2, plusEdit], [times2Edit, plus]]) {
      close(await logits(a, b), first, "times two, plus");
      close(await logits(b, a), second, "plus, times two");
    }
    // the same place under two names, and with a mask
    close(await logits({ ...times2Edit, hook: "layers.2.pre" }, plusEdit), first, "two names of one place");
    close(await logits({ ...times2Edit, at: "prompt" }, { ...plusEdit, at: { from: 0 } }), first, "masked functions");
    const steps: string[] = [];
    const step = (name: string, hook: string): Write => ({ hook, edit: () => void steps.push(name) });
    await logits(step("d", "layers.1"), step("b", "layers.1.attn.z"), step("e", "layers.1"), step("a", "embed_tokens"), step("c", "layers.1.attn.add"));
    assert.deepEqual(steps, ["a", "b", "c", "d", "e"]);
  });
});

test("an edit is told the place, lengths and pasts, gets rows without padding, may change or give them, at once or later", async () => {
  await opened("llama", async (model) => {
    const places: EditPlace[] = [];
    const lengths = BATCH.map(({ length }) => length);
    const plain = await model.run(BATCH, { hooks: ["layers.1.attn.q", "layers.1.attn.pattern"] });
    const write = async (f: (rows: Float32Array) => Float32Array | void | Promise<Float32Array | void>): Promise<Float32Array> => {
      const writes: Write[] = [{ hook: "blocks.1.attn.hook_q", edit: (rows, place) => {
        places.push(place);
        assert.deepEqual(rows, plain["layers.1.attn.q"]);
        return f(rows);
      } }];
      return (await model.run(BATCH, { logits: true, writes })).logits;
    };
    const changed = await write((rows) => void rows.fill(0.5, 64, 128));
    assert.deepEqual(places, [{ hook: "layers.1.attn.q", texts: [0, 1, 2], lengths, past: [0, 0, 0] }]);
    const given = (rows: Float32Array): Float32Array => Float32Array.from(rows).fill(0.5, 64, 128);
    assert.deepEqual(await write(given), changed);
    assert.deepEqual(await write(async (rows) => new Promise((resolve) => setTimeout(() => resolve(given(rows)), 20))), changed);
    differs(changed, (await model.run(BATCH, { logits: true })).logits, "a row of q");
    await model.run(BATCH, { hooks: ["layers.2"], writes: [{ hook: "layers.1.attn.pattern", edit: (rows) => {
      // the decomposed form rounds otherwise than the fused one
      close(rows, plain["layers.1.attn.pattern"], "a pattern without padding", 1e-5);
    } }] });
    for (const wrong of [[1, 2, 3], new Float32Array(3), new Float64Array(N * 64), 7]) {
      await assert.rejects(write(() => wrong as never), (error: Error) =>
        error instanceof OptionError && new RegExp(`edit of "layers\\.1\\.attn\\.q": expected a Float32Array of ${N * 64} numbers`).test(error.message));
    }
  });
});

test("at: a number, a list, a range, from the end, prompt and generated", async () => {
  await opened("llama", async (model) => {
    const plain = (await model.run(BATCH, { hooks: ["layers.0"] }))["layers.0"];
    const forms: [Positions, (t: number, length: number) => boolean][] = [
      [3, (t) => t === 3], [0, (t) => t === 0], [-1, (t, n) => t === n - 1], [-5, (t, n) => t === n - 5], [[0, -2, 7], (t, n) => t === 0 || t === n - 2 || t === 7], [[], () => false],
      [{ from: 2 }, (t) => t >= 2], [{ to: 3 }, (t) => t < 3], [{ from: 1, to: 4 }, (t) => t >= 1 && t < 4], [{ from: -3 }, (t, n) => t >= n - 3],
      [{ from: 1, to: -1 }, (t, n) => t >= 1 && t < n - 1], [{}, () => true], [{ from: 4, to: 2 }, () => false], [1000, () => false], [-1000, () => false],
      ["prompt", () => true], ["generated", () => false],
    ];
    for (const [at, chosen] of forms) {
      const { "layers.0": rows } = await model.run(BATCH, { hooks: ["layers.0"], writes: [{ hook: "layers.0", at, set: 7 }] });
      let row = 0;
      for (const { length } of BATCH) for (let t = 0; t < length; t++, row++) {
        const [found, was] = [rows, plain].map((data) => data.subarray(row * 48, (row + 1) * 48));
        assert.deepEqual(found, chosen(t, length) ? was.map(() => 7) : was, `${JSON.stringify(at)}, token ${t} of ${length}`);
      }
    }
  });
});

test("heads: of q, k, v, z, the rotated ones and the pattern; keys: attention knocked out between two tokens", async () => {
  for (const name of ["llama", "neox"]) {
    await opened(name, async (model) => {
      for (const part of ["q", "k", "v", "z", "rot_q", "rot_k"]) {
        const hook = `layers.1.attn.${part}`;
        const { width } = model.hooks().find((row) => row.name === hook)!;
        const headDim = part === "q" ? width / 4 : model.hooks().find((row) => row.name === "layers.1.attn.z")!.width / 4;
        const plain = await model.run(BATCH, { hooks: [hook], logits: true });
        for (const heads of [1, [0, 1]]) {
          const chosen = (i: number): boolean => [heads].flat().includes(Math.floor((i % width) / headDim));
          const found = await model.run(BATCH, { hooks: [hook], logits: true, writes: [{ hook, heads, scale: -1 }] });
          assert.deepEqual(found[hook], plain[hook].map((x, i) => (chosen(i) ? -x : x)), `${name}, ${hook}, ${heads}`);
          const byEdit = await model.run(BATCH, { logits: true, writes: [{ hook, edit: (rows) => rows.map((x, i) => (chosen(i) ? -x : x)) }] });
          close(found.logits, byEdit.logits, `${name}, ${hook}, ${heads}`);
          const functionOfHeads = await model.run(BATCH, { logits: true, writes: [{ hook, heads, edit: (rows) => rows.map((x) => -x) }] });
          close(functionOfHeads.logits, byEdit.logits, `${name}, ${hook}, a function, heads ${heads}`);
          differs(found.logits, plain.logits, `${name}, ${hook}`);
        }
      }
      const hook = "layers.1.attn.pattern";
      const plain = await model.run(BATCH, { hooks: [hook, "layers.1.attn.v"], logits: true });
      const cases: [Pick<Write, "heads" | "at" | "keys">, (h: number, t: number, s: number, n: number) => boolean][] = [
        [{ heads: 2 }, (h) => h === 2], [{ keys: 0 }, (_, __, s) => s === 0], [{ at: -1, keys: [1, 2] }, (_, t, s, n) => t === n - 1 && (s === 1 || s === 2)],
        [{ heads: [0, 3], at: { from: 3 }, keys: { to: -2 } }, (h, t, s, n) => h % 3 === 0 && t >= 3 && s < n - 2],
      ];
      for (const [chosen, is] of cases) {
        const found = await model.run(BATCH, { hooks: [hook, "layers.1.attn.z"], logits: true, writes: [{ hook, ...chosen, ablate: "zero" }] });
        const wanted = plain[hook].slice();
        eachPattern({ hook, texts: [0, 1, 2], lengths: BATCH.map(({ length }) => length), past: BATCH.map(() => 0) }, 4, (h, n, at) => {
          for (let t = 0; t < n; t++) for (let s = 0; s < n; s++) if (is(h, t, s, n)) wanted[at + t * n + s] = 0;
        });
        close(found[hook], wanted, `${name}, ${JSON.stringify(chosen)}`);
        differs(found.logits, plain.logits, `${name}, ${JSON.stringify(chosen)}`);
        // z = pattern · v, in plain loops, of the first text and head 3
        const [n, headDim] = [BATCH[0].length, found["layers.1.attn.z"].length / N / 4];
        const kv = plain["layers.1.attn.v"].length / N / headDim;
        for (let t = 0; t < n; t++) {
          const z = Float32Array.from({ length: headDim }, (_, i) => {
            let sum = 0;
            for (let s = 0; s < n; s++) sum += wanted[(3 * n + t) * n + s] * plain["layers.1.attn.v"][(s * kv + kv - 1) * headDim + i];
            return sum;
          });
          close(found["layers.1.attn.z"].subarray((t * 4 + 3) * headDim, (t * 4 + 4) * headDim), z, `${name}: z of token ${t}`, 1e-4);
        }
      }
    });
  }
});

test("a pattern set to a number: of the keys that a token can see, whatever the company", async () => {
  await opened("llama", async (model) => {
    const hook = "layers.1.attn.pattern";
    for (const write of [{ hook, set: 0.25 }, { hook, heads: 1, set: 0.25 }, { hook, keys: { from: 2 }, set: 0.25 }] as Write[]) {
      const together = await model.run(BATCH, { hooks: [hook], logits: true, writes: [write] });
      let [row, cell] = [0, 0];
      for (const text of BATCH) {
        const alone = await model.run([text], { hooks: [hook], logits: true, writes: [write] });
        close(together.logits.subarray(row * V, (row + text.length) * V), alone.logits, `${JSON.stringify(write)}, text of ${text.length}`);
        row += text.length;
        const n = text.length;
        for (let h = 0; h < 4; h++) for (let t = 0; t < n; t++) for (let s = 0; s < n; s++, cell++) if (s > t) assert.equal(together[hook][cell], 0, "no look ahead");
      }
    }
  });
});

test("resample: rows of another run, by seed, text and position, the same whatever stands behind", async () => {
  await opened("llama", async (model) => {
    const hook = "layers.1.mlp";
    const of = (await model.run([ids[2]], { hooks: [hook] }))[hook];
    const rows = async (batch: number[][], seed?: number): Promise<Float32Array> => (await model.run(batch, { hooks: [hook], writes: [{ hook, ablate: "resample", of, seed }] }))[hook];
    const found = await rows(BATCH);
    const pool = Array.from({ length: ids[2].length }, (_, r) => of.subarray(r * 48, (r + 1) * 48).join());
    const drawn = Array.from({ length: N }, (_, r) => pool.indexOf(found.subarray(r * 48, (r + 1) * 48).join()));
    assert.ok(drawn.every((r) => r >= 0) && new Set(drawn).size > 8, String(drawn));
    assert.deepEqual(await rows(BATCH), found);
    assert.deepEqual(await rows(BATCH, 0), found);
    assert.notDeepEqual(await rows(BATCH, 1), found);
    assert.deepEqual(await rows([BATCH[0]]), found.slice(0, BATCH[0].length * 48));
    assert.deepEqual((await rows([BATCH[0], ids[1], BATCH[2]])).slice(-BATCH[2].length * 48), found.slice(-BATCH[2].length * 48));
  });
});

test("patching: rows of one run set in another give that run's logits downstream", async () => {
  await opened("qwen2", async (model) => {
    const clean = BATCH;
    const other = BATCH.map((text) => text.map((id) => 10 + ((id * 7) % 300)));
    const from = await model.run(clean, { hooks: ["layers.1", "layers.0.mlp", "layers.1.attn.z"], logits: true });
    const corrupt = await model.run(other, { logits: true });
    differs(from.logits, corrupt.logits, "two texts");
    const patched = await model.run(other, { hooks: ["layers.1"], logits: true, writes: [{ hook: "layers.1", set: from["layers.1"] }] });
    assert.deepEqual(patched["layers.1"], from["layers.1"]);
    close(patched.logits, from.logits, "the whole stream", 1e-6);
    // only the last token of each: the others keep their own
    const last = await model.run(other, { logits: true, writes: [{ hook: "layers.1", at: -1, set: from["layers.1"] }] });
    let end = 0;
    for (const { length } of BATCH) {
      close(last.logits.subarray(end * V, (end + length - 1) * V), corrupt.logits.subarray(end * V, (end + length - 1) * V), "the tokens before", 1e-6);
      end += length;
      differs(last.logits.subarray((end - 1) * V, end * V), corrupt.logits.subarray((end - 1) * V, end * V), "the last token");
    }
    // one head of z
    const head = await model.run(other, { hooks: ["layers.1.attn.z"], writes: [{ hook: "layers.1.attn.z", heads: 2, set: from["layers.1.attn.z"] }] });
    const width = from["layers.1.attn.z"].length / N;
    head["layers.1.attn.z"].forEach((x, i) => {
      if (Math.floor((i % width) / (width / 4)) === 2) assert.equal(x, from["layers.1.attn.z"][i]);
    });
  });
});

test("texts that rotate otherwise run apart, their writes with them: rows of all tokens, draws, functions", async () => {
  await opened("phi3_longrope", async (model) => { // long factors from the 17th token on
    const batch = [golden("phi3_longrope").prompts[2].ids, [40, 41, 42, 43], golden("phi3_longrope").prompts[1].ids];
    assert.ok(batch[0].length > 16 && batch[2].length <= 16);
    const hook = "layers.0";
    const { [hook]: rows } = await model.run(batch, { hooks: [hook] });
    const other = batch.map((text) => text.map((id) => 10 + ((id * 7) % 300)));
    const patched = await model.run(other, { hooks: [hook], logits: true, writes: [{ hook, set: rows }] });
    assert.deepEqual(patched[hook], rows);
    close(patched.logits, (await model.run(batch, { logits: true })).logits, "patched", 1e-6);
    const { [hook]: drawn } = await model.run(batch, { hooks: [hook], writes: [{ hook, ablate: "resample", of: rows }] });
    const { [hook]: short } = await model.run(batch.map((text) => text.slice(0, 4)), { hooks: [hook], writes: [{ hook, ablate: "resample", of: rows }] });
    batch.forEach((text, b) => {
      const from = batch.slice(0, b).reduce((sum, { length }) => sum + length, 0);
      assert.deepEqual(drawn.slice(from * 32, (from + 4) * 32), short.slice(b * 4 * 32, (b + 1) * 4 * 32), `text ${b}`);
    });
  });
});

test("many runs at once, each with its own writes, answer each its own", async () => {
  await opened("llama", async (model) => {
    const writes = Array.from({ length: 12 }, (_, i): Write[] => [
      i % 3 === 0 ? { hook: `layers.${i % 2}`, add: noise(48, i) } : i % 3 === 1 ? { hook: `layers.${i % 2}.mlp`, edit: async (rows) => {
        await new Promise((resolve) => setTimeout(resolve, 7 - (i % 5)));
        return rows.map((x) => x * (i - 5));
      } } : { hook: "layers.1.attn.pattern", heads: i % 4, scale: i / 5 },
      ...(i % 2 ? [{ hook: "layers.1", edit: (rows: Float32Array) => rows.map((x) => x + i) } satisfies Write] : []),
    ]);
    const single: Float32Array[] = [];
    for (const one of writes) single.push((await model.run(BATCH, { logits: true, writes: one })).logits);
    const all = await Promise.all(writes.map((one) => model.run(BATCH, { logits: true, writes: one })));
    all.forEach(({ logits }, i) => assert.deepEqual(logits, single[i], `run ${i}`));
    assert.equal(new Set(single.map((logits) => logits.slice(-9).join())).size, 12, "each is another");
  });
});
