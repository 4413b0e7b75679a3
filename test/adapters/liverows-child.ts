import { modelRows, type ModelRowsOptions } from "../../src/adapters/liverows";
import { fakeDocuments, fakeModel } from "./fake-model";

export const HOOKS = ["layers.2.mlp", "layers.1"];
export const DOCUMENTS = fakeDocuments(150);
export const OPTIONS: ModelRowsOptions = { context: 24, batchTokens: 96, buffer: 300 * 64 }; // 300 rows of two hooks of 8 numbers

/** A run with its buffer on disk, for liverows.test.ts to kill: `node liverows-child.js <folder>`. Prints its state after 500 rows, uses 300 more and stands still. */
async function childRun(folder: string): Promise<void> {
  const source = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, { ...OPTIONS, on: "disk", folder });
  for (let i = 0; i < 5; i++) await source.next(100);
  const { json, arrays } = source.state();
  const printed = JSON.stringify({ json, documents: [...arrays.documents] });
  await source.next(300);
  setInterval(() => {}, 1e6); // keeps the process
  process.stdout.write(`${printed}\n`);
}

if (require.main === module) void childRun(process.argv[2]);
