/**
 * Labelled step-by-step reasoning texts: a puzzle, `<think>` sentences `</think>`, an answer line. Each sentence is one span
 * that carries its behaviour. The behaviours are real: a check computes with the value it tests, and a step is only taken
 * back when it was wrong (or led nowhere), after which it is done again.
 */
import {
  backtracking, chance, concluding, expand, initializing, openers, pick, random, redo, toBeSure, uncertainty,
  type Random, type Slots,
} from "./phrases";
import { makePuzzle, type Facts, type Kind, type Step, type WrongTurn } from "./puzzles";

export const labels = [
  "initializing", "deduction", "adding-knowledge", "example-testing", "uncertainty-estimation", "backtracking",
] as const;

export type Label = (typeof labels)[number];

/** A behaviour from character `start` up to, not including, `end` (UTF-16 units of the text). */
export interface Span {
  start: number;
  end: number;
  label: Label;
}

export interface ReasoningDocument {
  id: string;
  text: string;
  spans: Span[];
  puzzle: { text: string; answer: string; facts: Facts };
}

/** The sentences of one trace, in order; `say` adds one. */
interface Trace {
  rng: Random;
  sentences: { text: string; label: Label }[];
}

const say = (trace: Trace, label: Label, templates: readonly string[], slots: Slots = {}, opening?: string): void => {
  const { rng, sentences } = trace;
  // "wait" and "hmm" open any sentence, a little more often where something is given up or doubted, as people do.
  const doubtful = label === "backtracking" || label === "uncertainty-estimation";
  const body = expand(rng, pick(rng, templates), slots);
  const asks = /\?$/.test(body) ? "" : ".";
  let opener = opening ?? "";
  if (!opener && chance(rng, 0.4)) opener = chance(rng, doubtful ? 0.25 : 0.1) ? pick(rng, ["hmm,", "wait,", "hmm, wait,"]) : pick(rng, openers);
  const last = sentences[sentences.length - 1];
  if (last && opener && last.text.toLowerCase().startsWith(opener)) opener = "";
  const text = opener ? `${opener} ${body.replace(/^(so|hence|then) /, "")}` : body;
  sentences.push({ text: text[0].toUpperCase() + text.slice(1) + asks, label });
};

/** Something is tried, doubted, checked; what follows depends on what was found. */
function solveStep(trace: Trace, step: Step, slots: Slots, wrongTurn: WrongTurn | null): void {
  const { rng } = trace;
  const knowledge = (p: number) => { if (chance(rng, p)) say(trace, "adding-knowledge", step.knowledge); };
  const doubt = (v: string) => say(trace, "uncertainty-estimation", uncertainty, { q: step.sought, v });
  const test = (check: readonly string[], doubted: boolean) =>
    say(trace, "example-testing", check, {}, doubted && chance(rng, 0.75) ? pick(rng, toBeSure) : undefined);
  knowledge(0.42);
  if (wrongTurn) {
    const w = wrongTurn.value;
    say(trace, "deduction", wrongTurn.derive);
    const doubted = chance(rng, 0.5);
    if (doubted) doubt(w);
    if (chance(rng, doubted ? 0.75 : 0.4)) {
      test(wrongTurn.check, doubted);
      if (!doubted && chance(rng, 0.2)) doubt(w);
    }
    say(trace, "backtracking", backtracking, { w, q: step.sought, why: pick(rng, wrongTurn.why), back: step.from });
    if (chance(rng, 0.08)) say(trace, "initializing", initializing.next, { ...slots, q: step.sought, old: step.from });
    say(trace, "deduction", step.derive, {}, chance(rng, 0.9) ? pick(rng, redo) : undefined);
  } else {
    say(trace, "deduction", step.derive);
  }
  const doubted = chance(rng, wrongTurn ? 0.2 : 0.4);
  if (doubted) doubt(step.value);
  if (chance(rng, doubted ? 0.85 : 0.15)) test(step.check, doubted);
  else if (doubted) say(trace, "adding-knowledge", step.knowledge);
}

/**
 * The document of a seed: same seed, same document.
 * @param seed whole number; neighbouring seeds give unrelated documents
 * @param options.kind only this kind of puzzle; by default any
 * @param options.wrongTurns 0…1, how many of the usual wrong turns are taken; by default all
 */
export function generateDocument(seed: number, options: { kind?: Kind; wrongTurns?: number } = {}): ReasoningDocument {
  const { kind, wrongTurns = 1 } = options;
  const rng = random(seed);
  const puzzle = makePuzzle(rng, kind);
  const trace: Trace = { rng, sentences: [] };
  const { steps } = puzzle;
  const last = steps[steps.length - 1];
  const slots = { given: puzzle.given };
  const goals = chance(rng, 0.35) ? 2 : 1;
  if (chance(rng, 0.12)) say(trace, "adding-knowledge", steps[0].knowledge);
  say(trace, "initializing", initializing.start, { ...slots, q: pick(rng, [last.sought, steps[0].sought]) });
  if (goals === 2 && steps.length > 1) say(trace, "initializing", initializing.start, { ...slots, q: steps[0].sought });
  steps.forEach((step, i) => {
    if (i > 0 && chance(rng, 0.6)) say(trace, "initializing", initializing.next, { ...slots, q: step.sought, old: steps[i - 1].value });
    const wrongTurn = chance(rng, wrongTurns * (steps.length > 1 ? 0.42 : 0.6)) ? pick(rng, step.wrong) : null;
    solveStep(trace, step, slots, wrongTurn);
  });
  if (chance(rng, 0.6)) say(trace, "deduction", concluding, { q: last.sought, v: last.value });

  let text = `${puzzle.text}\n<think>\n`;
  const spans: Span[] = [];
  trace.sentences.forEach((sentence, i) => {
    if (i > 0) text += chance(rng, 0.12) ? "\n" : " ";
    spans.push({ start: text.length, end: text.length + sentence.text.length, label: sentence.label });
    text += sentence.text;
  });
  text += `\n</think>\nAnswer: ${puzzle.answer}`;
  return { id: `reasoning-${seed}`, text, spans, puzzle: { text: puzzle.text, answer: puzzle.answer, facts: puzzle.facts } };
}

/**
 * Documents of the seeds seed, seed + 1, …; a puzzle that was already drawn (or is in `without`) is left out.
 * @param count documents wanted
 * @param straight share of the documents without any wrong turn, from none (0) to all (1)
 * @param without puzzle texts that must not occur; those drawn are added
 */
export function* generate(
  options: { count: number; seed?: number; straight?: number; without?: Set<string> },
): Generator<ReasoningDocument> {
  const { count, seed = 0, straight = 0, without = new Set<string>() } = options;
  for (let made = 0, at = seed; made < count; at++) {
    const document = generateDocument(at, { wrongTurns: made % 100 < 100 * straight ? 0 : 1 });
    if (without.has(document.puzzle.text)) continue;
    without.add(document.puzzle.text);
    made++;
    yield document;
  }
}

