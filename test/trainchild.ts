import { trainSaes, type SaeOptions, type SharedOptions } from "../src/adapters/train";
import { memoryStore, planted } from "./planted";

/**
 * A training in a process of its own, which its parent kills: node trainchild.js '{ "saes": […], "shared": {…} }'. Says "begun" before
 * the first batch, and "done" at the end.
 */
const d = 16;
export const childStore = () => memoryStore(planted({ d, rows: 4000, directions: 40, active: 3 }).rows, d);

async function main(): Promise<void> {
  const { saes, shared } = JSON.parse(process.argv[2]) as { saes: SaeOptions[]; shared: SharedOptions };
  let told = false;
  await trainSaes(childStore(), saes, {
    ...shared,
    progress: () => {
      if (!told) process.stdout.write("begun\n");
      told = true;
    },
  });
  process.stdout.write("done\n");
}

if (require.main === module) main().catch((error: Error) => {
  console.error(error);
  process.exitCode = 1;
});
