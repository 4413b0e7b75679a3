import { spawnSync } from "node:child_process";
import { freemem, totalmem } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { chooseCard, othersOn, sameName, type Card } from "../core/cards";
import type { Device } from "../core/device";
import type { Free } from "../core/memoryplan";
import { disk } from "./devices";
import { judgeNvidia, readNvidia, usableCards, type Nvidia } from "./nvidia";

/** What the machine has left, and giving back what is not used any more. */

/**
 * Bytes this process may still take: what the machine has left, and what is left of a container's limit. Files that the
 * kernel keeps in memory count as free, as they give way: process.availableMemory() takes them off the limit, so that
 * nothing would be left after a long harvest.
 * @param found free: of the machine, page cache included; total; limit: of the container, 0 or beyond `total` for none;
 *   own: resident memory of this process
 */
export function freeMemory(found = { free: unusedMemory(), total: totalmem(), limit: containerLimit(), own: process.memoryUsage.rss() }): number {
  const { free, total, limit, own } = found;
  return Math.max(0, Math.min(free, (limit > 0 ? Math.min(limit, total) : total) - own));
}

/**
 * Memory that nobody needs, page cache included, bytes. Of macOS Node tells only the pages that nothing was ever in, a hundred megabytes
 * mostly: `vm_stat` knows those too which give way.
 * @see https://github.com/libuv/libuv/issues/3897
 */
export function unusedMemory(platform: string = process.platform, ask = (): string => spawnSync("vm_stat", { encoding: "utf8", timeout: 5000 }).stdout ?? ""): number {
  if (platform !== "darwin") return freemem();
  const text = ask(), page = Number(/page size of (\d+) bytes/.exec(text)?.[1]);
  const pages = ["free", "inactive", "speculative"].map((kind) => Number(new RegExp(`^Pages ${kind}: +(\\d+)\\.`, "m").exec(text)?.[1]));
  return page * pages.reduce((sum, count) => sum + count, 0) || freemem();
}

const containerLimit = (): number => (process as { constrainedMemory?: () => number | undefined }).constrainedMemory?.() ?? 0;

/** What a training on a device may take. */
export interface FreeMemory extends Free {
  /** The card whose memory it is, and who else has some of it; or why nobody knows. */
  told?: string;
}

/** Whom to ask for a card's memory: this machine, or one of a test. */
export interface CardSource {
  nvidia(): Nvidia;
  read(path: string): string | undefined;
  list(folder: string): string[];
  platform: string;
  env: Record<string, string | undefined>;
  pid: number;
}

const machine: CardSource = {
  nvidia: () => readNvidia(), platform: process.platform, env: process.env, pid: process.pid,
  read: disk.read, list: disk.list,
};

/**
 * The memory that a training on this device may take: the machine's, and the card's where its driver tells (NVIDIA's, AMD's on Linux);
 * TensorFlow and WebGPU do not.
 * @param gpu of "webgpu", as findWebGpu found it
 */
export function freeOn(device: Device, gpu?: { name: string; software: boolean }, source: CardSource = machine, host = freeMemory()): FreeMemory {
  if (device === "cuda") return { host, ...ofNvidia(source) };
  if (device !== "webgpu") return { host, card: 0 };
  const name = gpu?.name ?? "";
  if (gpu?.software) return { host, card: Infinity, shared: true, told: `${name} computes in the machine's memory` };
  if (source.platform === "darwin" || /intel/i.test(name)) return { host, card: Infinity, shared: true, told: "the card has no memory of its own" };
  if (/nvidia/i.test(name)) return { host, ...ofNvidia(source, name) };
  return { host, ...ofAmd(source) };
}

/** @param name as WebGPU calls the card; by default the card that TensorFlow takes */
function ofNvidia({ nvidia, env, pid }: CardSource, name?: string): Omit<FreeMemory, "host"> {
  const found = nvidia();
  if (!found.there) return { card: Infinity, told: `its free memory is not known: ${found.why}` };
  const same = name === undefined ? [] : found.cards.filter((card) => sameName(card.name, name));
  const cards = name === undefined ? usableCards(found, judgeNvidia(found).tensorflow) : same.length ? same : found.cards;
  const { card } = chooseCard({ there: true, cards }, name === undefined ? env : {});
  if (card?.free === undefined) return { card: Infinity, told: "the driver does not say how much memory is free" };
  const own = card.processes.find((process) => process.pid === pid)?.memory ?? 0; // TensorFlow keeps what it once had
  return { card: card.free + own, told: describe(card, pid) };
}

function describe(card: Card, pid: number): string {
  const others = othersOn(card, pid);
  return `card ${card.index}, ${card.name}${card.memory === undefined ? "" : ` with ${(card.memory / 1e9).toFixed(1)} GB`}${others ? `; on it: ${others}` : ""}`;
}

const DRM = "/sys/class/drm";
const LITTLE = 2 ** 32; // bytes of its own below which an AMD processor's graphics mostly take the machine's

/** The AMD card with most memory. @see https://docs.kernel.org/gpu/amdgpu/driver-misc.html mem_info_vram_total */
function ofAmd({ list, read }: CardSource): Omit<FreeMemory, "host"> {
  const number = (card: string, name: string): number => Number(read(`${DRM}/${card}/device/mem_info_vram_${name}`) || NaN);
  const cards = list(DRM).filter((card) => /^card\d+$/.test(card)).map((card) => ({ total: number(card, "total"), used: number(card, "used") })).filter(({ total }) => total > 0);
  const largest = cards.reduce<(typeof cards)[number] | undefined>((best, card) => (best && best.total >= card.total ? best : card), undefined);
  if (!largest) return { card: Infinity, told: "the driver does not say how much memory is free" };
  if (largest.total < LITTLE) return { card: Infinity, shared: true, told: "the card mostly takes the machine's memory" };
  const free = largest.total - (largest.used || 0);
  return { card: free, told: `a card with ${(largest.total / 1e9).toFixed(1)} GB` };
}

let collect: (() => void) | undefined;

/**
 * Gives memory of arrays that nobody holds back now. V8 waits until its own heap is full, and does not see that arrays of
 * hundreds of megabytes, which lie outside of it, pile up meanwhile.
 * @param bytes that became free: for less than 32 MB it is not worth its milliseconds
 */
export function collectGarbage(bytes = Infinity): void {
  if (bytes < 2 ** 25) return;
  if (!collect) {
    setFlagsFromString("--expose-gc"); // takes effect in contexts made from here on
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}
