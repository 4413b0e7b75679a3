import { execFile } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { inChild } from "./collectchild";
import { writeStore } from "./collectstore";

/** SaeVisRunner beside `collect`: a tiny model's rows, 128,000 tokens, and SAEs of which SAEDashboard makes 256 and 1,024 features. */
const SIZES: Record<string, { latents: number; seqs: number; features: number[] }[]> = {
  quick: [{ latents: 4096, seqs: 250, features: [64, 256] }],
  small: [{ latents: 4096, seqs: 2000, features: [256, 1024] }],
  issue: [{ latents: 4096, seqs: 2000, features: [256, 1024] }, { latents: 65_536, seqs: 2000, features: [256, 1024] }],
};
const [D, K, CONTEXT] = [64, 16, 64];

interface Spent {
  wall: number;
  cpu: number;
  peak: number;
}

/**
 * CPU seconds of both on the same SAE, tokens and machine. Ours has all latents, with everything that `collect` finds, and the pass of the
 * model that made the rows (in PyTorch) is added to it; theirs has as many features as it says, each 256 of which are a pass of their own.
 * Extrapolated: only `allLatents`, a line through its two measured numbers of features, at as many as the SAE has.
 */
export async function dashboard(python: string, root: string, setting: string): Promise<object[]> {
  const found: object[] = [];
  for (const { latents, seqs, features } of SIZES[setting]) {
    const folder = join(root, `dashboard-${latents}`);
    const script = join(__dirname, "..", "..", "..", "test", "bench", "dashboard.py");
    const sizes = { latents, d: D, k: K, seqs, ctx: CONTEXT };
    const { stdout } = await promisify(execFile)(python, [script, folder, ...Object.entries(sizes).flatMap(([name, value]) => [`--${name}`, `${value}`]), "--features", ...features.map(String)], { maxBuffer: 2 ** 24 });
    const [{ pass, ...versions }, ...theirs] = stdout.trim().split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)) as [{ pass: Spent } & Record<string, unknown>, ...(Spent & { features: number })[]];

    const rows = seqs * CONTEXT;
    const bytes = readFileSync(join(folder, "tokens.i32"));
    const ids = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const file = openSync(join(folder, "rows.f32"), "r");
    await writeStore(join(folder, "store"), { rows, d: D }, CONTEXT, ids, (from, to) => {
      const x = new Float32Array((to - from) * D);
      readSync(file, new Uint8Array(x.buffer), 0, x.byteLength, from * D * 4);
      return x;
    });
    closeSync(file);
    const ours = await inChild<Spent & { alive: number }>({ do: "collect", store: join(folder, "store"), sae: join(folder, "sae"), folder: join(folder, "features") });
    const [a, b] = [theirs[0], theirs.at(-1)!];
    const each = (b.cpu - a.cpu) / (b.features - a.features);
    const cpu = ours.cpu + pass.cpu;
    const to = (value: number): number => Number(value.toPrecision(3));
    found.push({
      ...versions, latents, d: D, k: K, tokens: rows,
      ours: { features: latents, alive: ours.alive, cpu: to(cpu), ofWhichThePass: pass.cpu, cpuMsPerFeature: to((1000 * cpu) / latents), peakMB: Math.round(ours.peak) },
      theirs: theirs.map((one) => ({ features: one.features, cpu: one.cpu, cpuMsPerFeature: to((1000 * one.cpu) / one.features), peakMB: one.peak })),
      timesLessPerFeature: theirs.map((one) => to(one.cpu / one.features / (cpu / latents))),
      timesLessWithoutThePass: theirs.map((one) => to(one.cpu / one.features / (ours.cpu / latents))),
      timesLessInAll: theirs.map((one) => to(one.cpu / cpu)),
      allLatents: { extrapolated: true, theirCpu: to(a.cpu + each * (latents - a.features)), timesLess: to((a.cpu + each * (latents - a.features)) / cpu) },
    });
  }
  return found;
}
