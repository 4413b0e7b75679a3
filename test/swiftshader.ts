import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { packageRoot } from "../src/adapters/package";
import { findWebGpu } from "../src/adapters/webgpu";

/**
 * A GPU for tests where there is none: SwiftShader, a Vulkan driver in software, which the Chromium of the tests carries. The
 * loader reads its environment when a process starts, so tests of WebGPU are children: fork(file, [], { env: await gpuEnvironment() }).
 */
export async function gpuEnvironment(): Promise<NodeJS.ProcessEnv> {
  const here = await findWebGpu();
  return here.there && !here.software ? process.env : { ...process.env, ...softwareGpu() };
}

/** The variables that make SwiftShader the one adapter of a child, whatever else the machine has. */
export function softwareGpu(): { LD_LIBRARY_PATH: string; VK_ICD_FILENAMES: string } {
  const folder = unpacked();
  const before = process.env.LD_LIBRARY_PATH;
  return { LD_LIBRARY_PATH: before ? `${folder}:${before}` : folder, VK_ICD_FILENAMES: join(folder, "vk_swiftshader_icd.json") };
}

/** Unpacked once a build, beside it. */
function unpacked(): string {
  const folder = join(__dirname, "..", "swiftshader");
  if (existsSync(folder)) return folder;
  const packed = join(packageRoot, "node_modules", "@sparticuz", "chromium", "bin", "swiftshader.tar.br");
  const made = mkdtempSync(`${folder}-`);
  try {
    const tar = join(made, "swiftshader.tar");
    writeFileSync(tar, brotliDecompressSync(readFileSync(packed)));
    execFileSync("tar", ["-xf", tar, "-C", made], { cwd: tmpdir() });
    rmSync(tar);
    renameSync(made, folder);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // another test was first
  }
  return folder;
}
