import { join } from "node:path";
import { rowLatents, together, type RowLatents, type Together } from "../core/cofiring";
import { BINS, bySize, firingsOf, latentBlocks, latentStatistics, type LatentStatistics } from "../core/collect";
import { blockExamples, type RowOrigins } from "../core/examples";
import { positionSpread, TENTHS } from "../core/positions";
import { writeSafetensors, type TensorToWrite } from "../core/safetensors";
import { SHARES, tokenSpread, TRIGGERS } from "../core/tokenspread";
import type { Document, Progress, Sparse } from "../core/types";
import type { CodesReader, CodesShard } from "./codes";
import { examplesFile, STATISTICS, TOGETHER, type FeaturesManifest } from "./family";
import { writeNames } from "./familynames";
import { writeAtomic } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { inPieces } from "./pieces";
import { meter } from "./progress";

/** Texts that rows come from. */
export interface Texts {
  documents(): Document[];
  tokens(document: number): { ids: Int32Array };
  tokenizer: { bytes(id: number): Uint8Array };
}

/** Firings turned over at once, 12 bytes each: of a long corpus more, as all codes are read again for each block. */
const ENTRIES = { least: 2 ** 22, most: 2 ** 24, share: 1 / 16 };
const LATENTS = 8192; // and latents: some 60 MB of contexts
const SEGMENT = 2 ** 25; // active latents of rows held at once to count pairs: 64 MB of up to 65,536 latents
const READ_ROWS = 2 ** 14; // where a row has at most k latents; else an eighth, as one may have thousands

/**
 * Turns codes over, block of latents by block, and writes everything of a family but codes and manifest. Nothing grows with the rows but
 * where they come from, 12 bytes each; examples go to disk as they are found.
 * @param kept what an interrupt leaves, in words
 * @returns files of examples
 */
export async function writeFamily(
  folder: string,
  manifest: FeaturesManifest,
  codes: CodesReader,
  texts: Texts,
  kept: string,
  progress?: Progress,
): Promise<FeaturesManifest["blocks"]> {
  const { rows, settings, sae, shards } = manifest;
  const F = sae.latents;
  const step = sae.k < F ? READ_ROWS : READ_ROWS / 8;
  const eachPiece = async (from: number, to: number, body: (from: number, to: number) => void): Promise<void> => {
    for (let at = from; at < to; at += step) {
      body(at, Math.min(to, at + step));
      stopIfInterrupted(kept);
      await breathe();
    }
  };
  const counting = latentStatistics(F);
  let piece: Sparse | undefined; // one memory for all
  const read = (from: number, to: number): Sparse => (piece = codes.read(from, to, piece));
  await eachPiece(0, rows, (from, to) => counting.add(read(from, to)));
  const statistics = counting.finish();
  const origin = codes.origin(0, rows);
  const { lengths, vocabulary } = await writeTexts(folder, manifest, origin, texts, kept);
  const segments = segmentsOf(shards, read, F, step);
  const spread = spreadOf(F);
  const pairs: Together[] = [];
  const blocks: FeaturesManifest["blocks"] = [];
  const told = meter("collect: examples", F, "latents", progress);
  const firingsInAll = statistics.fired.reduce((sum, n) => sum + n, 0);
  const entries = Math.min(ENTRIES.most, Math.max(ENTRIES.least, Math.ceil(firingsInAll * ENTRIES.share)));
  for (const { from, to } of latentBlocks(statistics.fired, entries, LATENTS)) {
    const { firings, add } = firingsOf(statistics.fired, from, to);
    await eachPiece(0, rows, (a, b) => add(a, read(a, b)));
    const order = await inPieces(bySize(firings), kept);
    const tokensOf = (document: number): Int32Array => texts.tokens(document).ids;
    const examples = await inPieces(blockExamples(firings, origin, tokensOf, lengths, settings, order), kept);
    const tensors: TensorToWrite[] = Object.entries(examples).map(([name, data]) => ({ name, shape: [data.length], data }));
    const pieces = writeSafetensors(tensors);
    const file = examplesFile(blocks.length);
    await writeAtomic(join(folder, file), pieces);
    blocks.push({ file, from, to, bytes: pieces.reduce((sum, { byteLength }) => sum + byteLength, 0) });
    spread.put(from, {
      ...(await inPieces(tokenSpread(firings, origin.token, vocabulary, order), kept)),
      ...(await inPieces(positionSpread(firings, origin, lengths), kept)),
    });
    pairs.push(await inPieces(together(firings, statistics.fired, segments), kept));
    told(to);
    await breathe();
  }
  await writeStatistics(folder, statistics, spread.tensors);
  await writePairs(folder, pairs, F);
  return blocks;
}

/** Names of the documents, bytes of their tokens; and what is to be known of them: tokens of each, one more than the largest id. */
async function writeTexts(
  folder: string, { documents: count }: FeaturesManifest, origin: RowOrigins, texts: Texts, kept: string,
): Promise<{ lengths: Int32Array; vocabulary: number }> {
  const has = new Uint8Array(count);
  for (const document of origin.document) has[document] = 1;
  const lengths = new Int32Array(count);
  let seen = new Uint8Array(2 ** 16);
  let vocabulary = 0;
  for (let document = 0; document < count; document++) {
    if (document % 1024 === 1023) {
      stopIfInterrupted(kept);
      await breathe();
    }
    if (!has[document]) continue;
    const { ids } = texts.tokens(document);
    lengths[document] = ids.length;
    for (const id of ids) {
      if (id >= vocabulary) vocabulary = id + 1;
      if (id >= seen.length) {
        const larger = new Uint8Array(2 * id);
        larger.set(seen);
        seen = larger;
      }
      seen[id] = 1;
    }
  }
  const tokens = Int32Array.from(seen.keys()).filter((id) => seen[id]);
  await writeNames(folder, tokens, (id) => texts.tokenizer.bytes(id), texts.documents().map(({ id }) => id));
  return { lengths, vocabulary };
}

/** Rows in segments of whole shards; the only one is read once and held. */
function segmentsOf(shards: CodesShard[], read: (from: number, to: number) => Sparse, latents: number, step: number): { count: number; at(segment: number): RowLatents } {
  const segments: { from: number; to: number; entries: number }[] = [];
  let row = 0;
  for (const { rows, firings } of shards) {
    const last = segments.at(-1);
    if (last && last.entries + firings <= SEGMENT) {
      last.to += rows;
      last.entries += firings;
    } else segments.push({ from: row, to: row + rows, entries: firings });
    row += rows;
  }
  let held: { segment: number; rows: RowLatents } | undefined;
  return {
    count: segments.length,
    at(segment) {
      if (held?.segment === segment) return held.rows;
      held = undefined; // two at once would take twice the memory
      const { from, to, entries } = segments[segment];
      const { rows, add } = rowLatents(from, to, entries, latents);
      for (let at = from; at < to; at += step) add(read(at, Math.min(to, at + step)));
      held = { segment, rows };
      return rows;
    },
  };
}

const COLUMNS = {
  entropy: ["entropy", Float32Array, 1],
  distinct: ["distinct", Int32Array, 1],
  trigger: ["token", Int32Array, TRIGGERS],
  triggerMean: ["tokenMean", Float32Array, TRIGGERS],
  shareToken: ["shareToken", Int32Array, SHARES],
  share: ["share", Float32Array, SHARES],
  documents: ["documents", Int32Array, 1],
  position: ["mean", Float32Array, 1],
  early: ["early", Float32Array, 1],
  tenths: ["tenths", Float32Array, TENTHS],
} as const;

/** What blocks find, put together: tensors of the statistics by name. */
function spreadOf(F: number) {
  const tensors: TensorToWrite[] = [];
  const places: { key: string; n: number; data: Int32Array | Float32Array }[] = [];
  for (const [name, [key, Type, n]] of Object.entries(COLUMNS)) {
    const data = new Type(F * n);
    tensors.push({ name, shape: n === 1 ? [F] : [F, n], data });
    places.push({ key, n, data });
  }
  return {
    tensors,
    put(from: number, found: Record<(typeof COLUMNS)[keyof typeof COLUMNS][0], Int32Array | Float32Array>): void {
      for (const { key, n, data } of places) data.set(found[key as keyof typeof found], from * n);
    },
  };
}

const writeStatistics = (folder: string, { fired, mean, max, histogram, latents: F }: LatentStatistics, more: TensorToWrite[]): Promise<void> =>
  writeAtomic(
    join(folder, STATISTICS),
    writeSafetensors([
      { name: "fired", shape: [F], data: fired },
      { name: "mean", shape: [F], data: mean },
      { name: "max", shape: [F], data: max },
      { name: "histogram", shape: [F, BINS], data: histogram },
      ...more,
    ]),
  );

async function writePairs(folder: string, blocks: Together[], F: number): Promise<void> {
  const P = blocks.reduce((sum, { latent }) => sum + latent.length, 0);
  const offset = new Int32Array(F + 1);
  const [latent, count, score] = [new Int32Array(P), new Int32Array(P), new Float32Array(P)];
  let [row, at] = [0, 0];
  for (const block of blocks) {
    for (let i = 1; i < block.offset.length; i++) offset[++row] = at + block.offset[i];
    latent.set(block.latent, at);
    count.set(block.count, at);
    score.set(block.score, at);
    at += block.latent.length;
  }
  await writeAtomic(
    join(folder, TOGETHER),
    writeSafetensors([
      { name: "offset", shape: [F + 1], data: offset },
      { name: "latent", shape: [P], data: latent },
      { name: "count", shape: [P], data: count },
      { name: "score", shape: [P], data: score },
    ]),
  );
}
