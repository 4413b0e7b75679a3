import { readFileSync, writeFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { loadSae } from "../../src/adapters/loadsae";
import { openModel } from "../../src/adapters/open";
import { preflight } from "../../src/adapters/preflight";
import { saeOf } from "../../src/adapters/sae";
import { readTexts } from "../../src/adapters/texts";
import { random } from "../../src/core/random";
import type { Sae, Sparse } from "../../src/core/types";

/** Our side of bench saes, in a process of its own: a line of JSON comes in, the work is done, a line with its times and memory goes out. */

export type Question =
  | { do: "open"; folder: string }
  /** Encodes the raw float32 rows of a file; with `to`, latents (int32) and values (float32) go to files of that name and .index, .value. */
  | { do: "encode"; rows: string; to?: string }
  | { do: "preflight"; model: string; texts: string; tokens: number; latents: number; k: number };

let sae: Sae | undefined;

async function answer(question: Question): Promise<object> {
  switch (question.do) {
    case "open": {
      const before = resident();
      const spent = await timed(async () => {
        sae = await loadSae(question.folder);
      });
      return { ...spent, grown: resident() - before };
    }
    case "encode": {
      const file = readFileSync(question.rows);
      const x = new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
      let found: Pick<Sparse, "index" | "value"> | undefined;
      const spent = await timed(async () => {
        found = sae!.encode(x);
      });
      if (question.to) for (const part of ["index", "value"] as const) writeFileSync(`${question.to}.${part}`, new Uint8Array(found![part].buffer));
      return { ...spent, resident: resident() };
    }
    case "preflight":
      return flight(question);
  }
}

/** The first and the second preflight of a random SAE of an MLP's output in the middle of the model: the first one loads TensorFlow. */
async function flight({ model: folder, texts, tokens, latents, k }: Question & { do: "preflight" }): Promise<object> {
  const model = await openModel(folder);
  try {
    const rows = model.hooks().filter(({ kind, missing }) => kind === "mlp_out" && !missing);
    const { name, width: d } = rows[rows.length >> 1];
    const rng = random(0);
    const noise = Float32Array.from({ length: latents * d }, () => rng.normal() / Math.sqrt(d));
    const one = saeOf({ d, latents, k, kind: "topk", wEnc: noise, bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) }, { hook: name });
    const documents = await readTexts(texts);
    const read: number[] = [];
    const run = () => timed(async () => {
      const { sample, places } = await preflight(one, model, name, { texts: documents, tokens, progress: () => {} });
      read.push(sample.tokens, new Set(places.map(({ hook }) => hook)).size);
    });
    const [first, again] = [await run(), await run()];
    return { first, again, hook: name, d, tokens: read[0], places: read[1] };
  } finally {
    await model.close();
  }
}

async function timed(work: () => Promise<void>): Promise<{ wall: number; cpu: number }> {
  const before = process.cpuUsage(), begun = performance.now();
  await work();
  const wall = performance.now() - begun;
  const { user, system } = process.cpuUsage(before);
  return { wall, cpu: (user + system) / 1000 };
}

/** MB. */
const resident = (): number => process.memoryUsage.rss() / 1e6;

async function main(): Promise<void> {
  for await (const line of createInterface(process.stdin)) {
    const reply = await answer(JSON.parse(line) as Question).catch((error: Error) => ({ error: error.message }));
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

void main();
