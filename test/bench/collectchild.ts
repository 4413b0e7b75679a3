import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { promisify } from "node:util";
import { collect } from "../../src/adapters/collect";
import { PIECE_ROWS } from "../../src/adapters/codes";
import { openFeatures } from "../../src/adapters/features";
import { loadSae } from "../../src/adapters/loadsae";
import { saeOf } from "../../src/adapters/sae";
import { DISPLAY } from "../../src/adapters/show";
import { openStore } from "../../src/adapters/store";
import { random } from "../../src/core/random";
import type { Sae, Store, Tokenizer } from "../../src/core/types";

/** One side of bench collect, in a process of its own, so that its peak memory and CPU time are its own: a question in JSON, one line of answer. */

export interface Size {
  latents: number;
  d: number;
  k: number;
  rows: number;
}

export type Question =
  /** Encodes some rows, and nothing else. */
  | { do: "encode"; store: string; sae: Size | string; rows: number }
  | { do: "collect"; store: string; sae: Size | string; folder: string }
  /** Opens features and shows them, in a process that did nothing before. */
  | { do: "open"; folder: string };

/** Asks in a process of its own. */
export async function inChild<T>(question: Question): Promise<T> {
  const { stdout } = await promisify(execFile)(process.execPath, [__filename, JSON.stringify(question)], { maxBuffer: 2 ** 24 });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as T;
}

/** Unit rows in random directions; the decoder is the encoder's transpose. What was planted in the rows of collectstore.ts. */
export function directions({ latents, d }: Pick<Size, "latents" | "d">): Float32Array {
  const rng = random(1);
  const all = new Float32Array(latents * d);
  for (let f = 0; f < latents; f++) {
    const one = all.subarray(f * d, (f + 1) * d);
    let sum = 0;
    for (let i = 0; i < d; i++) sum += (one[i] = rng.normal()) ** 2;
    for (let i = 0; i < d; i++) one[i] /= Math.sqrt(sum);
  }
  return all;
}

async function saeFor(asked: Size | string): Promise<Sae> {
  if (typeof asked === "string") return loadSae(asked, { hook: "layers.2" });
  const { latents, d, k } = asked;
  const wEnc = directions(asked);
  return saeOf({ latents, d, k, wEnc, bEnc: new Float32Array(latents), wDec: wEnc, bDec: new Float32Array(d) }, { hook: "layers.2" });
}

/** A store that has no tokenizer's files: token 7 is " w7". */
async function storeAt(path: string): Promise<Store> {
  const bytes: Tokenizer["bytes"] = (id) => new TextEncoder().encode(` w${id}`);
  return Object.create(await openStore(path), { tokenizer: { value: { bytes } } });
}

interface Spent {
  wall: number; // seconds
  cpu: number; // seconds of all threads
}

function clock(): () => Spent {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { wall: (performance.now() - wall) / 1000, cpu: (user + system) / 1e6 };
  };
}

/** Peak resident memory, MB: of this program alone, where getrusage begins with that of the one that started it. */
const peak = (): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]) / 1024;

async function answer(question: Question): Promise<object> {
  switch (question.do) {
    case "encode": {
      const [store, sae] = [await storeAt(question.store), await saeFor(question.sae)];
      const pass = (rows: number): void => {
        for (let at = 0; at < rows; at += PIECE_ROWS) sae.encode(store.read("layers.2", at, Math.min(rows, at + PIECE_ROWS)));
      };
      pass(Math.min(question.rows, PIECE_ROWS)); // loads TensorFlow and brings the encoder to it
      const spent = clock();
      pass(question.rows);
      return { ...spent(), peak: peak() };
    }
    case "collect": {
      const [store, sae] = [await storeAt(question.store), await saeFor(question.sae)];
      sae.encode(store.read("layers.2", 0, Math.min(store.rows, PIECE_ROWS)));
      const encoding: Spent = { wall: 0, cpu: 0 };
      const encode: Sae["encode"] = (x) => {
        const spent = clock();
        const codes = sae.encode(x);
        const { wall, cpu } = spent();
        encoding.wall += wall;
        encoding.cpu += cpu;
        return codes;
      };
      const spent = clock();
      let encoded: Spent | undefined; // when the last row was
      const features = await collect(store, { ...sae, encode }, {
        folder: question.folder,
        progress: ({ stage, done, total }) => void (stage === "collect" && done === total && (encoded = spent())),
      });
      const { shards, blocks, rows, settings } = features.manifest;
      const examples = blocks.reduce((sum, { bytes }) => sum + bytes, 0);
      const pairs = features.count > 0 ? Array.from({ length: Math.min(200, features.count) }, (_, i) => features.together(i).length).reduce((a, b) => a + b) : 0;
      const all = spent();
      const alive = features.fired.reduce((sum, n) => sum + Number(n > 0), 0);
      features.close();
      return { ...all, encoding, encoded, peak: peak(), rows, alive, pairs, kept: settings.examples + 4 * settings.perQuantile + settings.random, files: { codes: shards.reduce((sum, { bytes }) => sum + bytes, 0), examples } };
    }
    case "open": {
      const begun = performance.now();
      const features = await openFeatures(question.folder);
      const opened = performance.now() - begun;
      const html = features.top({ count: 20, rare: true })[DISPLAY]()["text/html"] as string;
      const shown = performance.now() - begun;
      const cards = Array.from({ length: 40 }, (_, i) => {
        const latent = Math.floor(((i + 0.5) * features.count) / 40);
        const from = performance.now();
        features.card(latent)[DISPLAY]();
        return performance.now() - from;
      });
      const sorted = [...cards].sort((a, b) => a - b);
      features.close();
      return { opened, shown, bytes: html.length, firstCard: cards[0], card: sorted[20], slowestCard: sorted[39], peak: peak() };
    }
  }
}

if (require.main === module) {
  answer(JSON.parse(process.argv[2])).then(
    (found) => console.log(JSON.stringify(found)),
    (error: Error) => {
      console.error(error.stack);
      process.exitCode = 1;
    },
  );
}
