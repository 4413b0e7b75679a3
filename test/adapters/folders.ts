import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** What tests share: folders of their own, what is in them, and refusals. */

/** Names of folders that are not there yet, under one that goes when the tests are over. */
export function freshFolders(name: string): { root: string; fresh: () => string } {
  const root = mkdtempSync(join(tmpdir(), `saelab-${name}-`));
  after(() => rmSync(root, { recursive: true }));
  let folders = 0;
  return { root, fresh: () => join(root, `${folders++}`) };
}

/** A folder that is there while something works in it. */
export async function scratch(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "saelab-test-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each file's SHA-256. */
export const digest = (folder: string): Record<string, string> =>
  Object.fromEntries(readdirSync(folder).sort().map((name) => [name, createHash("sha256").update(readFileSync(join(folder, name))).digest("hex")]));

export type Fault = new (...rest: never[]) => Error;

export const fails = (work: Promise<unknown>, type: Fault, message: RegExp): Promise<void> =>
  assert.rejects(work, (error: Error) => {
    assert.ok(error instanceof type, `${error.name}: ${error.message}`);
    assert.match(error.message, message);
    return true;
  });
