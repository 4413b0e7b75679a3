import { closeSync, mkdtempSync, openSync, readdirSync, realpathSync, rmSync, writeSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { weightBytes } from "../core/sparsify";
import { ELEMENT, type Initializer } from "../core/onnx";
import { readHeader } from "../core/safetensors";
import type { Sae, SaeWeights } from "../core/types";
import type { SaeInitializers } from "../core/writes";
import { diskError, fileSource } from "./files";
import { isAlive } from "./lock";

/**
 * SAEs in a model's graph: their weights are read from a file, like the model's. Those of a float32 checkpoint are read where they
 * lie; others are put into a temporary file, once, which goes with the model; what a killed process left goes with the next.
 */
export function saeFiles(): { initializers: SaeInitializers; close(): void } {
  const known = new Map<SaeWeights, ReturnType<SaeInitializers>>();
  let folder: string | undefined;
  const remove = (): void => {
    if (folder) rmSync(folder, { recursive: true, force: true });
    folder = undefined;
    known.clear();
    process.off("exit", remove);
  };
  return {
    initializers({ weights, stored }) {
      let found = known.get(weights);
      if (!found) {
        if (!stored && !folder) {
          folder = makeFolder();
          process.once("exit", remove);
        }
        const { file, offsets } = stored ?? write(weights, join(folder!, `${known.size}.safetensors`));
        const key = `sae.${known.size}`;
        const { latents, d } = weights;
        const sizes = { wEnc: [latents, d], bEnc: [latents], wDec: [latents, d], bDec: [d] };
        const names = { wEnc: `${key}.wEnc`, bEnc: `${key}.bEnc`, wDec: `${key}.wDec`, bDec: `${key}.bDec` };
        const initializers = (Object.keys(sizes) as (keyof typeof sizes)[]).map((part): Initializer => ({
          name: names[part], type: ELEMENT.FLOAT, dims: sizes[part],
          external: { location: file, offset: offsets[part], length: 4 * sizes[part].reduce((a, b) => a * b, 1) },
        }));
        known.set(weights, (found = { key: `${key} ${weights.k}`, names, insert: { initializers } }));
      }
      return found;
    },
    close: remove,
  };
}

/** @throws DiskError */
function makeFolder(): string {
  const root = realpathSync(tmpdir());
  const mine = `saelab-sae-${hostname()}-`;
  for (const name of readdirSync(root)) {
    const pid = name.startsWith(mine) ? /^(\d+)-[^-]+$/.exec(name.slice(mine.length))?.[1] : undefined;
    if (pid && !isAlive(Number(pid))) rmSync(join(root, name), { recursive: true, force: true });
  }
  try {
    return mkdtempSync(join(root, `${mine}${process.pid}-`));
  } catch (error) {
    throw diskError(error, root);
  }
}

/** @throws DiskError; then there is no file */
function write(weights: SaeWeights, file: string): NonNullable<Sae["stored"]> {
  try {
    const out = openSync(file, "wx");
    try {
      for (const piece of weightBytes(weights)) for (let at = 0; at < piece.byteLength;) at += writeSync(out, piece, at, Math.min(piece.byteLength - at, 2 ** 30));
    } finally {
      closeSync(out);
    }
  } catch (error) {
    rmSync(file, { force: true });
    throw diskError(error, file);
  }
  const source = fileSource(file);
  try {
    const { tensors } = readHeader(source, file);
    const at = (name: string): number => tensors.get(name)!.offset;
    return { file, offsets: { wEnc: at("encoder.weight"), bEnc: at("encoder.bias"), wDec: at("W_dec"), bDec: at("b_dec") } };
  } finally {
    source.close();
  }
}
