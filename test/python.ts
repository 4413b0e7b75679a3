import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { packageRoot } from "../src/adapters/package";

/** Python's side of the tests: the virtual environment of set-up, and what it must hold. */

export const venv = process.env.SAELAB_VENV ?? path.join(packageRoot, ".venv");
export const bin = (name: string): string => path.join(venv, "bin", name);

/** Packages of test/requirements.txt, and our own for papermill. */
const WANTED = [...readFileSync(path.join(packageRoot, "test", "requirements.txt"), "utf8").matchAll(/^([\w-]+)==/gm)].map(([, name]) => name).concat("saelab-papermill");

/** @throws Error that names what is missing: set-up leaves a shared environment (SAELAB_VENV) as it is */
export function requireTestPackages(): void {
  const remedy = process.env.SAELAB_VENV
    ? `Install them there: ${bin("pip")} install -r test/requirements.txt kernel-ext/papermill`
    : "Run: node kernel-ext/setup.mjs --test";
  if (!existsSync(bin("python"))) throw new Error(`${bin("python")}: expected the Python of set-up, found none. ${remedy}`);
  const probe = `import importlib.metadata, sys
plain = lambda name: name.lower().replace("_", "-")
have = {plain(found.name) for found in importlib.metadata.distributions()}
print(*[name for name in sys.argv[1:] if plain(name) not in have])`;
  const { stdout, stderr } = spawnSync(bin("python"), ["-c", probe, ...WANTED], { encoding: "utf8" });
  if (stderr || stdout.trim()) throw new Error(`${venv}: expected the packages of test/requirements.txt, found them without ${stdout.trim()}${stderr}. ${remedy}`);
}
