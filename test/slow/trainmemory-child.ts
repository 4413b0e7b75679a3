import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { trainSae } from "../../src/adapters/train";
import { CHECKPOINT } from "../../src/adapters/trainstate";
import { memoryStore, planted } from "../planted";

/**
 * A training whose process may not grow by more than so many megabytes after its first step: node trainmemory-child.js 450 folder.
 * Latents are dead from then on, and AuxK asks for a gigabyte. Prints what came of it as JSON on its last line.
 */
const [spare, folder] = process.argv.slice(2);
const d = 32, batch = 2048;

async function main(): Promise<void> {
  const store = memoryStore(planted({ d, rows: 9000, directions: 40, active: 3 }).rows, d);
  let kept: number[] = [];
  const { card, curve } = await trainSae(store, {
    latents: 16384, k: 8, tokens: 4 * batch, batch, device: "cpu", step: "stock", evaluate: false, folder, checkpoint: { steps: 1000 },
    onPoint({ step }) {
      if (step === 1 && spare) {
        const size = 4096 * Number(readFileSync("/proc/self/statm", "latin1").split(" ")[0]);
        execFileSync("prlimit", ["--pid", `${process.pid}`, `--as=${size + 1e6 * Number(spare)}`]);
      } else if (step === 3 && spare) {
        kept = JSON.parse(readFileSync(join(folder, "checkpoint", CHECKPOINT), "utf8")).generations.map((one: { step: number }) => one.step);
      }
    },
  });
  process.stdout.write(`\n${JSON.stringify({ warnings: card.warnings, rowsAtOnce: card.rowsAtOnce, kept, fvu: curve!.map(({ fvu }) => fvu) })}\n`);
}

if (require.main === module) void main();
