import { harvest } from "../../src/adapters/harvest";
import { fakeDocuments, fakeModel } from "./fake-model";

/** The run that harvest.test.ts kills: `node harvest-child.js <folder>`. Slow enough to be met in its middle. */
export const childRun = (folder: string, delay: number) =>
  harvest(fakeModel({ delay }), fakeDocuments(300), { hooks: ["layers.1", "layers.1.mlp"], folder, context: 32, batchTokens: 64, shardRows: 512 });

if (require.main === module) void childRun(process.argv[2], 8);
