import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

/** Folder of this package, whether a clone or installed: build/src/adapters is three below it. */
export const packageRoot = path.resolve(__dirname, "..", "..", "..");

export const version = (JSON.parse(readFileSync(path.join(packageRoot, "package.json"), "utf8")) as { version: string }).version;

export const pythonOf = (venv: string): string => path.join(venv, "bin", "python");

/** Whether set-up was told to do without TensorFlow: it keeps that beside what it installed. */
export function leftOutTensorflow(venv = findVenv()): boolean {
  const file = venv && path.join(venv, ".saelab-device");
  return file !== undefined && existsSync(file) && readFileSync(file, "utf8").trim() === "none";
}

/** The virtual environment of set-up: SAELAB_VENV, else .venv in the package (a clone) or in a folder at or above `from` or the current one. */
export function findVenv(from = process.cwd()): string | undefined {
  const above = (folder: string): string[] => (folder === path.dirname(folder) ? [folder] : [folder, ...above(path.dirname(folder))]);
  const folders = [packageRoot, ...above(process.cwd()), ...above(path.resolve(from))].map((folder) => path.join(folder, ".venv"));
  return [process.env.SAELAB_VENV, ...folders].flatMap((folder) => folder ?? []).find((folder) => existsSync(pythonOf(folder)));
}
