import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { OptionError } from "../core/errors";
import { kernelSpec, type KernelSpec } from "../../kernel-ext/kernel/spec";
import { installExtension, uninstallExtension } from "./labextension";
import { findVenv, packageRoot } from "./package";
import { staged } from "./staging";

/** Where Jupyter finds the kernel: <data folder>/kernels/<name>, with kernel.json and logos. Node built-ins only, since set-up uses this too. */

export interface KernelPlace {
  /** For the user: whatever Jupyter he or she starts finds it. */
  user?: boolean;
  /** In `<prefix>/share/jupyter`: a virtual environment, a conda environment, /usr/local. */
  prefix?: string;
  /** "saelab": what notebooks ask for. */
  name?: string;
}

export interface InstallOptions extends KernelPlace {
  /** "TypeScript (saelab)": what menus show. */
  displayName?: string;
}

const LOGOS = path.join(packageRoot, "kernel-ext", "logo");
const MAIN = /[\\/]build[\\/]kernel-ext[\\/]kernel[\\/]main\.js$/; // what a kernelspec of ours starts, wherever the package lies or lay

/** What was written or removed: the kernel's folder, and that of the JupyterLab extension beside it. */
export interface Installed {
  kernel: string;
  /** undefined: none was built, or there was none; or kernels that are still there need it. */
  extension?: string;
}

/** The data folder that holds a kernel's. */
const dataOf = (kernel: string): string => path.dirname(path.dirname(kernel));

/**
 * Registers the kernel, in place of an older registration of ours, and beside it the JupyterLab extension that shows its outputs.
 * Without `user` and `prefix` it goes into the virtual environment of set-up, or, where there is none, to the user's own kernels.
 * @throws OptionError for a name Jupyter would not take, for one that belongs to another kernel, and where nothing may be written
 */
export function installKernel(options: InstallOptions = {}): Installed {
  const kernel = kernelFolder(options);
  writeKernel(kernel, options.displayName);
  return { kernel, extension: installExtension(dataOf(kernel)) };
}

/**
 * Removes a registration of ours, and with the last one the extension; its place is chosen as for `installKernel`.
 * @throws OptionError where there is none, and where the kernel is not saelab's
 */
export function uninstallKernel(options: KernelPlace = {}): Installed {
  const folder = kernelFolder(options);
  const found = occupant(folder);
  if (!found) throw new OptionError(`${folder}: expected a kernelspec to remove, found none. ${elsewhere(options, folder)}`);
  if (!found.ours) {
    throw new OptionError(
      `${folder}: expected a kernelspec of saelab, found ${found.what}. Nothing was removed. ` +
      `If that kernel is to go: jupyter kernelspec remove ${path.basename(folder)}.`);
  }
  staged(folder, path.dirname(folder), (staging) => renameSync(folder, path.join(staging, "old")));
  const kernels = path.dirname(folder);
  const needed = readdirSync(kernels).some((name) => occupant(path.join(kernels, name))?.ours);
  return { kernel: folder, extension: needed ? undefined : uninstallExtension(dataOf(folder)) };
}

/**
 * Writes kernel.json and logos. A new folder appears whole; an older one of ours changes file by file, so that the kernel is never away.
 * @throws OptionError when another kernel is there already, or nothing may be written
 */
export function writeKernel(folder: string, displayName?: string): void {
  const found = occupant(folder);
  if (found && !found.ours) {
    throw new OptionError(`${folder}: expected nothing there or a kernelspec of saelab, found ${found.what}. Choose another name (--name NAME).`);
  }
  staged(folder, path.dirname(folder), (staging) => {
    const made = path.join(staging, "new");
    const names = [...readdirSync(LOGOS), "kernel.json"]; // in this order: what starts the kernel changes last
    mkdirSync(made);
    for (const logo of names.slice(0, -1)) copyFileSync(path.join(LOGOS, logo), path.join(made, logo));
    writeFileSync(path.join(made, "kernel.json"), `${JSON.stringify(spec(displayName), null, 2)}\n`);
    if (!found) return renameSync(made, folder);
    for (const name of names) renameSync(path.join(made, name), path.join(folder, name));
    for (const name of readdirSync(folder)) if (!names.includes(name)) rmSync(path.join(folder, name), { recursive: true });
  });
}

/** All that `writeKernel` would write, as one string: set-up compares it with that of its last run. */
export const kernelContents = (): string =>
  [JSON.stringify(spec()), ...readdirSync(LOGOS).map((logo) => readFileSync(path.join(LOGOS, logo), "base64"))].join("\n");

function spec(displayName?: string): KernelSpec {
  const made = kernelSpec({ node: process.execPath, packageRoot });
  return { ...made, display_name: displayName ?? made.display_name };
}

function kernelFolder({ user, prefix, name = "saelab" }: KernelPlace): string {
  if (user && prefix !== undefined) throw new OptionError("--user and --prefix: expected at most one of them, found both.");
  if (prefix === "") throw new OptionError("--prefix: expected a folder, found an empty text.");
  if (!/^[a-z0-9._-]+$/i.test(name) || /^\.+$/.test(name)) {
    throw new OptionError(`--name: expected letters, digits, ".", "_" and "-" of ASCII, found ${JSON.stringify(name)}.`);
  }
  const data = user ? userDataFolder() : prefix !== undefined ? inPrefix(prefix) : defaultDataFolder();
  return path.join(data, "kernels", name.toLowerCase()); // Jupyter knows kernels by their names in lower case
}

const inPrefix = (prefix: string): string => path.join(path.resolve(prefix), "share", "jupyter");

/** As set-up: Jupyter's own variable wins, then comes the virtual environment; without one, the user's kernels. */
function defaultDataFolder(): string {
  const venv = process.env.JUPYTER_DATA_DIR ? undefined : findVenv();
  return venv ? inPrefix(venv) : userDataFolder();
}

/** Where Jupyter keeps a user's own data; the same as `jupyter --data-dir` says. */
export function userDataFolder(env: NodeJS.ProcessEnv = process.env, platform: NodeJS.Platform = process.platform, home = homedir()): string {
  if (env.JUPYTER_DATA_DIR) return path.resolve(env.JUPYTER_DATA_DIR);
  if (platform === "darwin") return path.join(home, "Library", "Jupyter");
  if (platform === "win32") return path.join(env.APPDATA || path.join(home, "AppData", "Roaming"), "jupyter");
  return path.join(env.XDG_DATA_HOME || path.join(home, ".local", "share"), "jupyter");
}

/** Who is in a kernel's folder already; undefined for a folder that is absent or empty. */
function occupant(folder: string): { ours: boolean; what: string } | undefined {
  if (!existsSync(folder)) return undefined;
  try {
    if (readdirSync(folder).length === 0) return undefined;
    const { argv, display_name } = JSON.parse(readFileSync(path.join(folder, "kernel.json"), "utf8")) as Partial<KernelSpec>;
    return { ours: (argv ?? []).some((word) => MAIN.test(word)), what: `${display_name} (${(argv ?? []).join(" ")})` };
  } catch {
    return { ours: false, what: "something without a readable kernel.json" };
  }
}

/** Which options would have found a kernelspec of ours by that name. */
function elsewhere({ name }: KernelPlace, missing: string): string {
  const venv = findVenv();
  const places: [string, KernelPlace][] = [["--user", { user: true }], ...(venv ? [[`--prefix ${venv}`, { prefix: venv }] as [string, KernelPlace]] : [])];
  const hit = places.find(([, place]) => {
    const folder = kernelFolder({ ...place, name });
    return folder !== missing && occupant(folder)?.ours;
  });
  return hit ? `One is found with ${hit[0]}.` : "jupyter kernelspec list says which kernels there are and where.";
}
