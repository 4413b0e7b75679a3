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

/**
 * Draws a token: softmax(logits / temperature), summed in float64; the largest (first of equals) at temperature 0.
 * @param logits [V]
 */
export function draw(logits: Float32Array, temperature: number, random: () => number): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  if (temperature === 0) return best;
  const top = logits[best];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] - top) / temperature);
  let left = random() * sum;
  for (let i = 0; i < logits.length; i++) {
    left -= Math.exp((logits[i] - top) / temperature);
    if (left < 0) return i;
  }
  return best; // rounding left a sliver above the last
}
