/**
 * A stream of numbers in [0, 1) that depends on seed and stream alone: Mulberry32, its state mixed from both.
 * Statistically plain, which is enough to draw tokens. @see https://github.com/bryc/code (PRNGs: mulberry32)
 */
export declare function randomNumbers(seed: number, stream: number): () => number;
export interface Sampling {
    temperature: number;
    topK: number;
    topP: number;
}
/**
 * Draws a token: softmax(logits / temperature), summed in float64; the largest (first of equals) at temperature 0. Of the most likely
 * `topK`, as many as it takes to reach the probability `topP`, at least one: first the one cut, then the other, as transformers does.
 * @param logits [V]
 * @see Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv 1904.09751: topP
 */
export declare function draw(logits: Float32Array, { temperature, topK, topP }: Sampling, random: () => number): number;
