import { appendFileSync, existsSync } from "node:fs";
import { cpus, release } from "node:os";
import path from "node:path";
import { execFileSync } from "node:child_process";
import { packageRoot } from "../../src/adapters/package";
import { benchBrowser } from "./browser";
import { benchCollect } from "./collect";
import { benchGpu } from "./gpu";
import { benchHarvest } from "./harvest";
import { benchKernel } from "./kernel";
import { benchMixing } from "./mixing";
import { benchModel } from "./model";
import { benchOnePass } from "./onepass";
import { benchPortable } from "./portable";
import { benchQuality } from "./quality";
import { benchSaes } from "./saes";
import { benchScores } from "./scores";
import { benchTables } from "./tables";
import { benchTrain } from "./train";

/**
 * npm run bench [-- train quality harvest collect kernel model mixing onepass saes scores tables browser gpu portable] [--record] [--rounds=N] [--peers] [--setting=A] [--seed=0]: one JSON line each. Ours and
 * its physical limit (kernel and model: their peers) take turns in one run, so that the share travels from machine to machine although the rates do not. --record appends a
 * row to RESULTS.md; --rounds is the kernel's (30, some eight minutes), the model's (5, some five), training's (15), onepass' (3) and those of saes (7); --setting is training's:
 * A, B, C or (for a card) D, quality's: planted or real, that of scores and tables: small or whole, collect's: quick, small or issue, browser's: quick or issue, gpu's: D, B or T, portable's: small, A or B; --seed is quality's; --peers installs the model's peer first (1 GB).
 */
const BENCHES: Record<string, (options: { rounds?: number; peers?: boolean; setting?: string; seed?: number }) => Promise<object>> = {
  train: benchTrain, quality: benchQuality, harvest: () => benchHarvest(), collect: benchCollect, kernel: benchKernel, model: benchModel, mixing: benchMixing,
  onepass: benchOnePass, saes: benchSaes, scores: benchScores, tables: benchTables, browser: benchBrowser, gpu: benchGpu, portable: benchPortable,
};

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  const names = words.filter((word) => !word.startsWith("--"));
  const unknown = names.filter((name) => !(name in BENCHES));
  if (unknown.length) throw new Error(`expected ${Object.keys(BENCHES).join(", ")}, found ${unknown.join(", ")}`);
  const given = (name: string): string | undefined => words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
  const rounds = given("rounds"), seed = given("seed");
  if (rounds !== undefined && !(Number(rounds) >= 1)) throw new Error(`--rounds: expected a number of at least 1, found ${rounds}`);
  if (seed !== undefined && !/^\d+$/.test(seed)) throw new Error(`--seed: expected a whole number, found ${seed}`);
  for (const name of names.length ? names : Object.keys(BENCHES)) {
    const result = await BENCHES[name]({ rounds: rounds === undefined ? undefined : Number(rounds), peers: words.includes("--peers"), setting: given("setting"), seed: seed === undefined ? undefined : Number(seed) });
    const line = JSON.stringify(result);
    console.log(line);
    if (words.includes("--record")) record(name, line);
  }
}

function record(name: string, line: string): void {
  const file = path.join(packageRoot, "test", "bench", "RESULTS.md");
  const head = "# Results\n\nOne row a run of `npm run bench -- --record`. Only shares compare between machines.\n\n| date | commit | machine | bench | result |\n|---|---|---|---|---|\n";
  const commit = execFileSync("git", ["-C", packageRoot, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  const machine = `${cpus()[0]?.model.trim()} × ${cpus().length}, Linux ${release().split("-")[0]}, Node ${process.versions.node}`;
  appendFileSync(file, `${existsSync(file) ? "" : head}| ${new Date().toISOString().slice(0, 10)} | ${commit} | ${machine} | ${name} | \`${line}\` |\n`);
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
