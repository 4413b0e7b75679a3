import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { random } from "../src/core/random";

/** Trainings that are killed at random moments, and must end in the bits of one that was not. */

const CHILD = join(__dirname, "trainchild.js");

/**
 * @param kill milliseconds after the first batch when the process is killed; never by default
 * @returns whether it came to its end
 */
export function trainInChild(saes: object[], shared: object, cache: string, kill?: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CHILD, JSON.stringify({ saes, shared })], {
      env: { ...process.env, XDG_CACHE_HOME: cache }, stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "", err = "";
    child.stderr.on("data", (piece) => (err += piece));
    child.stdout.on("data", (piece) => {
      const before = out;
      out += piece;
      if (kill !== undefined && !before.includes("begun") && out.includes("begun")) setTimeout(() => child.kill("SIGKILL"), kill);
    });
    child.on("close", (code, signal) => {
      if (code === 0 && out.includes("done")) resolve(true);
      else if (signal === "SIGKILL" && kill !== undefined) resolve(false);
      else reject(new Error(`code ${code}, signal ${signal}: ${err}`));
    });
  });
}

const steps = 1500;
const shared = { tokens: steps * 64, batch: 64, seed: 4, checkpoint: { steps: 10 } };
const kinds = [{ latents: 96, k: 3 }, { latents: 64, k: 4, learningRate: 0.004, seed: 9 }];

/**
 * Kills a training of two SAEs `kills` times, at random moments, going on from its checkpoint after each; then lets it end.
 * Asserts the weights, curves and logs of a training that nobody disturbed, and that nothing is left behind.
 * @param span milliseconds that a process lives at most after its first batch
 */
export async function killAndGoOn(kills: number, seed: number, span = 700): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "saelab-kill-"));
  const cache = join(scratch, "cache");
  const rng = random(seed);
  const saes = (name: string) => kinds.map((kind, i) => ({ ...kind, folder: join(scratch, name, `${i}`), log: join(scratch, name, `${i}.jsonl`) }));
  try {
    assert.ok(await trainInChild(saes("whole"), { ...shared, checkpoint: { ...shared.checkpoint, folder: join(scratch, "whole", "checkpoint") } }, cache));
    const there = { ...shared, checkpoint: { ...shared.checkpoint, folder: join(scratch, "killed", "checkpoint") } };
    let ended = false;
    for (let life = 0; life < kills && !ended; life++) ended = await trainInChild(saes("killed"), { ...there, resume: "auto" }, cache, rng.below(span));
    assert.ok(!ended, "it came to its end before it was killed often enough: give it less time");
    assert.ok(await trainInChild(saes("killed"), { ...there, resume: true }, cache));
    const files = (name: string, i: number) => {
      const read = (file: string) => readFileSync(join(scratch, name, file));
      return { weights: read(`${i}/sae.safetensors`), log: read(`${i}.jsonl`).toString(), card: JSON.parse(read(`${i}/saelab.json`).toString()) };
    };
    for (const i of kinds.keys()) {
      const [want, got] = [files("whole", i), files("killed", i)];
      assert.ok(want.weights.equals(got.weights), `weights of SAE ${i}`);
      assert.deepEqual(got.card.curve, want.card.curve);
      assert.equal(got.log, want.log);
      assert.ok(got.card.card.resumed.length <= kills);
      assert.equal(want.card.card.resumed, undefined);
      for (const name of ["seconds", "resumed"]) for (const { card } of [want.card, got.card]) delete card[name];
      assert.deepEqual(got.card, want.card);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
