import { join } from "node:path";
import { modelRows } from "../../src/adapters/liverows";
import { openModel } from "../../src/adapters/open";
import { readTexts } from "../../src/adapters/texts";
import { cutContexts } from "../../src/core/batches";
import { bufferShare, mixing } from "../../src/core/mixing";
import type { Model } from "../../src/core/types";

const ROOT = join(__dirname, "..", "..", "..");
const BATCH = 1024;
const BUFFERS = [2 ** 12, 2 ** 13, 2 ** 14, 2 ** 15, 2 ** 16, 2 ** 17, 2 ** 18];
const BATCHES = 200; // 10⁸ pairs of rows

/** The same tokens and lengths, and one number a row that costs nothing: where a row comes from does not depend on what is in it. */
function withoutWork(model: Model): Model {
  const hook = model.hook("layers.0");
  return {
    ...model,
    hook: () => hook,
    hooks: () => [{ ...hook, width: 1, shape: "[tokens, 1]" }],
    run: async (batch) => ({ [hook.name]: new Float32Array((batch as ArrayLike<number>[]).reduce((sum, { length }) => sum + length, 0)) }),
  };
}

/**
 * How well a buffer mixes documents: the share of pairs of rows in a batch of 1,024 that come from one document, against a full shuffle of all
 * rows and against what theory says, by rows of the buffer. `relatives`: how many rows of a batch a row shares its document with, on average.
 * Of data/reasoning and tiny-reasoner's tokens; SAELAB_BENCH_MODEL and SAELAB_BENCH_TEXTS name others.
 */
export async function benchMixing(): Promise<object> {
  const folder = process.env.SAELAB_BENCH_MODEL ?? join(ROOT, "data", "tiny-reasoner");
  const texts = process.env.SAELAB_BENCH_TEXTS ?? join(ROOT, "data", "reasoning", "corpus.jsonl");
  const model = await openModel(folder);
  try {
    const documents = await readTexts(texts);
    const lengths = documents.map(({ text }) => model.tokenizer.encode(text).ids.length);
    const contexts = cutContexts(lengths, 512).map(({ length }) => length);
    const rows = lengths.reduce((a, b) => a + b, 0);
    const found: object[] = [];
    for (const buffer of BUFFERS) {
      if (buffer > rows / 2) break;
      const source = await modelRows(withoutWork(model), documents, ["layers.0"], 0, { context: 512, buffer: buffer * 4, dropFirst: false, dropNorm: false });
      const batches: Int32Array[] = [];
      for (let i = 0; i < 2 * buffer / BATCH; i++) await source.next(BATCH); // then rows have waited for as long as they will
      for (let i = 0; i < BATCHES; i++) {
        await source.next(BATCH);
        batches.push(source.documents());
      }
      await source.close();
      const { share, ideal } = mixing(batches, lengths);
      found.push({
        buffer, share: round(share), timesIdeal: round(share / ideal), predicted: round(bufferShare(contexts, buffer)), relatives: round(share * (BATCH - 1)),
      });
    }
    return {
      bench: "mixing", model: folder.split("/").at(-1), texts: texts.split("/").at(-1), documents: documents.length, rows, batch: BATCH,
      ideal: round(mixing([], lengths).ideal), buffers: found,
    };
  } finally {
    await model.close();
  }
}

const round = (value: number): number => Number(value.toPrecision(3));
