import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** What all steps of set-up share: where things lie, commands that are run, work that is skipped when nothing has changed. */

export const root = realpathSync(path.join(path.dirname(fileURLToPath(import.meta.url)), "..", ".."));
export const packed = path.basename(path.dirname(root)) === "node_modules";
/** Where .venv goes: the clone, or the project that installed us. */
export const home = packed ? path.resolve(root, "..", "..") : root;
/** SAELAB_VENV names an environment that several projects share; it must have what requirements.txt lists. */
export const venv = process.env.SAELAB_VENV ? path.resolve(process.env.SAELAB_VENV) : path.join(home, ".venv");
export const python = path.join(venv, "bin", "python");

export const clock = () => performance.now() / 1000;
/** When set-up began, by that clock: seconds. */
export const began = clock();
/** Intervals of waiting for a registry; npm and pip wait side by side. */
export const waits = [];
const seconds = (s) => `${s.toFixed(1).padStart(6)} s`;
export const say = (name, what, time) => console.log(`  ${name.padEnd(8)} ${time === undefined ? "        " : seconds(time)}  ${what}`);

/** A problem with a cure; printed without a stack. */
export class SetupError extends Error {}
export const stop = (what, cure) => { throw new SetupError(`${what}\n  cure: ${cure}`); };

export const hash = (...parts) => parts.reduce((h, part) => h.update(part).update("\0"), createHash("sha256")).digest("hex");

/** Runs step `name` unless its inputs are the ones of its last success; the stamp is written last, so an interrupted step runs again. */
export async function step(name, stampFile, inputs, done, work) {
  const stamp = hash(...inputs);
  const from = clock();
  if (done() && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return say(name, "up to date");
  rmSync(stampFile, { force: true });
  const what = await work();
  if (typeof what === "string") {
    mkdirSync(path.dirname(stampFile), { recursive: true });
    writeFileSync(stampFile, stamp);
  }
  say(name, typeof what === "string" ? what : what.failed, clock() - from); // what failed without ending the set-up is tried, and said, again next time
}

/** Runs a command; `onLine` sees each line as it comes. On failure throws with the last lines and the cure. */
export function run(command, args, { cwd = root, env = {}, onLine = () => {}, cure }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const tail = [];
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (chunk) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          onLine(line);
          if (!/^npm http/.test(line)) tail.push(line);
          if (tail.length > 15) tail.shift();
        }
      });
    }
    const fail = (why) => reject(new SetupError(`${path.basename(command)} ${args.slice(0, 3).join(" ")} … ${why}\n${tail.map((line) => `    ${line}`).join("\n")}\n  cure: ${cure}`));
    child.on("error", (error) => fail(error.message));
    child.on("close", (code, signal) => (code === 0 ? resolve() : fail(signal ? `was ended by ${signal}` : `ended with code ${code}`)));
  });
}

export const version = (command, args = ["--version"]) => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? (stdout || stderr).trim().split("\n")[0] : undefined;
};

/** Total length of overlapping intervals. */
export function union(intervals) {
  let total = 0;
  let end = -Infinity;
  for (const [from, to] of intervals.sort((a, b) => a[0] - b[0])) {
    total += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return total;
}
