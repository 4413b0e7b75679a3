import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openStore } from "../../src/adapters/store";
import { trainSae, type TrainOptions } from "../../src/adapters/train";
import { openWebGpu } from "../../src/adapters/webgpu";
import { CHECKPOINT } from "../../src/adapters/trainstate";
import type { Sae } from "../../src/core/types";

/**
 * A training through WebGPU in a process of its own: node webgputrain-child.js '{ "store": …, "options": …, "lose": true }'. With
 * `lose` the device is taken away once there is a checkpoint; then it says how that ended, and goes on. Says "begun" at its first step, "done" at the end.
 */
interface Asked { store: string; options: TrainOptions & { folder: string }; lose?: boolean }

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const { store: path, options, lose } = JSON.parse(process.argv[2]) as Asked;
  const store = await openStore(path);
  if (lose) {
    let watching = true;
    const manifest = join(options.folder, "checkpoint", CHECKPOINT);
    const kept = (): boolean => existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).generations.length > 0;
    const watch = (): void => {
      if (kept()) void openWebGpu().then(({ device }) => device.destroy());
      else if (watching) setImmediate(watch);
    };
    watch();
    const error = await trainSae(store, options).then(() => undefined, (thrown: Error & { sae?: Sae }) => thrown);
    watching = false;
    say(JSON.stringify({ name: error?.name, message: error?.message, sae: error?.sae?.card.steps }));
  }
  let told = false;
  await trainSae(store, { ...options, ...(lose ? { resume: true } : {}), progress: () => {
    if (!told) say("begun");
    told = true;
  } });
  say("done");
}

if (require.main === module) main().catch((error: Error) => {
  console.error(error);
  process.exitCode = 1;
});
