import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { version } from "../../src/adapters/package";
import { openTokenizer } from "../../src/adapters/tokenizer";
import { hooks, trace } from "../../src/adapters/tracecli";
import { HookError, ModelError, OptionError } from "../../src/core/errors";
import { expandHooks, foldHooks, hookTable } from "../../src/core/hooktable";
import { bytesSource, readFloats, readHeader, writeSafetensors, type SafetensorsHeader } from "../../src/core/safetensors";
import type { HookRow } from "../../src/core/types";
import { scratch } from "./folders";

const ORACLE = join(__dirname, "../../../test/oracle/models");
const CLI = join(__dirname, "../../src/adapters/cli.js");
const MODELS = readdirSync(ORACLE).sort();

interface Tensors extends SafetensorsHeader {
  tensor(name: string): Float32Array;
}

function tensorsOf(file: string): Tensors {
  const source = bytesSource(new Uint8Array(readFileSync(file)));
  const header = readHeader(source, file);
  return { ...header, tensor: (name) => readFloats(source, header.tensors.get(name)!) };
}

const golden = (name: string) => JSON.parse(readFileSync(join(ORACLE, name, "golden.json"), "utf8")) as {
  layers: number; prompts: { text: string; ids: number[] }[]; generate: { plain: number[][]; steered: number[][] }; steer: { point: string }; ablate: { point: string };
};

/** max|a − b| ≤ 1e-5·max|b|, as in model.test. */
function close(found: Float32Array, wanted: Float32Array, what: string): void {
  assert.equal(found.length, wanted.length, what);
  let [difference, scale] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    difference = Math.max(difference, Number.isFinite(found[i]) ? Math.abs(found[i] - wanted[i]) : Infinity);
    scale = Math.max(scale, Math.abs(wanted[i]));
  }
  assert.ok(scale > 0.1 && difference <= 1e-5 * scale, `${what}: ${difference} of ${scale}`);
}

/** The program itself. */
async function saelab(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [CLI, ...args], { timeout: 120_000 })) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

/** A name of ours → the golden's. */
function goldenName(hook: string): string {
  const [, layer, rest = "resid_post"] = /^layers\.(\d+)(?:\.(.+))?$/.exec(hook) ?? [];
  const kinds: Record<string, string> = { self_attn: "attn_out", mlp: "mlp_out", mid: "resid_mid", "attn.add": "attn_add", "mlp.add": "mlp_add", "attn.z": "z", "attn.q": "q", "attn.k": "k", "attn.v": "v", "mlp.act": "mlp_act" };
  return layer === undefined ? ({ embed_tokens: "embed", norm: "final_norm" }[hook] ?? hook) : `${kinds[rest] ?? rest}.${layer}`;
}

for (const name of MODELS) {
  const folder = join(ORACLE, name);
  const want = golden(name);
  const { tensor, tensors } = tensorsOf(join(folder, "golden.safetensors"));
  const { ids } = want.prompts[2];
  const { bytes } = openTokenizer(folder);

  test(`${name}: a process's tensors and its 12 tokens are PyTorch's; with --add and --ablate too`, async () => {
    await scratch(async (scratched) => {
      const out = join(scratched, "trace.safetensors");
      const asked = ["embed_tokens", "layers.*", "layers.*.self_attn", "layers.*.mlp", "layers.1.attn.q", "layers.1.attn.k", "layers.1.attn.v", "norm", "logits"];
      const made = await saelab("trace", folder, "--ids", ids.join(), "--hooks", asked.join(), "--out", out, "--generate", "12", "--threads", "1");
      assert.equal(made.code, 0, made.stderr);
      const found = tensorsOf(out);
      const all = [...ids, ...want.generate.plain[2]];
      const { model, sha256, version: by, ids: kept } = found.metadata;
      assert.deepEqual([model, sha256.length, by, JSON.parse(kept)], [folder, 64, `saelab ${version}`, all]);
      assert.deepEqual([...found.tensors.keys()], asked.flatMap((one) => (one.includes("*") ? Array.from({ length: want.layers }, (_, i) => one.replace("*", String(i))) : [one])));
      let compared = 0;
      for (const [hook, { shape, dtype }] of found.tensors) {
        assert.deepEqual([shape[0], dtype], [all.length, "F32"]);
        const golden = `p2.${goldenName(hook)}`;
        if (!tensors.has(golden)) continue;
        close(found.tensor(hook).subarray(0, ids.length * shape[1]), tensor(golden), hook); // a token sees only what is before it
        compared++;
      }
      assert.ok(compared >= 3 * want.layers + 5, `${compared} tensors`);

      for (const key of ["steer", "ablate"] as const) {
        const [kind, layer] = want[key].point.split(".");
        const edit = key === "steer" ? ["--add", `layers.${layer}=${join(folder, "golden.safetensors")}:steer.v`] : ["--ablate", `layers.${layer}.mlp`];
        assert.equal(kind, key === "steer" ? "resid_post" : "mlp_out");
        const file = join(scratched, `${key}.safetensors`);
        await trace([folder, "--ids", ids.join(), "--hooks", "logits", "--out", file, ...edit], assert.fail, () => {});
        const logits = tensorsOf(file).tensor("logits");
        const whole = tensors.has(`p2.${key}.logits`);
        close(whole ? logits : logits.slice(-320), tensor(`p2.${key}.logits${whole ? "" : "_last"}`), key);
      }
      const [, layer] = want.steer.point.split(".");
      const printed: string[] = [];
      const steered = join(scratched, "steered.safetensors");
      await trace([folder, "--ids", ids.join(), "--generate", "12", "--hooks", "logits", "--out", steered, "--add", `layers.${layer}=${join(folder, "golden.safetensors")}:steer.v`], (text) => printed.push(text), () => {});
      assert.deepEqual(JSON.parse(tensorsOf(steered).metadata.ids), [...ids, ...want.generate.steered[2]]);
      // what follows each token is what its logits say, the write being there too
      const logits = tensorsOf(steered).tensor("logits");
      const best = Array.from({ length: ids.length + 12 }, (_, t) => logits.subarray(t * 320, (t + 1) * 320)).map((row) => row.indexOf(row.reduce((a, b) => Math.max(a, b))));
      assert.deepEqual(best.slice(ids.length - 1, -1), want.generate.steered[2]);
      const textOf = (tokens: number[]): string => Buffer.concat(tokens.map((id) => bytes(id))).toString();
      assert.deepEqual([made.stdout, ...printed], [`${textOf(want.generate.plain[2])}\n`, textOf(want.generate.steered[2])]);
    });
  });
}

test("trace: a text, a chat, a pattern, rows to add, other spellings, several edits in order", async () => {
  await scratch(async (folder) => {
    const model = join(ORACLE, "llama");
    const want = golden("llama");
    const { tensor } = tensorsOf(join(model, "golden.safetensors"));
    const out = join(folder, "t.safetensors");
    const run = async (...args: string[]): Promise<Tensors> => {
      await trace([model, "--out", out, ...args], assert.fail, () => {});
      return tensorsOf(out);
    };
    const text = await run("--text", want.prompts[1].text, "--hooks", "blocks.1.hook_resid_post,blocks.*.hook_mlp_out,layers.1.attn.pattern,layers.1");
    assert.deepEqual(JSON.parse(text.metadata.ids), want.prompts[1].ids);
    close(text.tensor("blocks.1.hook_resid_post"), tensor("p1.resid_post.1"), "TransformerLens");
    close(text.tensor("blocks.2.hook_mlp_out"), tensor("p1.mlp_out.2"), "TransformerLens, every block");
    assert.deepEqual(text.tensors.get("layers.1.attn.pattern")!.shape, [4, 16, 16]);
    close(text.tensor("layers.1.attn.pattern"), tensor("p1.pattern.1"), "pattern");
    assert.equal(text.metadata.writes, undefined);

    const rows = join(folder, "rows.safetensors");
    const data = Float32Array.from({ length: 3 * 48 }, (_, i) => i / 10);
    writeFileSync(rows, Buffer.concat(writeSafetensors([{ name: "anything", shape: [3, 48], data }])));
    const plain = await run("--ids", "5,6,7", "--hooks", "layers.1");
    const added = await run("--ids", "5,6,7", "--hooks", "layers.1", "--add", `layers.1=${rows}`);
    close(added.tensor("layers.1"), plain.tensor("layers.1").map((x, i) => x + data[i]), "only tensor, rows");
    assert.deepEqual(JSON.parse(added.metadata.writes), [`--add layers.1=${rows}`]);
    const after = await run("--ids", "5,6,7", "--hooks", "layers.1", "--ablate", "layers.1", "--add", `layers.1=${rows}:anything`);
    close(after.tensor("layers.1"), data, "zero, then rows");
    const before = await run("--ids", "5,6,7", "--hooks", "layers.1", "--add", `layers.1=${rows}`, "--ablate", "layers.1");
    assert.ok(before.tensor("layers.1").every((x) => x === 0), "rows, then zero");

    const chat = golden("qwen2").prompts[0].text;
    const template = JSON.parse(readFileSync(join(ORACLE, "qwen2/tokenizer_config.json"), "utf8")).chat_template;
    const asked = trace([join(ORACLE, "qwen2"), "--out", out, "--text", chat, "--chat", "--hooks", "embed_tokens"], assert.fail, () => {});
    if (template) {
      await asked;
      assert.ok(JSON.parse(tensorsOf(out).metadata.ids).length > golden("qwen2").prompts[0].ids.length);
    } else await assert.rejects(asked, (error: Error) => error instanceof ModelError && /chat template/.test(error.message));
  });
});

test("trace: what does not fit is said before the model runs, and nothing is left behind", async () => {
  await scratch(async (folder) => {
    const model = join(ORACLE, "llama");
    const out = join(folder, "t.safetensors");
    const two = join(folder, "two.safetensors");
    const one = { shape: [48], data: new Float32Array(48) };
    writeFileSync(two, Buffer.concat(writeSafetensors([{ name: "a", ...one }, { name: "b", ...one }, { name: "c", shape: [1, 1, 48], data: one.data }])));
    const good = ["--ids", "1,2", "--hooks", "layers.1", "--out", out];
    const refused: [string[], new (message: string) => Error, RegExp][] = [
      [[], OptionError, /expected one model, found none/],
      [[model, "--hooks", "layers.1", "--out", out], OptionError, /either --text or --ids, found neither/],
      [[model, "--text", "a", ...good], OptionError, /found both/],
      [[model, "--ids", "1,x", "--hooks", "layers.1", "--out", out], OptionError, /--ids: expected token ids, separated by commas, found "x"/],
      [[model, "--ids", "1,320", "--hooks", "layers.1", "--out", out], OptionError, /found 320/],
      [[model, "--ids", "1"], OptionError, /expected --hooks .* or --generate/],
      [[model, "--ids", "1", "--hooks", "layers.1"], OptionError, /expected --out/],
      [[model, "--ids", "1", "--generate", "2", "--out", out], OptionError, /--out: expected --hooks/],
      [[model, "--ids", "1", "--generate", "1", "--device", "gpu"], OptionError, /--device: expected auto, cuda, webgpu or cpu, found gpu/],
      [[model, "--ids", "1", "--generate", "0"], OptionError, /--generate: expected a whole number from 1/],
      [[model, "--ids", "1", "--hooks", "layers.1", "--out", join(folder, "no", "t.safetensors")], OptionError, /expected the folder .*no, found none/],
      [[model, "--ids", "1", "--hooks", "layers.1", "--out", folder], OptionError, /found a folder/],
      [[model, "--ids", "1,2", "--hooks", "layers.9", "--out", out], HookError, /blocks 0 to 2/],
      [[model, "--ids", "1,2", "--hooks", "*.nothing", "--out", out], HookError, /expected a pattern of places/],
      [[model, ...good, "--ablate", "layers.1.mpl"], HookError, /Near matches/],
      [[model, ...good, "--add", "layers.1"], OptionError, /HOOK=FILE/],
      [[model, ...good, "--add", `layers.1=${join(folder, "none")}`], OptionError, /expected the file .*none, found none/],
      [[model, ...good, "--add", `layers.1=${two}`], OptionError, /expected one tensor, found 3 \(a, b, c\)/],
      [[model, ...good, "--add", `layers.1=${two}:d`], OptionError, /expected the tensor "d", found a, b, c/],
      [[model, ...good, "--add", `layers.1=${two}:c`], OptionError, /a vector \[width\] or rows/],
      [[model, ...good, "--add", `layers.1.mlp.act=${two}:a`], OptionError, /write to "layers\.1\.mlp\.act"/],
      [[join(folder, "nowhere"), ...good], ModelError, /expected/],
    ];
    for (const [args, type, message] of refused) {
      await assert.rejects(trace(args, assert.fail, assert.fail), (error: Error) => error instanceof type && message.test(error.message), args.join(" "));
    }
    await assert.rejects(trace([model, "--wrong"], assert.fail, assert.fail), /--wrong/);
    const process = await saelab("trace", model, "--ids", "1,2", "--hooks", "layers.7", "--out", out);
    assert.deepEqual([process.code, process.stdout], [1, ""]);
    assert.match(process.stderr, /^saelab: "layers\.7": expected a block of this model/);
    assert.deepEqual(readdirSync(folder), ["two.safetensors"]);
  });
});

test("hooks: all rows as JSON; a table in which blocks that are alike are one row", async () => {
  const { code, stdout } = await saelab("hooks", join(ORACLE, "gemma2"));
  assert.equal(code, 0);
  const lines = stdout.split("\n");
  assert.match(lines[0], /^gemma2: A gemma2 model of 3 blocks, width 48/);
  assert.match(lines[2], /^hook +TransformerLens +shape +note$/);
  const column = lines[2].indexOf("shape");
  assert.ok(lines.slice(3).filter(Boolean).every((line) => line[column] === "["), "columns stand below one another");
  assert.ok(lines.some((line) => /^layers\.0…2\.attn\.add +blocks\.0…2\.hook_attn_out +\[tokens, 48\]$/.test(line)));
  assert.ok(lines.some((line) => /^layers\.0…2\.attn\.pattern .* \[4, query, key\]$/.test(line)));

  const printed: string[] = [];
  await hooks([join(ORACLE, "gpt2"), "--json"], (text) => printed.push(text));
  const { family, layers, width, hooks: rows } = JSON.parse(printed[0]);
  assert.deepEqual([family, layers, width], ["gpt2", 3, 48]);
  for (const name of ["embed_tokens.token", "layers.2.attn.pattern", "logits"]) assert.ok(rows.some((row: HookRow) => row.name === name), name);
  assert.ok(!rows.some((row: HookRow) => row.name.includes("rot_q")));
  await assert.rejects(hooks([]), OptionError);
});

test("blocks are folded as far as they are alike; patterns pass over what is missing", () => {
  const row = (name: string, layer: number, more: Partial<HookRow> = {}): HookRow => ({ name, kind: "mlp_out", layer, width: 4, shape: "[tokens, 4]", ...more });
  const rows = [
    row("embed_tokens", -1), row("layers.0.mlp", 0), row("layers.0", 0), row("layers.1.mlp", 1), row("layers.1", 1),
    row("layers.2.mlp", 2, { missing: "fused" }), row("layers.2", 2), row("logits", 3),
  ];
  assert.deepEqual(foldHooks(rows).map(({ name, to }) => [name, to]), [["embed_tokens", undefined], ["layers.0.mlp", 1], ["layers.0", 1], ["layers.2.mlp", undefined], ["layers.2", undefined], ["logits", undefined]]);
  assert.match(hookTable(foldHooks(rows)), /layers\.0…1\.mlp +\[tokens, 4\]\n.*\nlayers\.2\.mlp +\[tokens, 4\] +missing: fused\n/);
  const known = (name: string): boolean => rows.some((one) => one.name === name);
  assert.deepEqual(expandHooks(["layers.*", "logits", "layers.1"], rows, 3, known), ["layers.0", "layers.1", "layers.2", "logits"]);
  assert.deepEqual(expandHooks(["layers.*.m*"], rows, 3, () => false), ["layers.0.mlp", "layers.1.mlp"]);
  assert.throws(() => expandHooks(["a.*"], rows, 3, known), HookError);
});
