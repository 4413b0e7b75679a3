import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { choiceFor, machine } from "../../src/adapters/choice";
import { freshState, stockStep } from "../../src/adapters/step";
import { kernels, tensorflow } from "../../src/adapters/tensorflow";
import { random } from "../../src/core/random";
import { planted } from "../planted";

/**
 * Times a training step beside the bare encoder product [B, d]·[d, F] in float32, the least that any dense encoder must do, in turns, so that other work
 * on the machine hits both alike. With a Python that has torch in SAELAB_PEER_PYTHON, a hand-tuned PyTorch step takes its turns too (torch_step.py).
 * Medians; processor time (all cores) beside the clock's, as it does not grow with what else runs.
 */
const SETTING = { d: 128, latents: 4096, k: 16, batch: 2048 };
const ROUNDS = 15, TURN = 3; // steps a turn
const BATCHES = 8;

export async function benchTrain(): Promise<Record<string, unknown>> {
  const { d, latents, k, batch } = SETTING;
  const engine = tensorflow();
  const K = kernels(engine);
  const { rows } = planted({ d, rows: BATCHES * batch, directions: 2048, active: 12 });
  const rng = random(0);
  const noise = Float32Array.from({ length: latents * d }, () => rng.normal());
  const initial = freshState(d, latents, k, { wEnc: noise, bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) });
  initial.parameters.wEnc = initial.parameters.wDec.map((w) => w / Math.sqrt(3));
  const choice = await choiceFor(engine, SETTING);
  const step = stockStep(engine, initial, choice);
  const rowsOf = (i: number): Float32Array => rows.slice((i % BATCHES) * batch * d, (i % BATCHES + 1) * batch * d);
  const weights = engine.tensor(noise, [latents, d]);
  const cpu: Record<"ours" | "product" | "peer", number[]> = { ours: [], product: [], peer: [] };
  const timed = (what: "ours" | "product", body: () => void): number => {
    const before = process.cpuUsage(), begun = performance.now();
    body();
    const ms = performance.now() - begun;
    const { user, system } = process.cpuUsage(before);
    cpu[what].push((user + system) / 1000);
    return ms;
  };
  let done = 0;
  const ours = (): number => {
    const x = rowsOf(done++);
    return timed("ours", () => step.update(x, { learningRate: 1e-3 }));
  };
  const product = (): number => {
    const x = engine.tensor(rowsOf(0), [batch, d]);
    const ms = timed("product", () => engine.tidy(() => void K.matMul(x, weights, { transposeB: true })));
    engine.free(x);
    return ms;
  };
  const peer = await torchPeer(rows);
  const turns: Record<"ours" | "product" | "peer", number[]> = { ours: [], product: [], peer: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    const times = {
      ours: Array.from({ length: TURN }, ours),
      product: Array.from({ length: TURN }, product),
      peer: [] as number[],
    };
    if ("steps" in peer) {
      const answer = await peer.steps(TURN);
      times.peer = answer.slice(0, TURN);
      cpu.peer.push(...answer.slice(TURN));
    }
    if (!round) continue; // warms up
    for (const key of ["ours", "product", "peer"] as const) turns[key].push(...times[key]);
  }
  if ("end" in peer) peer.end();
  step.dispose();
  engine.free(weights);
  const ms = median(turns.ours), bare = median(turns.product);
  return {
    bench: "train", machine: machine(engine), ...SETTING, step: step.kind, choice,
    msPerStep: round(ms), tokensPerSecond: Math.round((batch / ms) * 1000), bareProductMs: round(bare), shareOfBareProduct: round(bare / ms),
    cpuMsPerStep: round(median(cpu.ours)), shareOfBareProductCpu: round(median(cpu.product) / median(cpu.ours)),
    peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
    peer: "steps" in peer
      ? {
        name: `hand-tuned PyTorch ${peer.version}`, msPerStep: round(median(turns.peer)), cpuMsPerStep: round(median(cpu.peer)),
        speedOverPeer: round(median(turns.peer) / ms),
      }
      : { skipped: peer.why },
  };
}

const median = (values: number[]): number => values.slice().sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value: number): number => Number(value.toPrecision(3));

/** `steps` gives the milliseconds of n steps by the clock, then by the processor. */
type Peer = { version: string; steps(n: number): Promise<number[]>; end(): void } | { why: string };

async function torchPeer(rows: Float32Array): Promise<Peer> {
  const python = process.env.SAELAB_PEER_PYTHON;
  if (!python) return { why: "SAELAB_PEER_PYTHON names no Python with torch" };
  const folder = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  writeFileSync(join(folder, "rows.f32"), new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
  const { d, latents, k, batch } = SETTING;
  const script = join(__dirname, "../../../test/bench/torch_step.py");
  const child = spawn(python, [script, join(folder, "rows.f32"), ...[d, latents, k, batch].map(String)], { stdio: ["pipe", "pipe", "inherit"] });
  const died = new Promise<undefined>((resolve) => {
    child.once("exit", () => resolve(undefined));
    child.once("error", () => resolve(undefined));
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (): Promise<string | undefined> => (await Promise.race([lines.next(), died]))?.value;
  const first = await line();
  rmSync(folder, { recursive: true, force: true });
  if (!first?.startsWith("ready ")) return { why: `${python} did not run torch_step.py` };
  return {
    version: first.slice("ready ".length),
    async steps(n) {
      child.stdin.write(`${n}\n`);
      const answer = await line();
      if (!answer) throw new Error("torch_step.py ended early");
      return answer.split(" ").map(Number);
    },
    end: () => child.stdin.end(),
  };
}
