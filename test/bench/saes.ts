import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import { fusedOps } from "../../src/adapters/fusedstep";
import { packageRoot } from "../../src/adapters/package";
import { tensorflow } from "../../src/adapters/tensorflow";
import { random } from "../../src/core/random";
import { configText } from "../../src/core/sparsify";
import type { SaeWeights } from "../../src/core/types";
import { converse } from "./dialogue";
import { median } from "./modeltable";

/**
 * Times what one does with another's SAE: opening a checkpoint of 65,536 latents of width 1536 (806 MB), encoding 1,000 tokens with it beside PyTorch on
 * the same file and rows, in turns, and a preflight of 2,000 tokens. SAELAB_PEER_PYTHON names a Python with torch, SAELAB_BENCH_MODEL a model for the preflight
 * (data/tiny-reasoner without). The checkpoint is made once, in .saelab/bench.
 */
const SIZE = { d: 1536, latents: 65_536, k: 32 };
const ROWS = 1000;
const OPENINGS = 5;
const TOKENS = 2000;
const GOALS = { openMs: 50, openMB: 20, overPyTorch: 1, preflightSeconds: 5 };

interface Spent {
  wall: number;
  cpu: number;
}

const ours = () => converse(process.execPath, [join(__dirname, "saechild.js")]);
const three = (value: number): number => Number(value.toPrecision(3));

/** @param options.rounds of encoding, after one that is not counted */
export async function benchSaes({ rounds = 7 }: { rounds?: number } = {}): Promise<Record<string, unknown>> {
  const place = join(packageRoot, ".saelab", "bench");
  mkdirSync(place, { recursive: true });
  const folder = large(join(place, "sae-65536"));
  const rows = join(place, `rows.${process.pid}.f32`);
  const rng = random(1);
  writeFileSync(rows, new Uint8Array(Float32Array.from({ length: ROWS * SIZE.d }, () => rng.normal()).buffer));
  const ops = fusedOps(tensorflow());
  try {
    return {
      bench: "saes", ...SIZE, ops: "id" in ops ? "fused" : `stock: ${ops.why}`,
      open: await opening(folder), encode: await encoding(folder, rows, rounds), preflight: await preflighting(), goals: GOALS,
    };
  } finally {
    for (const end of ["", ".ours.index", ".ours.value", ".theirs.index", ".theirs.value"]) rmSync(`${rows}${end}`, { force: true });
  }
}

/** Each in a fresh process that has loaded the library, but nothing else. */
async function opening(folder: string): Promise<object> {
  const found: (Spent & { grown: number })[] = [];
  for (let i = 0; i < OPENINGS; i++) {
    const child = ours();
    found.push(await child.ask({ do: "open", folder }));
    await child.end();
  }
  return { ms: three(median(found.map(({ wall }) => wall))), cpuMs: three(median(found.map(({ cpu }) => cpu))), grownMB: three(median(found.map(({ grown }) => grown))) };
}

/** The first encoding reads the file; rates are of those after it. Ratios are of turns that ran within the same seconds. */
async function encoding(folder: string, rows: string, rounds: number): Promise<object> {
  const python = process.env.SAELAB_PEER_PYTHON;
  const peer = python && spawnSync(python, ["-c", "import torch, numpy"], { stdio: "ignore" }).status === 0
    ? converse(python, [join(packageRoot, "test/bench/torch_encode.py"), folder, String(SIZE.k), rows]) : undefined;
  const child = ours();
  try {
    await child.ask({ do: "open", folder });
    const first = await child.ask<Spent>({ do: "encode", rows, to: `${rows}.ours` });
    const theirs = await peer?.ask<Spent & { version: string }>({ do: "open" });
    const firstOfTheirs = await peer?.ask<Spent>({ do: "encode", to: `${rows}.theirs` });
    const mine: (Spent & { resident: number })[] = [], peers: Spent[] = [];
    for (let round = 0; round <= rounds; round++) {
      const a = await child.ask<Spent & { resident: number }>({ do: "encode", rows });
      const b = await peer?.ask<Spent>({ do: "encode" });
      if (!round) continue;
      mine.push(a);
      if (b) peers.push(b);
    }
    const ms = (list: Spent[]) => ({ ms: three(median(list.map(({ wall }) => wall))), cpuMs: three(median(list.map(({ cpu }) => cpu))) });
    return {
      tokens: ROWS, ours: { ...ms(mine), firstMs: three(first.wall), residentMB: Math.round(mine.at(-1)!.resident) },
      peer: !peers.length ? { skipped: "SAELAB_PEER_PYTHON names no Python with torch" } : {
        name: `PyTorch ${theirs!.version}`, ...ms(peers), firstMs: three(theirs!.wall + firstOfTheirs!.wall),
        speedOverPeer: three(median(mine.map(({ wall }, i) => peers[i].wall / wall))), speedOverPeerCpu: three(median(mine.map(({ cpu }, i) => peers[i].cpu / cpu))), ...agreement(rows),
      },
    };
  } finally {
    await Promise.all([child.end(), peer?.end()]);
  }
}

/** Whether both did the same: share of equal latents, in order, and the largest difference of a value. */
function agreement(rows: string): { sameLatents: number; differ: number } {
  const [a, b] = ["ours", "theirs"].map((who) => {
    const read = (part: string): ArrayBuffer => new Uint8Array(readFileSync(`${rows}.${who}.${part}`)).buffer;
    return { index: new Int32Array(read("index")), value: new Float32Array(read("value")) };
  });
  return {
    sameLatents: a.index.filter((latent, i) => latent === b.index[i]).length / b.index.length,
    differ: three(a.value.reduce((most, value, i) => Math.max(most, Math.abs(value - b.value[i])), 0)),
  };
}

async function preflighting(): Promise<object> {
  const model = process.env.SAELAB_BENCH_MODEL ?? join(packageRoot, "data", "tiny-reasoner");
  const child = ours();
  try {
    const found = await child.ask<{ first: Spent; again: Spent; hook: string; d: number; tokens: number; places: number }>({
      do: "preflight", model, texts: join(packageRoot, "data", "reasoning", "corpus.jsonl"), tokens: TOKENS, latents: 4608, k: SIZE.k,
    });
    const { first, again, ...what } = found;
    return { model: basename(model), ...what, seconds: three(first.wall / 1000), againSeconds: three(again.wall / 1000), againCpuSeconds: three(again.cpu / 1000) };
  } finally {
    await child.end();
  }
}

/** A sparsify checkpoint of that size, of random numbers: decoder rows of norm about 1, made once. */
function large(folder: string): string {
  if (existsSync(join(folder, "cfg.json"))) return folder;
  const { d, latents, k } = SIZE;
  const part = `${folder}.${process.pid}.part`;
  mkdirSync(part, { recursive: true });
  const list: [string, number[]][] = [["encoder.weight", [latents, d]], ["encoder.bias", [latents]], ["W_dec", [latents, d]], ["b_dec", [d]]];
  const header: Record<string, object> = {};
  let at = 0;
  for (const [name, shape] of list) {
    const from = at;
    at += 4 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [from, at] };
  }
  const json = Buffer.from(JSON.stringify(header).padEnd(504));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(json.length));
  const rng = random(0);
  const noise = Float32Array.from({ length: 1 << 22 }, () => rng.normal() / Math.sqrt(d));
  const file = openSync(join(part, "sae.safetensors"), "w");
  writeSync(file, head);
  writeSync(file, json);
  for (const [, shape] of list) {
    const length = shape.reduce((product, size) => product * size, 1);
    for (let done = 0; done < length; done += 1 << 21) { // a piece of the noise, from another place each time
      const begin = rng.below(1 << 21);
      writeSync(file, noise.subarray(begin, begin + Math.min(1 << 21, length - done)));
    }
  }
  closeSync(file);
  writeFileSync(join(part, "cfg.json"), configText({ d, latents, k, kind: "topk" } as SaeWeights));
  renameSync(part, folder);
  return folder;
}
