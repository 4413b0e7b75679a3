import { readFileSync } from "node:fs";
import { trainSaes, type SaeOptions, type SharedOptions } from "../src/adapters/train";
import { random } from "../src/core/random";
import { memoryStore } from "./planted";

/**
 * A training in a process of its own, whose peak of memory its parent wants to know: node memorychild.js '{ "d": …, "rows": …, "saes": […],
 * "shared": {…} }'. Prints bytes as JSON: the most of what is resident and is no file's, and the most dead latents before a step.
 */
export interface MemoryRun {
  d: number;
  rows: number;
  saes: SaeOptions[];
  shared: SharedOptions;
}

const status = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? NaN) * 1024;

async function main(): Promise<void> {
  const { d, rows, saes, shared } = JSON.parse(process.argv[2]) as MemoryRun;
  const rng = random(1);
  const x = Float32Array.from({ length: rows * d }, () => rng.uniform() - 0.5);
  const store = memoryStore(x, d);
  const begun = status("RssAnon");
  let dead = 0, before = 0;
  await trainSaes(store, saes.map((one, i): SaeOptions => (i ? one : { ...one, onPoint: (point) => {
    dead = Math.max(dead, before);
    before = Math.round(point.dead * one.latents);
  } })), shared);
  process.stdout.write(`${JSON.stringify({ peak: status("VmHWM") - status("RssFile") - begun, dead })}\n`);
}

if (require.main === module) main().catch((error: Error) => {
  console.error(error);
  process.exitCode = 1;
});
