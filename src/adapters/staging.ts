import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import { OptionError } from "../core/errors";

/**
 * Gives `work` a fresh folder on the disk where `folder` is or will be, and removes it afterwards with what was moved there. Node built-ins only, since set-up uses
 * this too. Jupyter takes what it finds where it looks for the thing itself: what is half made must lie elsewhere, or one level deeper.
 * @param beside an existing folder, or one above `folder`
 * @throws OptionError where nothing may be written
 */
export function staged(folder: string, beside: string, work: (staging: string) => void): void {
  let staging: string | undefined;
  try {
    mkdirSync(path.dirname(folder), { recursive: true });
    staging = mkdtempSync(path.join(beside, ".saelab-"));
    work(staging);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new OptionError(`${folder}: expected to write there, found ${code ?? message}. Choose a folder of your own: --user or --prefix DIR.`, { cause: error });
  } finally {
    if (staging) rmSync(staging, { recursive: true, force: true });
  }
}
