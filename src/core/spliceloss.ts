/**
 * What a model loses when an SAE's reconstruction stands in for its activations: cross-entropy and divergence of its next tokens → how much is
 * recovered of what an ablation of the place takes.
 *
 *   loss recovered = (H_ablated − H_sae) / (H_ablated − H_original)      KL recovered = (KL_ablated − KL_sae) / KL_ablated
 *
 * H is the cross-entropy of the token that follows, KL is KL(original ‖ changed) over the whole vocabulary. 1: as if nothing had been put in; 0: no better
 * than the ablation; below 0: worse. Means are over the tokens that count, texts of a batch together; padding is no token.
 * @see SAELens 6.54, sae_lens/evals.py, get_recons_loss; Bricken et al. 2023, "Towards Monosemanticity"
 */
export interface SpliceMeasures {
  /** Place that the reconstruction replaced. */
  target: string;
  /** Nats a token: SAELens' `ce_loss_without_sae`, `ce_loss_with_sae` and, of zero, `ce_loss_with_ablation`. */
  loss: { original: number; sae: number; zero: number; mean: number };
  /** Nats a token: SAELens' `kl_div_with_sae` and, of zero, `kl_div_with_ablation`. */
  kl: { sae: number; zero: number; mean: number };
  /** Against zero at every position: SAELens' `ce_loss_score` and `kl_div_score`. NaN where the ablation does no harm. */
  lossRecovered: number;
  klRecovered: number;
  /** Against the mean row at the positions that the SAE replaces. Not in SAELens. */
  lossRecoveredOverMean: number;
  klRecoveredOverMean: number;
  /** Tokens replaced and counted, and those of them that another token follows in their context. */
  tokens: number;
  predicted: number;
}

/** Sums over tokens of each way to run the model. */
export interface SpliceSums {
  loss: { original: number; sae: number; zero: number; mean: number };
  kl: { sae: number; zero: number; mean: number };
  tokens: number;
  predicted: number;
}

export const noSums = (): SpliceSums => ({ loss: { original: 0, sae: 0, zero: 0, mean: 0 }, kl: { sae: 0, zero: 0, mean: 0 }, tokens: 0, predicted: 0 });

const recovered = (ablated: number, sae: number, original: number): number => (ablated > original ? (ablated - sae) / (ablated - original) : NaN);

/** Sums → means and what is recovered. */
export function spliceMeasures(target: string, { loss, kl, tokens, predicted }: SpliceSums): SpliceMeasures {
  const H = { original: loss.original / predicted, sae: loss.sae / predicted, zero: loss.zero / predicted, mean: loss.mean / predicted };
  const D = { sae: kl.sae / tokens, zero: kl.zero / tokens, mean: kl.mean / tokens };
  return {
    target, loss: H, kl: D, lossRecovered: recovered(H.zero, H.sae, H.original), klRecovered: recovered(D.zero, D.sae, 0),
    lossRecoveredOverMean: recovered(H.mean, H.sae, H.original), klRecoveredOverMean: recovered(D.mean, D.sae, 0), tokens, predicted,
  };
}
