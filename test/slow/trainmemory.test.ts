import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

/** Memory that ends for real, in a process that may not grow (Linux: prlimit, of util-linux). */

const limits = process.platform === "linux" && spawnSync("prlimit", ["--version"]).status === 0;

test("a process that may not grow: the training keeps what it has, encodes fewer rows at a time, and ends as one that could", { skip: !limits, timeout: 300_000 }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-memory-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const child = (spare: string, name: string): Record<string, any> => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(__dirname, "trainmemory-child.js"), spare, join(folder, name)], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  };
  const free = child("", "free"), short = child("450", "short");
  assert.deepEqual([free.warnings, free.rowsAtOnce], [undefined, undefined]);
  assert.deepEqual(short.kept, [1], "before it was tried again");
  assert.match(short.warnings[0], /^memory ran out at step 2 of 4: from there on 1024 rows are encoded at a time$/);
  assert.ok(short.rowsAtOnce <= 1024);
  short.fvu.forEach((fvu: number, i: number) => assert.ok(Math.abs(fvu - free.fvu[i]) <= 1e-5 * free.fvu[i], `step ${i + 1}: FVU ${fvu}, ${free.fvu[i]}`));
});
