import type { SaeFormat, SaeWeights } from "../src/core/types";

/** An SAE of each kind, with the layouts that can say it; d 6, 20 latents, all numbers other than 0. */
export const WIDTH = 6;

export const kinds: { name: string; weights: SaeWeights; formats: SaeFormat[] }[] = (() => {
  const d = WIDTH, F = 20, numbers = (n: number, from: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(from + 7 * i));
  const parts = { d, latents: F, k: F, wEnc: numbers(F * d, 1), bEnc: numbers(F, 2), wDec: numbers(F * d, 3), bDec: numbers(d, 4) };
  const transcoder = { ...parts, transcoder: true, subtractBDec: false };
  const narrower = { ...transcoder, dOut: 5, wDec: numbers(F * 5, 9), bDec: numbers(5, 10), wSkip: numbers(5 * d, 11) };
  const threshold = numbers(F, 5).map((value) => value / 4);
  return [
    { name: "topk", weights: { ...parts, k: 3 }, formats: ["sparsify", "saelens"] },
    { name: "topk with a skip", weights: { ...parts, k: 3, wSkip: numbers(d * d, 6) }, formats: ["sparsify"] },
    { name: "topk without b_dec", weights: { ...parts, k: 3, subtractBDec: false }, formats: ["saelens"] },
    { name: "topk rescaled, layer norm", weights: { ...parts, k: 3, rescaleByDecoderNorm: true, normalize: "layer_norm" }, formats: ["saelens"] },
    { name: "topk transcoder", weights: { ...transcoder, k: 3 }, formats: ["sparsify"] },
    { name: "groupmax transcoder with a skip", weights: { ...transcoder, k: 4, kind: "groupmax", wSkip: numbers(d * d, 6) }, formats: ["sparsify"] },
    { name: "relu", weights: { ...parts, kind: "relu", normalize: "constant_norm_rescale" }, formats: ["saelens"] },
    { name: "relu rescaled", weights: { ...parts, kind: "relu", rescaleByDecoderNorm: true }, formats: ["saelens"] },
    { name: "jumprelu", weights: { ...parts, kind: "jumprelu", threshold }, formats: ["saelens"] },
    { name: "batchtopk, one threshold", weights: { ...parts, kind: "batchtopk", threshold: 0.25 }, formats: ["saelens"] },
    { name: "gated", weights: { ...parts, kind: "gated", bGate: numbers(F, 7), rMag: numbers(F, 8).map((value) => value / 3) }, formats: ["saelens"] },
    { name: "relu transcoder", weights: { ...transcoder, kind: "relu" }, formats: ["saelens"] },
    { name: "relu transcoder with a skip", weights: { ...narrower, kind: "relu" }, formats: ["saelens"] },
    { name: "jumprelu transcoder", weights: { ...transcoder, kind: "jumprelu", threshold }, formats: ["saelens"] },
    { name: "jumprelu transcoder with a skip", weights: { ...narrower, kind: "jumprelu", threshold }, formats: ["saelens"] },
  ];
})();
