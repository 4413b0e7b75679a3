import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../src/core/checkpoint";
import { readNpz } from "../../src/core/npz";
import { bytesSource } from "../../src/core/safetensors";
import { readMatrix } from "../../src/core/storedtensor";
import { folderOf, inflate } from "../checkpoints";
import { container, damageConfigurations, damageContainers, readAll, typed } from "../damage";
import { FIXTURES, found } from "../fixtures";

/** Damaged and hostile files: a typed error, or a value; no crash, no hang, nothing run, no memory beyond the file's own size. */

const ORACLE = join(__dirname, "../../../test/oracle/saes");
const openAll = (folder: string): void => {
  const { weights } = openCheckpoint(folderOf(folder));
  void { ...weights }; // reads the matrices
};

for (const hostile of [join(ORACLE, "hostile"), join(FIXTURES, "saes/hostile")]) {
  if (!found(join(hostile, "expected.json"))) continue;
  const { files } = JSON.parse(readFileSync(join(hostile, "expected.json"), "utf8")) as { files: Record<string, { want: string; why: string }> };
  for (const [file, { want, why }] of Object.entries(files)) {
    const path = join(hostile, file);
    const attempt = statSync(path).isDirectory() ? () => openAll(path) : () => void readAll(container(file, bytesSource(readFileSync(path))));
    const where = hostile.startsWith(ORACLE) ? "" : " (fixtures)";
    test(`hostile file${where}: ${file}: ${want}: ${why}`, () => {
      if (want === "accept") attempt();
      else if (want === "reject") assert.throws(attempt, typed);
      else {
        try {
          attempt(); // either is right
        } catch (error) {
          assert.ok(typed(error), `${(error as Error).stack}`);
        }
      }
      for (const folder of [hostile, "."]) assert.ok(!existsSync(join(folder, "HOSTILE_PICKLE_RAN.txt")));
    });
  }
}

test("an array in Fortran's order reads as NumPy shows it", () => {
  const tensors = readNpz(bytesSource(readFileSync(join(ORACLE, "hostile/fortran_order.npz"))), "f.npz", inflate);
  assert.deepEqual([...readMatrix(tensors.get("W_enc")!)], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...readMatrix(tensors.get("W_enc")!, { transposed: true })], [1, 4, 2, 5, 3, 6]);
});

test("seeded damage of headers, archives and pickles ends in a value or a typed error, within the file's own size", () => damageContainers(Number(process.env.SAELAB_CASES ?? 500)));

test("seeded damage of a configuration ends in an SAE or a typed error", () => damageConfigurations(Number(process.env.SAELAB_CASES ?? 500)));
