import { OptionError } from "../core/errors";
import { short } from "../core/html";
import { FOUND, recovery, type Recovery } from "../core/recovery";
import type { Sae } from "../core/types";
import { inPieces } from "./pieces";
import { showing, type ShownNow } from "./show";
import { tableBundle } from "./table";

export interface RecoveryOptions {
  /** Share of rows on which each latent fires, as evaluate gives it: those at 0 do not count. All count by default. */
  density?: ArrayLike<number>;
  probability?: ArrayLike<number>; // that each direction fires, of any scale: then means are weighted by it too
  above?: number; // 0.9: cosine from which a direction is found
}

/**
 * How much of a planted dictionary an SAE found: for each true direction the largest cosine with the decoder row of a living latent, their mean (mean max cosine similarity) and
 * the share above 0.9.
 * @param directions true ones [m, dOut], row-major, of any norm
 * @returns also shows itself as a table
 * @throws OptionError when shapes differ, a direction is 0 or no latent lives; InterruptError
 * @see core/recovery
 */
export async function dictionaryRecovery(sae: Sae, directions: ArrayLike<number>, { density, probability, above = FOUND }: RecoveryOptions = {}): Promise<Recovery & ShownNow> {
  const { d, dOut = d, wDec } = sae.weights;
  let found: Recovery;
  try {
    found = await inPieces(recovery(wDec, directions, dOut, { alive: density, probability, above }), "Nothing of it is kept.");
  } catch (error) {
    throw error instanceof RangeError ? new OptionError(`dictionaryRecovery: ${error.message}`) : error;
  }
  const { meanMaxCosine, recovered, weighted, distinct } = found;
  const row = (what: string, value: number, weightedBy: number | undefined): (string | number)[] => [what, value, ...(weightedBy === undefined ? [] : [weightedBy])];
  return showing(found, () => tableBundle({
    columns: ["measure", "value", ...(weighted ? ["by how often it fires"] : [])],
    rows: [
      row("mean of largest cosines", meanMaxCosine, weighted?.meanMaxCosine),
      row(`share above ${short(above)}`, recovered, weighted?.recovered),
      [`latent of no other direction`, distinct, ...(weighted ? [null as never] : [])],
    ],
    total: 3,
  }));
}
