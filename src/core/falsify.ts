import type { TriggerKind } from "./injection";
import type { Pooling } from "./score";
import type { Detector, DetectorKind } from "./scoretable";

/**
 * Whether the correlation of a latent with a label survives what would refute it, and the verdict's rules.
 *
 * Each test asks for another AUROC A′ of the same latent, pooled as it was chosen, where one explanation is taken away, and holds it against A,
 * the AUROC on the same held-out sentences as they stand. Half of what lies above chance has to stay: R = (A′ − ½) − ½(A − ½), with a 95 %
 * interval by bootstrap over documents.
 *
 *   kept       R is above 0, interval and all
 *   lost       R is below 0, interval and all
 *   open       neither: more text would tell
 *   undefined  fewer than 20 sentences of the label, or of the others, to tell it by
 *
 * Why half: of 24 best latents on real traces (SmolLM2-135M, 100 traces, 4 hooks × 6 labels), those that a test exposed kept next to nothing (.96
 * fell to .50 when the sentence was moved), those that it did not kept nearly all; the border lies between, and nothing hangs on where.
 * Of the 24, 11 survived single tokens and the token-free sentences, 5 windows of three tokens too, 3 being moved elsewhere too, 1 of these also
 * beat the random direction and the keywords.
 */
export type Outcome = "kept" | "lost" | "open" | "undefined";

export type FalsifyVerdict = "survives" | "token detector" | "position" | "context" | "not above random" | "undecided";

/** Sentences of the label under which a test says nothing. */
export const FEWEST = 20;

/** Share of pastes, beyond the larger control, from which on three tokens out of context are enough for the latent. */
const FIRES = 0.5;

export interface Measure {
  /** Where the explanation is taken away. */
  auroc: number;
  /** 95 %, bootstrap over documents. */
  interval: [number, number];
  /** On the same sentences as they stand. */
  before: number;
  positives: number;
  negatives: number;
  outcome: Outcome;
}

/** @param margin 95 % interval of R */
export function outcomeOf(margin: [number, number], positives: number, negatives: number): Outcome {
  if (positives < FEWEST || negatives < FEWEST || Number.isNaN(margin[0])) return "undefined";
  return margin[0] > 0 ? "kept" : margin[1] < 0 ? "lost" : "open";
}

/** Half of what lies above chance has to stay. */
export const margin = (after: number, before: number): number => after - 0.5 - (before - 0.5) / 2;

export interface Rate {
  fired: number;
  of: number;
}

export const share = ({ fired, of }: Rate): number => (of ? fired / of : 0);

/** Pastes into unrelated text. Fired: the latent reached its threshold on what was pasted or on one of the two tokens after it. */
export interface Injection {
  kinds: { kind: TriggerKind; rate: Rate; triggers: { text: string; mean: number; count: number; rate: Rate }[] }[];
  /** The same places as they are. */
  none: Rate;
  /** Random tokens of the labelled texts, one to three of them. */
  random: Rate[];
  outcome: Outcome;
}

/** Upper end of a rate's 95 % interval (Wilson). */
export function wilsonUpper({ fired, of }: Rate): number {
  const z = 1.96;
  const p = fired / of;
  return (p + z ** 2 / (2 * of) + z * Math.sqrt((p * (1 - p)) / of + z ** 2 / (4 * of ** 2))) / (1 + z ** 2 / of);
}

/** The larger control of a kind: the places as they are, or with as many random tokens. */
export const controlRate = ({ none, random }: Pick<Injection, "none" | "random">, kind: TriggerKind): number => Math.max(share(none), share(random[lengthOf(kind) - 1]));

/**
 * Lost, if pastes of one kind set the latent off half of the time beyond their control; kept, if of no kind the interval reaches that far. Pastes of one
 * trigger resemble each other, so that the interval is a little too narrow; and the kinds' largest is taken, which is a little too strict.
 */
export function injectionOutcome(injection: Omit<Injection, "outcome">): Outcome {
  const kinds = injection.kinds.filter(({ rate }) => rate.of > 0);
  if (!kinds.length) return "undefined";
  if (kinds.some(({ kind, rate }) => share(rate) - controlRate(injection, kind) >= FIRES)) return "lost";
  return kinds.every(({ kind, rate }) => wilsonUpper(rate) - controlRate(injection, kind) < FIRES) ? "kept" : "open";
}

/** Whose pastes exceed their control most. */
export const strongestKind = (injection: Omit<Injection, "outcome">): Injection["kinds"][number] =>
  injection.kinds.reduce((a, b) => (share(b.rate) - controlRate(injection, b.kind) > share(a.rate) - controlRate(injection, a.kind) ? b : a));

const lengthOf = (kind: TriggerKind): number => (kind === "3 tokens" ? 3 : kind === "2 tokens" ? 2 : 1);

/** A detector that needs no SAE, found with the same freedom; its lead is the latent's over it. */
export type Control = Omit<Detector, "searched"> & { searched: number };

/** What another SAE has of it. */
export interface SecondOpinion {
  /** Its latent whose decoder row lies nearest, and the cosine. */
  nearest: { latent: number; cosine: number; heldout: number };
  /** Its best latent for the label, chosen on training documents, and that one's cosine. */
  best: { latent: number; cosine: number; heldout: number };
}

export interface Falsified {
  latent: number;
  /** Chosen on training documents. */
  pooling: Pooling;
  verdict: FalsifyVerdict;
  /** What the verdict rests on, plainest first. */
  reasons: string[];
  /** What does not change the verdict and should be known. */
  cautions: string[];
  /** AUROC on training documents, by which it was chosen; on held-out ones, with 95 %. */
  train: number;
  heldout: number;
  interval: [number, number];
  averagePrecision: number;
  /** Of its held-out AUROC, Mann–Whitney clustered by documents, among all latents: Benjamini–Hochberg. */
  q: number;
  /** It fires from here on, for the tests: half the median peak of the label's training sentences on which it is active. */
  threshold: number;
  controls: Control[];
  ordinary: Measure & {
    /** Share of ordinary tokens, and of stretches as long as a sentence, on which it reaches the threshold; of the label's held-out sentences. */
    tokens: Rate;
    stretches: Rate;
    sentences: Rate;
    /** Against stretches at the positions that the label's sentences have. */
    samePositions: Measure;
  };
  injection: Injection;
  /** Sentences without its trigger tokens. */
  tokenFree: Measure & { without: string[] };
  /** The sentence behind unrelated text; and there with its tokens in another order. */
  moved: Measure;
  shuffled: Measure;
  /** Pairs of sentences at like positions, in like places of their documents, of the same document. */
  samePosition: Measure;
  sameDocument: Measure;
  paraphrased?: Measure;
  second?: SecondOpinion;
}

export type Tested = Omit<Falsified, "verdict" | "reasons" | "cautions">;

const two = (x: number): string => (Number.isNaN(x) ? "–" : x.toFixed(2));
const percent = (x: number): string => `${Math.round(100 * x)} %`;
const fell = ({ before, auroc, positives }: Measure): string => `${two(before)} → ${two(auroc)}, ${positives} of the label`;
const signed = (x: number): string => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;

const NAMES: Partial<Record<DetectorKind, (one: Control) => string>> = {
  keyword: ({ what, absent }) => `${absent ? "the absence of " : ""}the word “${what}”`,
  position: ({ what }) => `the position (${what})`,
  length: ({ what }) => `the length (${what})`,
  "random direction": () => "the best random direction",
};
const nameOf = (one: Control): string => NAMES[one.kind]?.(one) ?? `the ${one.kind}`;

/** What a latent must beat to say more than they do; the others combine much more than one latent, and only caution. */
const BASELINES: DetectorKind[] = ["position", "random direction", "keyword", "length"];

/**
 * The verdict of a latent from its tests. What explains it is asked first, what does as well without it last:
 *
 * 1. fewer than 20 held-out sentences of the label: undecided, whatever the figures
 * 2. AUROC not above ½, interval and all: not above random
 * 3. its triggers, pasted into unrelated text, set it off: token detector. They do so by themselves, so this comes before what is only observed
 * 4. lost among sentences at like positions; or lost when moved where position alone reaches half of it: position
 * 5. lost among sentences of one document; or when moved: context
 * 6. lost without its trigger tokens, or in other words: token detector
 * 7. unrelated text sets it off as the label's sentences do: position where only text at their positions does, else context
 * 8. a random direction, the best word, position or length reaches its AUROC: not above random, as no SAE was needed for it; position, if it was not kept when
 *    moved nor at like positions
 * 9. a test that was needed is open or undefined, or a lead within chance: undecided
 * 10. survives
 */
export function verdictOn(test: Tested, positives: number): Pick<Falsified, "verdict" | "reasons" | "cautions"> {
  const { injection, moved, samePosition, sameDocument, tokenFree, paraphrased, ordinary, shuffled, controls, second } = test;
  if (positives < FEWEST)
    return { verdict: "undecided", reasons: [`only ${positives} held-out sentences carry the label, ${FEWEST} are the least that say something`], cautions: [] };
  if (!(test.interval[0] > 0.5))
    return { verdict: "not above random", reasons: [`its AUROC may be chance (${two(test.heldout)}, 95 %: ${two(test.interval[0])} to ${two(test.interval[1])})`], cautions: [] };
  const found: [FalsifyVerdict, string][] = [];
  const position = controls.find(({ kind }) => kind === "position");

  if (injection.outcome === "lost") {
    const { kind, rate } = strongestKind(injection);
    const pastes = kind === "token" ? "its tokens" : kind === "token before" ? "the tokens before its peaks" : `windows of ${kind}`;
    found.push(["token detector", `pasted into unrelated text, ${pastes} set it off ${rate.fired} of ${rate.of} times (controls: ${percent(controlRate(injection, kind))})`]);
  }
  if (samePosition.outcome === "lost") found.push(["position", `at like positions it does not tell the label (${fell(samePosition)})`]);
  const byPosition = position !== undefined && position.heldout - 0.5 >= (test.heldout - 0.5) / 2;
  if (moved.outcome === "lost" && byPosition && samePosition.outcome !== "kept")
    found.push(["position", `moved elsewhere it is lost (${fell(moved)}), and position alone (${position.what}) reaches ${two(position.heldout)}`]);
  if (sameDocument.outcome === "lost") found.push(["context", `within a document it does not tell the label (${fell(sameDocument)})`]);
  if (moved.outcome === "lost") found.push(["context", `behind unrelated text it is lost (${fell(moved)})`]);
  if (tokenFree.outcome === "lost") found.push(["token detector", `without ${tokenFree.without.map((text) => `“${text}”`).join(", ")} it is lost (${fell(tokenFree)})`]);
  if (paraphrased?.outcome === "lost") found.push(["token detector", `in other words it is lost (${fell(paraphrased)})`]);
  if (ordinary.samePositions.outcome === "lost" && ordinary.outcome !== "lost") found.push(["position", `unrelated text at its positions sets it off as well (AUROC against it ${two(ordinary.samePositions.auroc)})`]);
  if (ordinary.outcome === "lost") found.push(["context", `unrelated text sets it off as well (AUROC against it ${two(ordinary.auroc)})`]);
  for (const kind of BASELINES) {
    const one = controls.find((control) => control.kind === kind);
    if (!one || one.heldout < test.heldout) continue;
    const driven = kind === "position" && moved.outcome !== "kept" && samePosition.outcome !== "kept";
    found.push([driven ? "position" : "not above random", `${nameOf(one)} does as well (${two(one.heldout)} against ${two(test.heldout)})`]);
  }

  const open: string[] = [];
  const needed: [string, Measure | { outcome: Outcome } | undefined][] = [
    ["pasted tokens", injection], ["sentences moved elsewhere", moved], ["sentences without its tokens", tokenFree], ["other words", paraphrased], ["unrelated text", ordinary],
    // what is moved and kept needs neither place nor document
    ...(moved.outcome === "kept" ? [] : [["like positions", samePosition], ["one document", sameDocument]] as [string, Measure][]),
  ];
  for (const [name, one] of needed) {
    if (one?.outcome === "open") open.push(`${name}: neither kept nor lost${"auroc" in one ? ` (${fell(one)})` : ""}`);
    if (one?.outcome === "undefined") open.push(`${name}: too few to tell${"positives" in one ? ` (${one.positives} of the label)` : ""}`);
  }
  for (const kind of BASELINES) {
    const one = controls.find((control) => control.kind === kind);
    if (one && one.heldout < test.heldout && one.lead[0] <= 0) open.push(`its lead over ${nameOf(one)} is within chance (${two(one.heldout)} against ${two(test.heldout)}, 95 %: ${signed(one.lead[0])} to ${signed(one.lead[1])})`);
  }

  const cautions: string[] = [];
  if (!(test.q <= 0.05)) cautions.push(`among all latents its AUROC is no discovery (q ${two(test.q)})`);
  const stronger = controls.filter((one) => !BASELINES.includes(one.kind) && one.heldout >= test.heldout);
  if (stronger.length) cautions.push(`reached by ${stronger.map((one) => `${nameOf(one)} (${two(one.heldout)})`).join(", ")}`);
  if (shuffled.outcome === "kept" && moved.outcome === "kept") cautions.push(`the order of the words hardly matters to it (${fell(shuffled)})`);
  if (second && second.nearest.cosine < 0.7) cautions.push(`the other SAE has no latent like it (nearest decoder row: cosine ${two(second.nearest.cosine)}), though one may score alike (${two(second.best.heldout)})`);

  if (found.length) return { verdict: found[0][0], reasons: found.map(([, reason]) => reason), cautions };
  if (open.length) return { verdict: "undecided", reasons: open, cautions };
  return { verdict: "survives", reasons: [`kept when moved (${fell(moved)}), without its tokens (${fell(tokenFree)}), against unrelated text; its triggers do not set it off elsewhere; above its controls`], cautions };
}
