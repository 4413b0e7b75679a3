import { OptionError, StoreError } from "../core/errors";
import type { Sparse } from "../core/types";
import { codesReader } from "./codes";
import type { RowsToCollect } from "./collectrows";
import { differing, readManifest, requireWhole, type FeaturesManifest } from "./family";
import { openNames } from "./familynames";
import type { Features } from "./features";

/** Codes of an earlier collection of the same SAE, to be taken over. */
export interface EarlierCodes {
  /** Codes of n rows from this one on, if the rows they were made of had this hash. */
  find(from: number, n: number, hash: [number, number]): Sparse | undefined;
  close(): void;
}

const FOUND_ON_THE_WAY = ["normLimits"]; // from a sample of the first shard, which is another one of a short corpus

/**
 * Holds an earlier collection against what is to be collected: the same SAE, hook, side, model and settings; its documents the first ones.
 * Codes are taken over where the rows they were made of are the same to the bit, so that the result is that of collecting all.
 * @throws StoreError that says what differs; FormatError when it is damaged
 */
export function appended(append: Features | string, wanted: FeaturesManifest, rows: RowsToCollect): EarlierCodes {
  const path = typeof append === "string" ? append : append.path;
  if (!rows.ranges)
    throw new OptionError(`${path}: append: expected a store to collect from, found a running model. Harvest all documents, and collect from the store.`);
  const found = readManifest(path);
  requireWhole(path, found);
  const refuse = (what: string): StoreError => new StoreError(
    `${rows.name}: append: expected a store whose first documents are those of ${path}, for the same SAE, found ${what}. Collect without append.`);
  const { store, sae, split, documents } = found;
  const other = differing(wanted.store, store, ["model", "width"], FOUND_ON_THE_WAY);
  if (sae.sha256 !== wanted.sae.sha256) other.push("another SAE");
  if (sae.hook !== wanted.sae.hook) other.push(`hook ${wanted.sae.hook} instead of ${sae.hook}`);
  if (split !== wanted.split) other.push(`split "${wanted.split}" instead of "${split}"`);
  if (other.length) throw refuse(other.join("; "));
  if (documents > wanted.documents) throw refuse(`${wanted.documents} documents instead of ${documents} and more`);
  const [names, texts] = [openNames(path, documents), rows.texts.documents()];
  for (let i = 0; i < documents; i++)
    if (names.document(i) !== texts[i].id) throw refuse(`document ${i} "${texts[i].id}" instead of "${names.document(i)}"`);
  const reader = codesReader(path, found.shards, sae.latents);
  const pieces = new Map(reader.hashes().map((piece) => [piece.from, piece]));
  return {
    find(from, n, hash) {
      const piece = pieces.get(from);
      return piece?.n === n && `${piece.hash}` === `${hash}` ? reader.read(from, from + n) : undefined;
    },
    close: reader.close,
  };
}
