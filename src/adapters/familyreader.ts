import { join } from "node:path";
import { BINS, histogramOf } from "../core/collect";
import { GROUPS } from "../core/examples";
import { TENTHS } from "../core/positions";
import { SHARES, TRIGGERS } from "../core/tokenspread";
import type { Example, Feature } from "../core/types";
import { examplesFile, requireWhole, STATISTICS, TOGETHER, type FeaturesManifest } from "./family";
import { fewOpen } from "./files";
import { damaged, openTensors, type Tensors } from "./tensorfile";

const OPEN_BLOCKS = 16; // files of examples that are open at most

/** What the files of a family say of one latent. */
export interface LatentFiles {
  histogram: Feature["histogram"];
  triggers: { token: number; mean: number }[];
  tokenShares: { token: number; share: number }[];
  documents: number;
  position: { mean: number; early: number; deciles: number[] };
  /** By group, as GROUPS names them. */
  examples: Example[][];
}

export interface Family {
  /** A measure of every latent, [F] or [F, n]: read when it is first asked for. */
  ints(name: "fired" | "distinct" | "trigger" | "documents"): Int32Array;
  floats(name: "mean" | "max" | "entropy"): Float32Array;
  /** @param most examples of a group at most; 0: their file is not read. @throws FormatError where the files disagree with each other */
  latent(latent: number, most: number): LatentFiles;
  together(latent: number): { latent: number; count: number; score: number }[];
  close(): void;
}

/**
 * Opens the files of a family: sizes and headers are looked at, and nothing else is read.
 * @throws FormatError when one of them is not as it should be; nothing stays open then
 */
export function openFamily(path: string, manifest: FeaturesManifest): Family {
  const { latents: F } = manifest.sae;
  requireWhole(path, manifest);
  const statistics = openTensors(join(path, STATISTICS), {
    fired: ["I32", F],
    mean: ["F32", F],
    max: ["F32", F],
    histogram: ["I32", F, BINS],
    entropy: ["F32", F],
    distinct: ["I32", F],
    trigger: ["I32", F, TRIGGERS],
    triggerMean: ["F32", F, TRIGGERS],
    shareToken: ["I32", F, SHARES],
    share: ["F32", F, SHARES],
    documents: ["I32", F],
    position: ["F32", F],
    early: ["F32", F],
    tenths: ["F32", F, TENTHS],
  });
  let pairs: Tensors;
  try {
    pairs = openTensors(join(path, TOGETHER), { offset: ["I32", F + 1], latent: ["I32", "pairs"], count: ["I32", "pairs"], score: ["F32", "pairs"] });
  } catch (error) {
    statistics.close();
    throw error;
  }
  const blocks = fewOpen(OPEN_BLOCKS, (i: number): Tensors => {
    const { from, to } = manifest.blocks[i];
    const tensors = openTensors(join(path, examplesFile(i)), {
      offset: ["I32", to - from + 1],
      group: ["I32", "examples"],
      count: ["I32", "examples"],
      document: ["I32", "examples"],
      position: ["I32", "examples"],
      peak: ["I32", "examples"],
      goesOn: ["I32", "examples"],
      start: ["I32", "examples and one"],
      tokens: ["I32", "tokens"],
      values: ["F32", "tokens"],
    });
    if (tensors.length("start") === tensors.length("group") + 1) return tensors;
    tensors.close();
    throw damaged(join(path, examplesFile(i)), `the starts of ${tensors.length("group")} examples`, `${tensors.length("start")} numbers`);
  });
  const held = new Map<string, Int32Array | Float32Array>();
  const column = <T extends Int32Array | Float32Array>(name: string, read: (name: string) => T): T => {
    if (!held.has(name)) held.set(name, read(name));
    return held.get(name) as T;
  };
  /** The n numbers of a latent. */
  const ints = (name: string, latent: number, n: number): Int32Array => statistics.ints(name, latent * n, (latent + 1) * n);
  const floats = (name: string, latent: number, n: number): Float32Array => statistics.floats(name, latent * n, (latent + 1) * n);
  /** Offsets a … b into lists of so many elements. */
  const within = (file: string, [a, b]: Iterable<number>, of: number): [number, number] => {
    if (0 <= a && a <= b && b <= of) return [a, b];
    throw damaged(join(path, file), `offsets that rise to ${of}`, `${a}, ${b}`);
  };

  function examplesOf(latent: number, most: number): Example[][] {
    const i = manifest.blocks.findIndex(({ to }) => latent < to);
    const file = examplesFile(i);
    const tensors = blocks.get(i);
    const at = latent - manifest.blocks[i].from;
    const [a, b] = within(file, tensors.ints("offset", at, at + 2), tensors.length("group"));
    const part = (name: string): Int32Array => tensors.ints(name, a, b);
    const [group, times, document, position, peak, goesOn] = ["group", "count", "document", "position", "peak", "goesOn"].map(part);
    const start = tensors.ints("start", a, b + 1);
    const [first, last] = within(file, [start[0], start[b - a]], tensors.length("tokens"));
    const tokens = tensors.ints("tokens", first, last);
    const values = tensors.floats("values", first, last);
    const groups: Example[][] = GROUPS.map(() => []);
    group.forEach((g, e) => {
      const [from, to] = within(file, [start[e] - first, start[e + 1] - first], last - first);
      if (!(g in groups) || !(peak[e] >= 0 && peak[e] < to - from)) throw damaged(join(path, file), `a group and a peak within ${to - from} tokens`, `${g}, ${peak[e]}`);
      if (groups[g].length >= most) return;
      groups[g].push({
        tokens: tokens.slice(from, to),
        values: values.slice(from, to),
        peak: peak[e],
        document: document[e],
        position: position[e],
        count: times[e],
        goesOn: goesOn[e] === 1,
      });
    });
    return groups;
  }

  return {
    ints: (name) => column(name, statistics.ints),
    floats: (name) => column(name, statistics.floats),
    latent(latent, most) {
      const [trigger, triggerMean] = [ints("trigger", latent, TRIGGERS), floats("triggerMean", latent, TRIGGERS)];
      const [shareToken, share] = [ints("shareToken", latent, SHARES), floats("share", latent, SHARES)];
      return {
        histogram: histogramOf(ints("histogram", latent, BINS)),
        triggers: Array.from(trigger, (token, i) => ({ token, mean: triggerMean[i] })).filter(({ token }) => token >= 0),
        tokenShares: Array.from(shareToken, (token, i) => ({ token, share: share[i] })).filter(({ token }) => token >= 0),
        documents: ints("documents", latent, 1)[0],
        position: { mean: floats("position", latent, 1)[0], early: floats("early", latent, 1)[0], deciles: [...floats("tenths", latent, TENTHS)] },
        examples: most > 0 ? examplesOf(latent, most) : GROUPS.map(() => []),
      };
    },
    together(latent) {
      const [a, b] = within(TOGETHER, pairs.ints("offset", latent, latent + 2), pairs.length("latent"));
      const [partner, count, score] = [pairs.ints("latent", a, b), pairs.ints("count", a, b), pairs.floats("score", a, b)];
      return Array.from(partner, (one, i) => ({ latent: one, count: count[i], score: score[i] }));
    },
    close() {
      statistics.close();
      pairs.close();
      blocks.close();
    },
  };
}
