import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const source = join(__dirname, "../../../test/slow/ops_check.cc");

/** Optimised as set-up does it, so that the vectorised loops are the ones looked at. */
const flags = ["-O2", "-g", "-std=c++17", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-pthread", "-Wall", "-Wextra", "-Werror",
  "-Wno-maybe-uninitialized"]; // GCC 12 gives it for its own AVX-512 header

/** Tile instructions in plain loops where the processor has none; they need AVX-512 all the same. */
const EMULATED = ["-DSAE_EMULATED_TILES"];

for (const [sanitizer, cpu, more] of [
  ["address,undefined", "native", []], ["thread", "native", []], ["address,undefined", "x86-64-v3", []], ["address,undefined", "native", EMULATED],
] as const) {
  test(`the ops' maths agrees with plain loops for ${cpu}${more.length ? ", tiles emulated" : ""}, under -fsanitize=${sanitizer}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "saelab-ops-"));
    try {
      const program = join(folder, "ops_check");
      execFileSync("g++", [...flags, ...more, `-march=${cpu}`, `-fsanitize=${sanitizer}`, "-fno-sanitize-recover=all", source, "-o", program], { stdio: ["ignore", "inherit", "inherit"] });
      const { status, stdout, stderr } = spawnSync(program, { encoding: "utf8" });
      assert.equal(status, 0, `${stdout}\n${stderr}`);
      assert.match(stdout, /^132 cases right, \d half-precision products$/m);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
