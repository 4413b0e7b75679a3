import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
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

const shared = { batch: 64, seed: 4, checkpoint: { steps: 20 } };
const kinds = [{ latents: 96, k: 3 }, { latents: 64, k: 4, learningRate: 0.004, seed: 9 }];

/**
 * Kills trainings of two SAEs so many times, at random moments, and goes on from their checkpoint after each; those that come to
 * their end before are followed by another. Asserts of each the weights, curves and logs of one that nobody disturbed.
 * @param span milliseconds that a process lives at most after its first batch
 */
export async function killAndGoOn(kills: number, seed: number, { steps = 700, span = 400 } = {}): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "saelab-kill-"));
  const cache = join(scratch, "cache");
  const rng = random(seed);
  const train = (name: string, resume?: true | "auto", kill?: number): Promise<boolean> => trainInChild(
    kinds.map((kind, i) => ({ ...kind, folder: join(scratch, name, `${i}`), log: join(scratch, name, `${i}.jsonl`) })),
    { ...shared, tokens: steps * shared.batch, resume, checkpoint: { ...shared.checkpoint, folder: join(scratch, name, "checkpoint") } }, cache, kill);
  const compare = (name: string, lives: number): void => {
    const files = (run: string, i: number) => {
      const read = (file: string) => readFileSync(join(scratch, run, file));
      return { weights: read(`${i}/sae.safetensors`), log: read(`${i}.jsonl`).toString(), saved: JSON.parse(read(`${i}/saelab.json`).toString()) };
    };
    for (const i of kinds.keys()) {
      const [want, got] = [files("whole", i), files(name, i)];
      assert.ok(want.weights.equals(got.weights), `weights of SAE ${i}`);
      assert.deepEqual(got.saved.curve, want.saved.curve);
      assert.equal(got.log, want.log);
      const { seconds: _, resumed = [], ...card } = got.saved.card;
      assert.ok(resumed.length <= lives, `went on ${resumed.length} times in ${lives} lives`);
      const { seconds: _seconds, ...whole } = want.saved.card;
      assert.deepEqual(card, whole);
    }
    assert.ok(!existsSync(join(scratch, name, "checkpoint")), "the checkpoint is gone");
  };
  try {
    assert.ok(await train("whole"));
    for (let killed = 0, run = 0; killed < kills; run++) {
      const name = `killed-${run}`;
      let lives = 1;
      while (killed < kills && !(await train(name, "auto", rng.below(span)))) {
        killed++;
        lives++;
      }
      if (killed === kills) assert.ok(await train(name, true));
      compare(name, lives);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
