import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/adapters/package";
import { saeOf } from "../../src/adapters/sae";
import { encode, reconstruct } from "../../src/core/sae";
import { writeSafetensors } from "../../src/core/safetensors";
import { kinds, WIDTH } from "../kinds";

/**
 * What we write is read by SAELens and sparsify themselves, which get the same latents and numbers. They are installed into a virtual
 * environment of their own (some minutes, once: build/peers). SAELAB_PEERS names a Python that has them already.
 */
function peers(say: (text: string) => void): string {
  if (process.env.SAELAB_PEERS) return process.env.SAELAB_PEERS;
  const home = join(packageRoot, "build", "peers");
  const python = join(home, "bin", "python");
  const run = (...args: string[]): void => void execFileSync(python, ["-m", "pip", "install", "-q", ...args], { stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1e8 });
  if (existsSync(join(home, "whole"))) return python;
  say("installing SAELens and sparsify into build/peers first");
  if (!existsSync(python)) execFileSync("python3", ["-m", "venv", home]);
  run("torch==2.13.0");
  run("sae-lens==6.54.12", "eai-sparsify==1.3.3");
  writeFileSync(join(home, "whole"), "");
  return python;
}

test("SAELens and sparsify read what is saved, and compute the same", { timeout: 1.8e6 }, async (context) => {
  const python = peers((text) => context.diagnostic(text));
  const scratch = mkdtempSync(join(tmpdir(), "saelab-peers-"));
  try {
    const n = 40;
    const x = Float32Array.from({ length: n * WIDTH }, (_, i) => 2 * Math.cos(3 * i + 1));
    const folders: string[] = [];
    for (const { name, weights, formats } of kinds) {
      const { k, index, value } = encode(weights, x);
      const acts = new Float32Array(n * weights.latents);
      value.forEach((amount, i) => {
        if (amount > 0) acts[Math.floor(i / k) * weights.latents + index[i]] = amount;
      });
      for (const format of formats) {
        const folder = join(scratch, `${format} ${name}`);
        await saeOf(weights, { hook: "blocks.1.hook_mlp_out", card: { model: "gpt2" } }).save(folder, { format });
        writeFileSync(join(folder, "given.safetensors"), Buffer.concat(writeSafetensors([
          { name: "x", shape: [n, WIDTH], data: x }, { name: "acts", shape: [n, weights.latents], data: acts },
          { name: "recon", shape: [n, weights.dOut ?? WIDTH], data: reconstruct(weights, x) },
        ])));
        folders.push(folder);
      }
    }
    const printed = execFileSync(python, [join(packageRoot, "test", "oracle", "read_saes.py"), ...folders], { encoding: "utf8", maxBuffer: 1e8, env: { ...process.env, HF_HUB_OFFLINE: "1" } });
    const results = printed.trim().split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as { folder: string; by: string; latents: boolean; acts: number; recon: number });
    assert.equal(results.length, folders.length);
    for (const result of results) {
      context.diagnostic(JSON.stringify(result));
      assert.ok(result.latents && result.acts <= 1e-5 && result.recon <= 1e-5, JSON.stringify(result));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
