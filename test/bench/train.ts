import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { choiceFor, machine } from "../../src/adapters/choice";
import { fusedOps, fusedStep } from "../../src/adapters/fusedstep";
import { freshState, stockStep, type Step } from "../../src/adapters/step";
import { kernels, tensorflow } from "../../src/adapters/tensorflow";
import { random } from "../../src/core/random";
import { planted } from "../planted";

/**
 * Times the stock and the fused training step beside the bare encoder product [B, d]·[d, F] in float32, the least that any dense encoder must do, in turns, so that other work
 * on the machine hits both alike. With a Python that has torch in SAELAB_PEER_PYTHON, a hand-tuned PyTorch step takes its turns too (torch_step.py).
 * Medians; processor time (all cores) beside the clock's, as it does not grow with what else runs.
 */
const SETTINGS = {
  A: { d: 128, latents: 4096, k: 16, batch: 2048 },
  B: { d: 576, latents: 9216, k: 32, batch: 2048 },
  C: { d: 1536, latents: 32768, k: 32, batch: 1024 },
};
const TURN = 3; // steps a turn
const BATCHES = 8;

const TURNS = ["fused", "stock", "product", "peer"] as const;
type Turn = (typeof TURNS)[number];

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
  const ops = fusedOps(engine);
  const choice = await choiceFor(engine, sizes);
  const steps: Partial<Record<Turn, Step>> = { stock: stockStep(engine, initial, choice) };
  const any = "id" in ops ? await choiceFor(engine, sizes, undefined, ops.id) : choice;
  if ("id" in ops) steps.fused = fusedStep(engine, initial, any.step === "fused" ? any : undefined);
  const rowsOf = (i: number): Float32Array => rows.slice((i % BATCHES) * batch * d, (i % BATCHES + 1) * batch * d);
  const weights = engine.tensor(noise, [latents, d]);
  const record = (): Record<Turn, number[]> => ({ fused: [], stock: [], product: [], peer: [] });
  const wall = record(), cpu = record();
  const timed = (what: Turn, counted: boolean, body: () => void): void => {
    const before = process.cpuUsage(), begun = performance.now();
    body();
    const ms = performance.now() - begun;
    const { user, system } = process.cpuUsage(before);
    if (!counted) return;
    wall[what].push(ms);
    cpu[what].push((user + system) / 1000);
  };
  const peer = await torchPeer(rows, sizes);
  for (let round = 0; round <= rounds; round++) {
    const counted = round > 0; // the first warms up
    for (const what of ["fused", "stock"] as const) {
      for (let i = 0; steps[what] && i < TURN; i++) {
        const x = rowsOf(round * TURN + i);
        timed(what, counted, () => steps[what]!.update(x, { learningRate: 1e-3 }));
      }
    }
    const x = engine.tensor(rowsOf(0), [batch, d]);
    for (let i = 0; i < TURN; i++) timed("product", counted, () => engine.tidy(() => void K.matMul(x, weights, { transposeB: true })));
    engine.free(x);
    if ("steps" in peer) {
      const answer = await peer.steps(TURN);
      if (counted) wall.peer.push(...answer.slice(0, TURN));
      if (counted) cpu.peer.push(...answer.slice(TURN));
    }
  }
  if ("end" in peer) peer.end();
  for (const step of Object.values(steps)) step.dispose();
  engine.free(weights);
  const bare = median(wall.product);
  const figures = (what: Turn) => {
    if (!wall[what].length) return undefined;
    const ms = median(wall[what]);
    return {
      msPerStep: round(ms), tokensPerSecond: Math.round((batch / ms) * 1000), timesBareProduct: round(ms / bare),
      cpuMsPerStep: round(median(cpu[what])), timesBareProductCpu: round(median(cpu[what]) / median(cpu.product)),
      ...(wall.peer.length ? { speedOverPeer: round(median(wall.peer) / ms) } : {}),
    };
  };
  return {
    bench: "train", setting, machine: machine(engine), ...sizes,
    fused: steps.fused ? { ...figures("fused"), choice: steps.fused.choice } : { skipped: "why" in ops ? ops.why : "" }, stock: { ...figures("stock"), choice },
    bareProductMs: round(bare), bareProductCpuMs: round(median(cpu.product)),
    peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
    peer: "steps" in peer
      ? { name: `hand-tuned PyTorch ${peer.version}`, msPerStep: round(median(wall.peer)), cpuMsPerStep: round(median(cpu.peer)) }
      : { skipped: peer.why },
  };
}

const median = (values: number[]): number => values.slice().sort((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value: number): number => Number(value.toPrecision(3));

/** `steps` gives the milliseconds of n steps by the clock, then by the processor. */
type Peer = { version: string; steps(n: number): Promise<number[]>; end(): void } | { why: string };

async function torchPeer(rows: Float32Array, { d, latents, k, batch }: (typeof SETTINGS)["A"]): Promise<Peer> {
  const python = process.env.SAELAB_PEER_PYTHON;
  if (!python) return { why: "SAELAB_PEER_PYTHON names no Python with torch" };
  const folder = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  writeFileSync(join(folder, "rows.f32"), new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
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
