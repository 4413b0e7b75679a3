import type { CheckpointFormat } from "../core/checkpoint";
import { FormatError, OptionError } from "../core/errors";
import { fvu } from "../core/measure";
import { addSkip, describeKind } from "../core/sae";
import { readFloats, readHeader, writeSafetensors, type ByteSource, type SafetensorsHeader, type TensorInfo } from "../core/safetensors";
import type { Sae, Sparse } from "../core/types";
import { fileSource, writeAtomic } from "./files";
import { parsed } from "./harvestcli";
import { loadSae } from "./loadsae";

export const ENCODE_USAGE = `  saelab encode SAE --in X.safetensors --out Y.safetensors
                                      rows x [n, d] (and y [n, d_out]) to indices, values [n, most active] and recon [n, d_out]
      --hook NAME, --format NAME      of a folder or repository with several; when the files do not tell
      --offline                       only what is on this computer
`;

const ROWS = 4096; // encoded at a time

/**
 * `saelab encode SAE --in … --out …`. Reads `x` [n, d], or [n, heads, d/heads], and `y`, a transcoder's target, where there is one; writes
 * `indices` (int32, −1 where there is no latent) and `values` [n, L0max], larger first, and `recon` [n, dOut].
 * @throws OptionError, FormatError for a file without rows of the SAE's width, and what loadSae throws
 */
export async function encodeCommand(args: string[]): Promise<number> {
  const { values, positionals: [source, ...more] } = parsed("encode", args, {
    in: { type: "string" }, out: { type: "string" }, hook: { type: "string" }, format: { type: "string" }, offline: { type: "boolean" },
  });
  const usage = "saelab encode SAE --in X.safetensors --out Y.safetensors";
  if (!source || more.length) throw new OptionError(`encode: expected one SAE, found ${[source, ...more].filter(Boolean).join(" ") || "none"}: ${usage}.`);
  for (const name of ["in", "out"] as const) if (!values[name]) throw new OptionError(`--${name}: expected it, found none: ${usage}.`);
  const file = fileSource(values.in!);
  try {
    const header = readHeader(file, values.in!);
    const sae = await loadSae(source, { hook: values.hook, format: values.format as CheckpointFormat | undefined, offline: values.offline });
    const { d, dOut = d } = sae.weights;
    const x = rowsIn(header, "x", d, values.in!);
    const y = header.tensors.has("y") ? rowsIn(header, "y", dOut, values.in!) : undefined;
    const { sparse, recon } = encodeAll(sae, file, x);
    const n = recon.length / dOut;
    await writeAtomic(values.out!, writeSafetensors([
      { name: "indices", shape: [n, sparse.k], data: sparse.index },
      { name: "values", shape: [n, sparse.k], data: sparse.value },
      { name: "recon", shape: [n, dOut], data: recon },
    ]));
    const target = y ? readFloats(file, y) : sae.weights.transcoder ? undefined : readFloats(file, x);
    if (target && target.length !== recon.length) throw new FormatError(`${values.in}: expected as many rows y as x, ${n}, found ${target.length / dOut}. Give one target a row.`);
    const active = sparse.value.reduce((count, value) => count + (value > 0 ? 1 : 0), 0);
    const by = `${describeKind(sae.weights)}, ${sae.weights.latents.toLocaleString("en")} latents`;
    console.log(`${values.out}: ${n.toLocaleString("en")} rows by ${by}; L0 ${(active / n).toFixed(2)}${target ? `, FVU ${quotient(target, recon, dOut)}` : ""}`);
    return 0;
  } finally {
    file.close();
  }
}

/** A tensor of rows: the first dimension counts them, the others are one row. */
function rowsIn({ tensors }: SafetensorsHeader, name: string, width: number, where: string): TensorInfo {
  const info = tensors.get(name);
  const found = info?.shape.slice(1).reduce((a, b) => a * b, 1);
  if (info && info.shape.length >= 2 && found === width && info.shape[0] > 0 && /^B?F/.test(info.dtype)) return info;
  throw new FormatError(
    `${where}: ${name}: expected rows [n, ${width}] of floating numbers, as the SAE has them, found ${info ? `${info.dtype} [${info.shape}]` : [...tensors.keys()].join(", ") || "no tensors"}. ` +
    "Write them under this name, one row a token.");
}

function encodeAll(sae: Sae, file: ByteSource, x: TensorInfo): { sparse: Sparse; recon: Float32Array } {
  const { d, dOut = d } = sae.weights;
  const n = x.shape[0];
  const recon = new Float32Array(n * dOut);
  const parts: Sparse[] = [];
  for (let from = 0; from < n; from += ROWS) {
    const rows = readFloats(file, x, from * d, Math.min(n, from + ROWS) * d);
    const codes = sae.encode(rows);
    recon.set(addSkip(sae.weights, rows, sae.decode(codes)), from * dOut);
    parts.push(codes);
  }
  const k = Math.max(...parts.map((part) => part.k));
  const index = new Int32Array(n * k).fill(-1), value = new Float32Array(n * k);
  let row = 0;
  for (const part of parts) {
    for (let i = 0; i < part.n; i++, row++) {
      for (let j = 0; j < part.k && part.value[i * part.k + j] > 0; j++) {
        index[row * k + j] = part.index[i * part.k + j];
        value[row * k + j] = part.value[i * part.k + j];
      }
    }
  }
  return { sparse: { n, k, index, value }, recon };
}

/** "0.1234", or a word where all rows are equal. */
function quotient(x: Float32Array, xHat: Float32Array, d: number): string {
  try {
    return fvu(x, xHat, d).toFixed(4);
  } catch {
    return "not defined (all rows are equal)";
  }
}
