import { readFileSync } from "node:fs";
import path from "node:path";

/** Folder of this package, whether a clone or installed: build/src/adapters is three below it. */
export const packageRoot = path.resolve(__dirname, "..", "..", "..");

export const version = (JSON.parse(readFileSync(path.join(packageRoot, "package.json"), "utf8")) as { version: string }).version;
