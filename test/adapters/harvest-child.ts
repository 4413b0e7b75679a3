import { harvest } from "../../src/adapters/harvest";
import { fakeDocuments, fakeModel } from "./fake-model";

/** The run that harvest.test.ts kills or starves of disk: `node harvest-child.js <folder> [rows a shard]`. Slow enough to be met in its middle. */
export const childRun = (folder: string, delay: number, shardRows = 512) =>
  harvest(fakeModel({ delay }), fakeDocuments(300), { hooks: ["layers.1", "layers.1.mlp"], folder, context: 32, batchTokens: 64, shardRows });

if (require.main === module) {
  const [folder, shardRows] = process.argv.slice(2);
  childRun(folder, 8, shardRows ? Number(shardRows) : undefined).catch((error: Error) => {
    console.error(`${error.name}: ${error.message}`);
    process.exitCode = 1;
  });
}
