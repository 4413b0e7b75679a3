import { collect } from "../../src/adapters/collect";
import { synthetic } from "./synthetic";

/**
 * The collection that collectresume.test.ts kills: `node collect-child.js <folder> [moment]`. It kills itself at a moment: "encode 5" is its
 * fifth call of the encoder, "examples" when the first of them are written. It says "begun" at the first encode, and at its end how many
 * calls there were.
 */
export const SHARD_ROWS = 300;

if (require.main === module) {
  const [folder, moment] = process.argv.slice(2);
  const { store, sae } = synthetic();
  let calls = 0;
  const encode = (x: Float32Array) => {
    if (!calls++) console.log("begun");
    if (moment === `encode ${calls}`) process.kill(process.pid, "SIGKILL");
    return sae.encode(x);
  };
  const progress = ({ stage }: { stage: string }): void => {
    if (stage === "collect: examples" && moment === "examples") process.kill(process.pid, "SIGKILL");
  };
  collect(store, { ...sae, encode }, { folder, shardRows: SHARD_ROWS, progress }).then(
    (features) => {
      features.close();
      console.log(`done after ${calls} calls`);
    },
    (error: Error) => {
      console.error(`${error.name}: ${error.message}`);
      process.exitCode = 1;
    },
  );
}
