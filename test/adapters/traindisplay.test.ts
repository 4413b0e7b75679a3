import assert from "node:assert/strict";
import { test } from "node:test";
import { trainingDisplay, type LineOutput } from "../../src/adapters/traindisplay";
import { labelsOf } from "../../src/adapters/traintelling";
import type { Plan } from "../../src/adapters/trainplan";
import { curvesSvg, thinned } from "../../src/core/trainingcurve";
import { defaultLearningRate } from "../../src/core/schedule";
import type { TrainingState } from "../../src/core/trainingview";
import type { TrainingPoint } from "../../src/core/types";

interface Call {
  bundle: Record<string, string>;
  options: { display_id: string; update: boolean };
}

const TOTAL = 10_000;
const points: TrainingPoint[] = Array.from({ length: 100 }, (_, i) => ({
  step: i + 1, tokens: 100 * (i + 1), fvu: 1 / (i + 1), dead: i / 1000, learningRate: 1e-3, loss: 1.1 / (i + 1), l0: 31.5,
}));
const at = (name: string, step: number): TrainingState => ({
  name, done: 100 * step, total: TOTAL, points: points.slice(0, step), rate: 1000, secondsLeft: (TOTAL - 100 * step) / 1000, finished: step === 100,
});

/** Both of `names` told of at each of 100 steps, a tenth of a second apart. */
function train(names: string[], output?: LineOutput): void {
  let now = 50;
  const tell = trainingDisplay("sae", () => now, output);
  for (let step = 1; step <= 100; step++, now += 0.1) for (const name of names) tell(at(name, step));
}

function inNotebook(body: () => void): Call[] {
  const key = Symbol.for("saelab.display");
  const calls: Call[] = [];
  (globalThis as Record<symbol, unknown>)[key] = (bundle: Call["bundle"], options: Call["options"]) => calls.push({ bundle, options });
  try {
    body();
  } finally {
    delete (globalThis as Record<symbol, unknown>)[key];
  }
  return calls;
}

/** Writes to nowhere, remembered. */
function lines(terminal: Partial<LineOutput>): { output: LineOutput; written: string[] } {
  const written: string[] = [];
  return { output: { write: (text) => written.push(text), ...terminal }, written };
}

test("in a notebook: one output, at most four updates a second, at last a still picture", () => {
  const calls = inNotebook(() => train(["a", "b"]));
  // 9.9 s: one at once, then each third step (0.3 s ≥ 0.25 s), and the end
  assert.ok(calls.length >= 30 && calls.length <= 4 * 9.9 + 1, String(calls.length));
  assert.deepEqual(calls.map(({ options }) => options.update), calls.map((_, i) => i > 0));
  assert.equal(new Set(calls.map(({ options }) => options.display_id)).size, 1);
  for (const { bundle } of calls.slice(0, -1)) {
    assert.match(bundle["text/html"], /src="data:image\/svg\+xml;base64,/);
    assert.equal(bundle["image/png"], undefined);
  }
  const { bundle } = calls.at(-1)!;
  assert.match(bundle["text/html"], /<b>sae · 2 SAEs<\/b>.*10,000 tokens in 9\.9 s · 1,000 tokens\/s.*<table/);
  assert.doesNotMatch(bundle["text/html"], /svg/);
  const png = Buffer.from(bundle["image/png"], "base64");
  assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from("PNG")]);
  assert.equal(png.readUInt32BE(16), 2 * 720);
  assert.ok(bundle["text/html"].includes(`data:image/png;base64,${bundle["image/png"]}"`));
  assert.match(bundle["text/plain"], /^a +0\.0110 +0\.0100 +31\.5 +9\.9 % +[▁-█]{24}$/m);
});

test("a second training has an output of its own; one that ends before a point came shows no picture", () => {
  const odd = inNotebook(() => trainingDisplay()({ ...at("a\u0001\ud800 <b> & \uffff", 100), points: points.map((point) => ({ ...point, fvu: NaN, dead: NaN })) }))[0];
  assert.ok(odd.bundle["image/png"].length > 1000); // names and numbers that no drawing takes
  const [one, two] = [0, 1].map(() => inNotebook(() => trainingDisplay()({ ...at("a", 0), points: [], finished: true, note: "interrupted" }))[0]);
  assert.notEqual(one.options.display_id, two.options.display_id);
  assert.equal(one.bundle["image/png"], undefined);
  assert.doesNotMatch(one.bundle["text/html"], /<img/);
  assert.match(one.bundle["text/plain"], /\ninterrupted$/);
});

test("SAEs of one pass are told apart by what differs: learning rates only where one was asked for", () => {
  const plan = { kind: "topk", hooks: ["layers.1"], d: 64, latents: 512, k: 8, batch: 128, tokens: 1e5, initSeed: 0 } as unknown as Plan;
  const usual = (d: number): Pick<Plan, "d" | "learningRate"> => ({ d, learningRate: defaultLearningRate(d, 128, 1e5) });
  const both = { ...plan, ...usual(128), hooks: ["layers.1", "layers.2"] };
  assert.deepEqual(labelsOf([{ ...plan, ...usual(64) }, both]), ["layers.1", "layers.1 + layers.2"]);
  assert.deepEqual(labelsOf([{ ...plan, learningRate: 1 / 300 }, { ...plan, learningRate: 1 / 30 }]), ["lr 0.00333", "lr 0.0333"]);
});

test("what is prepared shows at once, and its time is not in the speed", () => {
  let now = 0;
  const tell = trainingDisplay(undefined, () => now);
  const calls = inNotebook(() => {
    for (const preparing of ["reading rows", "setting the weights", "setting the weights"]) {
      tell({ ...at("a", 0), points: [], preparing });
      now += 0.1;
    }
    now = 60;
    tell({ ...at("a", 0), points: [] });
    now = 70;
    tell(at("a", 100));
  });
  assert.equal(calls.length, 4);
  assert.match(calls[1].bundle["text/plain"], /0 of 10,000 tokens · setting the weights\n/);
  assert.match(calls[3].bundle["text/plain"], /10,000 tokens in 10 s · 1,000 tokens\/s\n/);
});

test("of a run that went on the time is that of the tokens since then", () => {
  let now = 0;
  const tell = trainingDisplay(undefined, () => now);
  const { bundle } = inNotebook(() => {
    tell({ ...at("a", 60), preparing: "reading rows" });
    tell(at("a", 60));
    now = 4;
    tell(at("a", 100));
  }).at(-1)!;
  assert.match(bundle["text/plain"], /10,000 tokens, 4,000 of them in 4\.0 s · 1,000 tokens\/s\n/);
});

test("one that diverged does not stand for those that went on to the end", () => {
  const calls = inNotebook(() => {
    const tell = trainingDisplay();
    tell({ ...at("b", 2), finished: true, note: "diverged at step 2" });
    tell(at("a", 100));
    tell({ ...at("b", 2), finished: true, note: "diverged at step 2" });
  });
  for (const { bundle } of calls.slice(1)) assert.match(bundle["text/plain"], /█{20}  10,000 tokens/);
});

test("on a terminal: its last line, at most four times a second, no wider than it", () => {
  const { output, written } = lines({ isTTY: true, columns: 60 });
  train(["topk"], output);
  assert.ok(written.length >= 30 && written.length <= 4 * 9.9 + 1, String(written.length));
  for (const text of written.slice(0, -1)) assert.match(text, /^\r\u001b\[2Ksae · topk [\d.]+ % · loss [^\n]*$/);
  for (const text of written.slice(0, -1)) assert.ok(text.length - "\r\u001b[2K".length <= 59);
  assert.equal(written.at(-1), "\r\u001b[2Ksae · topk 100 % · loss 0.0110 · FVU 0.0100 · L0 31.5 · dead 9.9 % · 10,000 tokens in 9.9 s · 1,000 tokens/s\n");
});

test("into a file: a line now and then, of several SAEs the span of each number", () => {
  const { output, written } = lines({});
  let now = 0;
  const tell = trainingDisplay(undefined, () => now, output);
  for (let step = 1; step <= 100; step++, now += 1) {
    tell(at("a", step));
    tell({ ...at("b", step), points: points.slice(0, Math.ceil(step / 2)) });
  }
  // a's at 0, 30, 60, 90 s; b's numbers are those of the step before
  assert.equal(written.length, 5, written.join(""));
  assert.equal(written[1], "2 SAEs 31.0 % · loss 0.0355…0.0733 · FVU 0.0323…0.0667 · L0 31.5 · dead 1.4 %…3.0 % · 3,100 of 10,000 tokens · 1,000 tokens/s · 6.9 s left\n");
  assert.match(written[4], /^2 SAEs .*\nSAE .*\na .*\nb .*\n$/);
});

test("a curve of many points is drawn with few, its spikes kept; what is no number breaks the line", () => {
  const many: TrainingPoint[] = Array.from({ length: 100_000 }, (_, i) => ({ step: i, tokens: i, fvu: i === 61_803 ? 40 : 0.3, dead: 0, learningRate: 0 }));
  const few = thinned(many, 200);
  assert.ok(few.length <= 201, String(few.length));
  assert.ok(few.includes(many[61_803]) && few.includes(many[99_999]));
  assert.deepEqual(few.map(({ step }) => step), few.map(({ step }) => step).sort((a, b) => a - b));
  const drawn = (list: TrainingPoint[]): string => /<path d="([^"]*)" fill="none" stroke="#d9660a"/.exec(curvesSvg([{ name: "a", total: 100, points: list }])!.svg)![1];
  assert.equal(drawn(points).match(/M/g)!.length, 1);
  assert.equal(drawn(points.map((point, i) => (i === 50 ? { ...point, fvu: NaN } : point))).match(/M/g)!.length, 2);
  assert.doesNotMatch(drawn(points.map((point) => ({ ...point, fvu: 0 }))), /NaN|Infinity|M/);
  assert.equal(curvesSvg([{ name: "a", total: 100, points: [] }]), undefined);
  assert.match(curvesSvg([{ name: "layers.3 → layers.3.mlp", total: 100, points }])!.svg, />layers\.3 to layers\.3\.mlp</);
});
