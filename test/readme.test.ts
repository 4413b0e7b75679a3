import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../src/adapters/package";

/** The README's programs, typed and run as they stand: only the model is a small one of the same family. */
const readme = readFileSync(join(packageRoot, "README.md"), "utf8");

const program = (heading: string): string => {
  const found = new RegExp(`## ${heading}\\n[^]*?\`\`\`ts\\n([^]*?)\`\`\``).exec(readme);
  assert.ok(found, `README.md: a program under "${heading}"`);
  return found[1];
};

test("Inside a model: typed without an error, run without one", () => {
  const folder = mkdtempSync(join(packageRoot, "build", "readme-"));
  try {
    const model = join(packageRoot, "test/oracle/models/qwen2");
    const changed = program("Inside a model")
      .replace('"deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"', JSON.stringify(model))
      .replaceAll("layers.10", "layers.1").replaceAll("1536", "64").replace(" Rome", "e").replace("maxTokens: 200", "maxTokens: 8")
      .replace('from "saelab"', `from ${JSON.stringify(join(packageRoot, "build/src/index.js"))}`);
    assert.doesNotMatch(changed, /deepseek|1536/);
    const lines = changed.trim().split("\n");
    const file = join(folder, "program.mts");
    writeFileSync(file, `${lines.slice(0, -1).join("\n")}\nconst shown = ${lines.at(-1)};\nconsole.log("\\nshown", typeof shown);\nawait model.close();\n`);
    execFileSync(process.execPath, [
      join(packageRoot, "node_modules/typescript/bin/tsc"), "--ignoreConfig", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--types", "node", "--typeRoots", join(packageRoot, "node_modules/@types"), "--outDir", folder, file,
    ], { encoding: "utf8" });
    const said = execFileSync(process.execPath, [join(folder, "program.mjs")], { encoding: "utf8", cwd: tmpdir() });
    assert.match(said, /\nshown object\n$/);
    assert.ok(said.length > 20, "the model wrote something");
  } catch (error) {
    const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message: string };
    assert.fail(`${message}\n${stdout ?? ""}\n${stderr ?? ""}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
