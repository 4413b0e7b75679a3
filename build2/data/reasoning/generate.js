"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.labels = void 0;
exports.generateDocument = generateDocument;
exports.generate = generate;
/**
 * Labelled step-by-step reasoning texts: a puzzle, `<think>` sentences `</think>`, an answer line. Each sentence is one span
 * that carries its behaviour. The behaviours are real: a check computes with the value it tests, and a step is only taken
 * back when it was wrong (or led nowhere), after which it is done again.
 */
const phrases_1 = require("./phrases");
const puzzles_1 = require("./puzzles");
exports.labels = [
    "initializing", "deduction", "adding-knowledge", "example-testing", "uncertainty-estimation", "backtracking",
];
const say = (trace, label, templates, slots = {}, opening) => {
    const { rng, sentences } = trace;
    // "wait" and "hmm" open any sentence, a little more often where something is given up or doubted, as people do.
    const doubtful = label === "backtracking" || label === "uncertainty-estimation";
    const body = (0, phrases_1.expand)(rng, (0, phrases_1.pick)(rng, templates), slots);
    const asks = /\?$/.test(body) ? "" : ".";
    let opener = opening ?? "";
    if (!opener && (0, phrases_1.chance)(rng, 0.4))
        opener = (0, phrases_1.chance)(rng, doubtful ? 0.25 : 0.1) ? (0, phrases_1.pick)(rng, ["hmm,", "wait,", "hmm, wait,"]) : (0, phrases_1.pick)(rng, phrases_1.openers);
    const last = sentences[sentences.length - 1];
    if (last && opener && last.text.toLowerCase().startsWith(opener))
        opener = "";
    const text = opener ? `${opener} ${body.replace(/^(so|hence|then) /, "")}` : body;
    sentences.push({ text: text[0].toUpperCase() + text.slice(1) + asks, label });
};
/** Something is tried, doubted, checked; what follows depends on what was found. */
function solveStep(trace, step, slots, wrongTurn) {
    const { rng } = trace;
    const knowledge = (p) => { if ((0, phrases_1.chance)(rng, p))
        say(trace, "adding-knowledge", step.knowledge); };
    const doubt = (v) => say(trace, "uncertainty-estimation", phrases_1.uncertainty, { q: step.sought, v });
    const test = (check, doubted) => say(trace, "example-testing", check, {}, doubted && (0, phrases_1.chance)(rng, 0.75) ? (0, phrases_1.pick)(rng, phrases_1.toBeSure) : undefined);
    knowledge(0.42);
    if (wrongTurn) {
        const w = wrongTurn.value;
        say(trace, "deduction", wrongTurn.derive);
        const doubted = (0, phrases_1.chance)(rng, 0.5);
        if (doubted)
            doubt(w);
        if ((0, phrases_1.chance)(rng, doubted ? 0.75 : 0.4)) {
            test(wrongTurn.check, doubted);
            if (!doubted && (0, phrases_1.chance)(rng, 0.2))
                doubt(w);
        }
        say(trace, "backtracking", phrases_1.backtracking, { w, q: step.sought, why: (0, phrases_1.pick)(rng, wrongTurn.why), back: step.from });
        if ((0, phrases_1.chance)(rng, 0.08))
            say(trace, "initializing", phrases_1.initializing.next, { ...slots, q: step.sought, old: step.from });
        say(trace, "deduction", step.derive, {}, (0, phrases_1.chance)(rng, 0.9) ? (0, phrases_1.pick)(rng, phrases_1.redo) : undefined);
    }
    else {
        say(trace, "deduction", step.derive);
    }
    const doubted = (0, phrases_1.chance)(rng, wrongTurn ? 0.2 : 0.4);
    if (doubted)
        doubt(step.value);
    if ((0, phrases_1.chance)(rng, doubted ? 0.85 : 0.15))
        test(step.check, doubted);
    else if (doubted)
        say(trace, "adding-knowledge", step.knowledge);
}
/**
 * The document of a seed: same seed, same document.
 * @param seed whole number; neighbouring seeds give unrelated documents
 * @param options.kind only this kind of puzzle; by default any
 * @param options.wrongTurns 0…1, how many of the usual wrong turns are taken; by default all
 */
function generateDocument(seed, options = {}) {
    const { kind, wrongTurns = 1 } = options;
    const rng = (0, phrases_1.random)(seed);
    const puzzle = (0, puzzles_1.makePuzzle)(rng, kind);
    const trace = { rng, sentences: [] };
    const { steps } = puzzle;
    const last = steps[steps.length - 1];
    const slots = { given: puzzle.given };
    const goals = (0, phrases_1.chance)(rng, 0.35) ? 2 : 1;
    if ((0, phrases_1.chance)(rng, 0.12))
        say(trace, "adding-knowledge", steps[0].knowledge);
    say(trace, "initializing", phrases_1.initializing.start, { ...slots, q: (0, phrases_1.pick)(rng, [last.sought, steps[0].sought]) });
    if (goals === 2 && steps.length > 1)
        say(trace, "initializing", phrases_1.initializing.start, { ...slots, q: steps[0].sought });
    steps.forEach((step, i) => {
        if (i > 0 && (0, phrases_1.chance)(rng, 0.6))
            say(trace, "initializing", phrases_1.initializing.next, { ...slots, q: step.sought, old: steps[i - 1].value });
        const wrongTurn = (0, phrases_1.chance)(rng, wrongTurns * (steps.length > 1 ? 0.42 : 0.6)) ? (0, phrases_1.pick)(rng, step.wrong) : null;
        solveStep(trace, step, slots, wrongTurn);
    });
    if ((0, phrases_1.chance)(rng, 0.6))
        say(trace, "deduction", phrases_1.concluding, { q: last.sought, v: last.value });
    let text = `${puzzle.text}\n<think>\n`;
    const spans = [];
    trace.sentences.forEach((sentence, i) => {
        if (i > 0)
            text += (0, phrases_1.chance)(rng, 0.12) ? "\n" : " ";
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
function* generate(options) {
    const { count, seed = 0, straight = 0, without = new Set() } = options;
    for (let made = 0, at = seed; made < count; at++) {
        const document = generateDocument(at, { wrongTurns: made % 100 < 100 * straight ? 0 : 1 });
        if (without.has(document.puzzle.text))
            continue;
        without.add(document.puzzle.text);
        made++;
        yield document;
    }
}
//# sourceMappingURL=generate.js.map