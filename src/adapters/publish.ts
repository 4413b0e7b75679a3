import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { EngineError, OptionError } from "../core/errors";
import { findVenv, packageRoot, pythonOf, version } from "./package";

export interface PublishOptions {
  /** Values for the cell tagged `parameters`, as TypeScript expressions. */
  parameters?: Record<string, string>;
  /** Also keep the executed notebook here. */
  notebook?: string;
  /** Open the page where there is a desktop. */
  open?: boolean;
}

/**
 * Executes a notebook in a fresh kernel and writes one HTML file: no script, no network reference, light and dark.
 * Stops at the first error, names the cell and writes nothing.
 * @returns path of the page
 * @throws EngineError when the Python side of the set-up is missing or a cell fails
 */
export async function publish(notebook: string, out: string, options: PublishOptions = {}): Promise<string> {
  if (!existsSync(notebook)) throw new OptionError(`${notebook}: expected a notebook (.ipynb), found nothing there.`);
  const python = findPython(path.dirname(path.resolve(notebook)));
  const settings = Object.entries(options.parameters ?? {}).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
  const keep = options.notebook ? ["--keep", options.notebook] : [];
  const script = path.join(packageRoot, "kernel-ext", "publish.py");
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(python, [script, notebook, out, ...settings, ...keep, "--footer", footer()], { stdio: "inherit" });
    child.on("error", reject).on("close", resolve);
  });
  if (code !== 0) throw new EngineError(`${notebook}: expected every cell to run; see the error above. Nothing was written.`);
  if (options.open) openOnDesktop(path.resolve(out));
  return path.resolve(out);
}

/** The Python of set-up. */
function findPython(from: string): string {
  const venv = findVenv(from);
  if (!venv) throw new EngineError(`.venv/bin/python: expected in ${packageRoot} or above ${process.cwd()}, found none. Run npm run setup (in a clone) or npx saelab setup.`);
  return pythonOf(venv);
}

/** What made the page: version, commit when there is one, Node. */
function footer(): string {
  let commit = "";
  try {
    commit = `, commit ${execFileSync("git", ["-C", packageRoot, "rev-parse", "--short", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()}`;
  } catch {
    // Not a clone, or no git: the version says enough.
  }
  return `saelab ${version}${commit}, Node ${process.versions.node}.`;
}

function openOnDesktop(file: string): void {
  if (!process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) return;
  spawn("xdg-open", [file], { detached: true, stdio: "ignore" }).on("error", () => {}).unref();
}
