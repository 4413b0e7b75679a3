import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { OptionError } from "../core/errors";
import type { TrainingPoint } from "../core/types";
import { diskError, writeAtomic } from "./files";

/**
 * A training's curve as JSON lines: the first says what is trained, each other is a point.
 *
 *   {"format":"saelab-train-log","version":1,"latents":4096,…}
 *   {"step":4,"tokens":4096,"fvu":0.61,…}
 */
const FORMAT = "saelab-train-log";

export interface Log {
  add(point: TrainingPoint): void;
}

/**
 * @param steps of the checkpoint that the run goes on from, 0 for a new run: later points are made again, so they are taken out
 * @throws OptionError when something else is in the file; DiskError
 */
export async function openLog(path: string, recipe: Record<string, unknown>, steps: number): Promise<Log> {
  const kept: string[] = [];
  if (existsSync(path)) {
    const lines = readFileSync(path, "utf8").split("\n");
    if (lines[0] !== "" && parsed(lines[0])?.format !== FORMAT) {
      throw new OptionError(`trainSae: log: expected a new file, or the log of a training, found something else in ${path}. Choose another name.`);
    }
    for (const line of steps ? lines.slice(1) : []) {
      const step = parsed(line)?.step; // a line cut off by a crash is no JSON
      if (typeof step === "number" && step <= steps) kept.push(line);
    }
  }
  const header = JSON.stringify({ format: FORMAT, version: 1, ...recipe });
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (error) {
    throw diskError(error, path);
  }
  await writeAtomic(path, [[header, ...kept, ""].join("\n")]);
  return {
    add(point) {
      try {
        appendFileSync(path, `${JSON.stringify(point)}\n`);
      } catch (error) {
        throw diskError(error, path);
      }
    },
  };
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(line);
    return typeof json === "object" && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
