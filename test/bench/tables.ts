import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportTable } from "../../src/adapters/exports";
import { compareFeatures, nearestFeatures } from "../../src/adapters/similarity";
import { saeOf } from "../../src/adapters/sae";
import { dataFrame } from "../../src/adapters/table";
import { kernels, tensorflow } from "../../src/adapters/tensorflow";
import { random } from "../../src/core/random";
import type { Sae } from "../../src/core/types";

/**
 * Tables of many latents and neighbours across SAEs. The physical limit of neighbours is the product of the two decoders alone, in the same blocks, nothing kept
 * of it. "small": 16,384 latents of width 576; "whole": 65,536 of width 1,536 (some ten minutes on two cores, 2 GB).
 */
const SIZES = { small: { F: 16_384, d: 576 }, whole: { F: 65_536, d: 1_536 } };
const ROWS = 65_536; // of the table

const seconds = async (work: () => unknown): Promise<number> => {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
};

const decoder = (F: number, d: number, seed: number): Sae => {
  const rng = random(seed);
  const wDec = new Float32Array(F * d);
  for (let i = 0; i < wDec.length; i++) wDec[i] = rng.uniform() - 0.5;
  return saeOf({ d, latents: F, k: 32, wEnc: wDec, bEnc: new Float32Array(F), wDec, bDec: new Float32Array(d) });
};

function product(a: Sae, b: Sae): void {
  const engine = tensorflow();
  const K = kernels(engine);
  const { d, latents: F } = a.weights;
  const rows = Math.max(1, Math.floor(2 ** 24 / F));
  const held = engine.lasting(b.weights.wDec, [F, d]);
  for (let from = 0; from < F; from += rows) {
    const n = Math.min(rows, F - from);
    engine.tidy(() => engine.floats(K.max(K.matMul(engine.tensor(a.weights.wDec.subarray(from * d, (from + n) * d), [n, d]), held, { transposeB: true }), 1)));
  }
  engine.free(held);
}

export async function benchTables({ setting = "small" }: { setting?: string } = {}): Promise<object> {
  if (!(setting in SIZES)) throw new Error(`--setting: expected small or whole, found ${setting}`);
  const { F, d } = SIZES[setting as keyof typeof SIZES];
  const [a, b] = [decoder(F, d, 1), decoder(F, d, 2)];
  product(a, b); // warm
  const limit = await seconds(() => product(a, b));
  const nearest = await seconds(() => nearestFeatures(a, b));
  const compared = await seconds(() => compareFeatures(a, b));
  const rng = random(0);
  const rows = Array.from({ length: ROWS }, (_, f) => [f, rng.uniform() / 100, Math.fround(rng.uniform()), Math.fround(9 * rng.uniform()), Math.fround(8 * rng.uniform()), f % 100, ' wait no, "but" é', f % 3 ? NaN : Math.fround(rng.uniform()), f % 2 ? "" : `label ${f}`]);
  const columns = ["latent", "density", "mean", "max", "entropy", "distinct", "tokens", "AUROC backtracking", "label"];
  let table = dataFrame(rows.slice(0, 10), columns);
  const made = await seconds(() => (table = dataFrame(rows, columns)));
  const sorted = await seconds(() => table.sortValues("AUROC backtracking", { ascending: false }));
  const folder = mkdtempSync(join(tmpdir(), "saelab-bench-tables-"));
  try {
    const files: Record<string, { seconds: number; megabytes: number }> = {};
    for (const ending of ["csv", "json", "parquet"]) {
      const file = join(folder, `table.${ending}`);
      const took = await seconds(() => exportTable(table, file));
      files[ending] = { seconds: Number(took.toFixed(2)), megabytes: Number((statSync(file).size / 1e6).toFixed(1)) };
    }
    const round = (value: number): number => Number(value.toFixed(2));
    return {
      bench: "tables", latents: F, width: d, productSeconds: round(limit), nearestSeconds: round(nearest), compareSeconds: round(compared), shareOfProduct: round(limit / nearest),
      rows: ROWS, frameSeconds: round(made), sortSeconds: round(sorted), files,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
