import { verdictOn, type Control, type Falsified, type Measure, type Tested } from "../../src/core/falsify";
import { falsifiedHtml, falsifiedText, type FalsificationView } from "../../src/core/falsifytable";
import { TRIGGER_KINDS } from "../../src/core/injection";
import type { ViewCase } from "./cases";

/** Verdicts of every kind, with tokens that are awkward to show. */

const measure = (auroc: number, before: number, outcome: Measure["outcome"], positives = 100): Measure => ({ auroc, interval: [auroc - 0.04, auroc + 0.03], before, positives, negatives: 100, outcome });
const control = (kind: Control["kind"], what: string, heldout: number, lead: [number, number]): Control => ({ kind, what, searched: 3072, train: heldout, heldout, averagePrecision: 0.4, interval: [heldout - 0.02, heldout + 0.02], lead });

function latent(number: number, more: Partial<Tested> = {}, pastes = [0, 1, 2, 6], positives = 142): Falsified {
  const tested: Tested = {
    latent: number, pooling: "max", train: 0.91, heldout: 0.9, interval: [0.87, 0.93], averagePrecision: 0.71, q: 1e-6, threshold: 2.4,
    controls: [
      control("keyword", " <script>", 0.76, [0.1, 0.18]), control("random direction", "mean", 0.84, [0.02, 0.1]), control("position", "late", 0.6, [0.2, 0.4]), control("length", "long", 0.6, [0.2, 0.4]),
      control("text model", "words and pairs of words", 0.95, [-0.08, -0.02]), control("probe", "logistic, mean", 0.97, [-0.1, -0.04]),
    ],
    ordinary: { ...measure(0.95, 0.9, "kept", 142), tokens: { fired: 3, of: 2800 }, stretches: { fired: 3, of: 110 }, sentences: { fired: 120, of: 142 }, samePositions: measure(0.95, 0.9, "kept", 142) },
    injection: {
      kinds: TRIGGER_KINDS.map((kind, i) => ({ kind, rate: { fired: pastes[i], of: 40 }, triggers: [{ text: " $x$&", mean: 3, count: 12, rate: { fired: 1, of: 8 } }] })),
      none: { fired: 1, of: 40 }, random: [0, 1, 1].map((fired) => ({ fired, of: 40 })), outcome: Math.max(...pastes) > 20 ? "lost" : "kept",
    },
    tokenFree: { ...measure(0.88, 0.9, "kept", 61), without: [" <b>wait</b>", "↵", "‹E2 80›"] },
    moved: measure(0.89, 0.9, "kept"), shuffled: measure(0.61, 0.89, "lost"), samePosition: measure(0.9, 0.9, "kept"), sameDocument: measure(0.9, 0.9, "kept"), ...more,
  };
  return { ...tested, ...verdictOn(tested, positives) };
}

const view: FalsificationView = {
  label: "back<tracking>", searched: 3072, heldout: { positives: 142, sentences: 1402, documents: 160 }, baseRate: 142 / 1402, ordinary: { tokens: 2800, own: false },
  latents: [
    latent(948), latent(17, {}, [0, 1, 4, 38]), latent(5, { samePosition: measure(0.52, 0.9, "lost"), moved: measure(0.5, 0.9, "lost") }), latent(1023, { sameDocument: measure(0.5, 0.9, "lost", 139) }),
    latent(44, { heldout: 0.8, interval: [0.76, 0.84] }), latent(45, { tokenFree: { ...measure(NaN, 0.9, "undefined", 3), without: [" wait"] } }),
  ],
};
const second = { nearest: { latent: 12, cosine: 0.31, heldout: 0.72 }, best: { latent: 400, cosine: 0.12, heldout: 0.91 } };
const more: FalsificationView = { ...view, ordinary: { tokens: 900, own: true }, latents: [latent(948, { paraphrased: measure(0.86, 0.9, "kept", 40), second }), latent(7, {}, undefined, 12)] };

export const falsifyCases: ViewCase[] = [
  { name: "verdicts", html: falsifiedHtml(view), text: falsifiedText(view) },
  { name: "verdicts-second", html: falsifiedHtml(more), text: falsifiedText(more) },
];
