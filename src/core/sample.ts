/**
 * A stream of numbers in [0, 1) that depends on seed and stream alone: Mulberry32, its state mixed from both.
 * Statistically plain, which is enough to draw tokens. @see https://github.com/bryc/code (PRNGs: mulberry32)
 */
export function randomNumbers(seed: number, stream: number): () => number {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(stream + 1, 0xc2b2ae35)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Sampling {
  temperature: number; // 0: greedy
  topK: number; // 0: all
  topP: number; // 1: all
}

/**
 * Draws a token: softmax(logits / temperature), summed in float64; the largest (first of equals) at temperature 0. Of the most likely
 * `topK`, as many as it takes to reach the probability `topP`, at least one: first the one cut, then the other, as transformers does.
 * @param logits [V]
 * @see Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv 1904.09751: topP
 */
export function draw(logits: Float32Array, { temperature, topK, topP }: Sampling, random: () => number): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  if (temperature === 0) return best;
  const top = logits[best];
  const weight = (i: number): number => Math.exp((logits[i] - top) / temperature);
  let chosen: ArrayLike<number> | undefined; // undefined: all, in their own order
  const most = topK && topK < logits.length ? topK : 0;
  if (most || topP < 1) {
    const sumOf = (tokens: number[]): number => tokens.reduce((sum, i) => sum + weight(i), 0);
    let all = 0;
    if (!most) for (let i = 0; i < logits.length; i++) all += weight(i);
    const order = likeliest(logits, top, temperature, (found) => (most ? found.length >= most : sumOf(found) >= topP * all)).slice(0, most || undefined);
    const total = most ? sumOf(order) : all;
    let reached = 0;
    let count = 0;
    while (count < order.length && (count === 0 || reached < topP * total)) reached += weight(order[count++]);
    chosen = order.slice(0, count);
  }
  const n = chosen?.length ?? logits.length;
  const at = (j: number): number => (chosen ? chosen[j] : j);
  let sum = 0;
  for (let j = 0; j < n; j++) sum += weight(at(j));
  let left = random() * sum;
  for (let j = 0; j < n; j++) {
    left -= weight(at(j));
    if (left < 0) return at(j);
  }
  return best; // rounding left a sliver above the last
}

/** As many of the most likely as are enough, likeliest first (of equals the first): of 150,000 tokens few hundred are looked at, for to sort all takes 0.1 s. */
function likeliest(logits: Float32Array, top: number, temperature: number, enough: (found: number[]) => boolean): number[] {
  for (let reach = 8; ; reach = reach < 1e6 ? 2 * reach : Infinity) {
    const least = top - reach * temperature;
    const found: number[] = [];
    for (let i = 0; i < logits.length; i++) if (logits[i] >= least) found.push(i);
    if (reach === Infinity || enough(found)) return found.sort((x, y) => logits[y] - logits[x] || x - y);
  }
}
