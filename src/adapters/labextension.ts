import { cpSync, existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import path from "node:path";
import { OptionError } from "../core/errors";
import { packageRoot } from "./package";
import { staged } from "./staging";

/** Where JupyterLab and Notebook find our renderers: <data folder>/labextensions/saelab, as set-up built it. Node built-ins only, since set-up uses this too. */

const BUILT = path.join(packageRoot, "kernel-ext", "lab", "labextension");
const NAME = "saelab";

interface Manifest {
  name?: string;
  jupyterlab?: { mimeExtension?: unknown; _build?: { load: string } };
}

const manifestOf = (folder: string): Manifest | undefined => {
  try {
    return JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as Manifest;
  } catch {
    return undefined;
  }
};
const isOurs = (folder: string): boolean => {
  const manifest = manifestOf(folder);
  return manifest?.name === NAME && Boolean(manifest.jupyterlab?.mimeExtension);
};

const folderIn = (data: string): string => path.join(data, "labextensions", NAME);
/** Not below labextensions: what lies there Jupyter takes for extensions. */
const beside = (folder: string): string => path.join(folder, "..", "..");

/** What `installExtension` would write, as one string: names of built files have their contents' hash. */
export const extensionContents = (): string => JSON.stringify(manifestOf(BUILT) ?? "not built");

/**
 * Puts the extension into a Jupyter data folder, in place of an older one of ours: that is moved away, then the new one appears whole.
 * @returns its folder; undefined in a clone where it was not built
 * @throws OptionError where another extension of that name is, or nothing may be written
 */
export function installExtension(data: string): string | undefined {
  if (!existsSync(path.join(BUILT, "package.json"))) return undefined;
  const folder = folderIn(data);
  if (existsSync(folder) && readdirSync(folder).length && !isOurs(folder))
    throw new OptionError(`${folder}: expected nothing there or saelab's own JupyterLab extension, found another. Move it away, and run the command again.`);
  staged(folder, beside(folder), (staging) => {
    const made = path.join(staging, "new");
    cpSync(BUILT, made, { recursive: true, dereference: true });
    if (existsSync(folder)) renameSync(folder, path.join(staging, "old"));
    renameSync(made, folder);
  });
  return folder;
}

/** Takes it away again. @returns its folder; undefined where there is none of ours */
export function uninstallExtension(data: string): string | undefined {
  const folder = folderIn(data);
  if (!isOurs(folder)) return undefined;
  staged(folder, beside(folder), (staging) => renameSync(folder, path.join(staging, "old")));
  return folder;
}
