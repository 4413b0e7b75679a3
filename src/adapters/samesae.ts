import { OptionError, StoreError } from "../core/errors";
import type { Sae, SaeWeights } from "../core/types";
import { saeHash } from "./collect";
import type { Features } from "./features";
import { inPieces } from "./pieces";

const hashes = new WeakMap<SaeWeights, string>(); // a second for 65,536 latents

/**
 * An SAE beside features that were collected with it. One that was loaded in part has its size alone to tell it by.
 * @param stopped what an interrupt leaves
 * @throws StoreError if the features are of another SAE, also one of as many latents; InterruptError
 */
export async function requireSameSae({ path, count, manifest }: Features, { weights }: Sae, stopped: string): Promise<void> {
  const { latents, subset } = weights;
  const other = (found: string): StoreError => new StoreError(`${path}: expected features of this SAE, found those of ${found}. Collect with this SAE.`);
  if (subset ? subset.at(-1)! >= count : latents !== count) throw other(`one of ${count} latents`);
  if (subset) return;
  const sha256 = hashes.get(weights) ?? (await inPieces(saeHash({ weights } as Sae), stopped));
  hashes.set(weights, sha256);
  if (sha256 !== manifest.sae.sha256) throw other("another one of as many latents");
}

/** @throws OptionError for an SAE of which only some latents were loaded: its rows are not numbered as its latents are */
export function requireWholeSae(what: string, { weights: { subset, latents } }: Sae): void {
  if (subset) throw new OptionError(`${what}: expected a whole SAE, found ${latents} of its latents. Load it without { latents }.`);
}
