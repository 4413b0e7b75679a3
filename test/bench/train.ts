import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { choiceFor, machine, withMoments } from "../../src/adapters/choice";
import { FUSED, fusedOps, fusedStep } from "../../src/adapters/fusedstep";
import { freshState, stockStep, type Step } from "../../src/adapters/step";
import { DT, kernels, tensorflow } from "../../src/adapters/tensorflow";
import { random } from "../../src/core/random";
import { planted } from "../planted";

/**
 * Times the fused and the stock training step beside the bare encoder product [B, d]·[d, F] in float32, the least that any dense encoder must do, in turns, so that other work
 * on the machine hits all alike; the fused one also on one thread and on all, and both with an auxiliary loss over a tenth of the latents. With a Python that has torch in
 * SAELAB_PEER_PYTHON, a hand-tuned PyTorch step takes its turns too, and the steps of eai-sparsify and sae-lens where that Python has them (peer_step.py).
 * Medians; processor time (all cores) beside the clock's, as it does not grow with what else runs.
 * On a card (TensorFlow's CUDA build) there is the stock step, timed by whole strides, and the product in bfloat16 besides.
 */
const SETTINGS = {
  A: { d: 128, latents: 4096, k: 16, batch: 2048 },
  B: { d: 576, latents: 9216, k: 32, batch: 2048 },
  C: { d: 1536, latents: 32768, k: 32, batch: 1024 },
  D: { d: 1536, latents: 65536, k: 32, batch: 4096 }, // for a card
};
const TURN = 3; // steps a turn
const BATCHES = 8;

/** What takes turns: ours, the product, and each peer by its name in peer_step.py. "+aux": with an auxiliary loss. */
const OURS = ["fused", "one thread", "all threads", "fused+aux", "stock", "stock+aux"] as const;
type Own = (typeof OURS)[number];
const PEERS = ["torch", "torch-bf16", "sparsify", "sparsify+aux", "saelens"] as const;

/** @param options.setting one of SETTINGS; rounds of turns, of which the first is not counted */
export async function benchTrain({ setting = "A", rounds = 15 }: { setting?: string; rounds?: number } = {}): Promise<Record<string, unknown>> {
  if (!(setting in SETTINGS)) throw new Error(`--setting: expected ${Object.keys(SETTINGS).join(", ")}, found ${setting}`);
  const sizes = SETTINGS[setting as keyof typeof SETTINGS];
  const { d, latents, k, batch } = sizes;
  const engine = tensorflow();
  const K = kernels(engine);
  const { rows } = planted({ d, rows: BATCHES * batch, directions: 2048, active: 12 });
  const rng = random(0);
  const noise = Float32Array.from({ length: latents * d }, () => rng.normal());
  const initial = freshState(d, latents, k, { wEnc: noise, bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) });
  initial.parameters.wEnc = initial.parameters.wDec.map((w) => w / Math.sqrt(3));
  const dead = Int32Array.from({ length: Math.floor(latents / 10) }, (_, i) => 10 * i);
  const ops = fusedOps(engine);
  const choice = await choiceFor(engine, sizes);
  const any = "id" in ops ? withMoments(await choiceFor(engine, sizes, undefined, ops.id), { ...sizes, dOut: d }) : choice;
  const stock = stockStep(engine, initial, choice);
  const fused = "id" in ops ? fusedStep(engine, initial, any.step === "fused" ? any : undefined) : undefined;
  // TensorFlow's own product keeps its threads: of one thread against all, a step is timed that has none of it.
  const scaling = fused && any.product === "apart" ? fusedStep(engine, initial, FUSED) : fused;
  const weights = engine.tensor(noise, [latents, d]);
  const wall: Record<string, number[]> = {}, cpu: Record<string, number[]> = {};
  const note = (what: string, counted: boolean, ms: number[], cpuMs: number[]): void => {
    if (!counted) return;
    (wall[what] ??= []).push(...ms);
    (cpu[what] ??= []).push(...cpuMs);
  };
  /** @param times that `body` does it */
  const timed = async (what: string, counted: boolean, body: () => unknown, times = 1): Promise<void> => {
    const before = process.cpuUsage(), begun = performance.now();
    await body();
    const ms = performance.now() - begun;
    const { user, system } = process.cpuUsage(before);
    note(what, counted, Array<number>(times).fill(ms / times), Array<number>(times).fill((user + system) / 1000 / times));
  };
  const card = engine.device === "cuda";
  const ownTurn = async (what: Own, round: number): Promise<void> => {
    const scales = what === "one thread" || what === "all threads";
    const step: Step | undefined = what.startsWith("stock") ? stock : scales ? scaling : fused;
    if (!step) return;
    if (what === "one thread") (ops as { setThreads(n: number): void }).setThreads(1);
    const options = { learningRate: 1e-3, ...(what.endsWith("+aux") ? { dead } : {}) };
    const batchAt = (i: number): Float32Array => rows.slice((i % BATCHES) * batch * d, ((i % BATCHES) + 1) * batch * d);
    if (step.stride > 1) {
      const batches = Array.from({ length: step.stride }, (_, i) => batchAt(round + i));
      await timed(what, round > 0, () => {
        for (const x of batches) step.send(x, options);
        return step.taken();
      }, step.stride);
    } else {
      for (let i = 0; i < TURN; i++) {
        const x = batchAt(round * TURN + i);
        await timed(what, round > 0, () => step.update(x, options));
      }
    }
    if (what === "one thread") (ops as { setThreads(n: number): void }).setThreads(availableParallelism());
  };
  const peers = await peerSteps(rows, sizes, dead.length);
  for (let round = 0; round <= rounds; round++) {
    const counted = round > 0; // the first warms up
    for (const what of OURS) await ownTurn(what, round);
    const x = engine.tensor(rows.slice(0, batch * d), [batch, d]);
    for (const dtype of card ? [DT.f32, DT.bf16] as const : [DT.f32] as const) {
      const [a, b] = dtype === DT.f32 ? [x, weights] : [x, weights].map((one) => K.cast(one, DT.f32, dtype));
      const times = card ? 8 : 1; // a reading, which waits for the card, after all of them
      for (let i = 0; i < TURN; i++) {
        await timed(dtype === DT.f32 ? "product" : "product, bf16", counted, () => engine.tidy(() => {
          for (let j = 0; j < times; j++) {
            const product = K.matMul(a, b, { transposeB: true, dtype });
            if (card && j + 1 === times) engine.floats(K.cast(K.slice(product, [0, 0], [1, 1], dtype), dtype, DT.f32));
            engine.free(product);
          }
        }), times);
      }
      if (dtype !== DT.f32) engine.free(a, b);
    }
    engine.free(x);
    for (const peer of peers) {
      if (!("steps" in peer)) continue;
      const answer = await peer.steps(TURN);
      note(peer.name, counted, answer.slice(0, TURN), answer.slice(TURN));
    }
  }
  for (const peer of peers) if ("end" in peer) peer.end();
  stock.dispose();
  if (scaling !== fused) scaling?.dispose();
  fused?.dispose();
  engine.free(weights);
  const figures = (what: string) => wall[what] && {
    msPerStep: round(median(wall[what])), tokensPerSecond: Math.round((batch / median(wall[what])) * 1000), timesBareProduct: round(median(wall[what]) / median(wall.product)),
    cpuMsPerStep: round(median(cpu[what])), timesBareProductCpu: round(median(cpu[what]) / median(cpu.product)),
  };
  const best = wall.fused ? "fused" : "stock"; // what a user gets
  return {
    bench: "train", setting, machine: machine(engine), ...sizes,
    fused: fused ? { ...figures("fused"), choice: fused.choice } : { skipped: "why" in ops ? ops.why : "" }, stock: { ...figures("stock"), choice },
    ...(fused ? { threads: availableParallelism(), oneThreadToAll: round(median(wall["one thread"]) / median(wall["all threads"])) } : {}),
    auxiliary: Object.fromEntries(["fused", "stock", "sparsify"].filter((what) => wall[`${what}+aux`]).map((what) => [what, round(median(wall[`${what}+aux`]) / median(wall[what]))])),
    ...(card ? { bareProductBf16Ms: round(median(wall["product, bf16"])), shareOfBareProduct: round(median(wall[choice.precision === "f32" ? "product" : "product, bf16"]) / median(wall.stock)) } : {}),
    bareProductMs: round(median(wall.product)), bareProductCpuMs: round(median(cpu.product)),
    peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
    peers: Object.fromEntries(peers.filter(({ name }) => !name.endsWith("+aux")).map((peer) => [peer.name, "why" in peer ? { skipped: peer.why } : {
      version: peer.version, msPerStep: round(median(wall[peer.name])), cpuMsPerStep: round(median(cpu[peer.name])),
      speedup: round(median(wall[peer.name]) / median(wall[best])), stockSpeedup: round(median(wall[peer.name]) / median(wall.stock)),
    }])),
  };
}

const median = (values: number[]): number => values.slice().sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value: number): number => Number(value.toPrecision(3));

/** `steps` gives the milliseconds of n steps by the clock, then by the processor. */
type Peer = { name: string } & ({ version: string; steps(n: number): Promise<number[]>; end(): void } | { why: string });

/** @param device of the tools, "cpu" or one of torch's own */
export async function peerSteps(
  rows: Float32Array, { d, latents, k, batch }: (typeof SETTINGS)["A"], dead: number, names: readonly string[] = PEERS, device = "cpu",
): Promise<Peer[]> {
  const python = process.env.SAELAB_PEER_PYTHON;
  if (!python) return [{ name: "torch", why: "SAELAB_PEER_PYTHON names no Python with torch" }];
  const folder = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  const file = join(folder, "rows.f32"), script = join(__dirname, "../../../test/bench/peer_step.py");
  writeFileSync(file, new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
  const open = async (name: string): Promise<Peer> => {
    const [tool, aux] = name.split("+");
    const child = spawn(python, [script, tool, file, ...[d, latents, k, batch, aux ? dead : 0].map(String), device], { stdio: ["pipe", "pipe", "inherit"] });
    const died = new Promise<undefined>((resolve) => {
      child.once("exit", () => resolve(undefined));
      child.once("error", () => resolve(undefined));
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const line = async (): Promise<string | undefined> => (await Promise.race([lines.next(), died]))?.value;
    const first = await line();
    if (!first?.startsWith("ready ")) return { name, why: first?.startsWith("missing ") ? first.slice("missing ".length) : `${python} did not run peer_step.py` };
    return {
      name, version: first.slice("ready ".length),
      async steps(n) {
        child.stdin.write(`${n}\n`);
        const answer = await line();
        if (!answer) throw new Error(`peer_step.py ${name} ended early`);
        return answer.split(" ").map(Number);
      },
      end: () => child.stdin.end(),
    };
  };
  try {
    const out: Peer[] = [];
    for (const name of names) out.push(await open(name));
    return out;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
