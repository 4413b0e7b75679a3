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

/** Typed as a user's project types it, then run; its last line is what a cell would show. @returns what it printed */
function typedAndRun(text: string, cwd = tmpdir()): string {
  const folder = mkdtempSync(join(packageRoot, "build", "readme-"));
  try {
    const lines = text.replaceAll('from "saelab"', `from ${JSON.stringify(join(packageRoot, "build/src/index.js"))}`).trim().split("\n");
    const file = join(folder, "program.mts");
    writeFileSync(file, `${lines.slice(0, -1).join("\n")}\nconst shown = ${lines.at(-1)};\nconsole.log("\\nshown", typeof shown);\nawait model.close();\n`);
    execFileSync(process.execPath, [
      join(packageRoot, "node_modules/typescript/bin/tsc"), "--ignoreConfig", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--types", "node", "--typeRoots", join(packageRoot, "node_modules/@types"), "--outDir", folder, file,
    ], { encoding: "utf8" });
    return execFileSync(process.execPath, [join(folder, "program.mjs")], { encoding: "utf8", cwd });
  } catch (error) {
    const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message: string };
    return assert.fail(`${message}\n${stdout ?? ""}\n${stderr ?? ""}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("Inside a model: typed without an error, run without one", () => {
  const model = join(packageRoot, "test/oracle/models/qwen2");
  const changed = program("Inside a model")
    .replace('"deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"', JSON.stringify(model))
    .replaceAll("layers.10", "layers.1").replaceAll("1536", "64").replace(" Rome", "e").replace("maxTokens: 200", "maxTokens: 8");
  assert.doesNotMatch(changed, /deepseek|1536/);
  const said = typedAndRun(changed);
  assert.match(said, /\nshown object\n$/);
  assert.ok(said.length > 20, "the model wrote something");
});

test("Ten lines, Findings that survive a test, Training and reading SAEs: typed without an error, run without one on a few texts", () => {
  const scratch = mkdtempSync(join(tmpdir(), "readme-"));
  try {
    const programs = ["Ten lines", "Findings that survive a test", "Training and reading SAEs"].map((heading) => program(heading)
      .replaceAll(/"(data\/[^"]*)"/g, (_, path: string) => JSON.stringify(join(packageRoot, path)))
      .replace(/(await readTexts\([^)]*\))/, "($1).slice(0, 200)")
      .replaceAll(/latents: (2048|1024)/g, "latents: 128").replace("tokens: 3e5", "tokens: 4000"));
    assert.ok(programs[1].trim().split("\n").length < 15, "from a trained SAE to verdicts in under 15 lines");
    const names = programs.flatMap((text) => /import \{([^}]*)\}/.exec(text)![1].split(",").map((name) => name.trim()));
    const [ten, findings, training] = programs.map((text) => text.replace(/^import .*$/m, "").trim());
    const shown = (text: string): string => text.replace(/\n([^\n]*?)( *\/\/.*)?$/, "\nawait display($1)"); // a cell's last line
    const one = [shown(ten).replaceAll(/\bfeatures\b/g, "before"), shown(findings), training.replaceAll(/\bsae\b/g, "trained")]; // in one module
    const said = typedAndRun(`import { ${[...new Set(names)].join(", ")} } from "saelab";\n${one.join(";\n")}`, scratch);
    assert.match(said, /Do they correlate with backtracking for a reason of their own\?/);
    assert.match(said, /\nshown object\n$/);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
