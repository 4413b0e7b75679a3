import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { fileSource } from "../../src/adapters/files";
import { openModel, type OpenOptions } from "../../src/adapters/open";
import type { Model } from "../../src/core/types";

/** Our side of bench model, in a process of its own: a line of JSON comes in, the work is done, a line with its times and memory goes out. */

export type Question =
  | { do: "open"; folder: string; options: OpenOptions }
  /** Which of these hooks the model has, the ids of a text, and how many tokens the tokenizer knows. */
  | { do: "offer"; hooks: string[]; text: string }
  | { do: "decode"; ids: number[] }
  | { do: "run"; batch: number[][]; hooks: string[]; times: number }
  | { do: "generate"; text: string; tokens: number }
  | { do: "rows"; ids: number[]; hook: string }
  | { do: "bandwidth" }
  | { do: "skeleton"; file: string };

/** Milliseconds of all threads of the process and of the clock; MB resident, of these not backed by a file, and the most there ever was. */
export interface Spent {
  cpu: number;
  wall: number;
  resident: number;
  anonymous: number;
  peak: number;
}

let model: Model | undefined;
const opened = (): Model => model ?? (() => { throw new Error("expected a model to be open, found none"); })();

async function answer(question: Question): Promise<object> {
  switch (question.do) {
    case "open":
      await model?.close();
      return measured(async () => {
        model = await openModel(question.folder, question.options);
        return { description: model.describe() };
      });
    case "offer": {
      const offered = (name: string): boolean => {
        try {
          return !!opened().hook(name);
        } catch {
          return false;
        }
      };
      return { hooks: question.hooks.filter(offered), ids: [...opened().tokenizer.encode(question.text).ids], tokens: opened().tokenizer.vocabularySize };
    }
    case "decode":
      return { text: opened().tokenizer.decode(question.ids) };
    case "run":
      return measured(async () => {
        let rows = 0;
        for (let i = 0; i < question.times; i++) for (const data of Object.values(await opened().run(question.batch, { hooks: question.hooks }))) rows += data.length;
        return { numbers: rows };
      });
    case "generate":
      return measured(async () => {
        const [made] = await opened().generate([question.text], { maxTokens: question.tokens, progress: () => {} });
        return { text: made.text };
      });
    case "rows": {
      const { [question.hook]: rows } = await opened().run([question.ids], { hooks: [question.hook] });
      return { data: Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength).toString("base64") };
    }
    case "bandwidth": {
      // a search for a byte that is not there, and a comparison of what is equal: the C library reads as fast as one core can. Far above any cache
      const [one, two] = [Buffer.alloc(2 ** 28, 2), Buffer.alloc(2 ** 28, 2)];
      const times: number[] = [];
      for (let i = 0; i < 12; i++) {
        times.push((await measured(async () => ({ found: one.includes(1) || two.includes(1) }))).cpu, (await measured(async () => ({ order: one.compare(two) }))).cpu);
      }
      return { gigabytesPerSecond: (one.length + two.length) / 1e6 / Math.min(...times) };
    }
    case "skeleton": {
      const onnx = (await import("../../src/core/onnx.js")) as { readSkeleton?: (source: object, options: { location: string }) => object };
      if (!onnx.readSkeleton) return { absent: "src/core/onnx has no readSkeleton" };
      const source = fileSource(question.file);
      try {
        return await measured(async () => ({ kind: typeof onnx.readSkeleton!(source, { location: basename(question.file) }) }));
      } finally {
        source.close();
      }
    }
  }
}

async function measured<T extends object>(work: () => Promise<T>): Promise<T & Spent> {
  const before = process.cpuUsage(), begun = performance.now();
  const result = await work();
  const wall = performance.now() - begun;
  const { user, system } = process.cpuUsage(before);
  return { ...result, cpu: (user + system) / 1000, wall, ...memory() };
}

function memory(): Pick<Spent, "resident" | "anonymous" | "peak"> {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1000;
    return { resident: field("VmRSS"), anonymous: field("RssAnon"), peak: field("VmHWM") };
  } catch {
    // no /proc: what Node can say
    const resident = process.memoryUsage.rss() / 1e6;
    return { resident, anonymous: resident, peak: process.resourceUsage().maxRSS / 1000 };
  }
}

async function main(): Promise<void> {
  for await (const line of createInterface(process.stdin)) {
    const reply = await answer(JSON.parse(line) as Question).catch((error: Error) => ({ error: error.message }));
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  await model?.close();
}

void main();
