import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { FIXTURES } from "./fixtures";

/**
 * Runs every *.test.js under build/test (with --slow those under build/test/slow instead; other words pick files by name),
 * and closes with one line: "N passed, N failed".
 */
const words = process.argv.slice(2);
const slow = words.includes("--slow");
const picked = words.filter((word) => !word.startsWith("--"));
const files = (readdirSync(__dirname, { recursive: true }) as string[])
  .filter((file) => file.endsWith(".test.js") && file.startsWith(`slow${path.sep}`) === slow)
  .filter((file) => !picked.length || picked.some((word) => file.includes(word)))
  .sort()
  .map((file) => path.join(__dirname, file));

if (!files.length) throw new Error(`No test file under ${__dirname} matches ${picked.join(", ") || "*.test.js"}: run npm run build.`);

// What the library remembers of a machine is not the user's own while its tests run.
const cache = mkdtempSync(path.join(tmpdir(), "saelab-cache-"));
process.env.XDG_CACHE_HOME = cache;
process.on("exit", () => rmSync(cache, { recursive: true, force: true }));

// Where there is a card, tests still compare the processor's bits; those of cards ask for them by name.
process.env.SAELAB_DEVICE ??= "cpu";

const count = { passed: 0, failed: 0, skipped: 0 };
const stream = run({ files, concurrency: Math.min(2, availableParallelism()) });
// A file is reported like a test of its own; so is a suite. Only what has no children is counted, and a file that died outright.
const leaf = (data: { details: { type?: string }; name: string }): boolean => data.details.type !== "suite" && !files.includes(data.name);
stream.on("test:pass", (data) => {
  if (!leaf(data)) return;
  if (data.skip !== undefined && data.skip !== false) count.skipped++;
  else count.passed++;
});
stream.on("test:fail", (data) => {
  if (data.details.type !== "suite" && (data.details.error as { failureType?: string }).failureType !== "subtestsFailed") count.failed++;
});
stream.compose(spec).pipe(process.stdout);
stream.on("end", () => {
  process.exitCode = count.failed || !count.passed ? 1 : 0;
  // After the reporter has written its own summary.
  setImmediate(() => {
    if (!existsSync(FIXTURES)) process.stdout.write(`\nNot run: tests of files in ${FIXTURES}, which is not there (SAELAB_FIXTURES names another folder).\n`);
    if (count.skipped) process.stdout.write(`\n${count.skipped} skipped\n`);
    process.stdout.write(`\n${count.passed} passed, ${count.failed} failed\n`);
  });
});
