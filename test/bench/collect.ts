import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inChild, type Size } from "./collectchild";
import { plantedStore } from "./collectstore";
import { dashboard } from "./dashboard";

/** quick: some ten seconds; small: the issue's SAE over 32,768 tokens, a minute or two; issue: over 1M tokens, half an hour and more. */
const SETTINGS: Record<string, Size> = {
  quick: { latents: 16_384, d: 128, k: 32, rows: 65_536 },
  small: { latents: 65_536, d: 576, k: 32, rows: 32_768 },
  issue: { latents: 65_536, d: 576, k: 32, rows: 2 ** 20 },
};
const ALONE_ROWS = 16_384;

interface Collected {
  wall: number;
  cpu: number;
  encoding: { wall: number; cpu: number };
  encoded: { wall: number; cpu: number };
  peak: number;
  rows: number;
  alive: number;
  pairs: number;
  kept: number;
  files: { codes: number; examples: number };
}

const to = (digits: number, value: number): number => Number(value.toFixed(digits));

/**
 * What `collect` costs over the encoder alone: the calls of the encoder within a collection are timed (by the clock, and all threads' CPU),
 * all else is what collecting adds; nothing is extrapolated. Peak memory of the process, and that of one that only encodes some rows with
 * the same SAE: the difference is held against 1.2 × (latents × examples kept × 16 bytes + their contexts once) + 300 MB. Then, in fresh
 * processes: opening, the heat map of the first 20 latents, and the cards of 40. With SAELAB_DASHBOARD_PYTHON, a Python that has
 * sae-dashboard: its SaeVisRunner beside `collect` on the same SAE and tokens.
 */
export async function benchCollect({ setting = "quick", rounds = 3 }: { setting?: string; rounds?: number } = {}): Promise<object> {
  const size = SETTINGS[setting];
  if (!size) throw new Error(`--setting: expected ${Object.keys(SETTINGS).join(", ")}, found ${setting}`);
  const root = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  try {
    const store = join(root, "store");
    await plantedStore(store, size);
    const alone = await inChild<{ wall: number; cpu: number; peak: number }>({ do: "encode", store, sae: size, rows: Math.min(size.rows, ALONE_ROWS) });
    const folder = join(root, "features");
    const all = await inChild<Collected>({ do: "collect", store, sae: size, folder });
    const opens: Record<"opened" | "shown" | "bytes" | "firstCard" | "card" | "slowestCard" | "peak", number>[] = [];
    for (let round = 0; round < rounds; round++) opens.push(await inChild({ do: "open", folder }));
    const median = (key: keyof (typeof opens)[0]): number => to(1, opens.map((one) => one[key]).sort((a, b) => a - b)[opens.length >> 1]);
    const bound = (1.2 * (size.latents * all.kept * 16 + all.files.examples)) / 2 ** 20 + 300;
    rmSync(store, { recursive: true });
    const peers = process.env.SAELAB_DASHBOARD_PYTHON ? await dashboard(process.env.SAELAB_DASHBOARD_PYTHON, root, setting) : undefined;
    return {
      bench: "collect", setting, ...size, alive: all.alive, partnersOfTheFirst200: all.pairs,
      costOverEncoding: { wall: to(3, all.wall / all.encoding.wall - 1), cpu: to(3, all.cpu / all.encoding.cpu - 1), whileEncoding: to(3, all.encoded.cpu / all.encoding.cpu - 1) },
      seconds: { wall: to(1, all.wall), encoding: to(1, all.encoding.wall), cpu: to(1, all.cpu), encodingCpu: to(1, all.encoding.cpu), turningOver: to(1, all.wall - all.encoded.wall) },
      encoderAloneMicroseconds: { wall: to(1, (1e6 * alone.wall) / Math.min(size.rows, ALONE_ROWS)), cpu: to(1, (1e6 * alone.cpu) / Math.min(size.rows, ALONE_ROWS)) },
      memoryMB: { peak: to(0, all.peak), encoding: to(0, alone.peak), grown: to(0, all.peak - alone.peak), bound: to(0, bound) },
      filesMB: { codes: to(1, all.files.codes / 1e6), examples: to(1, all.files.examples / 1e6) },
      openMs: { open: median("opened"), withHeatMap: median("shown"), firstCard: median("firstCard"), card: median("card"), slowestCard: median("slowestCard"), memoryMB: median("peak") },
      ...(peers && { dashboard: peers }),
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
