import { existsSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { OptionError } from "../core/errors";
import { diskError } from "./files";
import { isAlive } from "./lock";

let made = 0;

/**
 * Makes a folder whole or not at all: it is filled beside its place and moved there. What killed calls left beside it is removed.
 * @param ours whether what is there already is an earlier one of the same kind, which may be replaced
 * @param fill writes into the folder that it is given
 * @throws OptionError if something else is in the way; DiskError
 */
export async function wholeFolder<T>(folder: string, ours: (folder: string) => boolean, fill: (part: string) => Promise<T>): Promise<T> {
  const target = resolve(folder);
  const [beside, name] = [dirname(target), basename(target)];
  const aside = join(beside, `.${name}.${process.pid}-${(made += 1)}.part`);
  try {
    await mkdir(beside, { recursive: true });
    await requireFree(target, ours);
    for (const left of await readdir(beside)) {
      const pid = left.startsWith(`.${name}.`) && /^(\d+)-\d+\.part(\.old)?$/.exec(left.slice(name.length + 2))?.[1];
      if (pid && Number(pid) !== process.pid && !isAlive(Number(pid))) await rm(join(beside, left), { recursive: true, force: true });
    }
    await mkdir(aside);
  } catch (error) {
    throw diskError(error, target);
  }
  try {
    const result = await fill(aside);
    const old = `${aside}.old`;
    const replaced = existsSync(target);
    if (replaced) await rename(target, old);
    await rename(aside, target);
    if (replaced) await rm(old, { recursive: true, force: true });
    return result;
  } catch (error) {
    throw diskError(error, target);
  } finally {
    await rm(aside, { recursive: true, force: true }); // gone already when all went well
  }
}

async function requireFree(target: string, ours: (folder: string) => boolean): Promise<void> {
  if (!existsSync(target)) return;
  if (!statSync(target).isDirectory()) throw new OptionError(`${target}: expected a folder or nothing, found a file. Choose another folder.`);
  const names = await readdir(target);
  if (!names.length || ours(target)) return;
  throw new OptionError(`${target}: expected an empty folder or an earlier export to replace, found other files (${names.slice(0, 3).join(", ")}${names.length > 3 ? " …" : ""}). Choose another folder.`);
}
