/**
 * Writes corpus.jsonl beside the source: `node build/data/reasoning/prepare.js`.
 * With `--stream <file> --count <n>` it writes training texts for tiny-reasoner instead, one JSON string a line, from other
 * seeds and without any puzzle of the corpus; `--straight <share>` of them take no wrong turn. With `--puzzles <file>` it writes the puzzles of the corpus' held-out documents
 * ({kind, text, answer, options} a line; options: how many answers there are to choose from, 0 for a number).
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { generate, labels, type Label, type ReasoningDocument } from "./generate";

export const corpusCount = 4200;
export const corpusSeed = 0;
export const streamSeed = 10_000_000;  // far from the corpus' seeds

/** Every fifth document is held out. */
const split = (index: number): "train" | "heldout" => (index % 5 === 4 ? "heldout" : "train");

/** One line of the corpus. */
export function corpusLine(document: ReasoningDocument, index: number): string {
  const { id, text, spans } = document;
  return JSON.stringify({ id, text, spans, split: split(index) });
}

/** Written beside and moved into place: a file is whole or not there. */
function writeWhole(file: string, body: string): void {
  writeFileSync(`${file}.partial`, body);
  renameSync(`${file}.partial`, file);
}

function writeCorpus(file: string): void {
  const lines: string[] = [];
  const shares = Object.fromEntries(labels.map((label) => [label, 0])) as Record<Label, number>;
  let spans = 0;
  for (const document of generate({ count: corpusCount, seed: corpusSeed })) {
    lines.push(corpusLine(document, lines.length));
    for (const span of document.spans) shares[span.label]++;
    spans += document.spans.length;
  }
  const body = `${lines.join("\n")}\n`;
  writeWhole(file, body);
  console.log(`${file}: ${lines.length} documents, ${spans} sentences, ${Buffer.byteLength(body)} bytes`);
  console.log(`SHA-256 ${createHash("sha256").update(body).digest("hex")}`);
  for (const label of labels) console.log(`${label}: ${((100 * shares[label]) / spans).toFixed(1)} %`);
}

function writeStream(file: string, count: number, straight: number): void {
  const without = new Set<string>();
  for (const document of generate({ count: corpusCount, seed: corpusSeed, without })) void document;
  const out = openSync(`${file}.partial`, "w");
  for (const document of generate({ count, seed: streamSeed, straight, without })) writeSync(out, `${JSON.stringify(document.text)}\n`);
  closeSync(out);
  renameSync(`${file}.partial`, file);
  console.log(`${file}: ${count} documents`);
}

function writePuzzles(file: string): void {
  const lines: string[] = [];
  let index = 0;
  for (const { puzzle } of generate({ count: corpusCount, seed: corpusSeed })) {
    if (split(index++) !== "heldout") continue;
    const { facts, text, answer } = puzzle;
    const options = facts.kind === "parity" ? 2 : "names" in facts ? facts.names.length : 0;
    lines.push(JSON.stringify({ kind: facts.kind, text, answer, options }));
  }
  writeWhole(file, `${lines.join("\n")}\n`);
  console.log(`${file}: ${lines.length} puzzles`);
}

if (require.main === module) {
  const { values } = parseArgs({ options: { out: { type: "string" }, stream: { type: "string" }, count: { type: "string" }, straight: { type: "string" }, puzzles: { type: "string" } } });
  // Compiled files lie in build/data/reasoning; the corpus belongs beside the source.
  const beside = resolve(__dirname, "../../../data/reasoning");
  if (values.puzzles !== undefined) writePuzzles(values.puzzles);
  else if (values.stream === undefined) writeCorpus(values.out ?? join(beside, "corpus.jsonl"));
  else {
    const count = Number(values.count ?? 100_000);
    if (!Number.isInteger(count) || count < 1) {
      throw new RangeError(`--count: expected a whole number of documents, at least 1, found ${values.count}. Example: --count 100000.`);
    }
    const straight = Number(values.straight ?? 0);
    if (!(straight >= 0 && straight <= 1)) {
      throw new RangeError(`--straight: expected a share from 0 to 1, found ${values.straight}. Example: --straight 0.6.`);
    }
    writeStream(values.stream, count, straight);
  }
}
