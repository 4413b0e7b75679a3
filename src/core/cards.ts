/**
 * Which NVIDIA card is meant, where there are several. TensorFlow takes all that it sees, and CUDA counts them by speed, nvidia-smi by their
 * slot: a card is named by its UUID.
 */

/** As nvidia-smi tells of it; bytes, where the driver tells (WSL2 does not say whose they are). */
export interface Card {
  index: number;
  name: string;
  uuid?: string;
  memory?: number;
  free?: number;
  processes: { pid: number; name: string; memory?: number }[];
}

export type FoundCards = { there: true; cards: Card[] } | { there: false; why: string };

/**
 * What CUDA_VISIBLE_DEVICES is to be before TensorFlow loads: of several cards the one with the most free memory.
 * @param found those that can be used: judgeNvidia tells which are too old
 * @param seen cards that the library would see, those that cannot be used among them
 * @returns no `visible` where the variable is to be left as it is; `card` that a training will run on, where that is known
 */
export function chooseCard(found: FoundCards, env: Record<string, string | undefined>, seen = found.there ? found.cards.length : 0): { visible?: string; why: string; card?: Card } {
  if (!found.there) return { why: found.why };
  const { cards } = found, set = env.CUDA_VISIBLE_DEVICES;
  if (set !== undefined) return { why: `CUDA_VISIBLE_DEVICES is ${JSON.stringify(set)}`, card: named(cards, set) };
  if (!cards.length || seen < 2) return { why: cards.length ? "it is the only card" : "there is no card", card: cards[0] };
  if (cards.length === 1) return { visible: cards[0].uuid ?? String(cards[0].index), card: cards[0], why: `card ${cards[0].index} of ${seen}, the only one that can be used` };
  const card = cards.reduce((best, one) => ((one.free ?? 0) > (best.free ?? 0) ? one : best));
  const told = cards.map(({ index, name, free }) => `${index}: ${name}${free === undefined ? "" : `, ${(free / 1e9).toFixed(1)} GB free`}`).join("; ");
  const why = card.free === undefined ? "the first, as nobody tells their free memory" : "the one with the most free memory";
  return { visible: card.uuid ?? String(card.index), card, why: `card ${card.index} of ${cards.length}, ${why} (${told})` };
}

/** The first card of such a list, by number or by (the beginning of) its UUID; an entry that names none ends the list, as CUDA has it. */
function named(cards: Card[], list: string): Card | undefined {
  const first = list.split(",")[0].trim();
  if (/^\d+$/.test(first)) return cards.find(({ index }) => index === Number(first));
  return first.startsWith("GPU-") ? cards.find(({ uuid }) => uuid?.startsWith(first)) : undefined;
}

/** Other processes on a card, largest first, in words; nothing where there are none. */
export function othersOn({ processes }: Card, own: number): string | undefined {
  const others = processes.filter(({ pid }) => pid !== own).sort((a, b) => (b.memory ?? 0) - (a.memory ?? 0));
  return others.length ? others.map(({ pid, name, memory }) => `${name} (pid ${pid}${memory === undefined ? "" : `, ${Math.round(memory / 1e6).toLocaleString("en")} MB`})`).join(", ") : undefined;
}

const dashed = (name: string): string => name.replace(/ \(.*$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "-");

/** Whether two names are one card's: WebGPU gives it in dashed form, and its driver behind it in brackets: "nvidia-geforce-rtx-4090 (NVIDIA: 580.65.06)". */
export const sameName = (a: string, b: string): boolean => dashed(a) === dashed(b);
